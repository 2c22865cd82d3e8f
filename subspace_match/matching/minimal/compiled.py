"""Compiled loops that test a removal: remove one neuron and find which others leave with it (ours).

A test does not change the matrix W of ``peeling.spans``. Each removal appends one rank-one term to
the list of its side, and an exchange (see ``peeling.peel``) appends two. The current value of a row
of W is its row in the matrix minus the terms of its side, so a removal with k terms costs O(m k). A
rejected test drops its terms, so no test copies an array of size m^2. A long list is applied to the
rows of its side, in place.

A neuron is undecided until its removal is tested. If the test is rejected, the neuron is kept: it
belongs to every match found from this state on. Kept neurons are never removed, so the matrix has
rows of undecided neurons only.

Without neuron u, the other side's neuron t may be too far. If t is kept, the test of u is rejected.
It is rejected in every smaller state too, because distances only grow. So u's row alone can decide
the test, even before the state is copied; and ``decide`` keeps many neurons in one pass over rows.

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
FULL = 2  # a list of terms is long: apply it to the matrix
REFACTOR = 3  # precision was lost during a test, in the duals too: factor the remaining neurons
SURVIVED = 4  # the test is over and some of the group remain
REJECTED = 5  # none of the group can survive the test

# Entries of State.counts; where there is one a side, X's is followed by Y's.
TERMS, LEFT, GROUP = 0, 2, 4
RESIDUAL, DIAGONAL, HIGHEST = range(3)  # rows of State.numbers
ALIVE, KEPT, BASIS, DEPENDENT = range(4)  # rows of State.flags


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
    """Data that a removal changes: few arrays, because numba counts references to each in calls.

    Attributes:
        counts: numbers of X's and Y's terms, of X's and Y's remaining neurons, and of the group's;
            (5,) int64.
        numbers: (3, m) float64. RESIDUAL: squared relative distance from the other side's span.
            DIAGONAL: W's diagonal, only of undecided neurons. HIGHEST: highest value so far of
            DIAGONAL, which sets its rounding.
        flags: (4, m) bool. ALIVE: whether the neuron remains; False once it is queued for removal.
            KEPT: whether its removal need not be tested any more. BASIS: whether it is in the basis
            of its side; until it is removed. DEPENDENT: whether it is dependent on that basis;
            until it is removed.
        group: whether the search is for the neuron's minimal match, (m,) bool.
    """

    counts: np.ndarray
    numbers: np.ndarray
    flags: np.ndarray
    group: np.ndarray

    def copy(self) -> State:
        """Copy the state; both share the base and its lists of terms so far."""
        return State(*(array.copy() for array in self))


class Base(NamedTuple):
    """Data that several states share. Its m positions hold X's neurons, then Y's.

    Neurons with a row in the matrix are X's last and Y's first, so that their positions adjoin, as
    do the columns that the rows of one side need: those of its own neurons with a row or dependent,
    of the other side's neurons, and of the duals. The rest of a row is meaningless.

    Attributes:
        neurons: neuron at each position, (m,) int64.
        width_x: number of X's positions.
        first_row: position of the matrix's first row.
        first_x: first column that X's rows need; they need all from there on.
        last_y: end of the columns that Y's rows need, which begin at 0.
        whole_rows: whether a test reads whole rows: a neuron is dependent, or duals follow.
        rank: place of each position in the order of tests, (m,) int64.
        order: positions in the order of tests, (m,) int64.
        matrix: rows of W and the duals, (rows, m + c) float64; c = 0 if no neurons are too close.
        lefts: left vectors of X's and Y's terms by position, (2, most terms, m) float64; only those
            of the term's side that have a row are used.
        rights: right vectors of the terms, (2, most terms, m + c) float64.
        vectors: F', (all columns, k) float64, indexed by ``neurons``.
        tolerances: tolerances and limits.
        ties: 1 if any distance seen equals epsilon, else 0; (1,) int64, shared by the whole walk.
    """

    neurons: np.ndarray
    width_x: int
    first_row: int
    first_x: int
    last_y: int
    whole_rows: bool
    rank: np.ndarray
    order: np.ndarray
    matrix: np.ndarray
    lefts: np.ndarray
    rights: np.ndarray
    vectors: np.ndarray
    tolerances: Tolerances
    ties: np.ndarray


@compiled
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    """Copy a vector, without the check of shapes in target[:] = source, which compiles slowly."""
    for i in range(len(target)):
        target[i] = source[i]


@compiled
def gather(
    matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray, target: np.ndarray, first: int
) -> None:
    """Copy these rows and columns to the target's first rows, from a column on."""
    for i in range(len(rows)):
        source, copy = matrix[rows[i]], target[i][first : first + len(columns)]
        for k in range(len(columns)):
            copy[k] = source[columns[k]]


