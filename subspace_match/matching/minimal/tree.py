"""Tests of removals, compiled: take one neuron out, and see who falls with it (ours).

The matrix W of ``spans`` stays as it is. Every removal adds one rank-one term to a list, an
exchange (see ``peeling``) two; a row of W as it is now is its row in the matrix less the list's
terms: O(m k) a removal with k terms. A rejected test forgets its terms, so nothing of size m^2 is
copied for one.

Numerics: an entry P[i, i] = |w_i|^2, where w_i, the row of S^+ that belongs to z_i, is as long as
z_i is near to the others of its side. When a near copy of z_i goes, w_i gets shorter by projection,
and what P has for it is a difference of two squares: half its digits are gone, or more (see
``peeling``). So where neurons are that near, the rows w_i over an orthonormal basis of the span
are carried along as further columns of W, the duals, and lose half as many digits. The entries of P
that a removal divides by are then taken from them, P[i, k] = w_i w_k, just for the neuron that
goes: O(m^2) for it and nothing for the rest. Only where the duals have lost their digits too is
what remains factored anew.

A test of neuron u removes it and then, one by one, whoever is farther than epsilon. It ends early
when none of the group is left, or when a neuron is to go that comes before u in the order and is
still here: its own removal was rejected by the whole group, in a state that had all that this one
has, so without it none of the group can stay.

Outlook: where many are to go at once, few often remain to span the other side, and then nobody
stays. One by one that is seen late. So the maximum match of those that remain is first sought from
the factor itself, by the definition: measure one side against the other, let go of whoever is too
far, and so on in turns. With s neurons left that takes O(k s (s + t)), whatever the number of those
that go. Only a rejection is believed; where some of the group may stay, or where it would take more
than the removals, these are made as ever.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..jit import compiled, compiled_freely

# What ``advance`` and ``resume`` come back with.
DONE = 0  # every removal has been tested
SPLIT = 1  # the last removal keeps some of the group and not others
FULL = 2  # the list of terms is long: apply it to the matrix
LOST = 3  # digits are lost in mid-test, of the duals too: factor anew
SURVIVED = 4  # the test is over, some of the group are left
REJECTED = 5  # the test is over, or need not go on: none of the group can stay

TERMS, LEFT_X, LEFT_Y, GROUP = range(4)  # entries of State.counts


class Tolerances(NamedTuple):
    """The tolerances of ``spans``, ``peeling`` and ``minimal_walk``, by their names there.

    And the squared distance from which on one counts as at epsilon (see ``ties``).

    Handed over, since a constant would be compiled in, and what is kept on disk does not see a
    change in another file.
    """

    rank_tolerance: float
    depends: float
    lost_digits: float
    entry_error: float
    most_kept: float
    lost_squares: float
    many: int
    effort: float
    tie_square: float


class Base(NamedTuple):
    """What the states of one piece of the walk share; m neurons, X's first, in an order of its own.

    Attributes:
        neurons: which neuron each position stands for, (m,) int64.
        width_x: number of X's positions.
        rank: place of each in the order of tests, (m,) int64.
        order: positions in the order of tests, (m,) int64.
        matrix: W and the duals, (m, m + c) float64, c = 0 where no neurons are too near.
        lefts: terms' left vectors, (most terms, m) float64; only the term's side is used.
        rights: terms' right vectors, (most terms, m + c) float64.
        term_side: 0 for a term of X, 1 for one of Y, (most terms,) int64.
        vectors: F', (all columns, k) float64, a row for each of ``neurons``' columns.
        tolerances: when digits count as lost, and the like.
        ties: how often a distance has been seen that counts as at epsilon, (1,) int64; of all
            pieces of a walk.
    """

    neurons: np.ndarray
    width_x: int
    rank: np.ndarray
    order: np.ndarray
    matrix: np.ndarray
    lefts: np.ndarray
    rights: np.ndarray
    term_side: np.ndarray
    vectors: np.ndarray
    tolerances: Tolerances
    ties: np.ndarray


class State(NamedTuple):
    """What a removal changes.

    Attributes:
        counts: number of terms, of X's and of Y's neurons left, and of the group's; (4,) int64.
        residual: squared relative distance from the other side's span, (m,) float64.
        diagonal: W's diagonal, (m,) float64.
        highest: what its rounding is a share of: its highest value so far, (m,) float64.
        alive: whether the neuron stays, (m,) bool; not once it is queued for removal.
        basis: whether it is in the basis of its side, (m,) bool; until it is removed.
        reserve: whether it depends on the basis of its side, (m,) bool; likewise.
        group: whether it is one of those whose minimal match is sought, (m,) bool.
    """

    counts: np.ndarray
    residual: np.ndarray
    diagonal: np.ndarray
    highest: np.ndarray
    alive: np.ndarray
    basis: np.ndarray
    reserve: np.ndarray
    group: np.ndarray

    def copy(self) -> State:
        """A state of the same base with the same list of terms, free to go its own way."""
        return State(*(array.copy() for array in self))


@compiled
def gather(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """These rows and columns, copied in one pass."""
    chosen = np.empty((len(rows), len(columns)))
    for i in range(len(rows)):
        source, target = matrix[rows[i]], chosen[i]
        for k in range(len(columns)):
            target[k] = source[columns[k]]
    return chosen


@compiled
def _sides(base: Base, neuron: int) -> tuple[int, int, int, int, int]:
    """The neuron's side, its first position and the one after its last, and the other side's."""
    if neuron < base.width_x:
        return 0, 0, base.width_x, base.width_x, len(base.order)
    return 1, base.width_x, len(base.order), 0, base.width_x


@compiled_freely
def _row(base: Base, state: State, neuron: int) -> np.ndarray:
    """The neuron's row of the matrix as it is now, in place as the next term's right vector."""
    terms, side = state.counts[TERMS], _sides(base, neuron)[0]
    row: np.ndarray = base.rights[terms]
    row[:] = base.matrix[neuron]
    waiting = -1  # two terms at a time, so that the row is read and written half as often
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
    """The neuron's column of W as it is now, over its own side; 0 elsewhere."""
    side, first, last, _, _ = _sides(base, neuron)
    column = np.zeros(len(base.order))
    column[first:last] = base.matrix[first:last, neuron]
    for term in range(state.counts[TERMS]):
        if base.term_side[term] == side:
            column[first:last] -= base.rights[term, neuron] * base.lefts[term, first:last]
    return column


