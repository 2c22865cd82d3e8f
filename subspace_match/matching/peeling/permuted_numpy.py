"""Peel a pair under many permutations at once, on the CPU (see ``permuted``)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..backends.numpy_ import Cpu
from ..reduction.factor import ACCURACY
from .permuted import PermutedRemovals
from .spans import over_basis_by_products
from .updates import SpanUpdates, lowest_accurate

STACK_BYTES = 2**24  # the matrices of a stack; larger ones leave the cache and take longer


def peel_permuted(
    own_x: np.ndarray,
    own_y: np.ndarray,
    crosses: np.ndarray,
    error: float,
    uppers: tuple[np.ndarray, np.ndarray] | None = None,
) -> PermutedRemovals | None:
    """Peel K pairs that have the same moments of each side and different cross moments.

    Args:
        own_x: X'X of unit columns, (n_x, n_x) float64.
        own_y: Y'Y of unit columns, (n_y, n_y).
        crosses: X'Y of unit columns under each permutation, (K, n_x, n_y).
        error: largest error of an entry of the moments.
        uppers: R and S, if the neurons' unit columns are X R and Y S, and X and Y are ``whitened``.

    Returns:
        The removals; None if a side's own neurons are dependent, so that no permutation is valid.
    """
    x, y = _Side.of(own_x), _Side.of(own_y)
    if x is None or y is None:
        return None
    neurons = None
    if uppers is not None:
        inverses = [
            Cpu().gram_inverse(np.triu(side.upper @ upper))
            for side, upper in zip((x, y), uppers, strict=True)
        ]
        neurons = list(zip(uppers, inverses, strict=True))
    size = max(1, STACK_BYTES // (8 * sum(crosses.shape[1:]) ** 2))
    parts: list[PermutedRemovals] = []
    for start in range(0, len(crosses), size):
        some = crosses[start : start + size]
        matrix, squares = _spans(x, y, some)
        margins = _errors_of_distances(x, y, some, matrix, error)
        if neurons is not None:
            _to_neurons(matrix, squares, _both_ways(x, y, some), neurons)
            # The columns come from the samples, which leaves distances as accurate as asked.
            margins[margins <= ACCURACY / 2] = ACCURACY / 2
        from_all = squares.copy()  # removals overwrite them
        stack = _Stack(matrix, squares, len(own_x))
        removed = stack.remove_all()
        parts.append(
            PermutedRemovals.of_all(*removed, from_all, len(own_x), margins, stack.accurate)
        )
        if not parts[-1].valid.any():
            break  # so it will be with the others
    return PermutedRemovals.joined(parts, len(crosses))


class _Side(NamedTuple):
    """What no permutation changes.

    Attributes:
        own: X'X, (n, n) float64.
        upper: U with U'U = X'X, (n, n) upper triangular.
        inverse: of X'X.
    """

    own: np.ndarray
    upper: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, own: np.ndarray) -> _Side | None:
        """Factor a side's moments; None if its columns are dependent."""
        upper = Cpu().cholesky(own)
        return None if upper is None else cls(own, upper, Cpu().gram_inverse(upper))


BothWays = tuple[tuple[_Side, slice, slice, np.ndarray], ...]


def _both_ways(x: _Side, y: _Side, crosses: np.ndarray) -> BothWays:
    """Return each side with its positions, those of the other side, and its cross moments."""
    of_x, of_y = slice(len(x.own)), slice(len(x.own), None)
    return (x, of_x, of_y, crosses), (y, of_y, of_x, crosses.transpose(0, 2, 1))


