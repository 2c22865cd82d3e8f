"""Two networks' activations -> moments and match paths of a group of layers, in every draw."""

import warnings
from typing import Any

from subspace_match.workflow.job import log, run


def match(snakemake: Any) -> None:
    from subspace_match.matching.backends import resolve_device
    from subspace_match.matching.validation import FewSamplesWarning
    from subspace_match.results.store_pair import StorePair
    from subspace_match.storage.match_files import LayerMatch, save_matches, save_moments

    warnings.simplefilter("ignore", FewSamplesWarning)  # the similarity table reports these
    paths, params, output = snakemake.input, snakemake.params, snakemake.output
    device = resolve_device(snakemake.config["device"])
    log.info("matching on %s", device.name)
    stores = StorePair(paths.a, paths.b, params.digest)
    found = list(
        stores.match_paths(params.layers, device=device, chunk_samples=params.chunk_samples)
    )
    save_moments(output.moments, {origin: path.pair for origin, path, _ in found})
    save_matches(
        output.path, (LayerMatch.from_path(path, origin, new) for origin, path, new in found)
    )


run(match, snakemake)  # type: ignore[name-defined]
