"""A network's activations at the same samples of all layers -> every two layers, compared."""

from typing import Any

from subspace_match.workflow.job import log, run


def within_network(snakemake: Any) -> None:
    from subspace_match.matching.backends import resolve_device
    from subspace_match.results.within_network import within_network
    from subspace_match.storage.activations import ActivationStore
    from subspace_match.storage.network_results import save_within_network

    params = snakemake.params
    device = resolve_device(snakemake.config["device"])
    log.info("matching on %s", device.name)
    found = within_network(
        ActivationStore(snakemake.input.store),
        params.digest,
        device=device,
        chunk_samples=params.chunk_samples,
    )
    save_within_network(snakemake.output.layers, found)


run(within_network, snakemake)  # type: ignore[name-defined]
