"""Some layers' moments -> other measures of their similarity."""

from typing import Any

from subspace_match.workflow.job import run


def measure(snakemake: Any) -> None:
    from subspace_match.matching.measures import noted_measures
    from subspace_match.storage.match_files import load_moments, save_parts

    measured = []
    for layer in snakemake.params.layers:
        pair, about = load_moments(snakemake.input.moments, layer)
        found = noted_measures(pair)
        values = {name: measure.value for name, measure in found.items()}
        notes = {name: measure.note for name, measure in found.items()}
        measured.append((values, about | {"notes": notes}))
    save_parts(snakemake.output.measures, measured)


run(measure, snakemake)  # type: ignore[name-defined]
