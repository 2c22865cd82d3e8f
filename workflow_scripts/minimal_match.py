"""Match paths of a group of layers -> the minimal match of every neuron matched at an epsilon."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from subspace_match.workflow.job import log, run, show_progress


def minimal_match(snakemake: Any) -> Callable[[], None]:
    from tqdm import tqdm

    from subspace_match.matching.minimal.many_orders import smallest_minimal_matches
    from subspace_match.storage.files import sha256
    from subspace_match.storage.match_files import load_matches, save_minimal_matches
    from subspace_match.storage.minimal_resume import MinimalResume, resume_file_of

    params, paths = snakemake.params, snakemake.input
    epsilon, orders = params.epsilon, params.orders
    output = Path(snakemake.output.minimal)
    identity = "-".join([str(epsilon), str(orders), sha256(paths.path), sha256(paths.moments)])
    minimal = {}
    with MinimalResume(resume_file_of(output), identity) as resume:
        for origin, match in load_matches(paths.path).items():
            if origin.draw > 0 or origin.layer not in params.layers:
                continue
            # Use the saved path: a new one could be rounded to another match on a GPU.
            path = match.path(paths.moments)
            neurons = len(path.critical_epsilon)
            partials = [
                resume.search(f"{origin.layer}, order {number}", neurons)
                for number in range(orders)
            ]
            if done := sum(partial.count for partial in partials):
                log.info("%s: going on after %d neurons", origin.layer, done)
            with tqdm(
                total=orders * int((path.critical_epsilon <= epsilon).sum()),
                initial=done,
                desc=f"{origin.layer} at {epsilon}",
                unit="neuron",
                disable=not show_progress(),
            ) as bar:

                def progress(neurons: int, bar: Any = bar) -> None:
                    bar.update(neurons)
                    resume.write_if_due()

                found = minimal[origin] = smallest_minimal_matches(
                    path, epsilon, orders=orders, progress=progress, partials=partials
                )
            counts = len(found), len(found.distinct)
            log.info("%s: %d neurons, %d minimal matches", origin.layer, *counts)
        save_minimal_matches(output, epsilon, minimal)
    return resume.remove


run(minimal_match, snakemake)  # type: ignore[name-defined]
