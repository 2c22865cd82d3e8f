"""Span updates on two halves of the images by Givens rotations, which lose no digits.

Take each neuron in one unit on both halves, the geometric mean of its norms there: then its four
squared residuals multiply to their product in relative units. Let S be a basis of one side, T the
neurons of the other side, h the half of a fit and g the other half. We store

    Q_h'[S_h T_h]            triangular over the basis, as in ``updates_rotation``, and
    E_g = T_g - S_g B_h      the residuals of the fit on the other half, in an orthonormal basis
                             of the span that S_g had at first; the rest of T_g never changes.

Removal of basis neuron j (ours): rotations move its column to the end, as in ``updates_rotation``.
Its entry in the last row is rho, those of T are c, and the rows above are R over the basis without
j, and r in column j. So the fit had the coefficient c_t / rho of t on j. Without j it fits z_j
instead by S w with R w = r, which adds w c_t / rho to the other coefficients, therefore

    |E_h|^2 of t grows by c_t^2,
    E_g of t grows by (z_j - S w)_g c_t / rho.

A dependent neuron that takes the place of j changes no span, no coefficients and no residuals.
Rotations lose no digits, and E is only added to. So accuracy is that of a new factorisation, at
O(m^2) for each removal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backends.numpy_ import Cpu
from ..jit import compiled_freely
from ..rank import RANK_TOLERANCE
from .updates_halves import FourResiduals
from .updates_rotation import take_column_out


@dataclass
class HalvedSide:
    """One side's span, fitted on each half. The first axis of pairs is the half of the fit.

    Attributes:
        rows: Q_h'[S_h T_h], (2, at least rank, m) float64; rows beyond the rank are unused.
        columns: this side's neurons on each half, (2, first rank, own) float64.
        residuals: E_g, (2, first rank, others) float64.
        outside: squared length of T_g outside the first span of S_g, (2, others) float64.
        units: length of this side's neurons on each half, (2, own) float64.
        order: positions of the basis neurons, in the order in which they are triangular.
        own: positions of this side's neurons: basis, dependent neurons, those in no span.
        other: positions of the other side's neurons.
        dependent_from: first position of the neurons that were dependent at the start.
        tolerance: largest entry of a dependent neuron of length 1 that counts as rounding.
    """

    rows: np.ndarray
    columns: np.ndarray
    residuals: np.ndarray
    outside: np.ndarray
    units: np.ndarray
    order: np.ndarray
    own: slice
    other: slice
    dependent_from: int
    tolerance: float


class HalvesRotationUpdates(FourResiduals):
    """Span updates on two halves, on triangular factors of each side.

    Args:
        neurons: the neuron at each position, (m,) int64.
        dependent: whether it depends on its side's basis on both halves, (m,) bool.
        sides: X and Y.
        held_out_only: as in ``FourResiduals``.
    """

    def __init__(
        self,
        neurons: np.ndarray,
        dependent: np.ndarray,
        sides: Sequence[HalvedSide],
        *,
        held_out_only: bool,
    ) -> None:
        self._neurons, self._dependent, self._sides = neurons, dependent.copy(), list(sides)
        self._alive = np.ones(len(neurons), dtype=bool)
        fitted, held_out = np.zeros((2, 2, len(neurons)))
        for side in sides:
            fitted[:, side.other] = side.outside[::-1]
            held_out[:, side.other] = side.outside + (side.residuals**2).sum(1)
        super().__init__(fitted, held_out, held_out_only=held_out_only)

    @classmethod
    def from_columns(
        cls,
        neurons: np.ndarray,
        columns: Sequence[np.ndarray],
        units: np.ndarray,
        sizes: Sequence[Sequence[int]],
        *,
        held_out_only: bool,
    ) -> HalvesRotationUpdates:
        """Factor both sides on both halves.

        Args:
            neurons: the neuron at each position, (m,) int64.
            columns: for each half, its factor in the common units, (k, m) float64.
            units: length of these columns, (2, m) float64.
            sizes: of either side, how many neurons form a basis, depend on it, and are in no span.
            held_out_only: as in ``FourResiduals``.
        """
        width_x, width = sum(sizes[0]), len(neurons)
        ranges = slice(0, width_x), slice(width_x, width)
        dependent, sides = np.zeros(width, dtype=bool), []
        for own, other, (rank, rest, _) in zip(ranges, ranges[::-1], sizes, strict=True):
            end = own.start + rank
            dependent[end : end + rest] = True
            found = [_over_basis(half, slice(own.start, end), other) for half in columns]
            rows, outside = map(np.stack, zip(*found, strict=True))
            basis, across = rows[:, :, own.start : end], rows[:, :, other]
            residuals = [
                across[1 - fit] - basis[1 - fit] @ Cpu().triangular_solve(basis[fit], across[fit])
                for fit in range(2)
            ]
            sides.append(
                HalvedSide(
                    rows,
                    columns=rows[:, :, own].copy(),
                    residuals=np.stack(residuals),
                    outside=outside[::-1].copy(),
                    units=units[:, own],
                    order=np.arange(own.start, end),
                    own=own,
                    other=other,
                    dependent_from=end,
                    tolerance=RANK_TOLERANCE * (own.stop - own.start),
                )
            )
        return cls(neurons, dependent, sides, held_out_only=held_out_only)

    def _remove(self, neuron: int) -> bool:
        self._gone[neuron] = -np.inf
        side = next(side for side in self._sides if side.own.start <= neuron < side.own.stop)
        place = np.flatnonzero(side.order == neuron)
        if not len(place):  # no other neuron has a coefficient on it
            self._dependent[neuron] = False
            return True
        own, other, rank = side.own, side.other, len(side.order) - 1
        span = side.dependent_from, own.start, own.stop
        for rows in side.rows:
            order = side.order.copy()
            take_column_out(rows, order, int(place[0]), *span)
        last = side.rows[:, rank]  # the directions that only this neuron spanned
        strengths = np.abs(last[:, own] / side.units).min(0) * self._dependent[own]
        successor = int(strengths.argmax())
        if strengths[successor] > side.tolerance:
            order[-1] = own.start + successor
            side.order, self._dependent[own.start + successor] = order, False
            return True
        side.order = order[:-1]
        weights = np.zeros(own.stop - own.start)
        for fit, rows in enumerate(side.rows):
            _solve(rows, side.order, neuron, *span, weights)
            across = last[fit, other] / last[fit, neuron]
            squares = self._held_out[fit, other]
            squares[:] = side.outside[fit]
            _add(side.residuals[fit], side.columns[1 - fit], weights, across, squares)
        self._fitted[:, other] += last[:, other] ** 2
        self._multiply(other)
        return True  # rotations lose no digits

    def _apply(self) -> None:
        """Nothing is left to apply: each removal changes all that it has to."""

    def _compact(self) -> None:
        kept, places = np.flatnonzero(self._alive), np.append(0, np.cumsum(self._alive))
        for side in self._sides:
            own, other = (np.flatnonzero(self._alive[part]) for part in (side.own, side.other))
            side.rows = side.rows[:, : len(side.order)].take(kept, 2)
            side.columns, side.units = side.columns.take(own, 2), side.units.take(own, 1)
            side.residuals, side.outside = side.residuals.take(other, 2), side.outside[:, other]
            side.order, side.dependent_from = places[side.order], int(places[side.dependent_from])
            side.own, side.other = (
                slice(int(places[part.start]), int(places[part.stop]))
                for part in (side.own, side.other)
            )
        self._fitted, self._held_out = self._fitted[:, kept], self._held_out[:, kept]
        for name in ("_neurons", "_dependent", "_alive"):
            setattr(self, name, getattr(self, name)[kept])
        self._multiply_all()


def _over_basis(columns: np.ndarray, basis: slice, other: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return Q' columns, triangular over the basis, and the squared lengths outside its span.

    Args:
        columns: (k, m) float64.
        basis: positions of the basis, with independent columns.
        other: positions whose squared lengths are wanted.
    """
    packed, scales = Cpu().householder_qr(columns[:, basis])
    rank = len(scales)
    rotated = Cpu().apply_q_transposed(packed, scales, np.asfortranarray(columns))
    rows = np.ascontiguousarray(rotated[:rank])
    rows[:, basis] = np.triu(packed[:rank])
    return rows, (rotated[rank:, other] ** 2).sum(0)


