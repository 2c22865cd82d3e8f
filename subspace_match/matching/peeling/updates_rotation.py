"""Removals that lose no digits, by rotations alone, for layers with neurons that nearly depend.

For side S = Q R and the other side's neurons T, the rows held are Q'[S T], triangular over the
basis. Without column j what follows it has one entry below the diagonal in each column; rotations
of neighbouring rows take it away, and leave in the last row what j alone spanned: each t is farther
by the square of its entry there. If a reserve neuron has an entry there too, beyond the tolerance
of rank, it takes that place in the basis and no span is smaller.

Rotations change no lengths, so however near its copies were, a neuron that remains is known as well
as from a fresh factorisation of what remains. They cost O(m^2) a removal, but row by row, which is
slower than the products of the others: so this only goes on where those have lost their digits. It
runs on the CPU, since rotations wait for one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from ..jit import compiled
from .spans import RANK_TOLERANCE
from .updates import BLOCK, COMPACT, Removals


@dataclass
class Side:
    """One side's span.

    Attributes:
        rows: Q'[X Y], (rank or more, m) float64; those beyond the rank are not used.
        order: positions of the basis neurons in the order in which they are triangular.
        own: positions of the side's neurons.
        other: positions of the other side's.
        reserve_from: first position of the neurons that were in the reserve at first.
        tolerance: largest entry of the reserve that is taken to be rounding.
    """

    rows: np.ndarray
    order: np.ndarray
    own: slice
    other: slice
    reserve_from: int
    tolerance: float


class RemovalsByRotation(Removals):
    """Removals of neurons from two triangular factors.

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
        self._alive, self._reserve = np.ones((2, width), dtype=bool)
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
        room = 64 * (others.shape[1] + 65)
        rotated = lapack.dormqr("L", "T", reflectors[:, : len(scales)], scales, others, room)[0]
        rows = np.empty((rank, len(self._neurons)))
        rows[:, own], rows[:, other] = upper[:rank], rotated[:rank]
        self._residual[other] = (rotated[rank:] ** 2).sum(0)
        self._reserve[own.start : own.start + rank] = False
        basis = np.arange(own.start, own.start + rank)
        return Side(rows, basis, own, other, own.start + rank, tolerance)

    def remove_block(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """As of ``Removals``; the state always has its digits."""
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
        if self._reserve[neuron]:
            self._reserve[neuron] = False
            return
        side = next(side for side in self._sides if side.own.start <= neuron < side.own.stop)
        place = int(np.flatnonzero(side.order == neuron)[0])
        _take_column_out(
            *(side.rows, side.order, place, side.reserve_from),
            *(side.own.stop, side.other.start, side.other.stop),
        )
        lost = side.rows[len(side.order) - 1]
        strengths = np.abs(lost[side.own]) * self._reserve[side.own]
        successor = int(strengths.argmax())
        if strengths[successor] > side.tolerance:
            side.order[-1] = side.own.start + successor
            self._reserve[side.own.start + successor] = False
        else:
            self._residual[side.other] += lost[side.other] ** 2
            side.order = side.order[:-1]

    def _compact(self) -> None:
        """Let go of what has left."""
        kept, places = np.flatnonzero(self._alive), np.append(0, np.cumsum(self._alive))
        for side in self._sides:
            side.rows = side.rows[: len(side.order)].take(kept, 1)
            side.order, side.reserve_from = places[side.order], int(places[side.reserve_from])
            side.own = slice(int(places[side.own.start]), int(places[side.own.stop]))
            side.other = slice(int(places[side.other.start]), int(places[side.other.stop]))
        for name in ("_neurons", "_residual", "_reserve", "_alive"):
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
    reserve_from: int,
    own_stop: int,
    other_start: int,
    other_stop: int,
) -> None:
    """Make the rows triangular over the basis without its column at this place.

    Args:
        rows: as in ``Side``, likewise ``order`` and ``reserve_from``; both are overwritten.
        order: all but its last entry is the basis that is left.
        place: the column's in ``order``.
        reserve_from: what a column of the basis had below it is zero up to its position, or up to
            here if it came from the reserve.
        own_stop: position after the side's last.
        other_start: the other side's first position.
        other_stop: the position after its last.
    """
    for k in range(place, len(order) - 1):
        column = order[k + 1]
        order[k] = column
        length = np.hypot(rows[k, column], rows[k + 1, column])
        cosine, sine = rows[k, column] / length, rows[k + 1, column] / length
        start = min(column, reserve_from)
        _rotate(rows[k, start:own_stop], rows[k + 1, start:own_stop], cosine, sine)
        others = slice(other_start, other_stop)
        _rotate(rows[k, others], rows[k + 1, others], cosine, sine)
        rows[k + 1, column] = 0.0
