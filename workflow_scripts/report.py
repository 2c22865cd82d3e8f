"""An experiment's tables and images -> its page."""

from pathlib import Path
from typing import Any

from subspace_match.jobs import run


def report(snakemake: Any) -> None:
    from subspace_match.artefacts import written
    from subspace_match.report import page, read_run

    made = page([read_run(Path(snakemake.input.config).parent)])
    with written(snakemake.output.page) as temporary:
        temporary.write_text(made, encoding="utf-8")


run(report, snakemake)  # type: ignore[name-defined]
