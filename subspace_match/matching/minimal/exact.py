"""Exact matches: v-minimum matches, which are the simple matches (Wang et al. 2018, section 3).

If X* and Y* of the exact maximum match are each linearly independent, they are two bases of one
space, and exact matches are closed under intersection (Lemma 6). The v-minimum match is the
intersection of all matches that contain v (Definition 7). It is the set of neurons that can be
reached from v along nonzero coefficients: from x to each y in the expansion of x over Y*, from y to
each x in the expansion of y over X* (ours). Expansions are unique, so a match that contains x must
contain these y; and the reached set is a match.

Zero means the following. A match is exact if relative distances r(x | Y*) are at most
``tolerance``. A coefficient counts as zero if x does not need y_j: if B[j, x]^2 / P[j, j], the
growth of the squared distance of x when y_j is removed (see ``peeling.peel``), is only rounding.
The test does not add r(x | Y*)^2, which contains the rounding in all directions.

Rounding moves each neuron by a fraction u of its norm. A neuron with coefficients c over others
moves by u sqrt(1 + |c|^2) relative to its expansion. The condition number of a mix bounds that
factor, but a tolerance that is right for the largest coefficients is too large for neurons with
small ones. So u is the tolerance divided by the condition, and each neuron is tested with a bound
from its own coefficients.
"""

from __future__ import annotations

import numpy as np

from ..backends.numpy_ import Cpu
from ..path import MatchPath, match_path, moments_of
from ..peeling.spans import Spans, factor_spans
from ..reduction.moments import PairMoments
from .order import distance_growth
from .result import MinimalMatches, deduplicate

# Rounding to float32 moves values by at most 6e-8 of their size, so neurons by less than this.
ROUNDING = 1e-7
TOLERANCE = 10 * ROUNDING  # for mixes of condition 10

NAMED = 5  # an error names at most this many dependent neurons


def simple_matches(pair: PairMoments | MatchPath, tolerance: float = TOLERANCE) -> MinimalMatches:
    """Find the v-minimum match of each neuron in the exact maximum match: the simple matches.

    Wang et al. 2018: the v-minimum matches (Definition 7) are the simple matches (Definition 4,
    Theorem 8), and each exact match is a union of them (Theorem 5).

    Args:
        pair: moments of the two sides, from ``reduce``, or their ``match_path``, which saves its
            computation.
        tolerance: relative distance in (0, 1) that counts as zero. It is used for the distance of a
            neuron from the other side's span (exact match), the growth of that distance when a
            neuron of the other side is removed (zero coefficient), and the distance of a neuron
            from the other neurons of its side (linear dependence). The last two use a smaller
            bound for neurons with small coefficients. For float32 activations, take about 1e-7
            times the condition number of the mix that maps one side to the other (columns scaled
            to norm 1), since rounding moves neurons that far. The default is right up to condition
            10, and for float64 activations up to 1e6.

    Returns:
        A mapping from ("x", i) or ("y", j) to its v-minimum match. ``distinct`` contains each
        simple match once; their union is the maximum match.

    Raises:
        ValueError: if X* or Y* is linearly dependent, because neurons may then have several minimal
            matches and no minimum match (the message names the neurons); or if tolerance is not a
            number in (0, 1).

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.eye(4)[:, :3]
        >>> y = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 1]]).T
        >>> simple = sm.simple_matches(sm.reduce(x, y))
        >>> simple.distinct_matches()                   # no match contains y3
        [Match(x=array([0]), y=array([0])), Match(x=array([0, 2]), y=array([0, 2])), \
Match(x=array([0, 1, 2]), y=array([0, 1, 2]))]
        >>> simple["x", 1]                              # x1 = y1 - y2 + y0
        Match(x=array([0, 1, 2]), y=array([0, 1, 2]))
    """
    _check_tolerance(tolerance)
    moments = moments_of(pair)
    path = pair if isinstance(pair, MatchPath) else match_path(pair, device="cpu")
    n, n_x = len(moments.sums), moments.neurons_x
    maximum = path.maximum_match(tolerance)
    match_of = np.full(n, -1)
    if not len(maximum.x):
        return deduplicate(n_x, np.zeros((0, n), dtype=bool), match_of)

    live = np.flatnonzero(moments.live)
    spans = factor_spans(
        np.ascontiguousarray(moments.factor.T).T,
        np.searchsorted(live, maximum.x),
        np.searchsorted(live, maximum.y + n_x),
        Cpu(),
        independent=moments.well_conditioned,
    )
    neurons = live[spans.neurons]
    of_x = neurons < n_x
    step = _rounding(spans, tolerance)
    _check_independent(spans, neurons, n_x, tolerance, step)

    growth = distance_growth(spans.coefficients, len(maximum.x))
    coefficients = np.where(of_x[:, None] != of_x, spans.coefficients, 0.0)
    bound = _bound((coefficients**2).sum(0), step, tolerance)
    reached = _reachable(growth > bound[:, None] ** 2)
    rows = np.zeros((len(neurons), n), dtype=bool)
    rows[:, neurons] = reached
    match_of[neurons] = np.arange(len(neurons))
    return deduplicate(n_x, rows, match_of)


