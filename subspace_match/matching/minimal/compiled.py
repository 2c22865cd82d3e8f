"""Compiled loops that test a removal: remove one neuron and find which others leave with it (ours).

The matrix W of ``peeling.spans`` is never changed. Each removal appends one rank-one term to a
list, and an exchange (see ``peeling.peel``) appends two. The current value of a row of W is its row
in the matrix minus the list's terms, so a removal with k terms costs O(m k). A rejected test drops
its terms, so no test copies an array of size m^2.

A neuron is undecided until its removal is tested. If the test is rejected, the neuron is kept: it
belongs to every match found from this state on. Kept neurons are never removed, so the matrix has
rows of undecided neurons only.

``decide`` keeps neurons without a test. Without neuron u, the other side's neuron t may be too far.
If t is kept, the test of u is rejected. It is rejected in every smaller state too, because
distances only grow. So one pass over the matrix finds many rejected tests at once; then u is kept
too, and others may follow.

Numerics: P[i, i] = |w_i|^2, where the dual vector w_i is the row of S^+ that belongs to z_i. Its
length is 1 / (distance of z_i from the other neurons of its side). When a near copy of z_i leaves,
a projection shortens w_i, and the update of P[i, i] is a difference of two squares: it loses half
its digits or more. Dual vectors lose half as many. So if neurons are that close, the dual vectors
are stored as further columns of W, in coordinates of an orthonormal basis of the span. The row of P
that a removal divides by is then computed from them, P[i, k] = w_i w_k, only for the removed
neuron: O(m^2). If the dual vectors are inaccurate too, the remaining neurons are factored again.

The test of neuron u removes u and then, one by one, each neuron that becomes farther than epsilon.
It ends early when no neuron of the group remains. It also ends when it has to remove a kept neuron:
none of the group survived without that neuron in a larger state, so none can survive without it in
this one.

Lookahead: when many neurons have to leave at once, often too few remain to span the other side and
none of the group survives; removals one by one would find this late. So first the maximum match of
the remaining neurons is computed from the factor: measure one side against the other, drop the
neurons that are too far, and alternate. With sides of s and t neurons this costs O(k s (s + t)) for
any number of leaving neurons. The lookahead can only reject. If it does not, or if it would cost
more than the removals, the removals follow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..jit import compiled, compiled_freely

# Outcomes of ``advance`` and ``resume``.
DONE = 0  # all removals are tested
SPLIT = 1  # the last removal keeps only a part of the group
FULL = 2  # the list of terms is long: apply it to the matrix
REFACTOR = 3  # precision was lost during a test, in the duals too: factor the remaining neurons
SURVIVED = 4  # the test is over and some of the group remain
REJECTED = 5  # none of the group can survive the test

TERMS, LEFT_X, LEFT_Y, GROUP = range(4)  # entries of State.counts


class Tolerances(NamedTuple):
    """Constants of ``peeling`` and ``walk``, and the smallest squared distance that is a tie.

    They are arguments because numba compiles global constants into its cached code and does not
    notice a change in another file. For the same reason ``Base``, ``State`` and all compiled
    functions that call each other are in this file.
    """

    rank_tolerance: float
    depends: float
    lost_digits: float
    entry_error: float
    most_kept: float
    lost_duals: float
    lookahead_queue: int
    lookahead_effort: float
    tie_square: float


class State(NamedTuple):
    """Data that a removal changes.

    Attributes:
        counts: numbers of terms, of X's and Y's remaining neurons, and of the group's; (4,) int64.
        residual: squared relative distance from the other side's span, (m,) float64.
        diagonal: W's diagonal, (m,) float64; only of undecided neurons.
        highest: highest value so far of ``diagonal``, which sets its rounding; (m,) float64.
        alive: whether the neuron remains, (m,) bool; False once it is queued for removal.
        undecided: whether its removal is still to be tested, (m,) bool; of a remaining neuron.
        basis: whether the neuron is in the basis of its side, (m,) bool; until it is removed.
        dependent: whether it is dependent on that basis, (m,) bool; until it is removed.
        group: whether the search is for its minimal match, (m,) bool.
    """

    counts: np.ndarray
    residual: np.ndarray
    diagonal: np.ndarray
    highest: np.ndarray
    alive: np.ndarray
    undecided: np.ndarray
    basis: np.ndarray
    dependent: np.ndarray
    group: np.ndarray

    def copy(self) -> State:
        """Copy the state; both share the base and its list of terms so far."""
        return State(*(array.copy() for array in self))


class Base(NamedTuple):
    """Data that several states share. Its m positions hold X's neurons, then Y's.

    Of either side the neurons with a row in the matrix come first. A row has 0 instead of P[i, k]
    if the neuron k has no row, because nothing reads it.

    Attributes:
        neurons: neuron at each position, (m,) int64.
        width_x: number of X's positions.
        rows_x: number of X's neurons with a row in the matrix.
        rank: place of each position in the order of tests, (m,) int64.
        order: positions in the order of tests, (m,) int64.
        matrix: rows of W and the duals, (rows, m + c) float64; c = 0 if no neurons are too close.
        lefts: left vectors of the terms by position, (most terms, m) float64; only those of the
            term's side that have a row are used.
        rights: right vectors of the terms, (most terms, m + c) float64.
        term_side: 0 for a term of X, 1 for one of Y, (most terms,) int64.
        start: state without terms.
        vectors: F', (all columns, k) float64, indexed by ``neurons``.
        tolerances: tolerances and limits.
        ties: 1 if any distance seen equals epsilon, else 0; (1,) int64, shared by the whole walk.
    """

    neurons: np.ndarray
    width_x: int
    rows_x: int
    rank: np.ndarray
    order: np.ndarray
    matrix: np.ndarray
    lefts: np.ndarray
    rights: np.ndarray
    term_side: np.ndarray
    start: State
    vectors: np.ndarray
    tolerances: Tolerances
    ties: np.ndarray


@compiled
def gather(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Copy these rows and columns in one pass."""
    chosen = np.empty((len(rows), len(columns)))
    for i in range(len(rows)):
        source, target = matrix[rows[i]], chosen[i]
        for k in range(len(columns)):
            target[k] = source[columns[k]]
    return chosen


