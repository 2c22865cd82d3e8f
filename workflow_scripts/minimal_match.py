"""Some layers' match paths -> the minimal match of every neuron that is matched at an epsilon."""

from typing import Any

from subspace_match.workflow.job import log, run, show_progress


def minimal_match(snakemake: Any) -> None:
    from tqdm import tqdm

    from subspace_match.matching.minimal.search import minimal_matches
    from subspace_match.storage.match_files import load_matches, save_minimal_matches

    epsilon, paths = snakemake.params.epsilon, snakemake.input
    first = {m.about["layer"]: m for m in load_matches(paths.path) if m.about["draw"] == 0}
    layers = []
    for layer in snakemake.params.layers:
        # The path as it was saved: computed again on a GPU, it could round to another match.
        path = first[layer].path(paths.moments)
        match = path.maximum_match(epsilon)
        with tqdm(
            total=len(match.x) + len(match.y),
            desc=f"{layer} at {epsilon}",
            unit="neuron",
            disable=not show_progress(),
        ) as bar:
            minimal = minimal_matches(path, epsilon, progress=bar.update)
        log.info("%s: %d neurons, %d minimal matches", layer, len(minimal), len(minimal.distinct))
        layers.append((minimal, first[layer].about | {"epsilon": epsilon}))
    save_minimal_matches(snakemake.output.minimal, layers)


run(minimal_match, snakemake)  # type: ignore[name-defined]
