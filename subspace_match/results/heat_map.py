"""The heat map of two networks, from activation stores with the same samples for all layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..matching.backends.base import DeviceLike
from ..matching.layer_pairs import layer_pairs
from ..matching.measures.cka import linear_cka
from ..matching.path import match_path
from ..storage.network_results import HeatMap, HeatMapLayer

if TYPE_CHECKING:
    from .store_pair import StorePair  # needs Zarr, which a comparison without stores does not


def heat_map(stores: StorePair, *, device: DeviceLike, chunk_samples: int | None) -> HeatMap:
    """Match every layer of network A with every layer of network B; see ``StorePair``."""
    both = stores.a, stores.b
    xs, ys = ([store.activations(name) for name in store.layers] for store in both)
    layers_a, layers_b = (
        [HeatMapLayer(*(layer[key] for key in HeatMapLayer._fields)) for layer in own]
        for own in (store.layers.values() for store in both)
    )
    found = match_all_layers(xs, ys, device=device, chunk_samples=chunk_samples)
    return HeatMap(stores.origin, layers_a, layers_b, *found)


def match_all_layers(
    xs: Sequence[Any],
    ys: Sequence[Any],
    *,
    device: DeviceLike,
    chunk_samples: int | None = None,
    done: Callable[[int], object] = lambda _: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Match every layer of xs with every layer of ys, all (samples, neurons).

    Args:
        xs: one network's layers.
        ys: the other network's layers.
        device: as for ``layer_pairs``.
        chunk_samples: as for ``layer_pairs``.
        done: called after each pair of layers, with its number of neurons.

    Returns:
        Critical epsilons and linear CKA, as in ``HeatMap``.
    """
    # Pairs of layers differ in width, so shorter ones are padded with NaN.
    width = sum(max(layer.shape[1] for layer in own) for own in (xs, ys))
    critical = np.full((len(xs), len(ys), width), np.nan)
    cka = np.empty((len(xs), len(ys)))
    for i, j, pair in layer_pairs(xs, ys, chunk_samples=chunk_samples, device=device):
        found = match_path(pair, device=device).critical_epsilon
        critical[i, j, : len(found)] = found
        cka[i, j] = linear_cka(pair)
        done(len(found))
    return critical, cka
