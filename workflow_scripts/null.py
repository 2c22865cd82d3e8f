"""Some layers of two networks' activations -> match paths with one network's images permuted."""

from typing import Any

from subspace_match.workflow.job import log, run


def null(snakemake: Any) -> None:
    import numpy as np

    from subspace_match.matching.backends import resolve_device
    from subspace_match.matching.null import null_paths
    from subspace_match.networks.layer_info import LayerInfo
    from subspace_match.networks.sampling import image_groups, image_permutation, permuted_samples
    from subspace_match.storage.activations import ActivationStore
    from subspace_match.storage.match_files import load_moments, save_parts

    chance, device = snakemake.params.chance, resolve_device(snakemake.config["device"])
    log.info("matching on %s", device.name)
    stores = ActivationStore(snakemake.input.a), ActivationStore(snakemake.input.b)
    recorded = stores[0].about
    extraction, images = recorded["extraction"], recorded["data"]["test_images"]
    groups = image_groups(images, extraction["positions"], extraction["position_seed"])
    parts = []
    for name in snakemake.params.layers:
        entry = stores[0].layers[name]
        layer = LayerInfo(**{key: entry[key] for key in LayerInfo.__dataclass_fields__})
        samples = stores[0].samples(name)
        # Every layer of every pair permutes the images alike.
        rng = np.random.default_rng(chance["seed"])
        permutations = (image_permutation(groups, rng) for _ in range(chance["permutations"]))
        orders = (permuted_samples(samples, layer, permuted) for permuted in permutations)
        pair, about = load_moments(snakemake.input.moments, name)
        x, y = (store.activations(name) for store in stores)
        paths = null_paths(pair, x, y, orders, device=device)
        critical = np.stack([path.critical_epsilon for path in paths])
        parts.append(({"critical_epsilon": critical}, about | {"digest": snakemake.params.digest}))
    save_parts(snakemake.output.null, parts)


run(null, snakemake)  # type: ignore[name-defined]
