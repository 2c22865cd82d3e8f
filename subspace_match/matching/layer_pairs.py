"""Compare every layer of one network with every layer of another.

Each layer is read once. All layers of X form one wide matrix, and all layers of Y another, so one
product per chunk gives every cross moment X_i'Y_j. Each layer's own moments X_i'X_i are computed
once, not once per partner. Memory holds one chunk of all layers, and two copies of all moments
while they are added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from typing import Any

import numpy as np

from .backends import resolve_device
from .backends.base import Array, Device, DeviceLike
from .path import match_path
from .reduction.block_sums import Blocks, GroupedSum
from .reduction.moments import PairMoments, pair_from_sums
from .reduction.reading import LayerReader, check_range, read_ahead
from .validation import (
    as_chunk_samples,
    as_epsilons,
    as_layers,
    check_list,
    same_samples,
    warn_of_few_samples,
)


def heat_map(
    xs: Sequence[Any],
    ys: Sequence[Any],
    epsilons: float | Sequence[float] | np.ndarray,
    *,
    device: DeviceLike = "auto",
    chunk_samples: int | None = None,
) -> np.ndarray:
    """Return the maximum matching similarity of all pairs of layers (Wang et al. 2018, Def. 3).

    Args:
        xs: one network's layers, each (samples, neurons) as for ``reduce``, of any width, all on
            the same samples.
        ys: the other network's layers, on the same samples.
        epsilons: relative distances in [0, 1).
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples of all layers held at a time; None for about 32 MB, on a GPU 256 MB.

    Returns:
        (len(xs), len(ys), len(epsilons)) float64; without the last dimension for a single epsilon.

    Raises:
        ValueError: as ``layer_pairs``, or if an epsilon is not in [0, 1).

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> a, b, c = np.eye(9)[:, :3], np.eye(9)[:, 2:6], np.eye(9)[:, 6:]
        >>> sm.heat_map([a, b], [a, c], [0.1])[..., 0].round(3)
        array([[1.   , 0.   ],
               [0.286, 0.   ]])
    """
    bounds = as_epsilons(epsilons)
    check_list("xs", xs)
    check_list("ys", ys)
    similarities = np.empty((len(xs), len(ys), *bounds.shape))
    for i, j, pair in layer_pairs(xs, ys, device=device, chunk_samples=chunk_samples):
        similarities[i, j] = match_path(pair, device=device).similarity(bounds)
    return similarities


def layer_pairs(
    xs: Sequence[Any],
    ys: Sequence[Any],
    *,
    device: DeviceLike = "auto",
    chunk_samples: int | None = None,
) -> Iterator[tuple[int, int, PairMoments]]:
    """Compute the moments of every pair of layers, the same as ``reduce`` would return.

    The call reads every layer once. The iterator then assembles one pair at a time. If a pair's
    neurons are so nearly dependent that the moments lose a direction, the iterator reads its two
    layers again for a QR factor. (A float64 layer with dead neurons is also read again, as in
    ``reduce``, because its squares may have underflowed.)

    Args:
        xs: one network's layers, each (samples, neurons) as for ``reduce``, of any width, all on
            the same samples. Group layers with different sample counts, and call once per group.
        ys: the other network's layers, on the same samples.
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples of all layers held at a time; None for about 32 MB, on a GPU 256 MB.

    Returns:
        An iterator of (i, j, moments of xs[i] and ys[j]), j fastest.

    Raises:
        ValueError: if there are no layers or their sample counts differ; and as ``reduce``, with
            the layer's name in the message.

    Warns:
        FewSamplesWarning: as ``reduce``, for the widest layer.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> xs = [np.eye(3)[:, :2], np.ones((3, 1))]
        >>> [(i, j, len(pair.sums)) for i, j, pair in sm.layer_pairs(xs, xs[:1])]
        [(0, 0, 4), (1, 0, 3)]
    """
    layers_x, layers_y = _as_layers("xs", xs), _as_layers("ys", ys)
    same_samples(
        {**layers_x, **layers_y},
        "group layers by their number of samples, and compare each group separately",
    )
    device = resolve_device(device)
    arrays = [*layers_x.values(), *layers_y.values()]
    samples, widths = arrays[0].shape[0], [layer.shape[1] for layer in arrays]
    warn_of_few_samples(max(widths), samples, "sample")
    step = as_chunk_samples(chunk_samples, sum(widths), device)
    blocks = Blocks.for_device(device, samples, step, sum(widths))
    side_x, side_y = _Side(layers_x, blocks, device), _Side(layers_y, blocks, device)

    cross = GroupedSum(blocks, device, side_x.width, side_y.width)
    for _, rows in read_ahead(arrays, step, device):
        for block in blocks.slices(len(rows[0])):
            parts = [own[block] for own in rows]
            chunk_x, chunk_y = side_x.add(parts[: len(xs)]), side_y.add(parts[len(xs) :])
            device.add_product(cross.next(), chunk_x.T, chunk_y)
    own_x, own_y = side_x.own_moments(), side_y.own_moments()
    return _assemble(side_x, side_y, own_x, own_y, cross.total(), blocks, device)


@dataclass(frozen=True)
class _Place:
    """A layer, its columns in the wide matrix, and its own moments as an upper triangle."""

    layer: LayerReader
    columns: slice
    upper: GroupedSum


class _Side:
    """One network's layers as one wide matrix, with their own moments and column sums."""

    def __init__(self, layers: dict[str, Any], blocks: Blocks, device: Device) -> None:
        read = [LayerReader(array) for array in layers.values()]
        ends = accumulate((layer.width for layer in read), initial=0)
        self._names = list(layers)
        self.places = [
            _Place(layer, slice(*bounds), GroupedSum(blocks, device, layer.width, layer.width))
            for layer, bounds in zip(read, pairwise(ends), strict=True)
        ]
        self.width = self.places[-1].columns.stop
        self._sums = GroupedSum(blocks, device, self.width)
        self._joint = device.empty(blocks.length, self.width)
        self._step, self._device = blocks.step, device

    def add(self, rows: list[Array]) -> Array:
        """Add a block of every layer; return it as one matrix, which the next call overwrites."""
        chunk = self._joint[: len(rows[0])]
        for place, own in zip(self.places, rows, strict=True):
            block = chunk[:, place.columns]
            place.layer.fill(block, own, self._device)
            self._device.add_upper_gram(place.upper.next(), block)
        part = self._sums.next()
        part += self._device.column_sums(chunk)
        return chunk

    @property
    def sums(self) -> Array:
        """Column sums of all layers, (width,)."""
        return self._sums.total()

    def own_moments(self) -> list[Array]:
        """Return each layer's own moments; raise a ValueError if squares overflow or underflow."""
        moments = [self._device.symmetric(place.upper.total()) for place in self.places]
        for name, place, own in zip(self._names, self.places, moments, strict=True):
            squares = self._device.numpy(own.diagonal()[:-1])
            check_range(name, place.layer.array, squares, self._step)
        return moments


