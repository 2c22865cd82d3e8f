"""The null distribution: match paths under permuted samples, to tell a match from chance.

After a permutation of one network's samples its activations are unrelated to those of the other
network. Each side's own moments do not change, only the cross moments X'Y do. Similarities under K
permutations give p-values and the null band of the figures (ours; the paper has no null).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from .backends import resolve_device
from .backends.base import Array, Device, DeviceLike
from .backends.numpy_ import Cpu
from .path import MatchPath, match_path
from .reduction.block_sums import Blocks, GroupedSum
from .reduction.centred import Deviations
from .reduction.factor import moment_error
from .reduction.moments import PairMoments, pair_from_moments
from .reduction.reading import read_ahead
from .ties import lower_by_margin
from .validation import as_activations, as_chunk_samples, same_samples

BATCH_BYTES = 256 * 2**20  # memory for the permutations that share one read of X


def null_paths(
    pair: PairMoments,
    x: Any,
    y: Any,
    orders: Iterable[np.ndarray],
    *,
    device: DeviceLike = "auto",
) -> Iterator[MatchPath]:
    """Yield match paths of X against Y with Y's samples permuted.

    A permutation reads Y's rows in random order, so Y stays on the device in its own type, float32
    or float64: 4 or 8 d n_y bytes. X is read chunk by chunk, once per batch of permutations. A
    batch has 256 MB, and a permutation needs 8 (2 n_x n_y + d) bytes of it. If the moments of a
    permutation do not determine the factor, X is read once more. Each permutation costs d n_x n_y
    multiply-adds and a path. What only other measures need, the centred factor and the length
    products, is left out.

    Args:
        pair: the moments of x and y, from ``reduce``.
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        orders: permutations of the samples, (samples,) int64 each, consumed lazily. Permute whole
            images: the positions within an image are correlated, so they are not exchangeable.
        device: "cpu", "cuda" or "auto".

    Yields:
        One path per permutation, with the pair that ``reduce`` would return, but without
        ``centred_factor`` (None) and ``length_products`` (NaN).

    Raises:
        ValueError: if an order is not a permutation of the samples, or x and y are not the layers
            of the pair.

    Example:
        >>> import subspace_match as sm
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 4))
        >>> y = x @ rng.normal(size=(4, 4))
        >>> null = null_paths(sm.reduce(x, y), x, y, [rng.permutation(500) for _ in range(3)])
        >>> [path.similarity(0.3) for path in null]
        [0.0, 0.0, 0.0]
    """
    device = resolve_device(device)
    for batch in _batches(pair, x, y, orders, device):
        for number in range(len(batch.orders)):
            yield match_path(batch.pair(number), device=device)


def null_critical_epsilons(
    pair: PairMoments,
    x: Any,
    y: Any,
    orders: Iterable[np.ndarray],
    *,
    device: DeviceLike = "auto",
) -> Iterator[np.ndarray]:
    """Yield the critical epsilons of ``null_paths``; on a GPU many permutations run together.

    Args:
        pair: the moments of x and y, from ``reduce``.
        x: as in ``null_paths``.
        y: as in ``null_paths``.
        orders: as in ``null_paths``.
        device: "cpu", "cuda" or "auto".

    Yields:
        (n_x + n_y,) float64 per permutation, as ``MatchPath.critical_epsilon``.

    Raises:
        ValueError: as ``null_paths``.
    """
    device = resolve_device(device)
    for batch in _batches(pair, x, y, orders, device):
        for number, found in enumerate(batch.critical_epsilons()):
            if found is None:
                found = match_path(batch.pair(number), device=device).critical_epsilon
            yield found


def _batches(
    pair: PairMoments, x: Any, y: Any, orders: Iterable[np.ndarray], device: Device
) -> Iterator[_Batch]:
    """Check the layers, and compute the cross moments of some permutations at a time."""
    x, y = as_activations("x", x), as_activations("y", y)
    same_samples(x, y)
    expected, found = (pair.samples, pair.neurons_x, pair.neurons_y), (*x.shape, y.shape[1])
    if found != expected:
        raise ValueError(
            f"x and y: expected the pair's samples and neurons {expected}, found {found}; pass the"
            " layers from which the pair was reduced"
        )
    if pair.centred:
        x, y = (Deviations(name, side, _step(pair)) for name, side in (("x", x), ("y", y)))
    held = device.rows(y[:])
    orders = iter(orders)
    bytes_each = 8 * (2 * pair.neurons_x * pair.neurons_y + pair.samples)
    size = max(1, (device.chunk_bytes or BATCH_BYTES) // bytes_each)
    blocks = Blocks.for_device(device, pair.samples, _step(pair), len(pair.sums))
    error = max(pair.moment_error, moment_error(blocks.additions, len(pair.sums)))
    while batch := [_on_device(order, pair.samples, device) for order in islice(orders, size)]:
        crosses = _cross_moments(pair, x, held, batch, blocks, device)
        yield _Batch(pair, x, held, batch, crosses, error, device)


@dataclass(frozen=True)
class _Batch:
    """Some permutations of a pair's Y, and their cross moments.

    Attributes:
        unpermuted: the pair.
        x: X's activations.
        held: Y's activations, on the device.
        orders: of Y's rows, (samples,) each, on the device.
        crosses: X'Y under each order, (orders, n_x, n_y) on the device.
        error: ``moment_error`` of the permuted moments.
        device: where to compute.
    """

    unpermuted: PairMoments
    x: Any
    held: Array
    orders: list[Array]
    crosses: Array
    error: float
    device: Device

    def pair(self, number: int) -> PairMoments:
        """Return the pair of one permutation: each side's own moments do not change."""
        pair, cross = self.unpermuted, self.device.numpy(self.crosses[number])
        moments = pair.second_moments.copy()
        moments[: pair.neurons_x, pair.neurons_x :] = cross
        moments[pair.neurons_x :, : pair.neurons_x] = cross.T
        y, sums = Reordered(self.held, self.orders[number]), self.device.array(pair.sums)
        moments = self.device.array(moments)
        return pair_from_moments(
            *(self.x, y, moments, sums, None, self.error, _step(pair), self.device), centre=False
        )

    def critical_epsilons(self) -> list[np.ndarray | None]:
        """Peel all permutations together on a GPU; None for each that must be peeled alone."""
        pair = self.unpermuted
        nothing: list[np.ndarray | None] = [None] * len(self.orders)
        if isinstance(self.device, Cpu):
            return nothing
        from .peeling.permuted_torch import peel_permuted  # imports torch

        live = np.flatnonzero(pair.live)
        width_x = int((live < pair.neurons_x).sum())
        if not 0 < width_x < len(live):
            return nothing
        scales = 1.0 / pair.norms[live]
        own = [
            self.device.array(pair.second_moments[np.ix_(live[side], live[side])])
            for side in (slice(width_x), slice(width_x, None))
        ]
        scales_x, scales_y = map(self.device.array, np.split(scales, [width_x]))
        crosses = self.device.take(self.crosses, live[:width_x], axis=1)
        crosses = self.device.take(crosses, live[width_x:] - pair.neurons_x, axis=2)
        found = peel_permuted(
            own[0] * scales_x[:, None] * scales_x,
            own[1] * scales_y[:, None] * scales_y,
            crosses * scales_x[:, None] * scales_y,
            self.error,
        )
        if found is None:
            return nothing
        critical = np.full((len(self.orders), len(pair.sums)), np.nan)
        for number in np.flatnonzero(found.valid):
            lowest = np.minimum.accumulate(found.distances[number])
            lowered = lower_by_margin(lowest, found.margins[number])
            critical[number, live[found.order[number]]] = lowered
        return [own if good else None for own, good in zip(critical, found.valid, strict=True)]


