"""Some layers' moments -> other measures of their similarity."""

from typing import Any

from subspace_match.jobs import run


def measure(snakemake: Any) -> None:
    import subspace_match as sm
    from subspace_match.matches import load_moments, save_parts

    measured = []
    for layer in snakemake.params.layers:
        pair, about = load_moments(snakemake.input.moments, layer)
        measured.append((sm.all_measures(pair), about))
    save_parts(snakemake.output.measures, measured)


run(measure, snakemake)  # type: ignore[name-defined]
