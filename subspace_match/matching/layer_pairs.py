"""Every layer of one network against every layer of another.

Each layer is read once, and each product of two layers formed once. All of X's layers side by side
are one matrix, and all of Y's, so that every cross moment X_i'Y_j is a block of one product a
chunk; each layer's own moments X_i'X_i are formed beside it, where pair by pair they would be
formed again for every partner. What is held is one chunk of all layers and, twice while
they are added up, all moments.
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
from .reduction.moments import PairMoments, pair_of
from .reduction.reading import LayerReader, check_range, read_ahead
from .validation import as_activations, as_chunk_samples, as_epsilons, warn_of_few_samples


def heat_map(
    xs: Sequence[Any],
    ys: Sequence[Any],
    epsilons: float | Sequence[float] | np.ndarray,
    *,
    device: DeviceLike = "auto",
    chunk_samples: int | None = None,
) -> np.ndarray:
    """Maximum matching similarity of every pair of layers (Wang et al. 2018, Definition 3).

    Args:
        xs: one network's layers, each (samples, neurons) as for ``reduce``, of any width; the same
            samples in all.
        ys: the other network's layers, over the same samples.
        epsilons: relative distances in [0, 1).
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples of all layers held at once; None for about 32 MB of them.

    Returns:
        (len(xs), len(ys), len(epsilons)) float64; without the last dimension for one number.

    Raises:
        ValueError: as ``layer_pairs``, or if an epsilon is not in [0, 1).

    Example:
        >>> import numpy as np
        >>> a, b, c = np.eye(9)[:, :3], np.eye(9)[:, 2:6], np.eye(9)[:, 6:]
        >>> heat_map([a, b], [a, c], [0.1])[..., 0].round(3)
        array([[1.   , 0.   ],
               [0.286, 0.   ]])
    """
    bounds = as_epsilons(epsilons)
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
    """The moments of every pair of layers, as ``reduce`` gives them for each.

    All layers are read, once, when this is called; the moments of a pair are put together when the
    iterator comes to it. Only then, and only for pairs whose neurons are so nearly dependent that
    moments lose the direction between them, are the two layers read again for a QR factor. (A
    float64 layer with dead neurons is read again too, as by ``reduce``: squares may have vanished.)

    Args:
        xs: one network's layers, each (samples, neurons) as for ``reduce``, of any width; the same
            samples in all. A layer with another number of samples cannot be compared with these:
            group layers by their samples, and call once a group.
        ys: the other network's layers, over the same samples.
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples of all layers held at once; None for about 32 MB of them.

    Returns:
        An iterator of (i, j, moments of xs[i] and ys[j]), j fastest.

    Raises:
        ValueError: if there are no layers or their sample counts differ; and as ``reduce`` for each
            layer, which the error names.

    Warns:
        FewSamplesWarning: as ``reduce``, of the widest layer.

    Example:
        >>> import numpy as np
        >>> xs = [np.eye(3)[:, :2], np.ones((3, 1))]
        >>> [(i, j, len(pair.sums)) for i, j, pair in layer_pairs(xs, xs[:1])]
        [(0, 0, 4), (1, 0, 3)]
    """
    layers_x, layers_y = _as_layers("xs", xs), _as_layers("ys", ys)
    _same_samples({**layers_x, **layers_y})
    device = resolve_device(device)
    widths = [layer.shape[1] for layer in (*layers_x.values(), *layers_y.values())]
    warn_of_few_samples(max(widths), layers_x["xs[0]"].shape[0])
    step = as_chunk_samples(chunk_samples, 8 * sum(widths))
    arrays = [*layers_x.values(), *layers_y.values()]
    blocks = Blocks.on(device, arrays[0].shape[0], step, sum(widths))
    side_x, side_y = _Side(layers_x, blocks, device), _Side(layers_y, blocks, device)

    cross = GroupedSum(blocks, device, side_x.width, side_y.width)
    for _, rows in read_ahead(arrays, step, device):
        for block in blocks.within(len(rows[0])):
            parts = [own[block] for own in rows]
            chunk_x, chunk_y = side_x.add(parts[: len(xs)]), side_y.add(parts[len(xs) :])
            device.add_product(cross.next(), chunk_x.T, chunk_y)
    for side in (side_x, side_y):
        side.check(step)
    return _assemble(side_x, side_y, cross.total(), blocks, device)


@dataclass(frozen=True)
class _Place:
    """Where a layer stands among its side's columns, and its own moments above the diagonal."""

    layer: LayerReader
    columns: slice
    upper: GroupedSum


class _Side:
    """One network's layers side by side: blocks of all, with each one's own moments and sums."""

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
        self._device = device

    def add(self, rows: list[Array]) -> Array:
        """All layers' columns of some samples as float64, which overwrite the ones before."""
        chunk = self._joint[: len(rows[0])]
        for place, own in zip(self.places, rows, strict=True):
            block = chunk[:, place.columns]
            place.layer.fill(block, own, self._device)
            self._device.add_upper_square(place.upper.next(), block)
        part = self._sums.next()
        part += self._device.column_sums(chunk)
        return chunk

    @property
    def sums(self) -> Array:
        """Of all columns, (width,)."""
        return self._sums.total()

    def check(self, step: int) -> None:
        """Raise a ValueError for a layer whose squares are not float64 numbers that can be used."""
        for name, place in zip(self._names, self.places, strict=True):
            squares = self._device.numpy(place.upper.total().diagonal()[:-1])
            check_range(name, place.layer.array, squares, step)


def _assemble(
    side_x: _Side, side_y: _Side, cross: Array, blocks: Blocks, device: Device
) -> Iterator[tuple[int, int, PairMoments]]:
    """Put every pair's moments together from its layers' own and their cross moments."""
    owns_x, owns_y = (
        [device.symmetric(place.upper.total()) for place in side.places]
        for side in (side_x, side_y)
    )
    all_x, all_y = side_x.sums, side_y.sums
    for (i, x), (j, y) in product(enumerate(side_x.places), enumerate(side_y.places)):
        block = cross[x.columns, y.columns]
        width_x, width = len(block), sum(block.shape)
        joint = device.empty(width, width)
        joint[:width_x, :width_x], joint[width_x:, width_x:] = owns_x[i], owns_y[j]
        joint[:width_x, width_x:], joint[width_x:, :width_x] = block, block.T
        sums = device.concatenate([all_x[x.columns], all_y[y.columns]])
        additions, step = blocks.additions, blocks.step
        yield i, j, pair_of(x.layer, y.layer, joint, sums, additions, step, device)


def _as_layers(argument: str, layers: Sequence[Any]) -> dict[str, Any]:
    """Layers by the names that errors give them, "xs[0]" and so on."""
    if len(layers) == 0:
        raise ValueError(
            f"{argument}: expected at least one layer, found none; give a list of arrays of shape"
            " (samples, neurons)"
        )
    names = [f"{argument}[{index}]" for index in range(len(layers))]
    return {name: as_activations(name, layer) for name, layer in zip(names, layers, strict=True)}


def _same_samples(layers: dict[str, Any]) -> None:
    """Raise a ValueError unless all layers have the first one's number of samples."""
    first, *others = layers
    for name in others:
        if layers[name].shape[0] != layers[first].shape[0]:
            raise ValueError(
                f"xs and ys: expected the same samples in all layers, found"
                f" {layers[first].shape[0]} in {first} and {layers[name].shape[0]} in {name}; group"
                " layers by their number of samples, and compare each group by itself"
            )