@compiled
def _successor(base: Base, state: State, neuron: int, row: np.ndarray) -> tuple[int, float]:
    """The reserve neuron that depends most on this one, and its coefficient's absolute value."""
    _, first, last, _, _ = _sides(base, neuron)
    successor, strongest = -1, 0.0
    for i in range(first, last):
        if state.reserve[i] and abs(row[i]) > strongest:
            successor, strongest = i, abs(row[i])
    return successor, strongest


@compiled
def _exchange(base: Base, state: State, neuron: int, successor: int, row: np.ndarray) -> None:
    """Let the successor take the neuron's place in the basis: two terms, and no distance changes.

    The equations are in ``peeling``.
    """
    terms, (side, first, last, _, _) = state.counts[TERMS], _sides(base, neuron)
    change, rounding = _column(base, state, successor) / row[successor], state.highest[neuron]
    moved, right = base.lefts[terms + 1], base.rights[terms + 1]
    right[:] = 0.0
    for i in range(first, last):
        moved[i] = row[i] * state.basis[i] - change[i] * row[neuron]
    state.basis[successor], state.reserve[successor] = True, False
    for i in range(first, last):
        right[i] = change[i] * state.basis[i]
        state.diagonal[i] -= change[i] * row[i] + moved[i] * right[i]
        inherited = max(state.diagonal[i], change[i] * change[i] * rounding)
        state.highest[i] = max(state.highest[i], inherited)
    base.lefts[terms, :] = change
    base.term_side[terms : terms + 2] = side
    state.counts[TERMS] = terms + 2


@compiled
def _take_out(base: Base, state: State, neuron: int, row: np.ndarray) -> None:
    """Take a basis neuron out of its side's span: one term, and the other side is farther."""
    terms, pivot = state.counts[TERMS], row[neuron]
    side, first, last, other_first, other_last = _sides(base, neuron)
    left = base.lefts[terms]
    for i in range(first, last):
        left[i] = row[i] / pivot * state.basis[i]
        state.diagonal[i] -= left[i] * row[i]
    for i in range(other_first, other_last):
        state.residual[i] += row[i] / pivot * row[i]
    base.term_side[terms] = side
    state.counts[TERMS] = terms + 1


@compiled
def _has_digits(base: Base, state: State, neuron: int, row: np.ndarray) -> bool:
    """Whether the neuron's row of P has its digits (see ``peeling``)."""
    highest, limits = max(state.highest[neuron], 0.0), base.tolerances
    share = max(limits.entry_error * np.sqrt(highest), limits.lost_digits)
    return bool(row[neuron] >= min(share, limits.most_kept) * highest)


