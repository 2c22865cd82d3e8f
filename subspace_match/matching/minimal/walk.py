"""The decision tree of minimal matches, walked for many neurons at once (ours).

All neurons share one order of tests, and neurons with the same answers so far share a state. A node
of the tree is a state, the next test and the group of neurons that reached it together. One test
serves the whole group: neurons that are still in the match continue with the smaller match; neurons
that dropped out continue with the match before the test. Both parts of a split group are smaller
than the group, so n neurons cause at most n - 1 splits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from ..backends.numpy_ import Cpu
from ..peeling.spans import RANK_TOLERANCE, SAFE_INVERSE, factor_spans
from ..peeling.updates import DEPENDS, ENTRY_ERROR, LOST_DIGITS, MOST_KEPT
from ..ties import tie_squares
from .compiled import (
    DONE,
    GROUP,
    LEFT_X,
    REFACTOR,
    SPLIT,
    SURVIVED,
    TERMS,
    Base,
    State,
    Tolerances,
    advance,
    gather,
    resume,
)

MOST_TERMS = 64  # with this many terms the list is applied to the matrix
NEURONS_PER_TERM = 4  # but not before m / 4 terms for m neurons, since that copies the matrix

LOST_DUALS = 1e-16  # refactor when |w_i|^2 falls below this fraction of its maximum: 8 digits left
LOOKAHEAD_QUEUE = 8  # look ahead when this many neurons wait for removal
LOOKAHEAD_EFFORT = 1.0  # limit on the lookahead's cost, relative to the removals it may save
LONGEST_DUALS = 1.5  # shorten the duals when they are this many times longer than necessary


class Walk:
    """Walks through the decision tree of one maximum match.

    Args:
        factor: F, (k, columns) float64, columns of norm 1.
        columns: columns in the maximum match, X's first, (m,) int64; or, if ``find_maximum`` is
            called next, all columns from which it chooses.
        width_x: columns of F before this one are X's.
        epsilon: in [0, 1).
        products: F'F, (columns, columns) float64, if all columns of F are known to be independent
            and F was computed from F'F; else None.
        tie_margin: as in ``PairMoments``.
    """

    def __init__(
        self,
        factor: np.ndarray,
        columns: np.ndarray,
        width_x: int,
        epsilon: float,
        products: np.ndarray | None,
        tie_margin: float,
    ) -> None:
        self._factor = np.ascontiguousarray(factor[: _height(factor)].T).T
        self._width_x = width_x
        tie_square, self._bound = tie_squares(epsilon, tie_margin)
        self._tolerances = Tolerances(
            *(RANK_TOLERANCE, DEPENDS, LOST_DIGITS, ENTRY_ERROR, MOST_KEPT, LOST_DUALS),
            *(LOOKAHEAD_QUEUE, LOOKAHEAD_EFFORT, tie_square),
        )
        self._ties = np.zeros(1, dtype=np.int64)
        self._products = products
        self._rank = np.zeros(factor.shape[1], dtype=np.int64)
        self.base, self._state = self._factor_columns(columns)

    def find_maximum(self, group: np.ndarray) -> bool:
        """Reduce the columns to their maximum match; return whether any of the group are in it."""
        state = _with_group(self.base, self._state, group)
        base, state, survived = self._settle(self.base, state, -1)
        if survived and state.counts[TERMS] >= _most_terms(len(base.order)):
            base, state = _apply_terms(base, state)
        self.base, self._state = base, state
        return survived

    @property
    def columns(self) -> np.ndarray:
        """Columns of the maximum match, sorted, (m,) int64."""
        return np.sort(self.base.neurons[self._state.alive])

    @property
    def ties(self) -> int:
        """Number of distances seen that count as equal to epsilon."""
        return int(self._ties[0])

    def spans(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return W of the maximum match, (m, m), its columns of F, (m,), and how many are X's."""
        # Removing near copies costs precision in P, so factor again instead of updating.
        has_duals = self.base.matrix.shape[1] > len(self.base.order)
        base, _ = (self._refactor if has_duals else _apply_terms)(self.base, self._state)
        width = len(base.neurons)
        return base.matrix[:, :width], base.neurons, base.width_x

    def walk(self, order: np.ndarray, group: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Find the minimal matches of a group of columns.

        Args:
            order: all columns of the maximum match, in the order in which to test their removal.
            group: columns whose minimal matches are searched.

        Yields:
            Columns of the group that share a minimal match, and the columns of that match.
        """
        self._rank[order] = np.arange(len(order))
        rank = self._rank[self.base.neurons]
        root = self.base._replace(rank=rank, order=np.argsort(rank))
        pending = [(root, _with_group(root, self._state.copy(), group), 0)]
        while pending:
            base, state, first = pending.pop()
            before, outcome = state.copy(), SPLIT
            while outcome != DONE:
                most = _most_terms(len(base.order))
                outcome, first = advance(base, state, before, first, self._bound, most)
                base_before = base
                if outcome == REFACTOR:
                    base, state, survived = self._settle(*self._refactor(base, state), first - 1)
                    if not survived:
                        base, state = base_before, before
                        before = state.copy()
                        continue
                if outcome in (REFACTOR, SPLIT):
                    stayed = base.neurons[state.group & state.alive]
                    left = before.group & ~np.isin(base_before.neurons, stayed)
                    if left.any():
                        _with_group(base_before, before, base_before.neurons[left])
                        pending.append((base_before, before, first))
                    _with_group(base, state, stayed)
                if outcome != DONE and state.counts[TERMS] >= most:
                    base, state = _apply_terms(base, state)
                before = state.copy()
            yield base.neurons[state.group], base.neurons[state.alive]

    def _settle(self, base: Base, state: State, earliest: int) -> tuple[Base, State, bool]:
        """Remove neurons until none is too far; also return whether any of the group remain."""
        while (outcome := resume(base, state, self._bound, earliest)) == REFACTOR:
            base, state = self._refactor(base, state)
        return base, state, outcome == SURVIVED

    def _refactor(self, base: Base, state: State) -> tuple[Base, State]:
        """Compute the state of the remaining neurons from the factor."""
        group = base.neurons[state.group & state.alive]
        base, state = self._factor_columns(base.neurons[state.alive])
        return base, _with_group(base, state, group)

    def _factor_columns(self, columns: np.ndarray) -> tuple[Base, State]:
        """Compute the state of these columns from the factor, with an empty group."""
        of_x = columns < self._width_x
        x, y = columns[of_x], columns[~of_x]
        independent = self._products is not None
        spans = factor_spans(
            *(self._factor, x, y, Cpu()),
            independent=independent,
            products=self._products,
            with_duals=not independent,
        )
        matrix = spans.coefficients
        diagonal = np.diagonal(matrix).copy()
        if (diagonal > SAFE_INVERSE).any():
            if spans.duals is None:
                self._products = None  # too close to dependent to factor F'F instead of F
                return self._factor_columns(columns)
            matrix = np.hstack([matrix, spans.duals])
        state = State(
            counts=np.array([0, len(x), len(y), 0]),
            residual=spans.residual,
            diagonal=diagonal,
            highest=diagonal.copy(),
            alive=np.ones(len(columns), dtype=bool),
            basis=spans.basis.copy(),
            dependent=~spans.basis,
            group=np.zeros(len(columns), dtype=bool),
        )
        at_epsilon = state.residual >= self._tolerances.tie_square
        self._ties += (at_epsilon & (state.residual <= self._bound)).sum()
        rank, vectors = self._rank[spans.neurons], self._factor.T
        base = _base(spans.neurons, rank, matrix, vectors, state, self._tolerances, self._ties)
        return base, state


def _height(factor: np.ndarray) -> int:
    """Return the number of F's rows without trailing rows that are only rounding."""
    below = np.sqrt(np.cumsum((factor[::-1] ** 2).max(1))[::-1])
    return int((below > RANK_TOLERANCE).sum())


def _most_terms(width: int) -> int:
    return max(MOST_TERMS, width // NEURONS_PER_TERM)


def _base(
    neurons: np.ndarray,
    rank: np.ndarray,
    matrix: np.ndarray,
    vectors: np.ndarray,
    state: State,
    tolerances: Tolerances,
    ties: np.ndarray,
) -> Base:
    """Build a base with room for the longest list of terms and those of one more test."""
    width = len(neurons)
    each = 2 if state.dependent.any() else 1
    # Plus one term of an exchange and the last row of the test. Unused room takes no memory.
    room = _most_terms(width) + each * width + 2
    lefts, rights = np.empty((room, width)), np.empty((room, matrix.shape[1]))
    return Base(
        *(neurons, int(state.counts[LEFT_X]), rank, np.argsort(rank), matrix),
        *(lefts, rights, np.empty(room, dtype=np.int64), vectors),
        tolerances,
        ties,
    )


def _with_group(base: Base, state: State, group: np.ndarray) -> State:
    """Set the state's group to these neurons, in place."""
    state.group[:] = np.isin(base.neurons, group)
    state.counts[GROUP] = len(group)
    return state


def _apply_terms(base: Base, state: State) -> tuple[Base, State]:
    """Build a new base with the terms applied to the matrix and without removed neurons."""
    terms, kept = state.counts[TERMS], np.flatnonzero(state.alive)
    columns = np.append(kept, np.arange(len(base.order), base.matrix.shape[1]))
    matrix = gather(base.matrix, kept, columns)
    of_x = int(state.counts[LEFT_X])
    sides = slice(None, of_x), slice(of_x, None)
    for side, rows in enumerate(sides):
        used = np.flatnonzero(base.term_side[:terms] == side)
        lefts = gather(base.lefts, used, kept[rows])
        rights = gather(base.rights, used, columns)
        Cpu().add_product(matrix[rows], lefts.T, rights, scale=-1.0)
    counts = state.counts.copy()
    counts[TERMS] = 0
    state = State(counts, *(array[kept] for array in state[1:]))
    matrix = _shorten_duals(matrix, sides, bool((state.highest > SAFE_INVERSE).any()))
    neurons, rank = base.neurons[kept], base.rank[kept]
    return _base(neurons, rank, matrix, base.vectors, state, base.tolerances, base.ties), state


def _shorten_duals(matrix: np.ndarray, sides: tuple[slice, slice], needed: bool) -> np.ndarray:
    """Express the duals over an orthonormal basis of their own span, or drop them if not needed."""
    width, columns = matrix.shape
    if width == columns:
        return matrix
    if not needed:
        return np.ascontiguousarray(matrix[:, :width])
    longest = max(len(matrix[rows]) for rows in sides)
    if columns - width <= LONGEST_DUALS * longest:
        return matrix
    shorter = np.zeros((width, width + longest))
    shorter[:, :width] = matrix[:, :width]
    for rows in sides:
        upper = scipy.linalg.qr(matrix[rows, width:].T, mode="r", check_finite=False)[0]
        shorter[rows, width : width + upper.shape[1]] = upper[: upper.shape[1]].T
    return shorter