@compiled
def _own(base: Base, side: int) -> tuple[int, int]:
    """Return the range of a side's positions."""
    return (base.width_x, len(base.order)) if side else (0, base.width_x)


@compiled
def rows_of(base: Base, side: int) -> tuple[int, int]:
    """Return the range of positions of a side's neurons with a row in the matrix."""
    if side:
        return base.width_x, base.first_row + len(base.matrix)
    return base.first_row, base.width_x


@compiled
def columns_of(base: Base, side: int) -> tuple[int, int]:
    """Return the range of columns that a side's rows need."""
    return (0, base.last_y) if side else (base.first_x, base.matrix.shape[1])


@compiled
def share_in_use(base: Base, state: State) -> float:
    """Return the share of the matrix that later removals may read."""
    used, (rows, width) = 0, base.matrix.shape
    for side in range(2):
        undecided, remaining = 0, 0
        first, last = rows_of(base, side)
        for i in range(first, last):
            undecided += state.flags[ALIVE, i] and not state.flags[KEPT, i]
        first, last = columns_of(base, side)
        for i in range(first, min(last, len(base.order))):
            remaining += state.flags[ALIVE, i]
        used += undecided * (remaining + width - len(base.order))
    return float(used / max(rows * width, 1))


@compiled_freely
def _row(base: Base, state: State, neuron: int, columns: tuple[int, int]) -> np.ndarray:
    """Compute a range of the current row of W, where the next term's right vector goes."""
    side = int(neuron >= base.width_x)
    (first, last), terms = columns, state.counts[TERMS + side]
    lefts, rights = base.lefts[side], base.rights[side]
    row: np.ndarray = rights[terms]
    part, source = row[first:last], base.matrix[neuron - base.first_row][first:last]
    for i in range(len(part)):
        part[i] = source[i]
    term = 0
    while term + 4 <= terms:  # four at a time: a quarter of the passes over the row
        a, b = lefts[term, neuron], lefts[term + 1, neuron]
        c, d = lefts[term + 2, neuron], lefts[term + 3, neuron]
        of_a, of_b = rights[term][first:last], rights[term + 1][first:last]
        of_c, of_d = rights[term + 2][first:last], rights[term + 3][first:last]
        for i in range(len(part)):
            part[i] -= (a * of_a[i] + b * of_b[i]) + (c * of_c[i] + d * of_d[i])
        term += 4
    while term < terms:
        weight, right = lefts[term, neuron], rights[term][first:last]
        for i in range(len(part)):
            part[i] -= weight * right[i]
        term += 1
    return row


@compiled
def _column(base: Base, state: State, neuron: int) -> np.ndarray:
    """Return the current column of W over its own side's neurons with a row; 0 elsewhere."""
    side = int(neuron >= base.width_x)
    first, end = rows_of(base, side)
    column = np.zeros(len(base.order))
    for i in range(first, end):
        column[i] = base.matrix[i - base.first_row, neuron]
    for term in range(state.counts[TERMS + side]):
        weight, left = base.rights[side, term, neuron], base.lefts[side, term]
        for i in range(first, end):
            column[i] -= weight * left[i]
    return column


@compiled
def _successor(base: Base, state: State, neuron: int, row: np.ndarray) -> tuple[int, float]:
    """Return the dependent neuron with the largest coefficient on this one, and its size."""
    dependent, successor, strongest = state.flags[DEPENDENT], -1, 0.0
    if not base.whole_rows:
        return successor, strongest
    first, last = _own(base, int(neuron >= base.width_x))
    for i in range(first, last):
        if dependent[i] and abs(row[i]) > strongest:
            successor, strongest = i, abs(row[i])
    return successor, strongest


