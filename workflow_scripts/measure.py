"""Moments of a group of layers -> other measures of their similarity, of the first draw."""

from typing import Any

from subspace_match.workflow.job import run


def measure(snakemake: Any) -> None:
    from subspace_match.matching.measures import noted_measures
    from subspace_match.storage.match_files import load_moments, save_measures

    measures = {}
    for layer in snakemake.params.layers:
        origin, pair = load_moments(snakemake.input.moments, layer)
        measures[origin] = noted_measures(pair)
    save_measures(snakemake.output.measures, measures)


run(measure, snakemake)  # type: ignore[name-defined]
