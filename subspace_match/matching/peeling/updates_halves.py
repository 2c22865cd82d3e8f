"""Span updates on two halves of the images: fitted on one half, measured on the other.

Let S be a basis of one side, T all other neurons, and h a half, g the other one. Let

    D = S P              with P = (S_h'S_h)^-1: the dual basis, D_h'S_h = I,
    E = T - S B          with B = P S_h'T_h: the residuals of the fit, D_h'E_h = 0.

D and E are combinations of neurons, so they can be measured on either half. For each h we store two
(m, m) matrices, with a row for each neuron of a basis and a column for each neuron:

    C = [P  -B]          so that [D E] = [0 T] + S C,
    N = D_g'[D_g E_g]    inner products on the other half,

and for each neuron the squared residuals |E_h|^2, fitted, and |E_g|^2, held out.

Removal of basis neuron j, with w = C[j, :] / P[j, j] and its part u on the own side (ours):

    D becomes D - d_j u' and E becomes E - d_j w', therefore
    C becomes C - C[:, j] w',
    N becomes N - u (N[j, :] - N[j, j] w)' - N[:, j] w',
    |E_h|^2 of t grows by P[j, j] w_t^2,
    |E_g|^2 of t changes by w_t (N[j, j] w_t - 2 N[j, t]).

Exchange of j for a dependent neuron q: the column of q is its relation to the basis, with 1 for q
itself. Let u = C[:, q] / C[j, q], and let w be u on the own side and 0 on the other. Then the same
formulas hold if C loses u (C[j, :] - P[j, j] w)' too, and no residual changes.

So a removal reads row j of C and N only. Two terms per removal (three with dependent neurons) are
collected and applied as matrix products, as in the other updates. One class serves NumPy and torch:
a removal has so much arithmetic that it matters little to wait for the device to name the neuron.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backends.base import Array, Device
from ..rank import RANK_TOLERANCE
from .updates import DEPENDS, OneByOne, lowest_accurate


@dataclass(frozen=True)
class HalvedSpans:
    """Both sides' spans, fitted on each half; positions as in ``spans.Spans``.

    The fit on half h takes each neuron in units of its norm on h. Then the product of the residuals
    of both fits is relative, whatever a neuron's norms on the two halves are.

    Attributes:
        neurons: the neuron at each position, (m,) int64.
        basis: whether the neuron is in the basis of its side, (m,) bool.
        matrices: C and N of the fit on either half, (2, 2, m, m) float64, on the device.
        fitted: squared residuals on the half of the fit, (2, m) float64, on the device.
        held_out: squared residuals on the other half, (2, m) float64, on the device.
    """

    neurons: np.ndarray
    basis: np.ndarray
    matrices: Array
    fitted: Array
    held_out: Array

    def copy(self) -> HalvedSpans:
        """Copy what ``HalvesUpdates`` overwrites."""
        arrays = (self.matrices, self.fitted, self.held_out)
        return HalvedSpans(self.neurons, self.basis, *(array + 0.0 for array in arrays))


class FourResiduals(OneByOne):
    """Updates by the product of four squared residuals: of both fits, on both halves.

    Args:
        fitted: squared residuals on the half of the fit, (2, m) float64; overwritten.
        held_out: squared residuals on the other half, (2, m) float64; overwritten.
        held_out_only: whether the distance is the geometric mean of the held-out distances of both
            fits; otherwise that of their fitted and held-out distances.
    """

    def __init__(self, fitted: Array, held_out: Array, *, held_out_only: bool) -> None:
        self._fitted, self._held_out, self._held_out_only = fitted, held_out, held_out_only
        self._multiply_all()

    def _multiply_all(self) -> None:
        """Compute the products, if no neuron is removed."""
        self._gone, self._residual = 0.0 * self._fitted
        self._multiply(slice(0, len(self._gone)))

    def _multiply(self, side: slice) -> None:
        """Compute the products of one side's neurons; ``_gone`` is -inf for removed ones."""
        held_out = self._held_out[0, side] * self._held_out[1, side]
        other = held_out if self._held_out_only else self._fitted[0, side] * self._fitted[1, side]
        self._residual[side] = held_out * other + self._gone[side]

    def _squares(self, residuals: np.ndarray) -> np.ndarray:
        # Rounding can make one of the four squares negative.
        squares: np.ndarray = np.maximum(residuals, 0.0) ** 0.25
        return squares