@compiled_freely
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled
def _restore(base: Base, state: State, neuron: int, row: np.ndarray) -> bool:
    """Take the neuron's row of P from the duals; whether these still have their digits."""
    width, (side, first, last, _, _) = len(base.order), _sides(base, neuron)
    dual = row[width:]
    square = _dot(dual, dual)
    if not square >= base.tolerances.lost_squares * state.highest[neuron]:
        return False
    for i in range(first, last):
        if state.basis[i]:
            row[i] = _dot(base.matrix[i, width:], dual)
    for term in range(state.counts[TERMS]):
        if base.term_side[term] == side:
            weight = _dot(base.rights[term, width:], dual)
            for i in range(first, last):
                row[i] -= weight * base.lefts[term, i] * state.basis[i]
    row[neuron] = square
    return True


@compiled
def _remove(base: Base, state: State, neuron: int) -> bool:
    """Remove one neuron; if not, what is left must be factored anew."""
    if state.reserve[neuron]:
        state.reserve[neuron] = False
        return True
    row = _row(base, state, neuron)
    if not _has_digits(base, state, neuron, row) and not _restore(base, state, neuron, row):
        return False
    state.basis[neuron] = False
    successor, strength = _successor(base, state, neuron, row)
    noticed = base.tolerances.rank_tolerance * len(base.order) * np.sqrt(abs(row[neuron]))
    # Near copies may have coefficients that are rounding, and larger than what is divided by.
    if strength <= noticed:
        _take_out(base, state, neuron, row)
    elif strength > base.tolerances.depends:
        _exchange(base, state, neuron, successor, row)
    else:
        return False  # too little to divide by, and too much to be nothing: no distance is known
    return True


@compiled
def _too_far(square: float, bound: float) -> bool:
    """Whether a squared distance is beyond epsilon: the one decision that is made everywhere."""
    return bool(square > bound)


@compiled
def _queue(base: Base, state: State, queue: np.ndarray, tail: int, neuron: int) -> int:
    """Put a neuron on the queue; its new length, or -1 if without it none of the group can stay."""
    side = _sides(base, neuron)[0]
    state.alive[neuron] = False
    state.counts[LEFT_X + side] -= 1
    state.counts[GROUP] -= state.group[neuron]
    # Where nothing is left on a side, nothing spans the other.
    if state.counts[GROUP] == 0 or state.counts[LEFT_X + side] == 0:
        return -1
    queue[tail] = neuron
    return tail + 1


@compiled
def _queue_violators(
    base: Base,
    state: State,
    queue: np.ndarray,
    tail: int,
    among: tuple[int, int],
    bound: float,
    earliest: int,
) -> int:
    """Queue whoever is now too far, among positions; the new length, or -1 if none can stay."""
    found, tie_square = 0, base.tolerances.tie_square
    for i in range(among[0], among[1]):
        found += (state.residual[i] >= tie_square) & state.alive[i]
    if found == 0:  # mostly so, and quicker to see without branches
        return tail
    for i in range(among[0], among[1]):
        if state.alive[i] and state.residual[i] >= tie_square:
            if not _too_far(state.residual[i], bound):
                base.ties[0] += 1
                continue
            if base.rank[i] < earliest:
                return -1
            tail = _queue(base, state, queue, tail, i)
            if tail < 0:
                return -1
    return tail


@compiled_freely
def _take_off(vector: np.ndarray, directions: np.ndarray) -> None:
    """Take off a vector its part along every unit direction."""
    for row in range(len(directions)):
        direction = directions[row]
        weight = _dot(vector, direction)
        for i in range(len(vector)):
            vector[i] -= weight * direction[i]


@compiled
def _directions(base: Base, span: np.ndarray) -> np.ndarray:
    """Orthonormal basis of what the neurons at these positions span, (rank, k)."""
    rank, tolerance = 0, base.tolerances.rank_tolerance * len(base.order)
    directions = np.empty((len(span), base.vectors.shape[1]))
    for neuron in span:
        direction = directions[rank]
        direction[:] = base.vectors[base.neurons[neuron]]
        for _ in range(2):  # once leaves a near copy some of what it has in common with its source
            _take_off(direction, directions[:rank])
        length = np.sqrt(_dot(direction, direction))
        if length > tolerance:
            direction /= length
            rank += 1
    return directions[:rank]


