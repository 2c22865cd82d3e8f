"""The decision tree of minimal matches, walked for many neurons at once (ours).

All neurons share one order of tests, and neurons with the same answers so far share a state. A node
of the tree is a state, the next test and the group of neurons that reached it together. One test
serves the whole group: neurons that are still in the match continue with the smaller match; neurons
that dropped out continue with the match before the test. Both parts of a split group are smaller
than the group, so n neurons cause at most n - 1 splits.

The smaller part of a split group goes on first, while the larger part waits. Both have the same
matrix, which is not changed any more; each copies it when it has to apply its terms. So at most
log2(n) matrices wait at a time. Any thread can take a node that waits. What a node computes depends
on the node alone, so the number of threads changes no bit.

A part with one neuron makes as many tests at once as it can (see ``alone``). Then few neurons are
left of many, and they are factored anew. A search for one neuron alone does not: most of its time
goes to the first factorisation.
"""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Generator, Iterable

import numpy as np
import scipy.linalg

from ..backends.numpy_ import Cpu
from ..peeling.spans import SAFE_INVERSE, Spans, factor_spans
from ..peeling.updates import DEPENDS, ENTRY_ERROR, LOST_DIGITS, MOST_KEPT
from ..rank import RANK_TOLERANCE
from ..ties import tie_squares
from .alone import decide_alone
from .compiled import (
    ALIVE,
    DEPENDENT,
    DONE,
    FULL,
    GROUP,
    HIGHEST,
    KEPT,
    LEFT,
    REFACTOR,
    SURVIVED,
    TERMS,
    Base,
    State,
    Tolerances,
    advance,
    columns_of,
    decide,
    gather,
    resume,
    rows_of,
    share_in_use,
)
from .products import subtract_product

MOST_TERMS = 64  # a list with this many terms is applied to the matrix
LEAST_IN_USE = 0.7  # if less of the matrix is in use, the rest is left out

LOST_DUALS = 1e-16  # refactor when |w_i|^2 falls below this fraction of its maximum: 8 digits left
LOOKAHEAD_QUEUE = 8  # look ahead when this many neurons wait for removal
LOOKAHEAD_EFFORT = 1.0  # limit on the lookahead's cost, relative to the removals it may save
LONGEST_DUALS = 1.5  # shorten the duals when they are this many times longer than necessary