@compiled
def _exchange(base: Base, state: State, neuron: int, successor: int, row: np.ndarray) -> None:
    """Replace the neuron by its successor in the basis: two terms, and no distance changes.

    The equations are in ``peeling.peel``.
    """
    side = int(neuron >= base.width_x)
    (first, end), terms = rows_of(base, side), state.counts[TERMS + side]
    diagonal, highest = state.numbers[DIAGONAL], state.numbers[HIGHEST]
    basis = state.flags[BASIS]
    change, rounding = _column(base, state, successor), highest[neuron]
    moved, right = base.lefts[side, terms + 1], base.rights[side, terms + 1]
    for i in range(len(change)):
        change[i] /= row[successor]
    for i in range(len(right)):
        right[i] = 0.0
    for i in range(first, end):
        moved[i] = row[i] * basis[i] - change[i] * row[neuron]
    basis[successor], state.flags[DEPENDENT, successor] = True, False
    for i in range(first, end):
        right[i] = change[i] * basis[i]
        diagonal[i] -= change[i] * row[i] + moved[i] * right[i]
        inherited = max(diagonal[i], change[i] * change[i] * rounding)
        highest[i] = max(highest[i], inherited)
    _copy(change, base.lefts[side, terms])
    state.counts[TERMS + side] = terms + 2


@compiled
def _shrink_span(base: Base, state: State, neuron: int, row: np.ndarray) -> None:
    """Remove a basis neuron that has no successor: one term, and distances from its side grow."""
    side, pivot = int(neuron >= base.width_x), row[neuron]
    terms = state.counts[TERMS + side]
    first, last = rows_of(base, side)
    left, basis = base.lefts[side, terms][first:last], state.flags[BASIS][first:last]
    diagonal, own = state.numbers[DIAGONAL][first:last], row[first:last]
    scale = 1.0 / pivot
    for i in range(len(own)):
        left[i] = own[i] * scale * basis[i]
        diagonal[i] -= left[i] * own[i]
    first, last = _own(base, 1 - side)
    residual, across = state.numbers[RESIDUAL][first:last], row[first:last]
    for i in range(len(across)):
        residual[i] += across[i] * scale * across[i]
    state.counts[TERMS + side] = terms + 1


@compiled
def _is_accurate(base: Base, state: State, neuron: int, pivot: float) -> bool:
    """Return whether the neuron's row of P is accurate enough (see ``peeling.peel``).

    Its diagonal entry, the pivot, decides it.
    """
    highest, limits = max(state.numbers[HIGHEST, neuron], 0.0), base.tolerances
    share = max(limits.entry_error * np.sqrt(highest), limits.lost_digits)
    return bool(pivot >= min(share, limits.most_kept) * highest)


@compiled
def _negligible(base: Base, pivot: float) -> float:
    """Return up to which size a coefficient in the row with this pivot can be only rounding."""
    tolerance: float = base.tolerances.rank_tolerance
    return tolerance * len(base.order) * float(np.sqrt(abs(pivot)))


@compiled_freely
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled
def _recompute_row(base: Base, state: State, neuron: int, row: np.ndarray) -> bool:
    """Compute the neuron's row of P from the duals; return False if they are inaccurate too."""
    width, side = len(base.order), int(neuron >= base.width_x)
    (first, end), basis = rows_of(base, side), state.flags[BASIS]
    dual = row[width:]
    square = _dot(dual, dual)
    if not square >= base.tolerances.lost_duals * state.numbers[HIGHEST, neuron]:
        return False
    for i in range(first, end):
        if basis[i]:
            row[i] = _dot(base.matrix[i - base.first_row, width:], dual)
    for term in range(state.counts[TERMS + side]):
        weight, left = _dot(base.rights[side, term, width:], dual), base.lefts[side, term]
        for i in range(first, end):
            row[i] -= weight * left[i] * basis[i]
    row[neuron] = square
    return True