@compiled_freely
def _solve(
    rows: np.ndarray,
    order: np.ndarray,
    neuron: int,
    dependent_from: int,
    own_start: int,
    own_stop: int,
    weights: np.ndarray,
) -> None:
    """Fit a neuron by the basis: write the coefficients of z_j - S w, 1 for the neuron itself.

    Args:
        rows: triangular over the basis, as ``take_column_out`` leaves them.
        order: positions of the basis neurons without this one.
        neuron: its position.
        dependent_from: as in ``HalvedSide``.
        own_start: start of this side's positions.
        own_stop: end of this side's positions.
        weights: the coefficients, (own,); overwritten.
    """
    weights[:] = 0.0
    for i in range(len(order) - 1, -1, -1):
        column = order[i]
        total = rows[i, neuron]
        for j in range(min(column, dependent_from), own_stop):
            total += rows[i, j] * weights[j - own_start]
        weights[column - own_start] = -total / rows[i, column]
    weights[neuron - own_start] = 1.0


@compiled_freely
def _add(
    residuals: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    across: np.ndarray,
    squares: np.ndarray,
) -> None:
    """Add (columns weights) across' to the residuals, and their squared lengths to ``squares``."""
    for i in range(len(residuals)):
        total = 0.0
        for j in range(len(weights)):
            total += columns[i, j] * weights[j]
        for t in range(len(across)):
            moved = residuals[i, t] + total * across[t]
            residuals[i, t] = moved
            squares[t] += moved * moved