def _rounding(spans: Spans, tolerance: float) -> float:
    """Return u, the tolerance divided by the condition: the largest 1 / distance within a side."""
    condition = np.sqrt(np.diagonal(spans.coefficients).max())
    return float(max(tolerance / condition, ROUNDING))


def _bound(squares: np.ndarray, step: float, tolerance: float) -> np.ndarray:
    """Return how far rounding moves neurons from their expansions with these |c|^2."""
    bound: np.ndarray = np.minimum(step * np.sqrt(1.0 + squares), tolerance)
    return bound


def _reachable(steps: np.ndarray) -> np.ndarray:
    """Return which neurons each one can reach, itself included, from single steps; (m, m) bool."""
    reached = steps | np.eye(len(steps), dtype=bool)
    while True:
        # Double the length of paths. NumPy multiplies float32 matrices far faster than bool ones.
        further = reached.astype(np.float32) @ reached.astype(np.float32) > 0
        if (further == reached).all():
            return reached
        reached = further


def _check_independent(
    spans: Spans, neurons: np.ndarray, neurons_x: int, tolerance: float, step: float
) -> None:
    """Raise a ValueError if a side is linearly dependent up to rounding."""
    matrix = spans.coefficients
    of_x = neurons < neurons_x
    diagonal = np.diagonal(matrix)
    # Squared distance from the other neurons of the side: 1 / P[i, i], or 0 if a neuron outside the
    # basis has a nonzero coefficient on i.
    squares = np.where(spans.basis, 1 / diagonal, 0.0)
    for q in np.flatnonzero(~spans.basis):
        same = spans.basis & (of_x == of_x[q])
        squares[same & (matrix[:, q] ** 2 > tolerance**2 * np.abs(diagonal))] = 0.0
    # Column i of P is P[i, i] (1, -c), with c the coefficients of i over the others of its side.
    own = np.where(spans.basis[:, None] & spans.basis & (of_x[:, None] == of_x), matrix, 0.0)
    bound = _bound((own**2).sum(0) / diagonal**2 - 1.0, step, tolerance)
    for argument, of_side, first in (("x", of_x, 0), ("y", ~of_x, neurons_x)):
        dependent = np.sort(neurons[of_side & (squares <= bound**2)]) - first
        if len(dependent):
            named = ", ".join(map(str, dependent[:NAMED])) + ", ..." * (len(dependent) > NAMED)
            raise ValueError(
                f"{argument}: expected linearly independent neurons in the exact maximum match,"
                f" found {len(dependent)} that depend on others of {argument}: {named}; remove some"
                " of them, or call minimal_matches, which needs no independence"
            )
    if of_x.sum() != (~of_x).sum():
        argument, of_side, first = (
            ("x", of_x, 0) if of_x.sum() > (~of_x).sum() else ("y", ~of_x, neurons_x)
        )
        nearest = np.flatnonzero(of_side)[squares[of_side].argmin()]
        raise ValueError(
            f"{argument}: expected as many neurons in x as in y, two bases of one space, found"
            f" {of_x.sum()} and {(~of_x).sum()}: {argument} is nearly linearly dependent, above all"
            f" neuron {neurons[nearest] - first}, {np.sqrt(squares[nearest]):.1e} from the span of"
            " the others; use a larger tolerance, or call minimal_matches"
        )


def _check_tolerance(tolerance: float) -> None:
    if not isinstance(tolerance, (int, float, np.number)) or not 0 < tolerance < 1:
        raise ValueError(
            f"tolerance: expected a number in (0, 1), found {tolerance!r}; use {TOLERANCE:g} for"
            " float32 activations, or 1e-7 times the condition of the mix if that is more than 10"
        )
