"""Two networks' activations -> moments and match paths of a group of layers, in every draw."""

import warnings
from typing import Any

from subspace_match.workflow.job import log, run


def match(snakemake: Any) -> None:
    from subspace_match.matching.backends import resolve_device
    from subspace_match.matching.validation import FewSamplesWarning
    from subspace_match.results.store_pair import StorePair, save_match_paths

    warnings.simplefilter("ignore", FewSamplesWarning)  # the similarity table reports these
    paths, params, output = snakemake.input, snakemake.params, snakemake.output
    device = resolve_device(snakemake.config["device"])
    log.info("matching on %s", device.name)
    stores = StorePair(paths.a, paths.b, params.digest)
    found = stores.match_paths(params.layers, device=device, chunk_samples=params.chunk_samples)
    save_match_paths(found, moments=output.moments, path=output.path)


run(match, snakemake)  # type: ignore[name-defined]
