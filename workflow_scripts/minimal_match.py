"""Some layers' moments -> the minimal match of every neuron in the maximum match of an epsilon."""

from typing import Any

from subspace_match.jobs import log, run, show_progress


def minimal_match(snakemake: Any) -> None:
    from tqdm import tqdm

    import subspace_match as sm
    from subspace_match.matches import load_moments, save_minimal_matches
    from subspace_match.matching.on_device import resolve_device

    epsilon, device = snakemake.params.epsilon, resolve_device(snakemake.config["device"])
    layers = []
    for layer in snakemake.params.layers:
        pair, about = load_moments(snakemake.input.moments, layer)
        path = sm.match_path(pair, device=device)
        match = path.maximum_match(epsilon)
        with tqdm(
            total=len(match.x) + len(match.y),
            desc=f"{layer} at {epsilon}",
            unit="neuron",
            disable=not show_progress(),
        ) as bar:
            minimal = sm.minimal_matches(path, epsilon, progress=bar.update)
        log.info("%s: %d neurons, %d minimal matches", layer, len(minimal), len(minimal.distinct))
        layers.append((minimal, about | {"epsilon": epsilon}))
    save_minimal_matches(snakemake.output.minimal, layers)


run(minimal_match, snakemake)  # type: ignore[name-defined]
