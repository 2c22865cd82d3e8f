"""Many tests of one neuron's search at once, on small matrices, where most removals succeed (ours).

Where a layer has far fewer directions than neurons, hundreds of removals succeed before the first
is rejected. ``walk`` makes each of them on the rows of all neurons. A search for one neuron need
not: it goes run by run. A run is the next tests of one side S, up to the first of the other side T.

1. Removals that need no test. Let all of T be within epsilon of the last r neurons of the run and
   those of S that the run does not test. Then the tests before these r all succeed and remove no
   other neuron: distances only grow, so T was within epsilon before; and while T is whole, the
   distances of S do not change. With these neurons of S in reverse order, S'S = L L' and
   C = L^-1 S'T, the squared distance of a unit vector t from the first r is
   1 - sum_{i < r} C[i, t]^2. So one factor shows the smallest r.
2. The tests of these r. They read only their own rows of W (see ``peeling.spans``),
   P = L'^-1 L^-1 and B = L'^-1 C. A test is rejected if a kept neuron of T becomes too far. Other
   neurons of T that become too far leave.
3. Step 2 assumes that S does not need the neurons of T that left. Step 1 with S and T exchanged
   shows how long that is true: as long as T has enough neurons to be near all of S. Later tests do
   not count.

Products F'F lose digits where neurons are nearly dependent. So S ends where the diagonal of P
would exceed ``SAFE_PRODUCT``: squared distances are then accurate to about 1e-12. A test in which
one is closer to epsilon than ``UNSURE`` does not count either: the walk makes it, and reports ties.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from ..jit import compiled
from ..peeling.spans import SAFE_PRODUCT
from .compiled import ALIVE, KEPT, Base, State

UNSURE = 1e-9  # of a squared distance
FIRST_ROWS = 0.08  # neurons of S that step 1 tries first, relative to all that remain
MOST_ROWS = 0.3  # with more of S, the walk is about as fast
FEWEST_NEURONS = 100  # with fewer in all, the walk is about as fast
MOST_LEFT = 0.5  # if more of all neurons are left at the end, to start the walk anew saves little
SPARE_ROWS = 1.2  # so many times the number of neurons that seem necessary are tried next


def decide_alone(
    base: Base, state: State, products: np.ndarray, bound: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Make the next tests of a search for one neuron.

    Args:
        base: base of the state.
        state: a state in which no neuron is too far; its group is the neuron.
        products: F'F, indexed by ``base.neurons``.
        bound: largest squared distance that counts as equal to epsilon.

    Returns:
        Whether the neuron at each position remains, and whether it is kept, (m,) bool; None if that
        would save little.
    """
    search = _Search(base, state, products, bound)
    at_first = search.alive.sum()
    if at_first < FEWEST_NEURONS:
        return None
    while len(run := search.next_run()) and search.make(run):
        pass
    if len(run) and search.alive.sum() > MOST_LEFT * at_first:
        return None
    return search.alive, search.kept


