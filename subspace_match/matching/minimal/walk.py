"""The decision tree of minimal matches, walked for many neurons at once (ours).

All neurons share one order of tests, and neurons with the same answers so far share a state. A node
of the tree is a state, the next test and the group of neurons that reached it together. One test
serves the whole group: neurons that are still in the match continue with the smaller match; neurons
that dropped out continue with the match before the test. Both parts of a split group are smaller
than the group, so n neurons cause at most n - 1 splits.

The smaller part of a split group goes on first, with a matrix of its own, while the larger part
waits with the old one. So at most log2(n) matrices wait at a time. Any thread can take a node that
waits. What a node computes depends on the node alone, so the number of threads changes no bit.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator

import numpy as np
import scipy.linalg

from ..backends.numpy_ import Cpu
from ..peeling.spans import RANK_TOLERANCE, SAFE_INVERSE, Spans, factor_spans
from ..peeling.updates import DEPENDS, ENTRY_ERROR, LOST_DIGITS, MOST_KEPT
from ..ties import tie_squares
from .compiled import (
    DONE,
    FULL,
    GROUP,
    LEFT_X,
    REFACTOR,
    SURVIVED,
    TERMS,
    Base,
    State,
    Tolerances,
    advance,
    decide,
    gather,
    resume,
    subtract_from,
)

MOST_TERMS = 64  # with this many terms the list is applied to the matrix
NEURONS_PER_TERM = 16  # but not before m / 16 terms for m neurons, since that copies the matrix

LOST_DUALS = 1e-16  # refactor when |w_i|^2 falls below this fraction of its maximum: 8 digits left
LOOKAHEAD_QUEUE = 8  # look ahead when this many neurons wait for removal
LOOKAHEAD_EFFORT = 1.0  # limit on the lookahead's cost, relative to the removals it may save
LONGEST_DUALS = 1.5  # shorten the duals when they are this many times longer than necessary

Node = tuple[Base, State]
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
        self.base, self._state = self._factor_columns(columns)

    def find_maximum(self, group: np.ndarray) -> bool:
        """Reduce the columns to their maximum match; return whether any of the group are in it."""
        state = _with_group(self.base, self._state, group)
        base, state, survived = self._settle(self.base, state)
        if survived and state.counts[TERMS] >= _most_terms(len(base.order)):
            base, state = _apply_terms(base, state)
        self.base, self._state = base, state
        return survived

    @property
    def columns(self) -> np.ndarray:
        """Columns of the maximum match, sorted, (m,) int64."""
        return np.sort(self.base.neurons[self._state.alive])

    @property
    def ties(self) -> bool:
        """Whether any distance seen counts as equal to epsilon."""
        return bool(self._ties[0])

    def spans(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return W of the maximum match, (m, m), its columns of F, (m,), and how many are X's."""
        # Removing near copies costs precision in P, so factor again instead of updating.
        has_duals = self.base.matrix.shape[1] > len(self.base.order)
        base, _ = (self._refactor if has_duals else _apply_terms)(self.base, self._state)
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
        state = _with_group(root, self._state.copy(), group)
        if len(group):
            yield from _in_threads((root, state), self._follow, threads)

    def _follow(self, node: Node, wait: Callable[[Node], None]) -> tuple[np.ndarray, np.ndarray]:
        """Test removals from a node on, until no neuron is undecided.

        Args:
            node: base and state; the group goes on with it, or with the smaller part of a split.
            wait: called with the node of the larger part.

        Returns:
            Columns that share a minimal match, and the columns of that match.
        """
        base, state = node
        decide(base, state, self._bound)
        while True:
            base_before, before = base, state.copy()
            most = _most_terms(len(base.order))
            outcome, tested = advance(base, state, before, self._bound, most)
            if outcome == DONE:
                return base.neurons[state.group], base.neurons[state.alive]
            if outcome == FULL:
                base, state = self._renew(base, state)
                continue
            before.undecided[tested] = False
            if outcome == REFACTOR:
                base, state, survived = self._settle(*self._refactor(base, state))
                if not survived:
                    base, state = base_before, before
                    continue
            stayed = base.neurons[state.group & state.alive]
            left = before.group & ~np.isin(base_before.neurons, stayed)
            _with_group(base, state, stayed)
            if not left.any():
                continue
            _with_group(base_before, before, base_before.neurons[left])
            parts = (base, state), (base_before, before)
            smaller, larger = sorted(parts, key=lambda part: int(part[1].counts[GROUP]))
            decide(*smaller, self._bound)
            base, state = self._renew(*smaller)
            wait(larger)

    def _renew(self, base: Base, state: State) -> Node:
        """Apply the list of terms, and keep the neurons that are needed then."""
        base, state = _apply_terms(base, state)
        decide(base, state, self._bound)
        return base, state

    def _settle(self, base: Base, state: State) -> tuple[Base, State, bool]:
        """Remove neurons until none is too far; also return whether any of the group remain."""
        while (outcome := resume(base, state, self._bound)) == REFACTOR:
            base, state = self._refactor(base, state)
        return base, state, outcome == SURVIVED

    def _refactor(self, base: Base, state: State) -> Node:
        """Compute the state of the remaining neurons from the factor."""
        group = base.neurons[state.group & state.alive]
        kept = base.neurons[~state.undecided & state.alive]
        base, state = self._factor_columns(base.neurons[state.alive])
        state.undecided[np.isin(base.neurons, kept)] = False
        return base, _with_group(base, state, group)

    def _factor_columns(self, columns: np.ndarray) -> Node:
        """Compute the state of these columns from the factor, with an empty group."""
        of_x = columns < self._width_x
        x, y = columns[of_x], columns[~of_x]
        products = self._products
        spans = self._factor_spans(x, y, products)
        if (np.diagonal(spans.coefficients) > SAFE_INVERSE).any() and spans.duals is None:
            # Too close to dependent to factor F'F instead of F.
            spans = self._factor_spans(x, y, None)
        matrix = spans.coefficients
        diagonal = np.diagonal(matrix).copy()
        if spans.duals is not None and (diagonal > SAFE_INVERSE).any():
            matrix = np.hstack([matrix, spans.duals])
        state = State(
            counts=np.array([0, len(x), len(y), 0]),
            residual=spans.residual,
            diagonal=diagonal,
            highest=diagonal.copy(),
            alive=np.ones(len(columns), dtype=bool),
            undecided=np.ones(len(columns), dtype=bool),
            basis=spans.basis.copy(),
            dependent=~spans.basis,
            group=np.zeros(len(columns), dtype=bool),
        )
        at_epsilon = state.residual >= self._tolerances.tie_square
        self._ties |= (at_epsilon & (state.residual <= self._bound)).any()
        rank, vectors = self._rank[spans.neurons], self._factor.T
        tolerances, ties = self._tolerances, self._ties
        return _base(spans.neurons, len(x), rank, matrix, state, vectors, tolerances, ties), state

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


