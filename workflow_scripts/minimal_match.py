"""Match paths of a group of layers -> the minimal match of every neuron matched at an epsilon."""

from pathlib import Path
from typing import Any

from subspace_match.workflow.job import log, run, show_progress


def minimal_match(snakemake: Any) -> None:
    from tqdm import tqdm

    from subspace_match.matching.minimal.search import minimal_matches
    from subspace_match.storage.files import sha256
    from subspace_match.storage.match_files import load_matches, save_minimal_matches
    from subspace_match.storage.minimal_resume import MinimalResume

    epsilon, layers, paths = snakemake.params.epsilon, snakemake.params.layers, snakemake.input
    output = Path(snakemake.output.minimal)
    identity = "-".join([str(epsilon), sha256(paths.path), sha256(paths.moments)])
    minimal = {}
    with MinimalResume(output.with_suffix(".resume.npz"), identity) as resume:
        for origin, match in load_matches(paths.path).items():
            if origin.draw > 0 or origin.layer not in layers:
                continue
            # Use the saved path: a new one could be rounded to another match on a GPU.
            path = match.path(paths.moments)
            partial = resume.layer(origin.layer, len(path.critical_epsilon))
            if partial.count:
                log.info("%s: going on after %d neurons", origin.layer, partial.count)
            with tqdm(
                total=int((path.critical_epsilon <= epsilon).sum()),
                initial=partial.count,
                desc=f"{origin.layer} at {epsilon}",
                unit="neuron",
                disable=not show_progress(),
            ) as bar:

                def progress(neurons: int, bar: Any = bar) -> None:
                    bar.update(neurons)
                    resume.write_if_due()

                found = minimal_matches(path, epsilon, progress=progress, partial=partial)
                minimal[origin] = found
            counts = len(found), len(found.distinct)
            log.info("%s: %d neurons, %d minimal matches", origin.layer, *counts)
        save_minimal_matches(output, epsilon, minimal)


run(minimal_match, snakemake)  # type: ignore[name-defined]
