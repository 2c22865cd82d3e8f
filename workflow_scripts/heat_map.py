"""Two networks' activations at the same samples -> the match of each layer of A with each of B."""

import warnings
from typing import Any

from subspace_match.workflow.job import log, run


def heat_map(snakemake: Any) -> None:
    from subspace_match.matching.backends import resolve_device
    from subspace_match.matching.validation import FewSamplesWarning
    from subspace_match.results.heat_map import heat_map
    from subspace_match.results.store_pair import StorePair
    from subspace_match.storage.network_results import save_heat_map

    warnings.simplefilter("ignore", FewSamplesWarning)  # the similarity table reports these
    paths, params = snakemake.input, snakemake.params
    device = resolve_device(snakemake.config["device"])
    log.info("matching on %s", device.name)
    stores = StorePair(paths.a, paths.b, params.digest)
    found = heat_map(stores, device=device, chunk_samples=params.chunk_samples)
    save_heat_map(snakemake.output.paths, found)


run(heat_map, snakemake)  # type: ignore[name-defined]
