"""Activations of many networks -> critical epsilons of their consensus, for a group of layers."""

import warnings
from typing import Any

from subspace_match.workflow.job import log, run


def consensus(snakemake: Any) -> None:
    from subspace_match.matching.backends import resolve_device
    from subspace_match.matching.validation import FewSamplesWarning
    from subspace_match.results.consensus import consensus_of_layers
    from subspace_match.storage.match_files import save_consensus

    warnings.simplefilter("ignore", FewSamplesWarning)  # the similarity table reports these
    params, paths = snakemake.params, snakemake.input
    device = resolve_device(snakemake.config["device"])
    log.info("matching %d networks on %s", len(paths.stores), device.name)
    found = consensus_of_layers(
        paths.stores,
        params.layers,
        params.digest,
        device=device,
        chunk_samples=params.chunk_samples,
    )
    save_consensus(snakemake.output.consensus, found)


run(consensus, snakemake)  # type: ignore[name-defined]