@compiled
def subtract_from(
    product: np.ndarray, matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> None:
    """Replace a product by these rows and columns of a matrix minus the product."""
    for i in range(len(rows)):
        source, target = matrix[rows[i]], product[i]
        for k in range(len(columns)):
            target[k] = source[columns[k]] - target[k]


@compiled
def _sides(base: Base, neuron: int) -> tuple[int, int, int, int, int, int]:
    """Return the neuron's side and positions of both sides.

    They are where its side begins, where the neurons with a row end, where its side ends, and the
    range of the other side.
    """
    width_x, width = base.width_x, len(base.order)
    if neuron < width_x:
        return 0, 0, base.rows_x, width_x, width_x, width
    return 1, width_x, width_x + len(base.matrix) - base.rows_x, width, 0, width_x


@compiled
def _row_of(base: Base, neuron: int) -> int:
    """Return the neuron's row in the matrix."""
    return neuron if neuron < base.width_x else neuron - base.width_x + base.rows_x


@compiled_freely
def _row(base: Base, state: State, neuron: int) -> np.ndarray:
    """Return the current row of W, stored where the next term's right vector goes."""
    terms, side = state.counts[TERMS], _sides(base, neuron)[0]
    row: np.ndarray = base.rights[terms]
    row[:] = base.matrix[_row_of(base, neuron)]
    waiting = -1  # subtract two terms at a time: half as many passes over the row
    for term in range(terms):
        if base.term_side[term] != side or base.lefts[term, neuron] == 0.0:
            continue
        if waiting < 0:
            waiting = term
            continue
        first, second = base.lefts[waiting, neuron], base.lefts[term, neuron]
        right, next_right = base.rights[waiting], base.rights[term]
        for i in range(len(row)):
            row[i] -= first * right[i] + second * next_right[i]
        waiting = -1
    if waiting >= 0:
        first, right = base.lefts[waiting, neuron], base.rights[waiting]
        for i in range(len(row)):
            row[i] -= first * right[i]
    return row


@compiled
def _column(base: Base, state: State, neuron: int) -> np.ndarray:
    """Return the current column of W over its own side's neurons with a row; 0 elsewhere."""
    side, first, end, _, _, _ = _sides(base, neuron)
    column = np.zeros(len(base.order))
    for i in range(first, end):
        column[i] = base.matrix[_row_of(base, i), neuron]
    for term in range(state.counts[TERMS]):
        if base.term_side[term] == side:
            column[first:end] -= base.rights[term, neuron] * base.lefts[term, first:end]
    return column


@compiled
def _successor(base: Base, state: State, neuron: int, row: np.ndarray) -> tuple[int, float]:
    """Return the dependent neuron with the largest coefficient on this one, and its size."""
    _, first, _, last, _, _ = _sides(base, neuron)
    successor, strongest = -1, 0.0
    for i in range(first, last):
        if state.dependent[i] and abs(row[i]) > strongest:
            successor, strongest = i, abs(row[i])
    return successor, strongest


@compiled
def _exchange(base: Base, state: State, neuron: int, successor: int, row: np.ndarray) -> None:
    """Replace the neuron by its successor in the basis: two terms, and no distance changes.

    The equations are in ``peeling.peel``.
    """
    terms, (side, first, end, _, _, _) = state.counts[TERMS], _sides(base, neuron)
    change, rounding = _column(base, state, successor) / row[successor], state.highest[neuron]
    moved, right = base.lefts[terms + 1], base.rights[terms + 1]
    right[:] = 0.0
    for i in range(first, end):
        moved[i] = row[i] * state.basis[i] - change[i] * row[neuron]
    state.basis[successor], state.dependent[successor] = True, False
    for i in range(first, end):
        right[i] = change[i] * state.basis[i]
        state.diagonal[i] -= change[i] * row[i] + moved[i] * right[i]
        inherited = max(state.diagonal[i], change[i] * change[i] * rounding)
        state.highest[i] = max(state.highest[i], inherited)
    base.lefts[terms, :] = change
    base.term_side[terms : terms + 2] = side
    state.counts[TERMS] = terms + 2


@compiled
def _shrink_span(base: Base, state: State, neuron: int, row: np.ndarray) -> None:
    """Remove a basis neuron that has no successor: one term, and distances from its side grow."""
    terms, pivot = state.counts[TERMS], row[neuron]
    side, first, end, _, other_first, other_last = _sides(base, neuron)
    left = base.lefts[terms]
    for i in range(first, end):
        left[i] = row[i] / pivot * state.basis[i]
        state.diagonal[i] -= left[i] * row[i]
    for i in range(other_first, other_last):
        state.residual[i] += row[i] / pivot * row[i]
    base.term_side[terms] = side
    state.counts[TERMS] = terms + 1


@compiled
def _is_accurate(base: Base, state: State, neuron: int, row: np.ndarray) -> bool:
    """Return whether the neuron's row of P is accurate enough (see ``peeling.peel``)."""
    highest, limits = max(state.highest[neuron], 0.0), base.tolerances
    share = max(limits.entry_error * np.sqrt(highest), limits.lost_digits)
    return bool(row[neuron] >= min(share, limits.most_kept) * highest)


@compiled
def _negligible(base: Base, row: np.ndarray, neuron: int) -> float:
    """Return up to which size a coefficient in the neuron's row can be only rounding."""
    tolerance: float = base.tolerances.rank_tolerance
    return tolerance * len(base.order) * float(np.sqrt(abs(row[neuron])))


@compiled_freely
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled
def _recompute_row(base: Base, state: State, neuron: int, row: np.ndarray) -> bool:
    """Compute the neuron's row of P from the duals; return False if they are inaccurate too."""
    width, (side, first, end, _, _, _) = len(base.order), _sides(base, neuron)
    dual = row[width:]
    square = _dot(dual, dual)
    if not square >= base.tolerances.lost_duals * state.highest[neuron]:
        return False
    for i in range(first, end):
        if state.basis[i]:
            row[i] = _dot(base.matrix[_row_of(base, i), width:], dual)
    for term in range(state.counts[TERMS]):
        if base.term_side[term] == side:
            weight = _dot(base.rights[term, width:], dual)
            for i in range(first, end):
                row[i] -= weight * base.lefts[term, i] * state.basis[i]
    row[neuron] = square
    return True


@compiled
def _remove(base: Base, state: State, neuron: int) -> bool:
    """Remove one neuron; return False if the remaining neurons must be factored instead."""
    if state.dependent[neuron]:
        state.dependent[neuron] = False
        return True
    row = _row(base, state, neuron)
    if not _is_accurate(base, state, neuron, row) and not _recompute_row(base, state, neuron, row):
        return False
    state.basis[neuron] = False
    successor, strength = _successor(base, state, neuron, row)
    # With near copies, rounding alone can exceed ``depends``, so test this first.
    if strength <= _negligible(base, row, neuron):
        _shrink_span(base, state, neuron, row)
    elif strength > base.tolerances.depends:
        _exchange(base, state, neuron, successor, row)
    else:
        return False  # too small to divide by and too large to ignore
    return True


@compiled
def _too_far(square: float, bound: float) -> bool:
    """Return whether a squared distance is beyond epsilon. Only this function decides it."""
    return bool(square > bound)


@compiled
def _enqueue(base: Base, state: State, queue: np.ndarray, tail: int, neuron: int) -> int:
    """Queue a neuron; return the queue's length, or -1 if none of the group can survive."""
    side = _sides(base, neuron)[0]
    state.alive[neuron] = False
    state.counts[LEFT_X + side] -= 1
    state.counts[GROUP] -= state.group[neuron]
    # An empty side spans nothing.
    if state.counts[GROUP] == 0 or state.counts[LEFT_X + side] == 0:
        return -1
    queue[tail] = neuron
    return tail + 1


@compiled
def _enqueue_violators(
    base: Base,
    state: State,
    queue: np.ndarray,
    tail: int,
    among: tuple[int, int],
    bound: float,
) -> int:
    """Queue the neurons of a range that are too far; return as ``_enqueue``."""
    found, tie_square = 0, base.tolerances.tie_square
    for i in range(among[0], among[1]):
        found += (state.residual[i] >= tie_square) & state.alive[i]
    if found == 0:  # the usual case; a loop without branches finds it faster
        return tail
    for i in range(among[0], among[1]):
        if state.alive[i] and state.residual[i] >= tie_square:
            if not _too_far(state.residual[i], bound):
                base.ties[0] = 1
                continue
            if not state.undecided[i]:  # kept
                return -1
            tail = _enqueue(base, state, queue, tail, i)
            if tail < 0:
                return -1
    return tail


@compiled_freely
def _project_out(vector: np.ndarray, directions: np.ndarray) -> None:
    """Subtract from a vector its component along each unit direction, in place."""
    for row in range(len(directions)):
        direction = directions[row]
        weight = _dot(vector, direction)
        for i in range(len(vector)):
            vector[i] -= weight * direction[i]


@compiled
def _orthonormal_basis(base: Base, span: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the span of these positions' neurons, (rank, k)."""
    rank, tolerance = 0, base.tolerances.rank_tolerance * len(base.order)
    directions = np.empty((len(span), base.vectors.shape[1]))
    for neuron in span:
        direction = directions[rank]
        direction[:] = base.vectors[base.neurons[neuron]]
        for _ in range(2):  # once leaves too much rounding in near copies
            _project_out(direction, directions[:rank])
        length = np.sqrt(_dot(direction, direction))
        if length > tolerance:
            direction /= length
            rank += 1
    return directions[:rank]


@compiled
def _must_reject(base: Base, state: State, side: int, bound: float, effort: float) -> bool:
    """Look ahead: return whether the test is certainly rejected without the queued neurons.

    Args:
        base: base of the state.
        state: the state; queued neurons are not alive.
        side: side that loses many neurons.
        bound: largest squared distance that counts as equal to epsilon.
        effort: limit on the multiplications.
    """
    stays, settled = state.alive.copy(), 0
    outside = np.empty(base.vectors.shape[1])
    while settled < 2:  # until both sides lose no neuron
        span, others = np.flatnonzero(stays[: base.width_x]), np.flatnonzero(stays[base.width_x :])
        others += base.width_x
        if side:
            span, others = others, span
        effort -= 2.0 * len(outside) * len(span) * (len(span) + len(others))
        if effort < 0.0:
            return False
        directions = _orthonormal_basis(base, span)
        settled += 1
        for neuron in others:
            outside[:] = base.vectors[base.neurons[neuron]]
            _project_out(outside, directions)
            if _too_far(_dot(outside, outside), bound):
                if not state.undecided[neuron]:  # kept
                    return True
                stays[neuron], settled = False, 0
        if not (stays & state.group).any():
            return True
        side = 1 - side
    return False


@compiled
def _cascade(base: Base, state: State, queue: np.ndarray, tail: int, bound: float) -> int:
    """Remove the queued neurons and all that become too far: SURVIVED, REJECTED or REFACTOR."""
    head, next_lookahead, width = 0, 0, len(base.order)
    while head < tail:
        neuron, waiting = queue[head], tail - head
        side, _, _, _, other_first, other_last = _sides(base, neuron)
        if waiting >= base.tolerances.lookahead_queue and head >= next_lookahead:
            # Spend no more than the queued removals would cost.
            effort = base.tolerances.lookahead_effort * waiting * width * (1 + state.counts[TERMS])
            if _must_reject(base, state, side, bound, effort):
                return REJECTED
            next_lookahead = tail
        head += 1
        if not _remove(base, state, neuron):
            effort = base.tolerances.lookahead_effort * width**3  # cost of a new factorisation
            reject = _must_reject(base, state, side, bound, effort)
            return REJECTED if reject else REFACTOR
        others = (other_first, other_last)
        tail = _enqueue_violators(base, state, queue, tail, others, bound)
        if tail < 0:
            return REJECTED
    return SURVIVED


@compiled
def _overwrite(state: State, source: State) -> None:
    """Copy everything except ``group`` from another state of the same base."""
    state.counts[:] = source.counts
    state.residual[:] = source.residual
    state.diagonal[:] = source.diagonal
    state.highest[:] = source.highest
    state.alive[:] = source.alive
    state.undecided[:] = source.undecided
    state.basis[:] = source.basis
    state.dependent[:] = source.dependent


@compiled
def advance(
    base: Base, state: State, before: State, bound: float, most_terms: int
) -> tuple[int, int]:
    """Test removals in the order of rank until the caller has to act.

    Args:
        base: base of the state.
        state: current state, which contains the whole group; updated in place.
        before: overwritten with the state before the last test.
        bound: largest squared distance that counts as equal to epsilon.
        most_terms: return FULL when the list has this many terms.

    Returns:
        DONE, SPLIT, FULL or REFACTOR, and the position of the neuron tested last.
    """
    queue = np.empty(len(base.order), dtype=np.int64)
    for neuron in base.order:
        if not (state.undecided[neuron] and state.alive[neuron]):
            continue
        group = state.counts[GROUP]
        _overwrite(before, state)
        tail = _enqueue(base, state, queue, 0, neuron)
        outcome = REJECTED
        if tail > 0:
            outcome = _cascade(base, state, queue, tail, bound)
        if outcome == REJECTED:
            _overwrite(state, before)
            state.undecided[neuron] = False
        elif outcome == REFACTOR:
            return REFACTOR, neuron
        elif state.counts[GROUP] < group:
            return SPLIT, neuron
        elif state.counts[TERMS] >= most_terms:
            return FULL, neuron
    return DONE, -1


@compiled
def resume(base: Base, state: State, bound: float) -> int:
    """Continue a test after a new factorisation: SURVIVED, REJECTED or REFACTOR."""
    queue = np.empty(len(base.order), dtype=np.int64)
    everywhere = (0, len(base.order))
    tail = _enqueue_violators(base, state, queue, 0, everywhere, bound)
    if tail < 0:
        return REJECTED
    return int(_cascade(base, state, queue, tail, bound))


@compiled
def decide(base: Base, state: State, bound: float) -> None:
    """Keep the undecided neurons without which a kept neuron would be too far.

    Distances are those at the base's start, so a state with terms may miss some.
    """
    if state.counts[GROUP] == 1:
        state.undecided[np.flatnonzero(state.group & state.alive)] = False
    width, middle = len(base.order), base.width_x
    fresh = state.alive & ~state.undecided  # kept neurons that are not yet used
    while fresh.any():
        in_x, in_y = np.flatnonzero(fresh[:middle]), middle + np.flatnonzero(fresh[middle:])
        fresh[:] = False
        for neuron in range(width):
            if state.alive[neuron] and state.undecided[neuron]:
                across = in_y if neuron < middle else in_x
                if len(across) and _is_needed(base, neuron, across, bound):
                    state.undecided[neuron], fresh[neuron] = False, True


@compiled
def _is_needed(base: Base, neuron: int, across: np.ndarray, bound: float) -> bool:
    """Return whether a kept neuron of the other side is certainly too far without this one."""
    start, row = base.start, base.matrix[_row_of(base, neuron)]
    if not start.basis[neuron] or not _is_accurate(base, start, neuron, row):
        return False
    scale, found = 1.0 / row[neuron], 0
    for i in across:
        found += _too_far(start.residual[i] + row[i] * scale * row[i], bound)
    if found == 0:
        return False
    # A dependent neuron would take its place, and no distance would change.
    return bool(_successor(base, start, neuron, row)[1] <= _negligible(base, row, neuron))