class Reordered:
    """Some rows of an array in any order; a slice is copied when it is read.

    Attributes:
        shape: number of these rows, and of columns.
    """

    def __init__(self, held: Array, order: Array) -> None:
        self._held, self._order = held, order
        self.shape = (len(order), held.shape[1])

    def __getitem__(self, rows: slice) -> Array:
        return self._held[self._order[rows]]


def _on_device(order: np.ndarray, samples: int, device: Device) -> Array:
    if not np.array_equal(np.sort(order), np.arange(samples)):
        raise ValueError(
            f"orders: expected permutations of {samples} samples, found an array of shape"
            f" {np.shape(order)} that is not one; use rng.permutation({samples})"
        )
    return device.array(np.asarray(order))


def _step(pair: PairMoments) -> int:
    return as_chunk_samples(None, 8 * len(pair.sums))


def _cross_moments(
    pair: PairMoments, x: Any, held: Array, orders: list[Array], blocks: Blocks, device: Device
) -> Array:
    """Compute X'Y for every order of Y's rows, in one read of X; (orders, n_x, n_y)."""
    cross = GroupedSum(blocks, device, len(orders), pair.neurons_x, pair.neurons_y)
    chunk_x, chunk_y = (device.empty(blocks.length, n) for n in (pair.neurons_x, pair.neurons_y))
    for start, (rows,) in read_ahead((x,), blocks.step, device):
        for block in blocks.slices(len(rows)):
            part, first = rows[block], start + block.start
            own_x, own_y = chunk_x[: len(part)], chunk_y[: len(part)]
            own_x[:] = part
            for order, products in zip(orders, cross.next(), strict=True):
                own_y[:] = held[order[first : first + len(part)]]
                device.add_product(products, own_x.T, own_y)
    return cross.total()
