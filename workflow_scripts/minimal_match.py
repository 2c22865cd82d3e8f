"""A layer's moments -> the minimal match of every neuron in the maximum match of an epsilon."""

from typing import Any

from subspace_match.jobs import log, run, show_progress


def minimal_match(snakemake: Any) -> None:
    from tqdm import tqdm

    import subspace_match as sm
    from subspace_match.matches import load_moments, save_minimal_matches
    from subspace_match.matching.devices import resolve_device

    epsilon = snakemake.params.epsilon
    pair, about = load_moments(snakemake.input.moments)
    path = sm.match_path(pair, device=resolve_device(snakemake.config["device"]))
    match = path.maximum_match(epsilon)
    with tqdm(
        total=len(match.x) + len(match.y),
        desc=f"{snakemake.wildcards.layer} at {epsilon}",
        unit="neuron",
        disable=not show_progress(),
    ) as bar:
        minimal = sm.minimal_matches(path, epsilon, progress=bar.update)
    log.info("%d neurons have %d different minimal matches", len(minimal), len(minimal.distinct))
    save_minimal_matches(snakemake.output.minimal, minimal, about | {"epsilon": epsilon})


run(minimal_match, snakemake)  # type: ignore[name-defined]
