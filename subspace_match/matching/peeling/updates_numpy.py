"""Span updates on the CPU, with NumPy and BLAS."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas

from ..backends.base import Device
from ..rank import RANK_TOLERANCE
from .spans import Spans
from .updates import DEPENDS, OneByOne, lowest_accurate


class NumpyUpdates(OneByOne):
    """Span updates on NumPy arrays."""

    def __init__(self, spans: Spans, width_x: int, device: Device) -> None:
        self._device = device
        self._terms = 0
        self._neurons = spans.neurons
        self._matrix, self._residual = spans.coefficients, spans.residual
        self._basis, self._dependent = spans.basis.copy(), ~spans.basis
        self._alive = np.ones(len(spans.neurons), dtype=bool)
        self._diagonal = np.diagonal(self._matrix).copy()
        self._highest = self._diagonal.copy()
        self._allocate(int((spans.neurons < width_x).sum()))

    def _remove(self, neuron: int) -> bool:
        of_y = neuron >= self._width_x
        own, other = self._sides[of_y], self._sides[not of_y]
        self._lowest[neuron] = -np.inf
        if self._dependent[neuron]:  # no other neuron has a coefficient on it
            self._dependent[neuron] = False
            return True
        self._basis[neuron] = False
        row = self._row(neuron)
        pivot = row[neuron]
        if self._has_dependent:
            strengths = np.abs(row[own]) * self._dependent[own]
            strength = strengths.max()
            # That neuron's distance from the remaining basis is strength / sqrt(P[j, j]).
            if strength > RANK_TOLERANCE * len(row) * np.sqrt(abs(pivot)):
                if strength <= DEPENDS:
                    return False
                self._exchange(neuron, own.start + int(strengths.argmax()), row, of_y)
                return self._is_accurate(own)
        left = self._lefts[self._terms]
        np.divide(row[own], pivot, out=left[own])
        if self._has_dependent:
            left[own] *= self._basis[own]
        left[other] = 0.0
        self._residual[other] += row[other] * (row[other] / pivot)
        self._add_term(of_y)
        return self._is_accurate(own)

    def _exchange(self, neuron: int, successor: int, row: np.ndarray, of_y: bool) -> None:
        """Replace a basis neuron by a dependent neuron: two terms.

        Args:
            neuron: the removed neuron.
            successor: the dependent neuron that takes its place.
            row: the removed neuron's row, already stored as the right factor of the first term.
            of_y: whether both are Y's.
        """
        own = self._sides[of_y]
        change = np.zeros_like(row)
        change[own] = self._column(successor)[own] / row[successor]
        self._lefts[self._terms] = change
        self._add_term(of_y)
        moved = self._lefts[self._terms]
        moved[:] = 0.0
        moved[own] = self._column(neuron)[own]
        self._basis[successor], self._dependent[successor] = True, False
        np.multiply(change, self._basis, out=self._rights[self._terms])
        self._add_term(of_y)
        # An exchange can raise diagonal entries of P; a removal only lowers them.
        np.maximum(self._highest, self._diagonal, out=self._highest)
        self._lowest[own] = self._lowest_accurate()[own]

    def _row(self, neuron: int) -> np.ndarray:
        """Compute the neuron's current row, stored as the right factor of the next term."""
        terms = self._terms
        row: np.ndarray = self._rights[terms]
        row[:] = self._matrix[neuron]
        if terms:
            weights = self._lefts[:terms, neuron]
            blas.dgemv(-1.0, self._rights[:terms].T, weights, 1.0, row, overwrite_y=True)
        return row

    def _column(self, neuron: int) -> np.ndarray:
        """Compute the neuron's current column."""
        terms = self._terms
        column: np.ndarray = self._matrix[:, neuron].copy()
        if terms:
            weights = self._rights[:terms, neuron]
            blas.dgemv(-1.0, self._lefts[:terms].T, weights, 1.0, column, overwrite_y=True)
        return column

    def _add_term(self, of_y: bool) -> None:
        """Register the next term, whose left and right factors are already stored."""
        own, terms = self._sides[of_y], self._terms
        self._diagonal[own] -= self._lefts[terms, own] * self._rights[terms, own]
        self._term_of_y[terms] = of_y
        self._terms += 1

    def _is_accurate(self, own: slice) -> bool:
        return bool((self._diagonal[own] >= self._lowest[own]).all())

    def _lowest_accurate(self) -> np.ndarray:
        """Return ``lowest_accurate`` for the basis; -inf for removed and dependent neurons."""
        counts = self._alive & (self._highest > 0)
        return np.where(counts, lowest_accurate(self._highest), -np.inf)

    def _apply(self) -> None:
        """Subtract the terms from the matrix; a row only has terms of its own side."""
        of_y = self._term_of_y[: self._terms]
        for rows, of_side in zip(self._sides, (~of_y, of_y), strict=True):
            chosen = np.flatnonzero(of_side)
            lefts, rights = self._lefts[chosen, rows], self._rights[chosen]
            self._device.add_product(self._matrix[rows], lefts.T, rights, scale=-1.0)
        self._terms = 0

    def _compact(self) -> None:
        kept = np.flatnonzero(self._alive)
        self._matrix = self._matrix.take(kept, 0).take(kept, 1)
        for name in ("_neurons", "_residual", "_basis", "_dependent", "_diagonal", "_highest"):
            setattr(self, name, getattr(self, name)[kept])
        width_x = int(self._alive[: self._width_x].sum())
        self._alive = np.ones(len(kept), dtype=bool)
        self._allocate(width_x)

    def _allocate(self, width_x: int) -> None:
        """Allocate a block's terms and set everything that depends on the set of neurons."""
        self._width_x, width = width_x, len(self._neurons)
        self._sides = slice(0, width_x), slice(width_x, width)
        self._has_dependent = bool(self._dependent.any())
        self._lowest = self._lowest_accurate()
        most = 2 * self.BLOCK if self._has_dependent else self.BLOCK
        self._lefts, self._rights = np.empty((most, width)), np.empty((most, width))
        self._term_of_y = np.empty(most, dtype=bool)
