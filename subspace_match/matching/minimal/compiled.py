"""Compiled loops that test a removal: remove one neuron and find which others leave with it (ours).

Each removal appends one rank-one term to the list of its side, and an exchange (see
``peeling.peel``) appends two. A row of W (see ``peeling.spans``) is its row in the matrix minus its
terms. A rejected test drops its own terms, so no test copies an array of size m^2. The other terms
are settled: nothing drops them. A row that is read is first brought up to date with the settled
terms, in the matrix. So each term is subtracted from a row once, however often the row is read. The
rows of the next neurons in the order are brought up to date together, as one matrix product.

A neuron is undecided until its removal is tested. If the test is rejected, the neuron is kept: it
belongs to every match found from this state on. Kept neurons are never removed, so the matrix has
rows of undecided neurons only.

Without neuron u, the other side's neuron t may be too far. If t is kept, the test of u is rejected,
in every smaller state too, because distances only grow. ``advance`` sees this in u's row before it
begins a test. ``decide`` finds it in one pass over the matrix for many neurons at once; then they
are kept too, and others may follow.

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

# Entries of State.counts; of the first three, the next entry is Y's.
TERMS, SETTLED, LEFT, GROUP = 0, 2, 4, 6


TILE = 64  # rows of a product that are computed at once


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
    batch_rows: int
    batch_terms: int


class State(NamedTuple):
    """Data that a removal changes.

    Attributes:
        counts: numbers of X's and Y's terms, of their settled terms, of their remaining neurons,
            and of the group's; (7,) int64.
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


class Shape(NamedTuple):
    """Numbers of a base.

    Attributes:
        width_x: number of X's positions.
        width: number of all positions, m.
        rows_x: number of X's neurons with a row in the matrix.
        rows: number of all neurons with a row.
    """

    width_x: int
    width: int
    rows_x: int
    rows: int


class Base(NamedTuple):
    """Data that several states share. Its m positions hold X's neurons, then Y's.

    Of either side the neurons with a row in the matrix come first. A row has 0 instead of P[i, k]
    if the neuron k has no row, because nothing reads it.

    Attributes:
        neurons: neuron at each position, (m,) int64.
        shape: numbers of positions and rows.
        rank: place of each position in the order of tests, (m,) int64.
        order: positions in the order of tests, (m,) int64.
        matrix: rows of W and the duals, (rows, m + c) float64; c = 0 if no neurons are too close.
            A row lacks its side's terms, except the first ``applied``.
        applied: how many of its side's terms each row has, (m,) int64.
        lefts: left vectors of X's and Y's terms by position, (2, most terms, m) float64; only those
            of the term's side that have a row are used. 0 where a row has the term.
        rights: right vectors of the terms, (2, most terms, m + c) float64.
        start: state without terms.
        vectors: F', (all columns, k) float64, indexed by ``neurons``.
        tolerances: tolerances and limits.
        ties: 1 if any distance seen equals epsilon, else 0; (1,) int64, shared by the whole walk.
    """

    neurons: np.ndarray
    shape: Shape
    rank: np.ndarray
    order: np.ndarray
    matrix: np.ndarray
    applied: np.ndarray
    lefts: np.ndarray
    rights: np.ndarray
    start: State
    vectors: np.ndarray
    tolerances: Tolerances
    ties: np.ndarray


@compiled
def subtract_products(
    target: np.ndarray,
    matrix: np.ndarray,
    rows: np.ndarray,
    positions: np.ndarray,
    columns: np.ndarray,
    lefts: np.ndarray,
    rights: np.ndarray,
) -> None:
    """Set the target to these rows and columns of a matrix minus terms of these positions.

    A tile of the product stays in a core's cache until it is subtracted.
    """
    terms, tile = len(rights), TILE
    chosen = np.empty((terms, len(columns)))
    for term in range(terms):
        source, copy = rights[term], chosen[term]
        for k in range(len(columns)):
            copy[k] = source[columns[k]]
    weights, product = np.empty((tile, terms)), np.empty((tile, len(columns)))
    for start in range(0, len(target), tile):
        count = min(tile, len(target) - start)
        for term in range(terms):
            for i in range(count):
                weights[i, term] = lefts[term, positions[start + i]]
        np.dot(weights[:count], chosen, product[:count])
        for i in range(count):
            source, result, less = matrix[rows[start + i]], target[start + i], product[i]
            for k in range(len(columns)):
                result[k] = source[columns[k]] - less[k]


@compiled
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    for i in range(len(source)):
        target[i] = source[i]


