"""The consensus match of many networks, from their activation stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..matching.backends.base import DeviceLike
from ..matching.consensus import consensus_path
from ..storage.activations import ActivationStore
from ..storage.result_origin import LayerOrigin, Origin


def consensus_of_layers(
    folders: Sequence[str | Path],
    layers: Iterable[str],
    digest: str,
    *,
    device: DeviceLike,
    chunk_samples: int | None,
) -> dict[LayerOrigin, tuple[np.ndarray, ...]]:
    """Return the critical epsilons of each network's neurons in the consensus, by layer.

    Args:
        folders: the activation store of each network.
        layers: names of layers that all of them have; each on its first draw.
        digest: of the result.
        device: "cpu", "cuda" or "auto".
        chunk_samples: as in ``consensus_path``.

    Raises:
        ValueError: if a folder is not a store, a store is damaged, or two hold different samples.
    """
    stores = [ActivationStore(folder) for folder in folders]
    about = Origin.of_stores(digest, *(store.about for store in stores))
    found = {}
    for layer in layers:
        samples = stores[0].samples(layer)
        for other in stores[1:]:
            if not np.array_equal(other.samples(layer), samples):
                raise ValueError(
                    f"{layer}: expected the same samples in all stores, found different ones in"
                    f" {stores[0].path} and {other.path}; remove both and run again"
                )
        own = {key: stores[0].layers[layer][key] for key in ("node", "kind", "depth", "samples")}
        path = consensus_path(
            [store.activations(layer) for store in stores],
            device=device,
            chunk_samples=chunk_samples,
        )
        origin = LayerOrigin(**vars(about), layer=layer, draw=0, **own)
        found[origin] = path.critical_epsilons
    return found