class _Search:
    """Search for the minimal match of one neuron.

    Attributes:
        alive: whether the neuron at each position remains, (m,) bool.
        kept: whether its removal need not be tested any more, (m,) bool.
    """

    def __init__(self, base: Base, state: State, products: np.ndarray, bound: float) -> None:
        self.alive = state.flags[ALIVE].copy()
        self.kept = state.flags[KEPT] | state.group
        self._order, self._rank, self._neurons = base.order, base.rank, base.neurons
        self._of_y = np.arange(len(base.order)) >= base.width_x
        self._products = products
        self._near, self._far = base.tolerances.tie_square - UNSURE, bound + UNSURE
        remaining = self.alive.sum()
        self._first_rows, self._most_rows = int(FIRST_ROWS * remaining), int(MOST_ROWS * remaining)

    def next_run(self) -> np.ndarray:
        """Return the positions of the next neurons to test, all of one side."""
        tests: np.ndarray = self._order[(self.alive & ~self.kept)[self._order]]
        of_t = self._of_y[tests] != self._of_y[tests[:1]]
        return tests[: of_t.argmax()] if of_t.any() else tests

    def make(self, run: np.ndarray) -> bool:
        """Make the tests of a run as far as possible; return whether all are made."""
        of_s = self._of_y == self._of_y[run[0]]
        others = np.flatnonzero(self.alive & ~of_s)
        untested = self.alive & of_s
        untested[run] = False
        fixed = np.flatnonzero(untested)
        found = self._nearest(np.append(fixed, run[::-1]), others, max(len(fixed), 1))
        if found is None:
            return False
        inverse, inside = found
        tests = np.arange(len(inverse) - 1, len(fixed) - 1, -1)
        certain, tested = np.split(run, [len(run) - len(tests)])
        before, removed, leaves = _test(
            *(inverse.T @ inverse, inverse.T @ inside, 1.0 - (inside**2).sum(0)),
            *(tests, self.kept[others], self._near, self._far),
        )
        valid = self._valid_removals(np.append(fixed, tested), others, leaves)
        counts = (before < valid) | ((before == valid) & ~removed)
        self.alive[certain] = False
        self.alive[tested[counts & removed]] = False
        self.kept[tested[counts & ~removed]] = True
        self.alive[others[leaves <= valid]] = False
        return bool(counts.all())

    def _valid_removals(self, rows: np.ndarray, others: np.ndarray, leaves: np.ndarray) -> int:
        """Return how many of S's removals leave enough of T to be near all these rows of S."""
        if (leaves > len(rows)).all():
            return len(rows)
        order = np.lexsort((-self._rank[others], -leaves))  # those that leave last come first
        found = self._nearest(others[order], rows, 1)
        needed = len(others) if found is None else len(found[0])
        return int(leaves[order[needed - 1]]) - 1

    def _nearest(
        self, own: np.ndarray, others: np.ndarray, least: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Find how many of a side's neurons, from the first on, all of the other side are near to.

        Args:
            own: positions of one side, in order.
            others: positions of the other side.
            least: least number, at least 1.

        Returns:
            L^-1, (number, number), and C, (number, others), float64; None if they would be too many
            or too close to dependent.
        """
        columns, count = self._neurons[others], max(self._first_rows, least)
        while least <= self._most_rows:
            first = self._neurons[own[:count]]
            inverse = _inverse_factor(self._products[np.ix_(first, first)])
            independent = len(inverse)
            if independent < least:
                return None
            inside = inverse @ self._products[np.ix_(first[:independent], columns)]
            farthest = _farthest(inside)
            near = farthest[least - 1 :] < self._near
            if near.any():
                number = least + int(near.argmax())
                return inverse[:number, :number], inside[:number]
            if independent < len(first) or len(first) == len(own):
                return None
            # Distances usually fall ever more slowly, so at least as many seem necessary.
            half, needed = independent // 2, float(len(own))
            fall = (farthest[half - 1] - farthest[-1]) / (independent - half)
            if fall > 0.0:
                needed = min(independent + (farthest[-1] - self._near) / fall, needed)
            if needed > self._most_rows:
                return None
            count = int(SPARE_ROWS * needed) + 1
        return None


def _inverse_factor(gram: np.ndarray) -> np.ndarray:
    """Return L^-1 of the first columns, as many as are far from dependent; (columns, columns)."""
    lower, failed = lapack.dpotrf(gram.T, lower=True)
    count = failed - 1 if failed else len(gram)
    if not count:
        return gram[:0, :0]
    inverse: np.ndarray = np.tril(lapack.dtrtri(lower[:count, :count], lower=True)[0])
    diagonal = np.cumsum(inverse**2, axis=0)  # of P, in row r of the first r + 1 columns
    count = int((diagonal.max(1) <= SAFE_PRODUCT).sum())
    return inverse[:count, :count]


@compiled
def _farthest(inside: np.ndarray) -> np.ndarray:
    """Return the largest squared distance from the first r + 1 neurons, (rows,), given C."""
    squares, farthest = np.ones(inside.shape[1]), np.zeros(len(inside))
    for row in range(len(inside)):
        of_row, highest = inside[row], 0.0
        for t in range(len(squares)):
            squares[t] -= of_row[t] * of_row[t]
        for t in range(len(squares)):
            highest = max(highest, squares[t])
        farthest[row] = highest
    return farthest


@compiled
def _test(
    inverse: np.ndarray,
    across: np.ndarray,
    squares: np.ndarray,
    tests: np.ndarray,
    kept: np.ndarray,
    near: float,
    far: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Test removals of S's neurons one by one, as if S needed no neuron of T.

    Args:
        inverse: P, (r, r) float64, overwritten.
        across: B, (r, t) float64, overwritten.
        squares: squared distances of T's neurons, (t,) float64, overwritten.
        tests: rows of the neurons to remove, in order, from the last row on upwards; (tests,)
            int64.
        kept: whether each of T's neurons is kept, (t,) bool.
        near: squared distances below this one are within epsilon.
        far: squared distances above this one are not. Between both, tests end.

    Returns:
        before: number of removals before each test, r + 1 if it was not made; (tests,) int64.
        removed: whether each test's neuron was removed, (tests,) bool.
        leaves: number of removals after which each of T's neurons has left, r + 1 if it stays; (t,)
            int64.
    """
    rows, width, removals = len(inverse), len(squares), 0
    never = rows + 1
    before, removed = np.full(len(tests), never), np.zeros(len(tests), dtype=np.bool_)
    leaves = np.full(width, never)
    for test in range(len(tests)):
        u = tests[test]
        scale, own, row, rejected = 1.0 / inverse[u, u], inverse[u], across[u], False
        for t in range(width):
            square = squares[t] + row[t] * scale * row[t]
            if square >= near and leaves[t] == never:
                if square <= far:
                    return before, removed, leaves
                if kept[t]:
                    rejected = True
                    break
        before[test] = removals
        if rejected:
            continue
        removed[test], removals = True, removals + 1
        for t in range(width):
            squares[t] += row[t] * scale * row[t]
            if squares[t] >= near and leaves[t] == never:
                leaves[t] = removals
        for i in tests[test + 1 :]:  # no other row is read any more
            weight, of_own, of_other = own[i] * scale, inverse[i], across[i]
            for k in range(u):
                of_own[k] -= weight * own[k]
            for t in range(width):
                of_other[t] -= weight * row[t]
    return before, removed, leaves
