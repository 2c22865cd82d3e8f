"""Two networks' activations -> critical epsilons of a group of layers under permuted images."""

from typing import Any

from subspace_match.workflow.job import log, run


def null(snakemake: Any) -> None:
    from subspace_match.matching.backends import resolve_device
    from subspace_match.results.layer_nulls import null_of_layer
    from subspace_match.results.store_pair import StorePair
    from subspace_match.storage.match_files import load_moments, save_nulls

    paths, params = snakemake.input, snakemake.params
    device = resolve_device(snakemake.config["device"])
    log.info("matching on %s", device.name)
    stores, nulls = StorePair(paths.a, paths.b, params.digest), {}
    for layer in params.layers:
        _, pair = load_moments(paths.moments, layer)
        found = null_of_layer(stores, layer, pair, **params.chance, device=device)
        nulls[stores.layer_origin(layer)] = found
    save_nulls(snakemake.output.null, nulls)


run(null, snakemake)  # type: ignore[name-defined]
