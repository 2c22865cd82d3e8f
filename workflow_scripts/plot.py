"""Tables -> the paper's figures."""

from pathlib import Path
from typing import Any

from subspace_match.jobs import run


def plot(snakemake: Any) -> None:
    import pandas as pd

    from subspace_match import figures

    tables = {
        "similarity_by_depth": snakemake.input.similarity,
        "similarity_by_epsilon": snakemake.input.neurons,
        "critical_epsilons": snakemake.input.neurons,
    }
    drawn = {name: getattr(figures, name)(pd.read_parquet(path)) for name, path in tables.items()}
    for path in snakemake.output:
        figures.save(drawn[Path(path).stem], path)


run(plot, snakemake)  # type: ignore[name-defined]
