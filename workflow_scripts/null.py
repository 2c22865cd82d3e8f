"""One layer of two networks' activations -> match paths with one network's images permuted."""

from typing import Any

from subspace_match.jobs import log, run


def null(snakemake: Any) -> None:
    import numpy as np

    from subspace_match.artefacts import write_arrays
    from subspace_match.matches import load_moments
    from subspace_match.matching.devices import resolve_device
    from subspace_match.matching.null import null_paths
    from subspace_match.networks.layers import Layer
    from subspace_match.networks.sampling import image_groups, image_permutation, permuted_samples
    from subspace_match.store import ActivationStore

    name, chance = snakemake.wildcards.layer, snakemake.params.chance
    device = resolve_device(snakemake.config["device"])
    log.info("matching on %s", device)
    stores = ActivationStore(snakemake.input.a), ActivationStore(snakemake.input.b)
    about = stores[0].about
    extraction, images = about["extraction"], about["data"]["test_images"]
    groups = image_groups(images, extraction["positions"], extraction["position_seed"])
    entry = stores[0].layers[name]
    layer = Layer(**{key: entry[key] for key in Layer.__dataclass_fields__})
    samples = stores[0].samples(name)
    # Every layer of every pair permutes the images alike.
    rng = np.random.default_rng(chance["seed"])
    orders = (
        permuted_samples(samples, layer, image_permutation(groups, rng))
        for _ in range(chance["permutations"])
    )
    pair, record = load_moments(snakemake.input.moments)
    x, y = (store.activations(name) for store in stores)
    paths = null_paths(pair, x, y, orders, device=device)
    critical = [path.critical_epsilon for path in paths]
    write_arrays(
        snakemake.output.null,
        {"critical_epsilon": np.stack(critical)},
        record | {"digest": snakemake.params.digest},
    )


run(null, snakemake)  # type: ignore[name-defined]
