"""Two networks' activations at the same places -> all layers of one matched with all others'."""

import warnings
from typing import Any

from subspace_match.workflow.job import log, run


def heat_map(snakemake: Any) -> None:
    import numpy as np

    from subspace_match.matching.backends import resolve_device
    from subspace_match.matching.layer_pairs import layer_pairs
    from subspace_match.matching.measures.cka import linear_cka
    from subspace_match.matching.path import match_path
    from subspace_match.matching.validation import FewSamplesWarning
    from subspace_match.storage.activations import ActivationStore
    from subspace_match.storage.files import write_arrays
    from subspace_match.storage.match_files import origin

    warnings.simplefilter("ignore", FewSamplesWarning)  # of the same layers the table says it
    device = resolve_device(snakemake.config["device"])
    log.info("matching on %s", device.name)
    stores = ActivationStore(snakemake.input.a), ActivationStore(snakemake.input.b)
    layers_a, layers_b = (list(store.layers.values()) for store in stores)
    neurons_a, neurons_b = (
        [layer["neurons"] for layer in layers] for layers in (layers_a, layers_b)
    )
    xs, ys = ([store.activations(name) for name in store.layers] for store in stores)
    shape = len(xs), len(ys)
    # Widths differ from pair to pair: what is beyond a pair's neurons is NaN, as for dead ones.
    critical = np.full((*shape, max(neurons_a) + max(neurons_b)), np.nan)
    cka = np.empty(shape)
    chunk_samples = snakemake.params.chunk_samples
    for i, j, pair in layer_pairs(xs, ys, chunk_samples=chunk_samples, device=device):
        found = match_path(pair, device=device).critical_epsilon
        critical[i, j, : len(found)] = found
        cka[i, j] = linear_cka(pair)
    kept = ("name", "node", "depth", "neurons")
    about = origin(stores[0].about, stores[1].about) | {
        "digest": snakemake.params.digest,
        "layers_a": [{key: layer[key] for key in kept} for layer in layers_a],
        "layers_b": [{key: layer[key] for key in kept} for layer in layers_b],
    }
    write_arrays(snakemake.output.paths, {"critical_epsilon": critical, "linear_cka": cka}, about)


run(heat_map, snakemake)  # type: ignore[name-defined]