def _spans(x: _Side, y: _Side, crosses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients W and the squared distances, (K, m, m) and (K, m); see ``spans``."""
    count, width_x, width_y = crosses.shape
    width = width_x + width_y
    matrix, squares = np.empty((count, width, width)), np.empty((count, width))
    for side, mine, others, across in _both_ways(x, y, crosses):
        # One product with the columns of all permutations.
        flat = across.transpose(1, 0, 2).reshape(len(side.own), -1)
        over, distances = over_basis_by_products(side.upper, side.inverse, flat, Cpu())
        matrix[:, mine, mine] = side.inverse
        matrix[:, mine, others] = over.reshape(len(side.own), count, -1).transpose(1, 0, 2)
        squares[:, others] = distances.reshape(count, -1)
    return matrix, squares


def _errors_of_distances(
    x: _Side, y: _Side, crosses: np.ndarray, matrix: np.ndarray, error: float
) -> np.ndarray:
    """Return the error of each permutation's distances, (K,); inf if its neurons are dependent.

    See ``factor_from_moments``. The blocks of the inverse of the joint moments that belong to X and
    to Y are the inverses of X'X - X'Y B and Y'Y - Y'X B, with the coefficients B over the other
    side.
    """
    device = Cpu()
    largest = np.zeros(len(crosses))
    for side, mine, others, across in _both_ways(x, y, crosses):
        for number, (cross, own) in enumerate(zip(across, matrix, strict=True)):
            schur = side.own - device.product(cross, own[others, mine])
            factor = device.cholesky((schur + schur.T) / 2)
            found = np.inf
            if factor is not None:
                found = (device.triangular_inverse(factor) ** 2).sum(1).max()
            largest[number] = max(largest[number], found)
    return 2 * error * largest


def _to_neurons(
    matrix: np.ndarray,
    squares: np.ndarray,
    both_ways: BothWays,
    neurons: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Replace the spans of whitened columns X and Y by those of the neurons X R and Y S.

    The coefficients of Y S over X R are R^-1 B S, with B those of Y over X.

    Args:
        matrix: W, overwritten.
        squares: squared distances, overwritten.
        both_ways: of X and Y.
        neurons: R and the inverse of R'X'X R, and the same of Y.
    """
    owns = zip(both_ways, neurons, reversed(neurons), strict=True)
    for (side, mine, others, across), (own, inverse), (other, _) in owns:
        over = np.matmul(matrix[:, mine, others], other)
        squares[:, others] = 1.0 - (over * np.matmul(across, other)).sum(1)
        flat = over.transpose(1, 0, 2).reshape(len(side.own), -1)
        solved = Cpu().triangular_solve(own, flat).reshape(len(side.own), len(matrix), -1)
        matrix[:, mine, others] = solved.transpose(1, 0, 2)
        matrix[:, mine, mine] = inverse


class _Stack:
    """The spans of many pairs, from each of which neurons are removed one by one.

    Attributes:
        accurate: whether a pair has lost no digits so far, (K,) bool.
    """

    def __init__(self, matrix: np.ndarray, residual: np.ndarray, width_x: int) -> None:
        self._matrix, self._residual = matrix, residual
        count, width = residual.shape
        self._columns = np.broadcast_to(np.arange(width), (count, width))
        self._of_x = self._columns < width_x
        self._highest = self._diagonal = np.diagonal(matrix, axis1=1, axis2=2).copy()
        self.accurate = np.ones(count, dtype=bool)

    def remove_all(self) -> tuple[np.ndarray, np.ndarray]:
        """Remove the farthest neuron of every pair, until none is left.

        Returns:
            The removed columns and their squared distances, (K, m).
        """
        order, squares = [], []
        left = self._residual.shape[1]
        while left:
            if left <= SpanUpdates.COMPACT * self._residual.shape[1]:
                self._compact(left)
            columns, own = self._remove_block(min(SpanUpdates.BLOCK, left))
            order.append(columns)
            squares.append(own)
            left -= columns.shape[1]
        return np.concatenate(order, 1), np.concatenate(squares, 1)

    def _remove_block(self, removals: int) -> tuple[np.ndarray, np.ndarray]:
        residual, matrix = self._residual, self._matrix
        count, width = residual.shape
        every, lowest = np.arange(count), lowest_accurate(self._highest)
        lefts, rights = np.empty((2, count, removals, width))
        places = np.empty((count, removals), dtype=np.int64)
        squares = np.empty((count, removals))
        for step in range(removals):
            place = residual.argmax(1)
            places[:, step], squares[:, step] = place, residual[every, place]
            residual[every, place] = -np.inf
            row, left = rights[:, step], lefts[:, step]
            row[:] = matrix[every, place]
            if step:
                weights = lefts[every, :step, place]
                row -= np.matmul(weights[:, None, :], rights[:, :step])[:, 0]
            pivot = row[every, place]
            self.accurate &= pivot >= lowest[every, place]
            # What has lost its digits changes no more, so that it cannot overflow.
            scaled = row / np.where(self.accurate, pivot, np.inf)[:, None]
            np.multiply(scaled, self._of_x == self._of_x[every, place][:, None], out=left)
            scaled -= left
            scaled *= row
            residual += scaled
        self._diagonal = self._diagonal - np.einsum("ksm,ksm->km", lefts, rights)
        self.accurate &= ((self._diagonal >= lowest) | (residual == -np.inf)).all(1)
        for own, own_lefts, own_rights in zip(matrix, lefts, rights, strict=True):
            Cpu().add_product(own, own_lefts.T, own_rights, scale=-1.0)
        return np.take_along_axis(self._columns, places, 1), squares

    def _compact(self, left: int) -> None:
        """Copy the state without removed neurons."""
        kept = np.nonzero(self._residual > -np.inf)[1].reshape(-1, left)
        pairs = zip(self._matrix, kept, strict=True)
        self._matrix = np.stack([own.take(rows, 0).take(rows, 1) for own, rows in pairs])
        for name in ("_residual", "_columns", "_of_x", "_highest", "_diagonal"):
            setattr(self, name, np.take_along_axis(getattr(self, name), kept, 1))