def _most_terms(width: int) -> int:
    return max(MOST_TERMS, width // NEURONS_PER_TERM)


def _base(
    neurons: np.ndarray,
    rows_x: int,
    rank: np.ndarray,
    matrix: np.ndarray,
    start: State,
    vectors: np.ndarray,
    tolerances: Tolerances,
    ties: np.ndarray,
) -> Base:
    """Build a base with room for the longest list of terms and those of one more test."""
    width = len(neurons)
    each = 2 if start.dependent.any() else 1
    # Plus one term of an exchange and the last row of the test. Unused room takes no memory.
    room = _most_terms(width) + each * len(matrix) + 2
    lefts, rights = np.empty((room, width)), np.empty((room, matrix.shape[1]))
    return Base(
        *(neurons, int(start.counts[LEFT_X]), rows_x, rank, np.argsort(rank), matrix),
        *(lefts, rights, np.empty(room, dtype=np.int64), start.copy()),
        *(vectors, tolerances, ties),
    )


def _with_group(base: Base, state: State, group: np.ndarray) -> State:
    """Set the state's group to these neurons, in place."""
    state.group[:] = np.isin(base.neurons, group)
    state.counts[GROUP] = len(group)
    return state


def _apply_terms(base: Base, state: State) -> Node:
    """Build a new base with the terms applied, and without what no later removal reads."""
    terms, width, rows_x = state.counts[TERMS], len(base.order), base.rows_x
    # On either side undecided neurons come first, then others whose columns its rows need.
    alive = np.flatnonzero(state.alive)
    place = np.where(state.undecided, 0, np.where(state.dependent, 1, 2))[alive]
    in_y = alive >= base.width_x
    order = np.lexsort((place, in_y))
    kept, place, of_x = alive[order], place[order], int(state.counts[LEFT_X])
    columns = np.append(kept, np.arange(width, base.matrix.shape[1]))
    new_width, sides = len(kept), (slice(0, of_x), slice(of_x, None))
    rows = [int((place[side] == 0).sum()) for side in sides]
    near = [int((place[side] <= 1).sum()) for side in sides]
    needed = (
        (slice(0, near[0]), slice(of_x, None)),
        (slice(0, of_x + near[1]), slice(new_width, None)),
    )
    matrix = np.empty((sum(rows), len(columns)))
    matrix[: rows[0], near[0] : of_x] = matrix[rows[0] :, of_x + near[1] : new_width] = 0.0
    for side, (first, count, start) in enumerate(((0, rows[0], 0), (of_x, rows[1], rows[0]))):
        positions = kept[first : first + count]
        used = np.flatnonzero(base.term_side[:terms] == side)
        lefts = gather(base.lefts, used, positions)
        rights = gather(base.rights, used, columns)
        old_rows = positions if side == 0 else positions - base.width_x + rows_x
        for part in needed[side]:
            block = matrix[start : start + count, part]
            np.matmul(lefts.T, rights[:, part], out=block)
            subtract_from(block, base.matrix, old_rows, columns[part])
    counts = state.counts.copy()
    counts[TERMS] = 0
    state = State(counts, *(array[kept] for array in state[1:]))
    close = bool((state.highest[state.undecided] > SAFE_INVERSE).any())
    matrix = _shorten_duals(matrix, new_width, rows[0], close)
    neurons, rank = base.neurons[kept], base.rank[kept]
    shared = base.vectors, base.tolerances, base.ties
    return _base(neurons, rows[0], rank, matrix, state, *shared), state


def _shorten_duals(matrix: np.ndarray, width: int, rows_x: int, needed: bool) -> np.ndarray:
    """Express the duals over an orthonormal basis of their own span, or drop them if not needed."""
    rows, columns = matrix.shape
    if width == columns:
        return matrix
    if not needed:
        return np.ascontiguousarray(matrix[:, :width])
    longest = max(rows_x, rows - rows_x)
    if columns - width <= LONGEST_DUALS * longest:
        return matrix
    shorter = np.zeros((rows, width + longest))
    shorter[:, :width] = matrix[:, :width]
    for side in (slice(0, rows_x), slice(rows_x, None)):
        duals = matrix[side, width:]
        if len(duals):
            upper = scipy.linalg.qr(duals.T, mode="r", check_finite=False)[0]
            shorter[side, width : width + len(duals)] = upper[: len(duals)].T
    return shorter
