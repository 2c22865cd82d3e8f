"""One layer of two networks' activations -> second moments and match path of every draw."""

from typing import Any

from subspace_match.jobs import log, run


def match(snakemake: Any) -> None:
    import numpy as np

    import subspace_match as sm
    from subspace_match.matches import LayerMatch, origin, save_matches, save_moments
    from subspace_match.matching.devices import resolve_device
    from subspace_match.store import ActivationStore

    layer, device = snakemake.wildcards.layer, resolve_device(snakemake.config["device"])
    log.info("matching on %s", device)
    stores = ActivationStore(snakemake.input.a), ActivationStore(snakemake.input.b)
    entry = stores[0].layers[layer]
    about = {
        "digest": snakemake.params.digest,
        "layer": layer,
        **{key: entry[key] for key in ("node", "depth", "kind", "samples")},
        **origin(stores[0].about, stores[1].about),
        "version": sm.__version__,
    }
    pairs, matches = [], []
    for draw in range(entry["draws"]):
        if not np.array_equal(stores[0].samples(layer, draw), stores[1].samples(layer, draw)):
            raise ValueError(
                f"{layer}: expected the same samples in both stores, found others in"
                f" {stores[1].path} than in {stores[0].path}; remove both and run again"
            )
        x, y = (store.activations(layer, draw) for store in stores)
        pair = sm.reduce(x, y, device=device, chunk_samples=snakemake.params.chunk_samples)
        path = sm.match_path(pair, device=device)
        pairs.append(pair)
        matches.append(LayerMatch.of(path, about | {"draw": draw}))
    save_moments(snakemake.output.moments, pairs, about)
    save_matches(snakemake.output.path, matches, about)


run(match, snakemake)  # type: ignore[name-defined]