@compiled
def _sides(shape: Shape, neuron: int) -> tuple[int, int, int, int, int, int]:
    """Return the neuron's side and positions of both sides.

    They are where its side begins, where the neurons with a row end, where its side ends, and the
    range of the other side.
    """
    width_x, width = shape.width_x, shape.width
    if neuron < width_x:
        return 0, 0, shape.rows_x, width_x, width_x, width
    return 1, width_x, width_x + shape.rows - shape.rows_x, width, 0, width_x


@compiled
def _row_of(shape: Shape, neuron: int) -> int:
    """Return the neuron's row in the matrix."""
    return neuron if neuron < shape.width_x else neuron - shape.width_x + shape.rows_x


@compiled_freely
def _subtract_terms(
    row: np.ndarray, lefts: np.ndarray, rights: np.ndarray, neuron: int, first: int, end: int
) -> None:
    """Subtract a range of one side's terms from a row, in place."""
    term = first
    while end - term >= 4:  # four at a time: a fourth of the passes over the row
        a, b = lefts[term, neuron], lefts[term + 1, neuron]
        c, d = lefts[term + 2, neuron], lefts[term + 3, neuron]
        of_a, of_b, of_c, of_d = rights[term], rights[term + 1], rights[term + 2], rights[term + 3]
        for i in range(len(row)):
            row[i] -= a * of_a[i] + b * of_b[i] + c * of_c[i] + d * of_d[i]
        term += 4
    while term < end:
        weight, right = lefts[term, neuron], rights[term]
        for i in range(len(row)):
            row[i] -= weight * right[i]
        term += 1


@compiled
def _update_row(base: Base, state: State, neuron: int) -> np.ndarray:
    """Subtract the settled terms from the neuron's row of the matrix; return it."""
    side, row = _sides(base.shape, neuron)[0], base.matrix[_row_of(base.shape, neuron)]
    first, settled = base.applied[neuron], state.counts[SETTLED + side]
    if first < settled:
        lefts = base.lefts[side]
        _subtract_terms(row, lefts, base.rights[side], neuron, first, settled)
        for term in range(first, settled):
            lefts[term, neuron] = 0.0
        base.applied[neuron] = settled
    return row


@compiled
def _update_rows(base: Base, state: State, candidates: np.ndarray) -> None:
    """Subtract the settled terms from the rows of the first neuron and the next ones of its side.

    Args:
        base: base of the state.
        state: the state.
        candidates: positions, the most urgent first. Neurons that no later test reads are left out.
    """
    side, first, _, last, _, _ = _sides(base.shape, candidates[0])
    chosen, count = np.empty(base.tolerances.batch_rows, dtype=np.int64), 0
    settled = state.counts[SETTLED + side]
    oldest = settled
    undecided, applied = state.undecided, base.applied
    for neuron in candidates:
        if first <= neuron < last and undecided[neuron] and applied[neuron] < settled:
            chosen[count] = neuron
            oldest = min(oldest, applied[neuron])
            count += 1
            if count == len(chosen):
                break
    weights, lefts = np.empty((count, settled - oldest)), base.lefts[side]
    for term in range(oldest, settled):
        for i in range(count):
            weights[i, term - oldest] = lefts[term, chosen[i]]
            lefts[term, chosen[i]] = 0.0
    product = np.dot(weights, base.rights[side, oldest:settled])
    for i in range(count):
        row, less = base.matrix[_row_of(base.shape, chosen[i])], product[i]
        for k in range(len(row)):
            row[k] -= less[k]
        base.applied[chosen[i]] = settled


@compiled
def _lacks_many(base: Base, state: State, neuron: int) -> bool:
    """Return whether the neuron's row lacks so many settled terms that a batch is faster."""
    settled = state.counts[SETTLED + _sides(base.shape, neuron)[0]]
    return bool(settled - base.applied[neuron] >= base.tolerances.batch_terms)


@compiled
def _row(base: Base, state: State, neuron: int) -> np.ndarray:
    """Return the current row of W, stored where the next term's right vector goes."""
    side = _sides(base.shape, neuron)[0]
    terms, settled = state.counts[TERMS + side], state.counts[SETTLED + side]
    if _lacks_many(base, state, neuron):
        # It became too far, as others that are nearly too far will, in this test or a later one.
        candidates = np.argsort(-state.residual)
        candidates[0] = neuron
        _update_rows(base, state, candidates)
    row: np.ndarray = base.rights[side, terms]
    _copy(_update_row(base, state, neuron), row)
    _subtract_terms(row, base.lefts[side], base.rights[side], neuron, settled, terms)
    return row


