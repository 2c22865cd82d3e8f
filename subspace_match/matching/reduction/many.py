"""Moments of one layer in many networks, from one pass over the samples.

All networks' neurons side by side are one wide matrix Z with N columns. One product Z'Z holds each
network's own moments and the cross moments of every two networks, so own moments are computed once,
not once a pair. Cost: slightly more than d N^2 / 2 multiply-adds. Memory: about four matrices of
N^2 float64 while sums are combined; for 20 networks of 512 neurons 3.4 GB, one matrix 0.84 GB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations, pairwise
from typing import Any

import numpy as np

from ..backends import resolve_device
from ..backends.base import Array, Device, DeviceLike
from ..validation import (
    as_chunk_samples,
    as_layers,
    check_list,
    same_samples,
    warn_of_few_samples,
)
from .block_sums import Blocks, GroupedSum
from .factor import ACCURACY, StreamedFactor, factor_from_moments, moment_error
from .moments import MIN_QR_ROWS, QR_ROWS
from .reading import check_range, read_ahead


@dataclass(frozen=True)
class ManyMoments:
    """What a match of many networks needs from one layer's activations on the same samples.

    Attributes:
        neurons: number of neurons of each network.
        live: mask of live neurons, all networks side by side, (N,) bool.
        products: moments of the live columns scaled to norm 1, (live, live) float64.
        factor: F, (k, live) float64, with F'F = products, from a second read of the samples; None
            if every pair of networks is well-conditioned, as in ``PairMoments``.
        tie_margin: distances this close to an epsilon count as equal to it: the largest of all
            pairs, as in ``PairMoments``.
    """

    neurons: tuple[int, ...]
    live: np.ndarray
    products: np.ndarray
    factor: np.ndarray | None
    tie_margin: float

    @property
    def sides(self) -> list[np.ndarray]:
        """Positions of each network's neurons among the live ones."""
        ends = pairwise(accumulate(self.neurons, initial=0))
        counts = [int(self.live[start:stop].sum()) for start, stop in ends]
        return [np.arange(*bounds) for bounds in pairwise(accumulate(counts, initial=0))]


def reduce_many(
    layers: Sequence[Any], *, device: DeviceLike = "auto", chunk_samples: int | None = None
) -> ManyMoments:
    """Reduce one layer of many networks, chunk by chunk, to all their second moments.

    Activations are read once, and once more if a pair of networks is so nearly dependent that the
    moments do not give every distance to 5e-9, as in ``reduce``. That read factors all networks
    together, which takes about 2 d N^2 multiply-adds.

    Args:
        layers: activations of each network, (samples, neurons), on the same samples.
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples of all networks held at a time; None for about 32 MB, on a GPU
            256 MB.

    Returns:
        The moments, on the CPU.

    Raises:
        ValueError: for fewer than two networks, and as ``reduce``, naming the network.

    Warns:
        FewSamplesWarning: as ``reduce``, for the widest network.

    Example:
        >>> moments = reduce_many([np.eye(4)[:, :2], np.eye(4)[:, 1:], np.ones((4, 1))])
        >>> moments.neurons, moments.products.shape
        ((2, 3, 1), (6, 6))
    """
    check_list("layers", layers)
    if len(layers) < 2:
        raise ValueError(
            f"layers: expected the activations of at least two networks, found {len(layers)}; pass"
            " a list of arrays of shape (samples, neurons)"
        )
    named = as_layers("layers", layers)
    same_samples(named)
    names, arrays = list(named), list(named.values())
    samples, neurons = arrays[0].shape[0], tuple(array.shape[1] for array in arrays)
    warn_of_few_samples(max(neurons), samples, "sample")
    device = resolve_device(device)
    step = as_chunk_samples(chunk_samples, sum(neurons), device)
    blocks = Blocks.for_device(device, samples, step, sum(neurons))
    upper = GroupedSum(blocks, device, sum(neurons), sum(neurons))
    for chunk in _joint_blocks(arrays, blocks, device):
        device.add_upper_gram(upper.next(), chunk)
    moments = device.symmetric(upper.total())

    squares = device.numpy(moments.diagonal())
    ends = list(accumulate(neurons, initial=0))
    for name, array, (start, stop) in zip(names, arrays, pairwise(ends), strict=True):
        check_range(name, array, squares[start:stop], step)
    live = squares > 0
    places = np.flatnonzero(live)
    norms = device.array(np.sqrt(squares[places]))
    if len(places) < len(live):
        moments = device.take(device.take(moments, places), places, axis=1)
    moments /= norms[:, None]
    moments /= norms
    found = ManyMoments(neurons, live, device.numpy(moments), None, 0.0)
    margin = _largest_margin(moments, found.sides, blocks, device)
    if margin is not None:
        return ManyMoments(neurons, live, found.products, None, margin)
    factor = _factor_of_samples(arrays, places, norms, step, device)
    return ManyMoments(neurons, live, found.products, device.numpy(factor), ACCURACY / 2)


def _joint_blocks(arrays: Sequence[Any], blocks: Blocks, device: Device) -> Any:
    """Yield Z as float64, a block at a time; each block overwrites the last."""
    widths = [array.shape[1] for array in arrays]
    joint = device.empty(blocks.length, sum(widths))
    columns = [slice(*ends) for ends in pairwise(accumulate(widths, initial=0))]
    for _, rows in read_ahead(arrays, blocks.step, device):
        for block in blocks.slices(len(rows[0])):
            chunk = joint[: len(rows[0][block])]
            for place, own in zip(columns, rows, strict=True):
                chunk[:, place] = own[block]
            yield chunk


def _largest_margin(
    products: Array, sides: Sequence[np.ndarray], blocks: Blocks, device: Device
) -> float | None:
    """Return the largest tie margin of all pairs, or None if a pair is not well-conditioned."""
    margins = [0.0]
    for x, y in combinations(sides, 2):
        both = np.concatenate([x, y])
        pair = device.take(device.take(products, both), both, axis=1)
        error = moment_error(blocks.additions, len(both))
        found = factor_from_moments(pair, error, device)
        if found is None:
            return None
        margins.append(found.error)
    return max(margins)


def _factor_of_samples(
    arrays: Sequence[Any], live: np.ndarray, norms: Array, step: int, device: Device
) -> Array:
    """Read the samples again for the R of a QR of the live columns, scaled to norm 1."""
    samples, rows = arrays[0].shape[0], QR_ROWS * len(live)
    step = max(step, rows)
    blocks = Blocks(samples, step, min(samples, step, max(rows, MIN_QR_ROWS)))
    streamed = StreamedFactor(len(live), blocks.group, device)
    for chunk in _joint_blocks(arrays, blocks, device):
        streamed.add(device.take(chunk, live, axis=1) / norms)
    return streamed.upper()
