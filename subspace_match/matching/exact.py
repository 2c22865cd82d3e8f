"""The exact case: v-minimum matches, which are the simple matches (Wang et al. 2018, section 3).

Where X* and Y* of the exact maximum match are each linearly independent, they are two bases of one
space, and exact matches are closed under intersection (Lemma 6). The v-minimum match, the
intersection of all that contain v (Definition 7), is then what can be reached from v by following
the coefficients that are not zero: from x to every y in x's expansion over Y*, from y to every x in
y's over X* (ours). A match with x in it must have those y, since the expansion is unique; and what
is reached is a match.

What counts as zero: a relative distance of at most ``tolerance``, everywhere. Without y_j the
squared distance of x is r(x | Y*)^2 + B[j, x]^2 / P[j, j] (see ``peeling``), so x's coefficient on
y_j is zero if that is at most tolerance^2: x does not miss y_j. Unlike a bound on B itself it knows
of no scale and no condition number.
"""

from __future__ import annotations

import numpy as np

from .minimal_order import growths
from .minimal_sets import MinimalMatches, kept_once
from .moments import PairMoments
from .on_cpu import Cpu
from .path import MatchPath, match_path
from .spans import Spans, factor_spans

# Rounding to float32 moves a neuron by 6e-8 of its norm, and a neuron that is a mix of others by a
# few times as much; what is less than twenty times that far cannot be told from it.
TOLERANCE = 1e-6

NAMED = 5  # dependent neurons named in an error


def simple_matches(pair: PairMoments | MatchPath, tolerance: float = TOLERANCE) -> MinimalMatches:
    """Every neuron's v-minimum match, and so the simple matches, of the exact maximum match.

    Wang et al. 2018: the v-minimum matches (Definition 7) are the simple matches (Definition 4,
    Theorem 8), and every exact match is a union of them (Theorem 5).

    Args:
        pair: moments of the two sides, from ``reduce``; or their ``match_path``, which saves making
            it again.
        tolerance: relative distance in (0, 1) up to which one counts as zero: of a neuron from the
            other side's span, for an exact match; with a neuron of the other side left out, for a
            coefficient that is zero; of a neuron from its own side's others, for dependence. The
            default is what rounding to float32 calls for.

    Returns:
        A mapping from ("x", i) or ("y", j) to its v-minimum match; ``distinct`` are the simple
        matches, each once, and their union is the maximum match.

    Raises:
        ValueError: if X* or Y* is linearly dependent, naming the neurons: then a neuron has several
            minimal matches and no minimum one; or if tolerance is not a number in (0, 1).

    Example:
        >>> from subspace_match.matching.moments import reduce
        >>> x = np.eye(4)[:, :3]
        >>> y = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 1]]).T
        >>> simple = simple_matches(reduce(x, y))
        >>> simple.distinct_matches()                   # y3 is in no match
        [Match(x=array([0]), y=array([0])), Match(x=array([0, 2]), y=array([0, 2])), \
Match(x=array([0, 1, 2]), y=array([0, 1, 2]))]
        >>> simple["x", 1]                              # x1 = y1 - y2 + y0
        Match(x=array([0, 1, 2]), y=array([0, 1, 2]))
    """
    _check_tolerance(tolerance)
    path = pair if isinstance(pair, MatchPath) else match_path(pair, device="cpu")
    moments = path.pair
    n, n_x = len(moments.sums), moments.neurons_x
    maximum = path.maximum_match(tolerance)
    match_of = np.full(n, -1)
    if not len(maximum.x):
        return kept_once(n_x, np.zeros((0, n), dtype=bool), match_of)

    live = np.flatnonzero(moments.live)
    spans = factor_spans(
        np.ascontiguousarray(moments.factor.T).T,
        np.searchsorted(live, maximum.x),
        np.searchsorted(live, maximum.y + n_x),
        Cpu(),
        independent=(moments.well_conditioned, moments.well_conditioned),
    )
    neurons = live[spans.neurons]
    _check_independent(spans, neurons, n_x, tolerance)

    growth = growths(spans.coefficients, len(maximum.x))
    missed = spans.residual[:, None] + growth > tolerance**2
    reached = _reachable(missed & (growth > 0))
    rows = np.zeros((len(neurons), n), dtype=bool)
    rows[:, neurons] = reached
    match_of[neurons] = np.arange(len(neurons))
    return kept_once(n_x, rows, match_of)


def _reachable(steps: np.ndarray) -> np.ndarray:
    """Which neurons can be reached from each, itself included, (m, m) bool, from single steps."""
    reached = steps | np.eye(len(steps), dtype=bool)
    while True:
        # Paths of twice the length: a product of float32 matrices is far faster than one of bools.
        further = reached.astype(np.float32) @ reached.astype(np.float32) > 0
        if (further == reached).all():
            return reached
        reached = further


def _check_independent(spans: Spans, neurons: np.ndarray, neurons_x: int, tolerance: float) -> None:
    """Raise a ValueError if a side is linearly dependent, within the tolerance."""
    matrix = spans.coefficients
    of_x = neurons < neurons_x
    diagonal = np.diagonal(matrix)
    # Squared distance from the others of the side: 1 / P[i, i], and 0 where a reserve neuron, which
    # depends on the basis, has a coefficient on i that it would miss.
    squares = np.where(spans.basis, 1 / diagonal, 0.0)
    for q in np.flatnonzero(~spans.basis):
        same = spans.basis & (of_x == of_x[q])
        squares[same & (matrix[:, q] ** 2 > tolerance**2 * np.abs(diagonal))] = 0.0
    for argument, of_side, first in (("x", of_x, 0), ("y", ~of_x, neurons_x)):
        dependent = np.sort(neurons[of_side & (squares <= tolerance**2)]) - first
        if len(dependent):
            named = ", ".join(map(str, dependent[:NAMED])) + ", ..." * (len(dependent) > NAMED)
            raise ValueError(
                f"{argument}: expected linearly independent neurons in the exact maximum match,"
                f" found {len(dependent)} that depend on others of {argument}: {named}; leave some"
                " of them out, or ask for minimal_matches, which needs no independence"
            )
    if of_x.sum() != (~of_x).sum():
        argument, of_side, first = (
            ("x", of_x, 0) if of_x.sum() > (~of_x).sum() else ("y", ~of_x, neurons_x)
        )
        nearest = np.flatnonzero(of_side)[squares[of_side].argmin()]
        raise ValueError(
            f"{argument}: expected as many neurons in x as in y where both are bases of one space,"
            f" found {of_x.sum()} and {(~of_x).sum()}, so that {argument} is nearly dependent, most"
            f" of all neuron {neurons[nearest] - first}, {np.sqrt(squares[nearest]):.1e} from the"
            " others' span; ask with a larger tolerance, or for minimal_matches"
        )


def _check_tolerance(tolerance: float) -> None:
    if not isinstance(tolerance, (int, float, np.number)) or not 0 < tolerance < 1:
        raise ValueError(
            f"tolerance: expected a number in (0, 1), found {tolerance!r}; {TOLERANCE} is right for"
            " float32 activations"
        )
