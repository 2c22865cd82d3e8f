"""Span updates by Givens rotations, which lose no digits: of near copies, and of many networks.

For side S = Q R and the neurons T of all other sides, we store the rows of Q'[S T], triangular over
the basis. Without column j, every later column has one entry below the diagonal. Rotations of
adjacent rows remove these entries. Then the last row holds the direction that only j spanned: the
squared distance of each t grows by the square of its entry in that row. If a dependent neuron has
an entry there above the rank tolerance, it takes the place of j in the basis, and no span shrinks.

Rotations preserve lengths. So each remaining neuron is as accurate as after a new factorisation,
however near its removed copies were. A removal costs O(m^2) as in the other updates, but row by
row, which is slower than matrix products; so a pair of networks uses rotations only after the
others have lost digits. They run on the CPU, because each rotation depends on the one before.

With more than two sides, the distance of a neuron is the largest of its distances from the other
sides' spans (see ``consensus``). A removal changes the rows of one side only, n of m = K n neurons,
so it costs O(n m).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import scipy.linalg

from ..backends.numpy_ import Cpu, pivoted_qr
from ..jit import compiled
from ..rank import RANK_TOLERANCE, rank_of
from .updates import OneByOne


@dataclass
class Side:
    """One side's span.

    Attributes:
        rows: Q'Z, (at least rank, m) float64; rows beyond the rank are unused.
        squares: squared relative distance of each neuron of other sides from this span, (m,)
            float64; unused for this side's neurons.
        order: positions of the basis neurons, in the order in which they are triangular.
        own: positions of this side's neurons.
        dependent_from: first position of the neurons that were dependent at the start.
        tolerance: largest entry of a dependent neuron that counts as rounding.
    """

    rows: np.ndarray
    squares: np.ndarray
    order: np.ndarray
    own: slice
    dependent_from: int
    tolerance: float


class RotationUpdates(OneByOne):
    """Span updates on a triangular factor of each side.

    Args:
        neurons: columns of F, side by side; each side's basis comes before its dependent neurons.
        sides: the sides in this order.
    """

    def __init__(self, neurons: np.ndarray, sides: Sequence[Side]) -> None:
        self._neurons, self._sides = neurons, list(sides)
        self._alive = np.ones(len(neurons), dtype=bool)
        self._dependent = np.zeros(len(neurons), dtype=bool)
        self._residual = np.zeros(len(neurons))
        for side in sides:
            self._dependent[side.dependent_from : side.own.stop] = True
            side.squares[side.own] = 0.0
            np.maximum(self._residual, side.squares, out=self._residual)

    @classmethod
    def from_factor(cls, factor: np.ndarray, *sides: np.ndarray) -> RotationUpdates:
        """Factor each side by pivoted QR, which determines its rank.

        Args:
            factor: F, (k, columns) float64, columns of norm 1.
            sides: columns of F that are a side's neurons, at least one for each side.
        """
        packed = [pivoted_qr(factor[:, side], "raw") for side in sides]
        ordered = [side[order] for side, (_, _, order) in zip(sides, packed, strict=True)]
        neurons = np.concatenate(ordered)
        found = []
        for own, ((reflectors, scales), upper, _) in zip(_slices(sides), packed, strict=True):
            tolerance = RANK_TOLERANCE * (own.stop - own.start)
            rank = rank_of(upper)
            others = np.asfortranarray(factor[:, np.delete(neurons, own)])
            rotated = Cpu().apply_q_transposed(reflectors[:, : len(scales)], scales, others)
            rows, squares = np.empty((rank, len(neurons))), np.zeros(len(neurons))
            rows[:, own] = upper[:rank]
            outside = (rotated[rank:] ** 2).sum(0)
            for of_others, part in (
                (slice(own.start), slice(own.start)),
                (slice(own.stop, None), slice(own.start, None)),
            ):
                rows[:, of_others], squares[of_others] = rotated[:rank, part], outside[part]
            order = np.arange(own.start, own.start + rank)
            found.append(Side(rows, squares, order, own, own.start + rank, tolerance))
        return cls(neurons, found)

    @classmethod
    def from_products(cls, products: np.ndarray, *sides: np.ndarray) -> RotationUpdates:
        """Factor each side's moments, if every two sides together are well-conditioned.

        Args:
            products: F'F, (columns, columns) float64, unit diagonal.
            sides: as in ``from_factor``.
        """
        neurons, cpu, found = np.concatenate(sides), Cpu(), []
        for own, side in zip(_slices(sides), sides, strict=True):
            upper = scipy.linalg.cholesky(products[np.ix_(side, side)], check_finite=False)
            rows = cpu.triangular_solve(upper, products[np.ix_(side, neurons)], transposed=True)
            rows = np.ascontiguousarray(rows)
            rows[:, own] = upper
            # Columns have norm 1, so the squared parts inside and outside the span sum to 1.
            squares = 1.0 - (rows**2).sum(0)
            order = np.arange(own.start, own.stop)
            found.append(Side(rows, squares, order, own, own.stop, 0.0))
        return cls(neurons, found)

    def _remove(self, neuron: int) -> bool:
        if self._dependent[neuron]:
            self._dependent[neuron] = False
            return True
        side = next(side for side in self._sides if side.own.start <= neuron < side.own.stop)
        place = int(np.flatnonzero(side.order == neuron)[0])
        own = side.own
        take_column_out(side.rows, side.order, place, side.dependent_from, own.start, own.stop)
        last = side.rows[len(side.order) - 1]  # the direction that only this neuron spanned
        strengths = np.abs(last[own]) * self._dependent[own]
        successor = int(strengths.argmax())
        if strengths[successor] > side.tolerance:
            side.order[-1] = own.start + successor
            self._dependent[own.start + successor] = False
        else:
            for others in (slice(own.start), slice(own.stop, None)):
                side.squares[others] += last[others] ** 2
            np.maximum(self._residual, side.squares, out=self._residual, where=self._alive)
            side.order = side.order[:-1]
        return True  # rotations lose no digits

    def _apply(self) -> None:
        """Nothing is left to apply: each removal rotates all rows that it changes."""

    def _compact(self) -> None:
        kept, places = np.flatnonzero(self._alive), np.append(0, np.cumsum(self._alive))
        for side in self._sides:
            side.rows, side.squares = side.rows[: len(side.order)].take(kept, 1), side.squares[kept]
            side.order, side.dependent_from = places[side.order], int(places[side.dependent_from])
            side.own = slice(int(places[side.own.start]), int(places[side.own.stop]))
        for name in ("_neurons", "_residual", "_dependent", "_alive"):
            setattr(self, name, getattr(self, name)[kept])


def _slices(sides: Sequence[np.ndarray]) -> list[slice]:
    """Return the positions of each side, if sides follow one another."""
    return [slice(*ends) for ends in pairwise(accumulate(map(len, sides), initial=0))]


@compiled
def _rotate(upper: np.ndarray, lower: np.ndarray, cosine: float, sine: float) -> None:
    for i in range(len(upper)):
        first, second = upper[i], lower[i]
        upper[i] = cosine * first + sine * second
        lower[i] = cosine * second - sine * first


@compiled
def take_column_out(
    rows: np.ndarray,
    order: np.ndarray,
    place: int,
    dependent_from: int,
    own_start: int,
    own_stop: int,
) -> None:
    """Make the rows triangular over the basis without one of its columns.

    The rows of that column itself are rotated too, so that its last entry is its distance from the
    others.

    Args:
        rows: as in ``Side``; overwritten.
        order: as in ``Side``; overwritten. All but its last entry is the remaining basis.
        place: index of the removed column in ``order``.
        dependent_from: as in ``Side``. A row of the basis is zero left of its own column's
            position, or left of ``dependent_from`` if that column was dependent at the start.
        own_start: start of this side's positions.
        own_stop: end of this side's positions.
    """
    removed = order[place]
    for k in range(place, len(order) - 1):
        column = order[k + 1]
        order[k] = column
        length = np.hypot(rows[k, column], rows[k + 1, column])
        cosine, sine = rows[k, column] / length, rows[k + 1, column] / length
        start = min(column, dependent_from)
        if removed < start:
            _rotate(
                rows[k, removed : removed + 1], rows[k + 1, removed : removed + 1], cosine, sine
            )
        _rotate(rows[k, start:own_stop], rows[k + 1, start:own_stop], cosine, sine)
        _rotate(rows[k, :own_start], rows[k + 1, :own_start], cosine, sine)
        _rotate(rows[k, own_stop:], rows[k + 1, own_stop:], cosine, sine)
        rows[k + 1, column] = 0.0
