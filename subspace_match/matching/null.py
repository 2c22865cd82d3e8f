"""The null distribution: match paths under permuted samples, to tell a match from chance.

After a permutation of one network's samples its activations are unrelated to those of the other
network. Each side's own moments do not change, only the cross moments X'Y do. Similarities under K
permutations give p-values and the null band of the figures (ours; the paper has no null).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from .backends import resolve_device
from .backends.base import Array, Device, DeviceLike
from .backends.numpy_ import Cpu
from .path import MatchPath, match_path, path_and_distances
from .peeling import permuted_numpy
from .peeling.permuted import PermutedRemovals
from .reduction.block_sums import Blocks, GroupedSum
from .reduction.centred import Deviations
from .reduction.factor import moment_error
from .reduction.moments import PairMoments, pair_from_moments
from .reduction.reading import read_ahead
from .reduction.second_read import SecondRead
from .reduction.whitened import Whitened
from .resampled import Reordered, layers_of
from .ties import lower_by_margin
from .validation import as_chunk_samples

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
    null = _Null(pair, x, y, resolve_device(device))
    for batch in null.batches(orders):
        for order, cross in zip(batch.orders, batch.crosses, strict=True):
            yield match_path(null.pair(order, cross), device=null.device)


class NullNeurons(NamedTuple):
    """The neurons of both sides under a permutation, or under several ones.

    Both arrays are float64: (n_x + n_y,) of one permutation, from ``null_neurons``, or
    (permutations, n_x + n_y), from ``stacked``; NaN for dead neurons.

    Attributes:
        critical_epsilon: as ``MatchPath.critical_epsilon``.
        distance: relative distance from the span of all of the other side's neurons. It is at most
            the critical epsilon, but for rounding and the tie margin, which lowers the latter.
    """

    critical_epsilon: np.ndarray
    distance: np.ndarray

    @classmethod
    def stacked(cls, permutations: Iterable[NullNeurons]) -> NullNeurons:
        """Put single permutations together, a row each."""
        return cls(*map(np.stack, zip(*permutations, strict=True)))


def null_neurons(
    pair: PairMoments,
    x: Any,
    y: Any,
    orders: Iterable[np.ndarray],
    *,
    device: DeviceLike = "auto",
) -> Iterator[NullNeurons]:
    """Yield the critical epsilons of ``null_paths``, and distances; many permutations run together.

    Args:
        pair: the moments of x and y, from ``reduce``.
        x: as in ``null_paths``.
        y: as in ``null_paths``.
        orders: as in ``null_paths``.
        device: "cpu", "cuda" or "auto".

    Yields:
        The neurons under each permutation.

    Raises:
        ValueError: as ``null_paths``.
    """
    null = _Null(pair, x, y, resolve_device(device))
    for batch in null.batches(orders):
        together = null.peel_together(batch.crosses)
        for found, order, cross in zip(together, batch.orders, batch.crosses, strict=True):
            yield found or null.peel_alone(order, cross)


@dataclass(frozen=True)
class _Batch:
    """Some permutations.

    Attributes:
        orders: of Y's rows, (samples,) int64 each, on the device.
        crosses: X'Y under each order, (n_x, n_y) float64 each, on the device, in one array; of
            ``Whitened`` sides, if there are any.
    """

    orders: list[Array]
    crosses: Array


class _Null:
    """A pair whose Y is permuted: what no permutation changes, and what one does.

    Raises:
        ValueError: as ``null_paths``.
    """

    def __init__(self, pair: PairMoments, x: Any, y: Any, device: Device) -> None:
        self._pair, self.device = pair, device
        x, y = layers_of(pair, x, y)
        step = as_chunk_samples(None, len(pair.sums), device)
        if pair.centred:
            x, y = Deviations("x", x, step), Deviations("y", y, step)
        self._x, self._held = x, device.rows(y[:])
        self._blocks = Blocks.for_device(device, pair.samples, step, len(pair.sums))
        error = moment_error(self._blocks.additions, len(pair.sums))
        self._error = max(pair.moment_error, error)
        # A GPU factors many permutations together, and leaves few to the samples.
        self._whitened = Whitened.of_pair(pair, self._x, y) if isinstance(device, Cpu) else None

    def batches(self, orders: Iterable[np.ndarray]) -> Iterator[_Batch]:
        """Compute the cross moments of some permutations at a time."""
        pair, orders = self._pair, iter(orders)
        size = max(1, BATCH_BYTES // (8 * (2 * pair.neurons_x * pair.neurons_y + pair.samples)))
        while batch := [self._on_device(order) for order in islice(orders, size)]:
            yield _Batch(batch, self._cross_moments(batch))

    def _on_device(self, order: np.ndarray) -> Array:
        samples = self._pair.samples
        if not np.array_equal(np.sort(order), np.arange(samples)):
            raise ValueError(
                f"orders: expected permutations of {samples} samples, found an array of shape"
                f" {np.shape(order)} that is not one; use rng.permutation({samples})"
            )
        return self.device.array(np.asarray(order))

    def _cross_moments(self, orders: list[Array]) -> Array:
        """Compute X'Y for every order of Y's rows, in one read of X; (orders, n_x, n_y)."""
        blocks, device = self._blocks, self.device
        x, held = self._x, self._held
        if self._whitened is not None:
            x, held = self._whitened.sides
        widths = [side.shape[1] for side in (x, held)]
        cross = GroupedSum(blocks, device, len(orders), *widths)
        chunk_x, chunk_y = (device.empty(blocks.length, width) for width in widths)
        for start, (rows,) in read_ahead((x,), blocks.step, device):
            for block in blocks.slices(len(rows)):
                part, first = rows[block], start + block.start
                own_x, own_y = chunk_x[: len(part)], chunk_y[: len(part)]
                own_x[:] = part
                for order, products in zip(orders, cross.next(), strict=True):
                    device.copy_rows(held, order[first : first + len(part)], own_y)
                    device.add_product(products, own_x.T, own_y)
        return cross.total()

    def pair(self, order: Array, cross: Array) -> PairMoments:
        """Return the pair of one permutation: each side's own moments do not change."""
        pair, device, host = self._pair, self.device, self.device.numpy(cross)
        factor = None
        if self._whitened is not None:
            factor = self._whitened.joint_factor(host, self._error)
            host = self._whitened.cross_moments(host)
        moments = pair.second_moments.copy()
        moments[: pair.neurons_x, pair.neurons_x :] = host
        moments[pair.neurons_x :, : pair.neurons_x] = host.T
        y, sums = Reordered(self._held, order), device.array(pair.sums)
        moments, step = device.array(moments), self._blocks.step
        again = None if factor is None else SecondRead(factor, None, np.full((2, 2), np.nan))
        return pair_from_moments(
            *(self._x, y, moments, sums, None, self._error, step, device),
            centre=False,
            read_again=None if again is None else lambda *_: (again, 0),
        )

    def peel_alone(self, order: Array, cross: Array) -> NullNeurons:
        """Peel one permutation."""
        path, distance = path_and_distances(self.pair(order, cross), self.device)
        return NullNeurons(path.critical_epsilon, distance)

    def peel_together(self, crosses: Array) -> list[NullNeurons | None]:
        """Peel permutations together; None where one must be peeled alone."""
        x, y = self._unit_sides
        found = self._removals(x, y, crosses)
        if found is None:
            return [None] * len(crosses)
        live = np.concatenate([x.live, y.live + self._pair.neurons_x])
        critical, distance = np.full((2, len(crosses), len(self._pair.sums)), np.nan)
        distance[:, live] = found.from_all
        for number in np.flatnonzero(found.valid):
            lowest = np.minimum.accumulate(found.distances[number])
            lowered = lower_by_margin(lowest, found.margins[number])
            critical[number, live[found.order[number]]] = lowered
        return [
            NullNeurons(*own) if good else None
            for *own, good in zip(critical, distance, found.valid, strict=True)
        ]

    def _removals(self, x: _UnitSide, y: _UnitSide, crosses: Array) -> PermutedRemovals | None:
        if not len(x.live) or not len(y.live):
            return None
        if self._whitened is not None:
            own_x, own_y = self._whitened.own
            uppers = self._whitened.uppers
            return permuted_numpy.peel_permuted(own_x, own_y, crosses, self._error, uppers)
        crosses = self.device.take(self.device.take(crosses, x.live, axis=1), y.live, axis=2)
        crosses = crosses * x.scales[:, None] * y.scales
        if isinstance(self.device, Cpu):
            return permuted_numpy.peel_permuted(x.moments, y.moments, crosses, self._error)
        from .peeling import permuted_torch  # imports torch

        return permuted_torch.peel_permuted(x.moments, y.moments, crosses, self._error)

    @cached_property
    def _unit_sides(self) -> tuple[_UnitSide, _UnitSide]:
        """Both sides' own moments, the same under all permutations."""
        pair, array = self._pair, self.device.array
        sides = []
        for start, stop in ((0, pair.neurons_x), (pair.neurons_x, len(pair.sums))):
            live = start + np.flatnonzero(pair.live[start:stop])
            scales = array(1.0 / pair.norms[live])
            moments = array(pair.second_moments[np.ix_(live, live)]) * scales[:, None] * scales
            sides.append(_UnitSide(live - start, scales, moments))
        return sides[0], sides[1]


@dataclass(frozen=True)
class _UnitSide:
    """One side's live neurons.

    Attributes:
        live: their numbers, (live,) int64.
        scales: one over their norms, (live,) float64 on the device.
        moments: of their columns scaled to norm 1, (live, live) float64 on the device.
    """

    live: np.ndarray
    scales: Array
    moments: Array
