"""Write the page of an experiment from its tables and images."""

from pathlib import Path
from typing import Any

from subspace_match.workflow.job import run


def report(snakemake: Any) -> None:
    from subspace_match.report import read_run, write_page

    write_page([read_run(Path(snakemake.input.config).parent)], snakemake.output.page)


run(report, snakemake, threads=1)  # type: ignore[name-defined]