@compiled
def _column(base: Base, state: State, neuron: int) -> np.ndarray:
    """Return the current column of W over its own side's neurons with a row; 0 elsewhere."""
    side, first, end, _, _, _ = _sides(base.shape, neuron)
    column = np.zeros(len(base.order))
    for i in range(first, end):
        column[i] = base.matrix[_row_of(base.shape, i), neuron]
    for term in range(state.counts[TERMS + side]):
        column[first:end] -= base.rights[side, term, neuron] * base.lefts[side, term, first:end]
    return column


@compiled
def _successor(base: Base, state: State, neuron: int, row: np.ndarray) -> tuple[int, float]:
    """Return the dependent neuron with the largest coefficient on this one, and its size."""
    _, first, _, last, _, _ = _sides(base.shape, neuron)
    successor, strongest = -1, 0.0
    dependent = state.dependent
    for i in range(first, last):
        if dependent[i] and abs(row[i]) > strongest:
            successor, strongest = i, abs(row[i])
    return successor, strongest


@compiled
def _exchange(base: Base, state: State, neuron: int, successor: int, row: np.ndarray) -> None:
    """Replace the neuron by its successor in the basis: two terms, and no distance changes.

    The equations are in ``peeling.peel``.
    """
    side, first, end, _, _, _ = _sides(base.shape, neuron)
    terms = state.counts[TERMS + side]
    change, rounding = _column(base, state, successor) / row[successor], state.highest[neuron]
    moved, right = base.lefts[side, terms + 1], base.rights[side, terms + 1]
    right[:] = 0.0
    for i in range(first, end):
        moved[i] = row[i] * state.basis[i] - change[i] * row[neuron]
    state.basis[successor], state.dependent[successor] = True, False
    for i in range(first, end):
        right[i] = change[i] * state.basis[i]
        state.diagonal[i] -= change[i] * row[i] + moved[i] * right[i]
        inherited = max(state.diagonal[i], change[i] * change[i] * rounding)
        state.highest[i] = max(state.highest[i], inherited)
    base.lefts[side, terms, :] = change
    state.counts[TERMS + side] = terms + 2


@compiled
def _shrink_span(base: Base, state: State, neuron: int, row: np.ndarray) -> None:
    """Remove a basis neuron that has no successor: one term, and distances from its side grow."""
    side, first, end, _, other_first, other_last = _sides(base.shape, neuron)
    terms, pivot = state.counts[TERMS + side], row[neuron]
    # Arrays in local variables: an attribute read in a loop counts references in each turn.
    left, basis, diagonal, residual = (
        base.lefts[side, terms],
        state.basis,
        state.diagonal,
        state.residual,
    )
    for i in range(first, end):
        left[i] = row[i] / pivot * basis[i]
        diagonal[i] -= left[i] * row[i]
    for i in range(other_first, other_last):
        residual[i] += row[i] / pivot * row[i]
    state.counts[TERMS + side] = terms + 1


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
    return tolerance * base.shape.width * float(np.sqrt(abs(row[neuron])))


@compiled_freely
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled
def _recompute_row(base: Base, state: State, neuron: int, row: np.ndarray) -> bool:
    """Compute the neuron's row of P from the duals; return False if they are inaccurate too."""
    width, (side, first, end, _, _, _) = len(base.order), _sides(base.shape, neuron)
    dual = row[width:]
    square = _dot(dual, dual)
    if not square >= base.tolerances.lost_duals * state.highest[neuron]:
        return False
    for i in range(first, end):
        if state.basis[i]:
            row[i] = _dot(base.matrix[_row_of(base.shape, i), width:], dual)
    for term in range(state.counts[TERMS + side]):
        weight = _dot(base.rights[side, term, width:], dual)
        for i in range(first, end):
            row[i] -= weight * base.lefts[side, term, i] * state.basis[i]
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
    side = _sides(base.shape, neuron)[0]
    state.alive[neuron] = False
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
    residual, alive = state.residual, state.alive
    for i in range(among[0], among[1]):
        found += (residual[i] >= tie_square) & alive[i]
    if found == 0:  # the usual case; a loop without branches finds it faster
        return tail
    for i in range(among[0], among[1]):
        if alive[i] and residual[i] >= tie_square:
            if not _too_far(residual[i], bound):
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
        span, others = (
            np.flatnonzero(stays[: base.shape.width_x]),
            np.flatnonzero(stays[base.shape.width_x :]),
        )
        others += base.shape.width_x
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
        side, _, _, _, other_first, other_last = _sides(base.shape, neuron)
        if waiting >= base.tolerances.lookahead_queue and head >= next_lookahead:
            # Spend no more than the queued removals would cost.
            effort = base.tolerances.lookahead_effort * waiting * width * (1 + _terms(state))
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
def _terms(state: State) -> int:
    """Return the number of terms of both sides."""
    return int(state.counts[TERMS] + state.counts[TERMS + 1])


