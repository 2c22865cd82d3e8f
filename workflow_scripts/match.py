"""Some layers of two networks' activations -> second moments and match path of every draw."""

import warnings
from typing import Any

from subspace_match.workflow.job import log, run


def match(snakemake: Any) -> None:
    import numpy as np

    from subspace_match import __version__
    from subspace_match.matching.backends import resolve_device
    from subspace_match.matching.path import match_path
    from subspace_match.matching.reduction.moments import reduce
    from subspace_match.matching.validation import FewSamplesWarning
    from subspace_match.storage.activations import ActivationStore
    from subspace_match.storage.match_files import LayerMatch, origin, save_matches, save_moments

    warnings.simplefilter("ignore", FewSamplesWarning)  # the table says it, and aggregate
    device = resolve_device(snakemake.config["device"])
    log.info("matching on %s", device.name)
    stores = ActivationStore(snakemake.input.a), ActivationStore(snakemake.input.b)
    made_from = {
        "digest": snakemake.params.digest,
        **origin(stores[0].about, stores[1].about),
        "version": __version__,
    }
    moments, matches = [], []
    for layer in snakemake.params.layers:
        entry = stores[0].layers[layer]
        of_layer = {key: entry[key] for key in ("node", "depth", "kind", "samples")}
        for draw in range(entry["draws"]):
            if not np.array_equal(stores[0].samples(layer, draw), stores[1].samples(layer, draw)):
                raise ValueError(
                    f"{layer}: expected the same samples in both stores, found others in"
                    f" {stores[1].path} than in {stores[0].path}; remove both and run again"
                )
            x, y = (store.activations(layer, draw) for store in stores)
            pair = reduce(x, y, device=device, chunk_samples=snakemake.params.chunk_samples)
            about = {**made_from, "layer": layer, **of_layer, "draw": draw}
            moments.append((pair, about))
            matches.append(LayerMatch.of(match_path(pair, device=device), about))
    save_moments(snakemake.output.moments, moments)
    save_matches(snakemake.output.path, matches)


run(match, snakemake)  # type: ignore[name-defined]