class HalvesUpdates(FourResiduals):
    """Span updates on two halves.

    Args:
        spans: from ``halves.peel_halves``; overwritten.
        first_y: X's neurons are below this number, Y's are not.
        held_out_only: as in ``FourResiduals``.
        device: where the spans are.
    """

    def __init__(
        self, spans: HalvedSpans, first_y: int, *, held_out_only: bool, device: Device
    ) -> None:
        super().__init__(spans.fitted, spans.held_out, held_out_only=held_out_only)
        self._device = device
        self._neurons, self._matrices = spans.neurons, spans.matrices
        self._basis, self._dependent = spans.basis.copy(), ~spans.basis
        self._alive = np.ones(len(spans.neurons), dtype=bool)
        self._diagonal = device.zeros(2, len(spans.neurons))
        for own, matrix in zip(self._diagonal, self._matrices[:, 0], strict=True):
            own += matrix.diagonal()
        self._highest = self._diagonal + 0.0
        self._allocate(int((spans.neurons < first_y).sum()))

    def _remove(self, neuron: int) -> bool:
        of_y = neuron >= self._width_x
        own, other = self._sides[of_y], self._sides[not of_y]
        self._gone[neuron] = -np.inf
        self._lowest[:, neuron] = -np.inf
        if self._dependent[neuron]:  # no other neuron has a coefficient on it
            self._dependent[neuron] = False
            return True
        self._basis[neuron] = False
        rows = self._rows(neuron, of_y)
        first, second = rows[:, 0], rows[:, 1]
        scaled = first / first[:, neuron, None]
        columns, change = rows[:, :, own], scaled[:, own]
        if self._has_dependent:
            columns = columns * self._mask(own)
            successor = self._successor(neuron, first, own)
            if successor is None:
                return False
            if successor >= 0:
                self._exchange(neuron, successor, rows, columns, of_y)
                return self._is_accurate(own)
            change = change * self._mask(own)
        rest = second - second[:, neuron, None] * scaled
        self._store(scaled, rest, columns, change, of_y)
        across = scaled[:, other]
        # Views are changed in place: torch would copy what is assigned to a slice onto itself.
        fitted, held_out = self._fitted[:, other], self._held_out[:, other]
        if not self._held_out_only:
            fitted += first[:, other] * across
        held_out -= across * (rest[:, other] + second[:, other])
        self._multiply(other)
        return self._is_accurate(own)

    def _exchange(
        self, neuron: int, successor: int, rows: Array, columns: Array, of_y: bool
    ) -> None:
        """Replace a basis neuron by a dependent neuron; see the module.

        Args:
            neuron: the removed neuron.
            successor: the dependent neuron that takes its place.
            rows: the removed neuron's rows of C and N.
            columns: its columns, on its own side.
            of_y: whether both are Y's.
        """
        own, terms = self._sides[of_y], self._terms[of_y]
        lefts, rights = self._lefts[of_y], self._rights[of_y]
        first, second = rows[:, 0], rows[:, 1]
        relation = self._matrices[:, 0, own, successor] + 0.0
        for half, column in enumerate(relation if terms else ()):
            weights = rights[half, :terms, successor, None]
            column -= self._device.product(lefts[half, 0, :terms].T, weights)[:, 0]
        self._basis[successor], self._dependent[successor] = True, False
        change = relation / first[:, successor, None] * self._mask(own)
        scaled = self._device.zeros(2, len(self._neurons))
        scaled[:, own] = change
        rest = second - second[:, neuron, None] * scaled
        in_basis = first - first[:, neuron, None] * scaled
        rights[:, terms + 2], lefts[:, 0, terms + 2] = in_basis, change
        diagonal = self._diagonal[:, own]
        diagonal -= in_basis[:, own] * change
        self._store(scaled, rest, columns, change, of_y)
        # An exchange can raise diagonal entries of P; a removal only lowers them.
        self._highest = self._highest + (self._diagonal - self._highest).clip(min=0.0)
        self._lowest = self._lowest_accurate()

    def _successor(self, neuron: int, row: Array, own: slice) -> int | None:
        """Return the dependent neuron that can take the neuron's place, or -1 if none can.

        None means that one adds a direction, but its coefficient is too small to divide by.
        """
        host = self._device.numpy(row)
        strengths = np.abs(host[:, own]).min(0) * self._dependent[own]
        strength = strengths.max()
        # Its distance from the remaining basis is strength / sqrt(P[j, j]).
        if not (strength > RANK_TOLERANCE * len(host[0]) * np.sqrt(abs(host[:, neuron]))).all():
            return -1
        return None if strength <= DEPENDS else own.start + int(strengths.argmax())

    def _rows(self, neuron: int, of_y: bool) -> Array:
        """Compute the neuron's current rows of C and N for both halves, (2, 2, m)."""
        rows, terms = self._matrices[:, :, neuron] + 0.0, self._terms[of_y]
        if terms:  # only those of its own side change its rows
            weights = self._lefts[of_y][:, :, :terms, neuron - self._sides[of_y].start]
            for half, rights in enumerate(self._rights[of_y]):
                self._device.add_product(rows[half], weights[half], rights[:terms], scale=-1.0)
        return rows

    def _store(self, scaled: Array, rest: Array, columns: Array, change: Array, of_y: bool) -> None:
        """Register the terms of one removal.

        Args:
            scaled: w, the right factor of columns j of C and N, (2, m).
            rest: N[j, :] - N[j, j] w, the right factor of u in N, (2, m).
            columns: columns j of C and N in the rows of this side, (2, 2, rows).
            change: u in the rows of this side, (2, rows).
            of_y: whether this side is Y.
        """
        lefts, rights, terms = self._lefts[of_y], self._rights[of_y], self._terms[of_y]
        own = self._sides[of_y]
        diagonal = self._diagonal[:, own]
        rights[:, terms], rights[:, terms + 1] = scaled, rest
        lefts[:, :, terms], lefts[:, 1, terms + 1] = columns, change
        diagonal -= columns[:, 0] * scaled[:, own]
        self._terms[of_y] += self._terms_each

    def _mask(self, own: slice) -> Array:
        """Return 1 for the basis neurons of a side and 0 for its others."""
        return self._device.array(self._basis[own].astype(np.float64))

    def _is_accurate(self, own: slice) -> bool:
        return bool((self._diagonal[:, own] >= self._lowest[:, own]).all())

    def _lowest_accurate(self) -> Array:
        """Return ``lowest_accurate`` for the basis; -inf for removed and dependent neurons."""
        others = self._device.array(np.where(self._basis, 0.0, -np.inf))
        return lowest_accurate(self._highest) + others

    def _apply(self) -> None:
        """Subtract the terms from the matrices; a row only has terms of its own side."""
        for rows, lefts, rights, terms in zip(
            self._sides, self._lefts, self._rights, self._terms, strict=True
        ):
            # Without dependent neurons, C has no second terms.
            step = 1 if self._has_dependent else 2
            for matrix, chosen in ((0, slice(0, terms, step)), (1, slice(0, terms))):
                for half in range(2):
                    left, right = lefts[half, matrix, chosen], rights[half, chosen]
                    total = self._matrices[half, matrix][rows]
                    self._device.add_product(total, left.T, right, scale=-1.0)
        self._start_block()

    def _compact(self) -> None:
        kept, device = np.flatnonzero(self._alive), self._device
        self._matrices = device.take(device.take(self._matrices, kept, axis=2), kept, axis=3)
        for name in ("_fitted", "_held_out", "_diagonal", "_highest"):
            setattr(self, name, device.take(getattr(self, name), kept, axis=1))
        for name in ("_neurons", "_basis", "_dependent"):
            setattr(self, name, getattr(self, name)[kept])
        width_x = int(self._alive[: self._width_x].sum())
        self._alive = np.ones(len(kept), dtype=bool)
        self._allocate(width_x)
        self._multiply_all()

    def _allocate(self, width_x: int) -> None:
        """Allocate a block's terms and set everything that depends on the set of neurons."""
        self._width_x, width = width_x, len(self._neurons)
        self._sides = slice(0, width_x), slice(width_x, width)
        self._has_dependent = bool(self._dependent.any())
        self._terms_each = 3 if self._has_dependent else 2
        most = self.BLOCK * self._terms_each
        heights = width_x, width - width_x
        # The terms of each side: the other side's neurons have other rows.
        self._lefts = [self._device.empty(2, 2, most, height) for height in heights]
        self._rights = [self._device.empty(2, most, width) for _ in heights]
        self._start_block()
        self._lowest = self._lowest_accurate()

    def _start_block(self) -> None:
        """Forget the terms. A factor that no removal sets is 0."""
        self._terms = [0, 0]
        for lefts, rights in zip(self._lefts, self._rights, strict=True):
            lefts[:, 0, 1 :: self._terms_each] = 0.0
            if self._has_dependent:
                lefts[:, :, 2 :: self._terms_each] = 0.0
                rights[:, 2 :: self._terms_each] = 0.0