@compiled
def _settle(state: State) -> None:
    """Settle the terms so far: no later test drops them."""
    for side in range(2):
        state.counts[SETTLED + side] = state.counts[TERMS + side]


@compiled
def _overwrite(state: State, source: State) -> None:
    """Copy everything except ``group`` from another state of the same base."""
    _copy(source.counts, state.counts)
    _copy(source.residual, state.residual)
    _copy(source.diagonal, state.diagonal)
    _copy(source.highest, state.highest)
    _copy(source.alive, state.alive)
    _copy(source.undecided, state.undecided)
    _copy(source.basis, state.basis)
    _copy(source.dependent, state.dependent)


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
        most_terms: return FULL when the lists have this many terms.

    Returns:
        DONE, SPLIT, FULL or REFACTOR, and the position of the neuron tested last.
    """
    queue = np.empty(len(base.order), dtype=np.int64)
    undecided, alive = state.undecided, state.alive
    for place, neuron in enumerate(base.order):
        if not (undecided[neuron] and alive[neuron]):
            continue
        _settle(state)
        if _lacks_many(base, state, neuron):
            _update_rows(base, state, base.order[place:])
        if _is_kept_at_once(base, state, neuron, bound):
            state.undecided[neuron] = False
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
        elif _terms(state) >= most_terms:
            return FULL, neuron
    return DONE, -1


@compiled
def resume(base: Base, state: State, bound: float) -> int:
    """Continue a test after a new factorisation: SURVIVED, REJECTED or REFACTOR."""
    queue = np.empty(len(base.order), dtype=np.int64)
    everywhere = (0, len(base.order))
    _settle(state)
    tail = _enqueue_violators(base, state, queue, 0, everywhere, bound)
    if tail < 0:
        return REJECTED
    return int(_cascade(base, state, queue, tail, bound))


@compiled
def decide(base: Base, state: State, bound: float) -> None:
    """Keep the undecided neurons without which a kept neuron would be too far.

    Distances are those at the base's start, so a state with terms may miss some. Rows may be newer.
    """
    if state.counts[GROUP] == 1:
        state.undecided[np.flatnonzero(state.group & state.alive)] = False
    width, middle = len(base.order), base.shape.width_x
    alive, undecided, residual = state.alive, state.undecided, base.start.residual
    fresh = alive & ~undecided  # kept neurons that are not yet used
    while fresh.any():
        in_x, in_y = np.flatnonzero(fresh[:middle]), middle + np.flatnonzero(fresh[middle:])
        fresh[:] = False
        for neuron in range(width):
            if not (alive[neuron] and undecided[neuron]):
                continue
            across, row = (
                in_y if neuron < middle else in_x,
                base.matrix[_row_of(base.shape, neuron)],
            )
            if _any_too_far(residual, row, across, 1.0 / row[neuron], bound) and _is_certain(
                base, state, base.start, neuron, row
            ):
                undecided[neuron], fresh[neuron] = False, True


@compiled
def _any_too_far(
    residual: np.ndarray, row: np.ndarray, across: np.ndarray, scale: float, bound: float
) -> bool:
    """Return whether any of these neurons is too far without the row's neuron."""
    for i in across:  # noqa: SIM110 (numba knows no any() of a generator)
        if _too_far(residual[i] + row[i] * scale * row[i], bound):
            return True
    return False


@compiled
def _is_certain(base: Base, state: State, then: State, neuron: int, row: np.ndarray) -> bool:
    """Return whether the row shows how distances grow without its neuron.

    Args:
        base: base of the state.
        state: current state.
        then: the state that the row belongs to, or one before it.
        neuron: the neuron.
        row: its row.
    """
    if not then.basis[neuron] or not _is_accurate(base, state, neuron, row):
        return False
    # A dependent neuron could take its place, and no distance would change.
    return bool(_successor(base, then, neuron, row)[1] <= _negligible(base, row, neuron))


@compiled
def _is_kept_at_once(base: Base, state: State, neuron: int, bound: float) -> bool:
    """Return whether a test would only find that a kept neuron is too far without this one."""
    if not state.basis[neuron]:
        return False
    row = _update_row(base, state, neuron)
    first, last = _sides(base.shape, neuron)[4:]
    scale, found = 1.0 / row[neuron], 0
    residual, alive, undecided = state.residual, state.alive, state.undecided
    for i in range(first, last):
        too_far = _too_far(residual[i] + row[i] * scale * row[i], bound)
        found += too_far & alive[i] & (not undecided[i])
    return found > 0 and _is_certain(base, state, state, neuron, row)