def _assemble(
    side_x: _Side,
    side_y: _Side,
    own_x: list[Array],
    own_y: list[Array],
    cross: Array,
    blocks: Blocks,
    device: Device,
) -> Iterator[tuple[int, int, PairMoments]]:
    """Assemble every pair's moments from its layers' own moments and their cross moments."""
    all_x, all_y = side_x.sums, side_y.sums
    for (i, x), (j, y) in product(enumerate(side_x.places), enumerate(side_y.places)):
        block = cross[x.columns, y.columns]
        width_x, width = len(block), sum(block.shape)
        joint = device.empty(width, width)
        joint[:width_x, :width_x], joint[width_x:, width_x:] = own_x[i], own_y[j]
        joint[:width_x, width_x:], joint[width_x:, :width_x] = block, block.T
        sums = device.concatenate([all_x[x.columns], all_y[y.columns]])
        yield i, j, pair_from_sums(x.layer, y.layer, joint, sums, blocks, device)


def _as_layers(argument: str, layers: Sequence[Any]) -> dict[str, Any]:
    """Check that there are layers, and do as ``as_layers``."""
    check_list(argument, layers)
    if len(layers) == 0:
        raise ValueError(
            f"{argument}: expected at least one layer, found none; pass a list of arrays of shape"
            " (samples, neurons)"
        )
    return as_layers(argument, layers)
