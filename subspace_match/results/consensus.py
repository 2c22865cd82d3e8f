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
    """Return the critical epsilons of each network's neurons in the consensus, by layer and draw.

    Args:
        folders: the activation store of each network.
        layers: names of layers that all of them have.
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
        entry = stores[0].layers[layer]
        own = {key: entry[key] for key in ("node", "kind", "depth", "samples")}
        for draw in range(entry["draws"]):
            samples = stores[0].samples(layer, draw)
            for other in stores[1:]:
                if not np.array_equal(other.samples(layer, draw), samples):
                    raise ValueError(
                        f"{layer}: expected the same samples in all stores, found different ones"
                        f" in {stores[0].path} and {other.path}; remove both and run again"
                    )
            path = consensus_path(
                [store.activations(layer, draw) for store in stores],
                device=device,
                chunk_samples=chunk_samples,
            )
            origin = LayerOrigin(**vars(about), layer=layer, draw=draw, **own)
            found[origin] = path.critical_epsilons
    return found
