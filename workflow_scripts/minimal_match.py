"""Match paths of a group of layers -> the minimal match of every neuron matched at an epsilon."""

from typing import Any

from subspace_match.workflow.job import log, run, show_progress


def minimal_match(snakemake: Any) -> None:
    from tqdm import tqdm

    from subspace_match.matching.minimal.many_orders import smallest_minimal_matches
    from subspace_match.storage.match_files import load_matches, save_minimal_matches

    params, paths = snakemake.params, snakemake.input
    epsilon, orders = params.epsilon, params.orders
    minimal = {}
    for origin, match in load_matches(paths.path).items():
        if origin.draw > 0 or origin.layer not in params.layers:
            continue
        # Use the saved path: a new one could be rounded to another match on a GPU.
        path = match.path(paths.moments)
        with tqdm(
            total=orders * int((path.critical_epsilon <= epsilon).sum()),
            desc=f"{origin.layer} at {epsilon}",
            unit="neuron",
            disable=not show_progress(),
        ) as bar:
            options = {"orders": orders, "progress": bar.update}
            found = minimal[origin] = smallest_minimal_matches(path, epsilon, **options)
        counts = len(found), len(found.distinct)
        log.info("%s: %d neurons, %d minimal matches", origin.layer, *counts)
    save_minimal_matches(snakemake.output.minimal, epsilon, minimal)


run(minimal_match, snakemake)  # type: ignore[name-defined]