Node = tuple[Base, State, bool]  # whether another node may have the same matrix
Found = tuple[np.ndarray, np.ndarray]


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
        self.base, self._state = self._factor_columns(columns, products)

    def find_maximum(self, group: np.ndarray) -> bool:
        """Reduce the columns to their maximum match; return whether any of the group are in it."""
        state = _with_group(self.base, self._state, group)
        base, state, survived = self._settle(self.base, state)
        if survived and state.counts[TERMS : TERMS + 2].max() >= MOST_TERMS:
            base, state = _select(base, state)
            base = _apply_terms(base, state, range(2))
        self.base, self._state = base, state
        return survived

    @property
    def columns(self) -> np.ndarray:
        """Columns of the maximum match, sorted, (m,) int64."""
        return np.sort(self.base.neurons[self._state.flags[ALIVE]])

    @property
    def ties(self) -> bool:
        """Whether any distance seen counts as equal to epsilon."""
        return bool(self._ties[0])

    def spans(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return W of the maximum match, (m, m), its columns of F, (m,), and how many are X's."""
        # Removing near copies costs precision in P, so factor again instead of updating.
        has_duals = self.base.matrix.shape[1] > len(self.base.order)
        if has_duals:
            base, _ = self._refactor(self.base, self._state)
        else:
            base = _apply_terms(*_select(self.base, self._state), range(2))
        width = len(base.neurons)
        return base.matrix[:, :width], base.neurons, base.width_x

    def walk(
        self, order: np.ndarray, group: np.ndarray, threads: int
    ) -> Generator[Found, None, None]:
        """Find the minimal matches of a group of columns.

        Args:
            order: all columns of the maximum match, in the order in which to test their removal.
            group: columns whose minimal matches are searched.
            threads: number of threads, at least 1.

        Yields:
            Columns of the group that share a minimal match, and the columns of that match.
        """
        self._rank[order] = np.arange(len(order))
        rank = self._rank[self.base.neurons]
        root = self.base._replace(rank=rank, order=np.argsort(rank))
        state = self._state.copy()
        self._set_group(root, state, group)
        if len(group):
            yield from _in_threads((root, state, True), self._follow, threads)

    def _follow(self, node: Node, wait: Callable[[Node], None]) -> tuple[np.ndarray, np.ndarray]:
        """Test removals from a node on, until no neuron is undecided.

        Args:
            node: base, state, and whether another node may have the base's matrix, which is then
                never changed; the group goes on with it, or with the smaller part of a split.
            wait: called with the node of the larger part.

        Returns:
            Columns that share a minimal match, and the columns of that match.
        """
        base, state, shared = node
        while True:
            base_before, before, shared_before = base, state.copy(), shared
            outcome, tested = advance(base, state, before, self._bound, MOST_TERMS)
            if outcome == DONE:
                return base.neurons[state.group], base.neurons[state.flags[ALIVE]]
            if outcome == FULL:
                base, state = self._renew(base, state, shared)
                shared = False
                continue
            before.flags[KEPT, tested] = True
            if outcome == REFACTOR:
                base, state, survived = self._settle(*self._refactor(base, state))
                shared = False
                if not survived:
                    base, state, shared = base_before, before, shared_before
                    continue
            stayed = base.neurons[state.group & state.flags[ALIVE]]
            left = before.group & ~np.isin(base_before.neurons, stayed)
            self._set_group(base, state, stayed)
            if not left.any():
                continue
            self._set_group(base_before, before, base_before.neurons[left])
            both = base is base_before
            parts = (base, state, shared or both), (base_before, before, shared_before or both)
            smaller, larger = sorted(parts, key=lambda part: int(part[1].counts[GROUP]))
            base, state, shared = self._begin(smaller, both)
            wait(self._begin(larger, False))

    def _set_group(self, base: Base, state: State, group: np.ndarray) -> None:
        """Set the group to these neurons; a single one is kept."""
        _with_group(base, state, group)
        if len(group) == 1:
            state.flags[KEPT, state.group] = True

    def _begin(self, node: Node, common: bool) -> Node:
        """Return a part of a split ready for its tests, after those that can be made at once.

        Args:
            node: the part.
            common: whether another node may append terms to the same lists.
        """
        base, state, shared = node
        if state.counts[GROUP] == 1:
            decided = decide_alone(base, state, self._gram, self._bound)
            if decided is not None:
                return *self._continue(base, state, *decided), False
        if common and state.counts[TERMS : TERMS + 2].max() >= MOST_TERMS // 2:
            return *self._renew(base, state, shared), False
        return (_with_own_lists(base, state) if common else base), state, shared

    def _continue(
        self, base: Base, state: State, alive: np.ndarray, kept: np.ndarray
    ) -> tuple[Base, State]:
        """Return the state with these flags, of the neurons that remain if some are undecided."""
        state = state.copy()
        state.flags[ALIVE], state.flags[KEPT] = alive, kept
        if (alive & ~kept).any():
            base, state = self._refactor(base, state)
            for side in range(2):
                decide(base, state, side, self._bound)
        return base, state

    @functools.cached_property
    def _gram(self) -> np.ndarray:
        """F'F: accurate where neurons are far from dependent, even if not all of F's are."""
        return self._factor.T @ self._factor if self._products is None else self._products

    def _renew(self, base: Base, state: State, shared: bool) -> tuple[Base, State]:
        """Apply the long lists of terms, and keep the neurons that are needed then."""
        has_duals = base.matrix.shape[1] > len(base.order)
        shortest = 1 if has_duals else MOST_TERMS // 2
        if shared or share_in_use(base, state) < LEAST_IN_USE:
            base, state = _select(base, state)
        applied = np.flatnonzero(state.counts[TERMS : TERMS + 2] >= shortest).tolist()
        base = _apply_terms(base, state, applied)
        for side in applied:
            decide(base, state, side, self._bound)
        return base, state

    def _settle(self, base: Base, state: State) -> tuple[Base, State, bool]:
        """Remove neurons until none is too far; also return whether any of the group remain."""
        while (outcome := resume(base, state, self._bound)) == REFACTOR:
            base, state = self._refactor(base, state)
        return base, state, outcome == SURVIVED

    def _refactor(self, base: Base, state: State) -> tuple[Base, State]:
        """Compute the state of the remaining neurons from F'F, if it is accurate enough, or F."""
        alive = state.flags[ALIVE]
        group, kept = (base.neurons[of & alive] for of in (state.group, state.flags[KEPT]))
        columns = base.neurons[alive]
        of_x = columns < self._width_x
        definite = all(
            Cpu().cholesky(self._gram[np.ix_(own, own)]) is not None
            for own in (columns[of_x], columns[~of_x])
        )
        base, state = self._factor_columns(columns, self._gram if definite else None)
        state.flags[KEPT, np.isin(base.neurons, kept)] = True
        return base, _with_group(base, state, group)

    def _factor_columns(
        self, columns: np.ndarray, products: np.ndarray | None
    ) -> tuple[Base, State]:
        """Compute the state of these columns, with an empty group.

        Args:
            columns: columns of F, (m,) int64.
            products: F'F, if it is positive definite for either side's columns; None to use F.
        """
        of_x = columns < self._width_x
        x, y = columns[of_x], columns[~of_x]
        spans = self._factor_spans(x, y, products)
        if spans.duals is None and not (np.diagonal(spans.coefficients) <= SAFE_INVERSE).all():
            # Too close to dependent to factor F'F instead of F.
            spans = self._factor_spans(x, y, None)
        matrix = spans.coefficients
        diagonal = np.diagonal(matrix).copy()
        if spans.duals is not None and (diagonal > SAFE_INVERSE).any():
            matrix = np.hstack([matrix, spans.duals])
        ones = np.ones(len(columns), dtype=bool)
        state = State(
            counts=np.array([0, 0, len(x), len(y), 0]),
            numbers=np.stack([spans.residual, diagonal, diagonal]),
            flags=np.stack([ones, ~ones, spans.basis, ~spans.basis]),
            group=np.zeros(len(columns), dtype=bool),
        )
        at_epsilon = spans.residual >= self._tolerances.tie_square
        self._ties |= (at_epsilon & (spans.residual <= self._bound)).any()
        rank, vectors = self._rank[spans.neurons], self._factor.T
        base = _base(
            *(spans.neurons, len(x), 0, 0, len(columns), rank, matrix, state),
            *(vectors, self._tolerances, self._ties),
        )
        return base, state

    def _factor_spans(self, x: np.ndarray, y: np.ndarray, products: np.ndarray | None) -> Spans:
        independent = products is not None
        return factor_spans(
            *(self._factor, x, y, Cpu()),
            independent=independent,
            products=products,
            with_duals=not independent,
        )


def _in_threads(
    root: Node, follow: Callable[[Node, Callable[[Node], None]], Found], threads: int
) -> Generator[Found, None, None]:
    """Follow a node and all nodes that it makes wait, the last one first; yield what they find."""
    if threads == 1:
        stack = [root]
        while stack:
            yield follow(stack.pop(), stack.append)
        return
    waiting: queue.LifoQueue[Node | None] = queue.LifoQueue()
    results: queue.SimpleQueue[Found | BaseException | None] = queue.SimpleQueue()

    def wait(node: Node) -> None:
        results.put(None)
        waiting.put(node)

    def work() -> None:
        while (node := waiting.get()) is not None:
            try:
                results.put(follow(node, wait))
            except BaseException as error:  # the caller's thread raises it
                results.put(error)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    try:
        waiting.put(root)
        for worker in workers:
            worker.start()
        unfinished = 1
        while unfinished:
            result = results.get()
            if result is None:  # comes before the result of the node that made another one wait
                unfinished += 1
            elif isinstance(result, BaseException):
                raise result
            else:
                unfinished -= 1
                yield result
    finally:
        for _ in workers:  # on top of the stack, so that no worker takes another node
            waiting.put(None)
        for worker in workers:
            worker.join()


def _height(factor: np.ndarray) -> int:
    """Return the number of F's rows without trailing rows that are only rounding."""
    below = np.sqrt(np.cumsum((factor[::-1] ** 2).max(1))[::-1])
    return int((below > RANK_TOLERANCE).sum())


def _base(
    neurons: np.ndarray,
    width_x: int,
    first_row: int,
    first_x: int,
    last_y: int,
    rank: np.ndarray,
    matrix: np.ndarray,
    state: State,
    vectors: np.ndarray,
    tolerances: Tolerances,
    ties: np.ndarray,
) -> Base:
    """Build a base with room for the longest lists of terms and those of one more test."""
    dependents, duals = bool(state.flags[DEPENDENT].any()), matrix.shape[1] > len(neurons)
    each = 2 if dependents else 1
    if duals:
        last_y = matrix.shape[1]
    # Plus one term of an exchange and the last row of the test. Unused room takes no memory.
    room = max(MOST_TERMS, *state.counts[TERMS : TERMS + 2]) + each * len(matrix) + 2
    lefts, rights = (np.empty((2, room, width)) for width in (len(neurons), matrix.shape[1]))
    return Base(
        *(neurons, width_x, first_row, first_x, last_y, dependents or duals),
        *(rank, np.argsort(rank), matrix, lefts, rights),
        *(vectors, tolerances, ties),
    )


def _with_group(base: Base, state: State, group: np.ndarray) -> State:
    """Set the state's group to these neurons, in place."""
    state.group[:] = np.isin(base.neurons, group)
    state.counts[GROUP] = len(group)
    return state


def _with_own_lists(base: Base, state: State) -> Base:
    """Return a base with the same matrix and a copy of the lists of terms."""
    lefts, rights = np.empty_like(base.lefts), np.empty_like(base.rights)
    for side in range(2):
        terms = state.counts[TERMS + side]
        lefts[side, :terms] = base.lefts[side, :terms]
        rights[side, :terms] = base.rights[side, :terms]
    return base._replace(lefts=lefts, rights=rights)


def _apply_terms(base: Base, state: State, sides: Iterable[int]) -> Base:
    """Subtract the terms of sides from their rows, in place; return the base with shorter duals."""
    for side in sides:
        terms = state.counts[TERMS + side]
        (first, last), columns = rows_of(base, side), slice(*columns_of(base, side))
        subtract_product(
            base.matrix[first - base.first_row : last - base.first_row, columns],
            base.lefts[side, :terms, first:last],
            base.rights[side, :terms, columns],
        )
        state.counts[TERMS + side] = 0
    # Terms on a list belong to the present duals.
    return base if state.counts[TERMS : TERMS + 2].any() else _shorten_duals(base, state)


def _select(base: Base, state: State) -> tuple[Base, State]:
    """Copy to a new base what later removals may read."""
    alive = np.flatnonzero(state.flags[ALIVE])
    # The neurons with a row, which are the undecided ones, lie in the middle.
    place = np.where(state.flags[KEPT], np.where(state.flags[DEPENDENT], 1, 2), 0)[alive]
    place[alive < base.width_x] *= -1
    order = np.lexsort((place, alive >= base.width_x))
    chosen, place, width_x = alive[order], place[order], int(state.counts[LEFT])
    columns = np.append(chosen, np.arange(len(base.order), base.matrix.shape[1]))
    of_x, of_y = place[:width_x], place[width_x:]
    first_row, end_row = int((of_x < 0).sum()), width_x + int((of_y == 0).sum())
    first_x, last_y = int((of_x < -1).sum()), width_x + int((of_y <= 1).sum())
    matrix = np.empty((end_row - first_row, len(columns)))
    new_state = State(state.counts.copy(), *(array.take(chosen, axis=-1) for array in state[1:]))
    new = _base(
        *(base.neurons[chosen], width_x, first_row, first_x, last_y, base.rank[chosen], matrix),
        *(new_state, base.vectors, base.tolerances, base.ties),
    )
    for side in range(2):
        first, last = rows_of(new, side)
        column, end = columns_of(new, side)
        rows, needed = chosen[first:last], columns[column:end]
        gather(base.matrix, rows - base.first_row, needed, matrix[first - first_row :], column)
        terms = np.arange(state.counts[TERMS + side])
        gather(base.lefts[side], terms, rows, new.lefts[side], first)
        gather(base.rights[side], terms, needed, new.rights[side], column)
    return new, new_state


def _shorten_duals(base: Base, state: State) -> Base:
    """Express the duals over an orthonormal basis of their own span, or drop them if not needed."""
    (rows, columns), width = base.matrix.shape, len(base.order)
    if columns == width:
        return base
    rows_x = base.width_x - base.first_row
    longest = max(rows_x, rows - rows_x)
    if (state.numbers[HIGHEST, ~state.flags[KEPT]] > SAFE_INVERSE).any():
        if columns - width <= LONGEST_DUALS * longest:
            return base
        shorter = np.zeros((rows, width + longest))
        for side in (slice(0, rows_x), slice(rows_x, None)):
            duals = base.matrix[side, width:]
            if len(duals):
                upper = scipy.linalg.qr(duals.T, mode="r", check_finite=False)[0]
                shorter[side, width : width + len(duals)] = upper[: len(duals)].T
    else:
        shorter = np.empty((rows, width))
    shorter[:, :width] = base.matrix[:, :width]
    rights = np.empty((*base.rights.shape[:2], shorter.shape[1]))
    return base._replace(matrix=shorter, rights=rights, last_y=shorter.shape[1])