@compiled
def _remove(base: Base, state: State, neuron: int, read: bool) -> bool:
    """Remove one neuron; return False if the remaining neurons must be factored instead.

    Args:
        base: base of the state.
        state: the state.
        neuron: a neuron that is not alive.
        read: whether the other side's columns of its row have been computed.
    """
    if state.flags[DEPENDENT, neuron]:
        state.flags[DEPENDENT, neuron] = False
        return True
    side = int(neuron >= base.width_x)
    first, last = columns_of(base, side)
    if not read:
        row = _row(base, state, neuron, (first, last))
    elif side:
        row = _row(base, state, neuron, (base.width_x, last))
    else:
        row = _row(base, state, neuron, (first, base.width_x))
    accurate = _is_accurate(base, state, neuron, row[neuron])
    if not accurate and not _recompute_row(base, state, neuron, row):
        return False
    state.flags[BASIS, neuron] = False
    successor, strength = _successor(base, state, neuron, row)
    # With near copies, rounding alone can exceed ``depends``, so test this first.
    if strength <= _negligible(base, row[neuron]):
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
    side = int(neuron >= base.width_x)
    state.flags[ALIVE, neuron] = False
    state.counts[LEFT + side] -= 1
    state.counts[GROUP] -= state.group[neuron]
    # An empty side spans nothing.
    if state.counts[GROUP] == 0 or state.counts[LEFT + side] == 0:
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
    first, last = among
    residual, alive = state.numbers[RESIDUAL][first:last], state.flags[ALIVE][first:last]
    kept = state.flags[KEPT][first:last]
    for i in range(len(alive)):
        found += (residual[i] >= tie_square) & alive[i]
    if found == 0:  # the usual case; a loop without branches finds it faster
        return tail
    for i in range(len(alive)):
        if alive[i] and residual[i] >= tie_square:
            if not _too_far(residual[i], bound):
                base.ties[0] = 1
                continue
            if kept[i]:
                return -1
            tail = _enqueue(base, state, queue, tail, first + i)
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
        _copy(base.vectors[base.neurons[neuron]], direction)
        for _ in range(2):  # once leaves too much rounding in near copies
            _project_out(direction, directions[:rank])
        length = np.sqrt(_dot(direction, direction))
        if length > tolerance:
            for i in range(len(direction)):
                direction[i] /= length
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
    stays, settled = state.flags[ALIVE].copy(), 0
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
            _copy(base.vectors[base.neurons[neuron]], outside)
            _project_out(outside, directions)
            if _too_far(_dot(outside, outside), bound):
                if state.flags[KEPT, neuron]:
                    return True
                stays[neuron], settled = False, 0
        if not (stays & state.group).any():
            return True
        side = 1 - side
    return False


@compiled
def _cascade(
    base: Base, state: State, queue: np.ndarray, tail: int, read: bool, bound: float
) -> int:
    """Remove the queued neurons and all that become too far: SURVIVED, REJECTED or REFACTOR.

    Args:
        base: base of the state.
        state: the state.
        queue: neurons to remove, as far as ``tail``.
        tail: their number.
        read: whether the other side's columns of the first one's row have been computed.
        bound: largest squared distance that counts as equal to epsilon.
    """
    head, next_lookahead, width = 0, 0, len(base.order)
    while head < tail:
        neuron, waiting = queue[head], tail - head
        side = int(neuron >= base.width_x)
        if waiting >= base.tolerances.lookahead_queue and head >= next_lookahead:
            # Spend no more than the queued removals would cost.
            terms = state.counts[TERMS] + state.counts[TERMS + 1]
            effort = base.tolerances.lookahead_effort * waiting * width * (1 + terms)
            if _must_reject(base, state, side, bound, effort):
                return REJECTED
            next_lookahead = tail
        if not _remove(base, state, neuron, read and head == 0):
            effort = base.tolerances.lookahead_effort * width**3  # cost of a new factorisation
            reject = _must_reject(base, state, side, bound, effort)
            return REJECTED if reject else REFACTOR
        head += 1
        tail = _enqueue_violators(base, state, queue, tail, _own(base, 1 - side), bound)
        if tail < 0:
            return REJECTED
    return SURVIVED


