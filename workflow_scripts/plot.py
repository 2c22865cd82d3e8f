"""Tables -> the paper's figures."""

from pathlib import Path
from typing import Any

from subspace_match.jobs import run


def plot(snakemake: Any) -> None:
    import pandas as pd

    from subspace_match import figures

    tables = ("similarity", "neurons", "minimal_matches", "measures")
    similarity, neurons, minimal, measures = (
        pd.read_parquet(snakemake.input[name]) for name in tables
    )
    drawn = {
        "similarity_by_depth": figures.similarity_by_depth(similarity),
        "similarity_by_epsilon": figures.similarity_by_epsilon(neurons),
        "critical_epsilons": figures.critical_epsilons(neurons),
        "minimal_matches": figures.minimal_matches(minimal, similarity),
        "measures": figures.measures(measures, similarity),
    }
    for path in snakemake.output:
        figures.save(drawn[Path(path).stem], path)


run(plot, snakemake)  # type: ignore[name-defined]