@compiled
def _hopeless(
    base: Base, state: State, side: int, bound: float, earliest: int, effort: float
) -> bool:
    """Whether it is sure that without those queued the test is rejected.

    Args:
        base: base of the state.
        state: the state, those queued not alive.
        side: the side that loses many.
        bound: the largest square of a distance that counts as at epsilon.
        earliest: as in ``_cascade``.
        effort: multiplications that may be spent on it.
    """
    stays, held = state.alive.copy(), 0
    outside = np.empty(base.vectors.shape[1])
    while held < 2:  # sides that hold, one after the other
        span, others = np.flatnonzero(stays[: base.width_x]), np.flatnonzero(stays[base.width_x :])
        others += base.width_x
        if side:
            span, others = others, span
        effort -= 2.0 * len(outside) * len(span) * (len(span) + len(others))
        if effort < 0.0:
            return False
        directions = _directions(base, span)
        held += 1
        for neuron in others:
            outside[:] = base.vectors[base.neurons[neuron]]
            _take_off(outside, directions)
            if _too_far(_dot(outside, outside), bound):
                if base.rank[neuron] < earliest:
                    return True
                stays[neuron], held = False, 0
        if not (stays & state.group).any():
            return True
        side = 1 - side
    return False


@compiled
def _cascade(
    base: Base, state: State, queue: np.ndarray, tail: int, bound: float, earliest: int
) -> int:
    """Remove the queue and whoever that makes too far: SURVIVED, REJECTED or LOST."""
    head, look, width = 0, 0, len(base.order)
    while head < tail:
        neuron, waiting = queue[head], tail - head
        side, _, _, other_first, other_last = _sides(base, neuron)
        if waiting >= base.tolerances.many and head >= look:
            # What the removals of those waiting would take.
            cost = base.tolerances.effort * waiting * width * (1 + state.counts[TERMS])
            if _hopeless(base, state, side, bound, earliest, cost):
                return REJECTED
            look = tail
        head += 1
        if not _remove(base, state, neuron):
            cost = base.tolerances.effort * width**3  # as the new factorisation
            return REJECTED if _hopeless(base, state, side, bound, earliest, cost) else LOST
        others = (other_first, other_last)
        tail = _queue_violators(base, state, queue, tail, others, bound, earliest)
        if tail < 0:
            return REJECTED
    return SURVIVED


@compiled
def _put(state: State, source: State) -> None:
    """Overwrite a state with another of the same base."""
    state.counts[:] = source.counts
    state.residual[:] = source.residual
    state.diagonal[:] = source.diagonal
    state.highest[:] = source.highest
    state.alive[:] = source.alive
    state.basis[:] = source.basis
    state.reserve[:] = source.reserve


@compiled
def advance(
    base: Base, state: State, before: State, first: int, bound: float, most_terms: int
) -> tuple[int, int]:
    """Test removals in the order of rank until something must be decided elsewhere.

    Args:
        base: base of the state.
        state: the group's state so far, all of the group in it; becomes the state afterwards.
        before: room for the state as it was before the last test.
        first: rank from which to go on.
        bound: the largest square of a distance that counts as at epsilon.
        most_terms: length of the list of terms at which it is to be applied.

    Returns:
        DONE, SPLIT, FULL or LOST, and the rank from which to go on.
    """
    queue = np.empty(len(base.order), dtype=np.int64)
    for neuron in base.order:
        if base.rank[neuron] < first or not state.alive[neuron]:
            continue
        group = state.counts[GROUP]
        _put(before, state)
        tail = _queue(base, state, queue, 0, neuron)
        outcome = REJECTED
        if tail > 0:
            outcome = _cascade(base, state, queue, tail, bound, base.rank[neuron])
        if outcome == REJECTED:
            _put(state, before)
        elif outcome == LOST:
            return LOST, base.rank[neuron] + 1
        elif state.counts[GROUP] < group:
            return SPLIT, base.rank[neuron] + 1
        elif state.counts[TERMS] >= most_terms:
            return FULL, base.rank[neuron] + 1
    return DONE, 0


@compiled
def resume(base: Base, state: State, bound: float, earliest: int) -> int:
    """Go on with a test in a state that was factored anew: SURVIVED, REJECTED or LOST."""
    queue = np.empty(len(base.order), dtype=np.int64)
    everywhere = (0, len(base.order))
    tail = _queue_violators(base, state, queue, 0, everywhere, bound, earliest)
    if tail < 0:
        return REJECTED
    return int(_cascade(base, state, queue, tail, bound, earliest))
