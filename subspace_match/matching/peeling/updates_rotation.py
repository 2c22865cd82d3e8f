"""Span updates by Givens rotations, which lose no digits, for layers with near copies.

For side S = Q R and the other side's neurons T, we store the rows of Q'[S T], triangular over the
basis. Without column j, every later column has one entry below the diagonal. Rotations of adjacent
rows remove these entries. Then the last row holds the direction that only j spanned: the squared
distance of each t grows by the square of its entry in that row. If a dependent neuron has an entry
there above the rank tolerance, it takes the place of j in the basis, and no span shrinks.

Rotations preserve lengths. So each remaining neuron is as accurate as after a new factorisation,
however near its removed copies were. A removal costs O(m^2) as in the other updates, but row by
row, which is slower than matrix products; so rotations are used only after the others have lost
digits. They run on the CPU, because each rotation depends on the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from ..backends.numpy_ import Cpu
from ..jit import compiled
from .spans import RANK_TOLERANCE
from .updates import BLOCK, COMPACT, SpanUpdates


@dataclass
class Side:
    """One side's span.

    Attributes:
        rows: Q'[X Y], (at least rank, m) float64; rows beyond the rank are unused.
        order: positions of the basis neurons, in the order in which they are triangular.
        own: positions of this side's neurons.
        other: positions of the other side's neurons.
        dependent_from: first position of the neurons that were dependent at the start.
        tolerance: largest entry of a dependent neuron that counts as rounding.
    """

    rows: np.ndarray
    order: np.ndarray
    own: slice
    other: slice
    dependent_from: int
    tolerance: float


class RotationUpdates(SpanUpdates):
    """Span updates on two triangular factors.

    Args:
        factor: F, (k, columns) float64, columns of norm 1.
        x: columns of F that are X's neurons, at least one.
        y: columns of F that are Y's neurons, at least one.
    """

    def __init__(self, factor: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        packed_x, packed_y = (
            scipy.linalg.qr(factor[:, side], mode="raw", pivoting=True, check_finite=False)
            for side in (x, y)
        )
        self._neurons = np.concatenate([x[packed_x[2]], y[packed_y[2]]])
        width = len(self._neurons)
        of_x, of_y = slice(0, len(x)), slice(len(x), width)
        self._alive, self._dependent = np.ones((2, width), dtype=bool)
        self._residual = np.empty(width)
        self._sides = (
            self._side(factor, packed_x, of_x, of_y),
            self._side(factor, packed_y, of_y, of_x),
        )

    def _side(
        self,
        factor: np.ndarray,
        packed: tuple[Any, np.ndarray, np.ndarray],
        own: slice,
        other: slice,
    ) -> Side:
        (reflectors, scales), upper, order = packed
        tolerance = RANK_TOLERANCE * len(order)
        rank = int((np.abs(np.diagonal(upper)) > tolerance).sum())
        others = np.asfortranarray(factor[:, self._neurons[other]])
        rotated = Cpu().apply_q_transposed(reflectors[:, : len(scales)], scales, others)
        rows = np.empty((rank, len(self._neurons)))
        rows[:, own], rows[:, other] = upper[:rank], rotated[:rank]
        self._residual[other] = (rotated[rank:] ** 2).sum(0)
        self._dependent[own.start : own.start + rank] = False
        basis = np.arange(own.start, own.start + rank)
        return Side(rows, basis, own, other, own.start + rank, tolerance)

    def remove_block(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """Remove the farthest neuron, up to BLOCK times; the state stays accurate."""
        steps = min(BLOCK, int(self._alive.sum()))
        positions, squares = np.empty(steps, dtype=np.int64), np.empty(steps)
        for step in range(steps):
            neuron = int(self._residual.argmax())
            positions[step], squares[step] = neuron, self._residual[neuron]
            self._residual[neuron], self._alive[neuron] = -np.inf, False
            self._remove(neuron)
        removed = self._neurons[positions]
        if self._alive.sum() <= COMPACT * len(self._alive):
            self._compact()
        return removed, squares, True

    def _remove(self, neuron: int) -> None:
        if self._dependent[neuron]:
            self._dependent[neuron] = False
            return
        side = next(side for side in self._sides if side.own.start <= neuron < side.own.stop)
        place = int(np.flatnonzero(side.order == neuron)[0])
        _take_column_out(
            *(side.rows, side.order, place, side.dependent_from),
            *(side.own.stop, side.other.start, side.other.stop),
        )
        last = side.rows[len(side.order) - 1]  # the direction that only this neuron spanned
        strengths = np.abs(last[side.own]) * self._dependent[side.own]
        successor = int(strengths.argmax())
        if strengths[successor] > side.tolerance:
            side.order[-1] = side.own.start + successor
            self._dependent[side.own.start + successor] = False
        else:
            self._residual[side.other] += last[side.other] ** 2
            side.order = side.order[:-1]

    def _compact(self) -> None:
        """Copy the state without removed neurons."""
        kept, places = np.flatnonzero(self._alive), np.append(0, np.cumsum(self._alive))
        for side in self._sides:
            side.rows = side.rows[: len(side.order)].take(kept, 1)
            side.order, side.dependent_from = places[side.order], int(places[side.dependent_from])
            side.own = slice(int(places[side.own.start]), int(places[side.own.stop]))
            side.other = slice(int(places[side.other.start]), int(places[side.other.stop]))
        for name in ("_neurons", "_residual", "_dependent", "_alive"):
            setattr(self, name, getattr(self, name)[kept])


@compiled
def _rotate(upper: np.ndarray, lower: np.ndarray, cosine: float, sine: float) -> None:
    for i in range(len(upper)):
        first, second = upper[i], lower[i]
        upper[i] = cosine * first + sine * second
        lower[i] = cosine * second - sine * first


@compiled
def _take_column_out(
    rows: np.ndarray,
    order: np.ndarray,
    place: int,
    dependent_from: int,
    own_stop: int,
    other_start: int,
    other_stop: int,
) -> None:
    """Make the rows triangular over the basis without one of its columns.

    Args:
        rows: as in ``Side``; overwritten.
        order: as in ``Side``; overwritten. All but its last entry is the remaining basis.
        place: index of the removed column in ``order``.
        dependent_from: as in ``Side``. A row of the basis is zero left of its own column's
            position, or left of ``dependent_from`` if that column was dependent at the start.
        own_stop: end of this side's positions.
        other_start: start of the other side's positions.
        other_stop: end of the other side's positions.
    """
    for k in range(place, len(order) - 1):
        column = order[k + 1]
        order[k] = column
        length = np.hypot(rows[k, column], rows[k + 1, column])
        cosine, sine = rows[k, column] / length, rows[k + 1, column] / length
        start = min(column, dependent_from)
        _rotate(rows[k, start:own_stop], rows[k + 1, start:own_stop], cosine, sine)
        others = slice(other_start, other_stop)
        _rotate(rows[k, others], rows[k + 1, others], cosine, sine)
        rows[k + 1, column] = 0.0
