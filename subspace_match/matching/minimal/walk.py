"""The decision tree of minimal matches, walked for many neurons at once (ours).

With one order of tests for every neuron v, neurons that have had the same answers so far share a
state. A node is a state, the next test and the group of neurons that have come there together. One
test serves the group: those that are still inside go on with the shrunken match, those that fell
out with the match as it was. Every test that divides a group makes it smaller, so of n neurons'
walks there are at most n - 1 partings.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from ..backends.numpy_ import Cpu
from ..peeling.spans import RANK_TOLERANCE, SAFE_INVERSE, factor_spans
from ..peeling.updates import DEPENDS, ENTRY_ERROR, LOST_DIGITS, MOST_KEPT
from ..ties import tie_squares
from .tree import (
    DONE,
    GROUP,
    LEFT_X,
    LOST,
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

MOST_TERMS = 64  # terms after which the list is applied to the matrix, where the matrix is small
SHARE_OF_TERMS = 4  # for m neurons not before m / 4, so that few matrices are made

LOST_SQUARES = 1e-16  # the share of its square that a dual may fall to: 8 of its 16 digits are left
MANY = 8  # that wait for their removal: then it is first looked whether any can stay
EFFORT = 1.0  # that this may take, in removals of those waiting
COORDINATES = 1.5  # the duals get as short as they can be where they are so much longer


class Walk:
    """The walks of one maximum match.

    Args:
        factor: F, (k, columns) float64, columns of norm 1.
        columns: those in the maximum match, X's first; (m,) int64. If it is still to be found, all
            among which to ``find_maximum``.
        width_x: columns of F before this one are X's.
        epsilon: in [0, 1).
        products: F'F, (columns, columns) float64, if all columns of F are known to be independent
            and F comes from it.
        tie_margin: as of ``PairMoments``.
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
            *(RANK_TOLERANCE, DEPENDS, LOST_DIGITS, ENTRY_ERROR, MOST_KEPT, LOST_SQUARES),
            *(MANY, EFFORT, tie_square),
        )
        self._ties = np.zeros(1, dtype=np.int64)
        self._products = products
        self._rank = np.zeros(factor.shape[1], dtype=np.int64)
        self.base, self._state = self._factor_anew(columns)

    def find_maximum(self, group: np.ndarray) -> bool:
        """Go on with the maximum match of the columns; False if none of this group are in it."""
        state = _with_group(self.base, self._state, group)
        base, state, survived = self._settle(self.base, state, -1)
        if survived and state.counts[TERMS] >= _most_terms(base):
            base, state = _apply(base, state)
        self.base, self._state = base, state
        return survived

    @property
    def columns(self) -> np.ndarray:
        """Columns of the maximum match, sorted, (m,) int64."""
        return np.sort(self.base.neurons[self._state.alive])

    @property
    def ties(self) -> int:
        """How often a distance has been seen that counts as at epsilon."""
        return int(self._ties[0])

    def spans(self) -> tuple[np.ndarray, np.ndarray, int]:
        """W of the maximum match, (m, m); the columns of its neurons, (m,); how many are X's."""
        # With near copies P may have lost digits: it has them again without those that have left.
        near = self.base.matrix.shape[1] > len(self.base.order)
        base, _ = (self._again if near else _apply)(self.base, self._state)
        width = len(base.neurons)
        return base.matrix[:, :width], base.neurons, base.width_x

    def walk(self, order: np.ndarray, group: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Minimal matches of a group of columns.

        Args:
            order: every column of the maximum match, in the order in which to test its removal.
            group: the columns whose minimal matches are sought.

        Yields:
            Columns that have the same minimal match, and that match's columns.
        """
        self._rank[order] = np.arange(len(order))
        rank = self._rank[self.base.neurons]
        root = self.base._replace(rank=rank, order=np.argsort(rank))
        pending = [(root, _with_group(root, self._state.copy(), group), 0)]
        while pending:
            base, state, first = pending.pop()
            before, outcome = state.copy(), SPLIT
            while outcome != DONE:
                most = _most_terms(base)
                outcome, first = advance(base, state, before, first, self._bound, most)
                origin = base
                if outcome == LOST:
                    base, state, survived = self._settle(*self._again(base, state), first - 1)
                    if not survived:
                        base, state = origin, before
                        before = state.copy()
                        continue
                if outcome in (LOST, SPLIT):
                    fallen = before.group.copy()
                    fallen[np.isin(origin.neurons, base.neurons[state.group & state.alive])] = False
                    if fallen.any():
                        members = origin.neurons[fallen]
                        pending.append((origin, _with_group(origin, before, members), first))
                    _with_group(base, state, base.neurons[state.group & state.alive])
                if outcome != DONE and state.counts[TERMS] >= most:
                    base, state = _apply(base, state)
                before = state.copy()
            yield base.neurons[state.group], base.neurons[state.alive]

    def _settle(self, base: Base, state: State, earliest: int) -> tuple[Base, State, bool]:
        """Remove whoever is too far, until nobody is; whether some of the group are left."""
        while (outcome := resume(base, state, self._bound, earliest)) == LOST:
            base, state = self._again(base, state)
        return base, state, outcome == SURVIVED

    def _again(self, base: Base, state: State) -> tuple[Base, State]:
        """The same state, from the factor."""
        group = base.neurons[state.group & state.alive]
        base, state = self._factor_anew(base.neurons[state.alive])
        return base, _with_group(base, state, group)

    def _factor_anew(self, columns: np.ndarray) -> tuple[Base, State]:
        """The state of these columns, from the factor."""
        of_x = columns < self._width_x
        x, y = columns[of_x], columns[~of_x]
        independent = self._products is not None
        spans = factor_spans(
            *(self._factor, x, y, Cpu()),
            independent=(independent, independent),
            products=self._products,
            with_duals=not independent,
        )
        matrix = spans.coefficients
        diagonal = np.diagonal(matrix).copy()
        if (diagonal > SAFE_INVERSE).any():
            if spans.duals is None:
                self._products = None  # independent, but not far enough from dependent
                return self._factor_anew(columns)
            matrix = np.hstack([matrix, spans.duals])
        state = State(
            counts=np.array([0, len(x), len(y), 0]),
            residual=spans.residual,
            diagonal=diagonal,
            highest=diagonal.copy(),
            alive=np.ones(len(columns), dtype=bool),
            basis=spans.basis.copy(),
            reserve=~spans.basis,
            group=np.zeros(len(columns), dtype=bool),
        )
        at_epsilon = state.residual >= self._tolerances.tie_square
        self._ties += (at_epsilon & (state.residual <= self._bound)).sum()
        rank, vectors = self._rank[spans.neurons], self._factor.T
        base = _base(spans.neurons, rank, matrix, vectors, state, self._tolerances, self._ties)
        return base, state


def _height(factor: np.ndarray) -> int:
    """Number of F's rows without the last ones, where these hold nothing but rounding."""
    below = np.sqrt(np.cumsum((factor[::-1] ** 2).max(1))[::-1])
    return int((below > RANK_TOLERANCE).sum())


def _most_terms(base: Base) -> int:
    return max(MOST_TERMS, len(base.order) // SHARE_OF_TERMS)


def _base(
    neurons: np.ndarray,
    rank: np.ndarray,
    matrix: np.ndarray,
    vectors: np.ndarray,
    state: State,
    tolerances: Tolerances,
    ties: np.ndarray,
) -> Base:
    """A base with room for the terms of one test beyond the longest list that is kept."""
    width = len(neurons)
    each = 2 if state.reserve.any() else 1
    # Two more, for an exchange's row and for the last test's. Memory is only taken where written.
    room = max(MOST_TERMS, width // SHARE_OF_TERMS) + each * width + 2
    lefts, rights = np.empty((room, width)), np.empty((room, matrix.shape[1]))
    return Base(
        *(neurons, int(state.counts[LEFT_X]), rank, np.argsort(rank), matrix),
        *(lefts, rights, np.empty(room, dtype=np.int64), vectors),
        tolerances,
        ties,
    )


def _with_group(base: Base, state: State, group: np.ndarray) -> State:
    """The same state, for these neurons."""
    state.group[:] = np.isin(base.neurons, group)
    state.counts[GROUP] = len(group)
    return state


def _apply(base: Base, state: State) -> tuple[Base, State]:
    """A base of its own for a state: its terms taken from the matrix, without what has left."""
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
    matrix = _short_duals(matrix, sides, bool((state.highest > SAFE_INVERSE).any()))
    neurons, rank = base.neurons[kept], base.rank[kept]
    return _base(neurons, rank, matrix, base.vectors, state, base.tolerances, base.ties), state


def _short_duals(matrix: np.ndarray, sides: tuple[slice, slice], needed: bool) -> np.ndarray:
    """The same matrix, its duals over an orthonormal basis of what they span, if needed at all."""
    width, columns = matrix.shape
    if width == columns:
        return matrix
    if not needed:
        return np.ascontiguousarray(matrix[:, :width])
    longest = max(len(matrix[rows]) for rows in sides)
    if columns - width <= COORDINATES * longest:
        return matrix
    shorter = np.zeros((width, width + longest))
    shorter[:, :width] = matrix[:, :width]
    for rows in sides:
        upper = scipy.linalg.qr(matrix[rows, width:].T, mode="r", check_finite=False)[0]
        shorter[rows, width : width + upper.shape[1]] = upper[: upper.shape[1]].T
    return shorter