@compiled
def _overwrite(state: State, source: State) -> None:
    """Copy everything except ``group`` from another state of the same base."""
    _copy(source.counts, state.counts)
    for row in range(len(source.numbers)):
        _copy(source.numbers[row], state.numbers[row])
    for row in range(len(source.flags)):
        _copy(source.flags[row], state.flags[row])


@compiled
def _is_needed(base: Base, state: State, neuron: int, row: np.ndarray, bound: float) -> bool:
    """Return whether a kept neuron is certainly too far without this one.

    Args:
        base: base of the state.
        state: the state.
        neuron: an undecided neuron.
        row: its row; its own side's columns are read only if ``base.whole_rows``.
        bound: largest squared distance that counts as equal to epsilon.
    """
    pivot = state.numbers[DIAGONAL, neuron]
    if not state.flags[BASIS, neuron] or not _is_accurate(base, state, neuron, pivot):
        return False
    first, last = _own(base, 1 - int(neuron >= base.width_x))
    kept, residual = state.flags[KEPT][first:last], state.numbers[RESIDUAL][first:last]
    scale, across, found = 1.0 / pivot, row[first:last], 0
    for i in range(len(kept)):
        found += _too_far(residual[i] + across[i] * scale * across[i], bound) & kept[i]
    if found == 0:
        return False
    # A dependent neuron would take its place, and no distance would change.
    return bool(_successor(base, state, neuron, row)[1] <= _negligible(base, pivot))


@compiled
def decide(base: Base, state: State, side: int, bound: float) -> None:
    """Keep the undecided neurons of a side without terms without which a kept one is too far."""
    first, last = rows_of(base, side)
    for neuron in range(first, last):
        if state.flags[ALIVE, neuron] and not state.flags[KEPT, neuron]:
            row = base.matrix[neuron - base.first_row]
            if _is_needed(base, state, neuron, row, bound):
                state.flags[KEPT, neuron] = True


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
        most_terms: return FULL when the list of a side has this many terms.

    Returns:
        DONE, SPLIT, FULL or REFACTOR, and the position of the neuron tested last (FULL: next).
    """
    queue, counts = np.empty(len(base.order), dtype=np.int64), state.counts
    none = np.int64(0)  # numba would compile a function once more for a literal 0
    for neuron in base.order:
        if state.flags[KEPT, neuron] or not state.flags[ALIVE, neuron]:
            continue
        if max(counts[TERMS], counts[TERMS + 1]) >= most_terms:
            return FULL, neuron
        # Most tests would only find a kept neuron too far, so see this before copying the state.
        read = state.flags[BASIS, neuron]
        if read:
            side = int(neuron >= base.width_x)
            needed = columns_of(base, side) if base.whole_rows else _own(base, 1 - side)
            row = _row(base, state, neuron, needed)
            if _is_needed(base, state, neuron, row, bound):
                state.flags[KEPT, neuron] = True
                continue
        group = counts[GROUP]
        _overwrite(before, state)
        tail = _enqueue(base, state, queue, none, neuron)
        outcome = REJECTED
        if tail > 0:
            outcome = _cascade(base, state, queue, tail, read, bound)
        if outcome == REJECTED:
            _overwrite(state, before)
            state.flags[KEPT, neuron] = True
        elif outcome == REFACTOR:
            return REFACTOR, neuron
        elif counts[GROUP] < group:
            return SPLIT, neuron
    return DONE, -1


@compiled
def resume(base: Base, state: State, bound: float) -> int:
    """Continue a test after a new factorisation: SURVIVED, REJECTED or REFACTOR."""
    queue = np.empty(len(base.order), dtype=np.int64)
    # numba would compile these functions once more for literals.
    none, read = np.int64(0), np.bool_(False)
    everywhere = (none, len(base.order))
    tail = _enqueue_violators(base, state, queue, none, everywhere, bound)
    if tail < 0:
        return REJECTED
    return int(_cascade(base, state, queue, tail, read, bound))
