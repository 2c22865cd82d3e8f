"""Two networks' activations -> layers matched with images permuted, and on halves of them."""

from typing import Any

from subspace_match.workflow.job import log, run


def null(snakemake: Any) -> None:
    from subspace_match.matching.backends import resolve_device
    from subspace_match.networks.sampling import LEAST_MOVED
    from subspace_match.results.layer_nulls import movable_share, resampled_layer
    from subspace_match.results.store_pair import StorePair
    from subspace_match.storage.match_files import load_moments, save_nulls

    paths, params = snakemake.input, snakemake.params
    device = resolve_device(snakemake.config["device"])
    log.info("matching on %s", device.name)
    stores, nulls = StorePair(paths.a, paths.b, params.digest), {}
    share = movable_share(stores)
    if share is None:
        log.info("the images have no labels, so there are no permutations within classes")
    elif share < LEAST_MOVED:
        log.warning(
            "permutations within classes move at most %.0f%% of the images: the others have no"
            " image of their class in their group; compare on more images of each class",
            100 * share,
        )
    for layer in params.layers:
        _, pair = load_moments(paths.moments, layer)
        found = resampled_layer(stores, layer, pair, **params.chance, device=device)
        nulls[stores.layer_origin(layer)] = found
        log.info("%s: %d permutations", layer, len(found.any_image))
        if found.half_images is None:
            log.info("%s: too few samples for an interval over images", layer)
    save_nulls(snakemake.output.null, nulls)


run(null, snakemake)  # type: ignore[name-defined]
