"""The exact case: v-minimum matches, which are the simple matches (Wang et al. 2018, section 3).

Where X* and Y* of the exact maximum match are each linearly independent, they are two bases of one
space, and exact matches are closed under intersection (Lemma 6). The v-minimum match, the
intersection of all that contain v (Definition 7), is then what can be reached from v by following
the coefficients that are not zero: from x to every y in x's expansion over Y*, from y to every x in
y's over X* (ours). A match with x in it must have those y, since the expansion is unique; and what
is reached is a match.

What counts as zero: for an exact match a relative distance r(x | Y*) of at most ``tolerance``. For
a coefficient the growth B[j, x]^2 / P[j, j] of the squared distance of x without y_j (see
``peeling``): x does not miss y_j if that is rounding. The growth alone, without r(x | Y*)^2, which
is rounding in all directions together, and more than in one.

Rounding moves every neuron by a part u of its norm, and so a neuron with coefficients c over others
by u sqrt(1 + |c|^2) from where these say it is. The condition number of a mix bounds that; but a
tolerance that is right for the largest coefficients is too large for neurons with small ones. So u
is what is left of the tolerance when the condition is taken out of it, and each neuron is tested
with a bound that follows its own coefficients.
"""

from __future__ import annotations

import numpy as np

from ..backends.numpy_ import Cpu
from ..path import MatchPath, match_path
from ..peeling.spans import Spans, factor_spans
from ..reduction.moments import PairMoments
from .order import growths
from .result import MinimalMatches, kept_once

# Rounding to float32 moves every value by at most 6e-8 of its size, so no neuron by more than this.
ROUNDING = 1e-7
TOLERANCE = 10 * ROUNDING  # for mixes of condition 10

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
            coefficient that is zero; of a neuron from its own side's others, for dependence. For
            float32 activations about 1e-7 times the condition number of the mix that makes one
            side of the other (columns scaled to norm 1): rounding moves a neuron that far from its
            exact match. The default is right up to condition 10, for float64 up to 1e6. The last
            two are tested with less where a neuron's own coefficients are smaller than that.

    Returns:
        A mapping from ("x", i) or ("y", j) to its v-minimum match; ``distinct`` are the simple
        matches, each once, and their union is the maximum match.

    Raises:
        ValueError: if X* or Y* is linearly dependent, naming the neurons: then a neuron has several
            minimal matches and no minimum one; or if tolerance is not a number in (0, 1).

    Example:
        >>> from subspace_match.matching.reduction.moments import reduce
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
    of_x = neurons < n_x
    step = _rounding(spans, tolerance)
    _check_independent(spans, neurons, n_x, tolerance, step)

    growth = growths(spans.coefficients, len(maximum.x))
    coefficients = np.where(of_x[:, None] != of_x, spans.coefficients, 0.0)
    bound = _bound((coefficients**2).sum(0), step, tolerance)
    reached = _reachable(growth > bound[:, None] ** 2)
    rows = np.zeros((len(neurons), n), dtype=bool)
    rows[:, neurons] = reached
    match_of[neurons] = np.arange(len(neurons))
    return kept_once(n_x, rows, match_of)


def _rounding(spans: Spans, tolerance: float) -> float:
    """u: the tolerance without the condition, the largest 1 / distance from a side's others."""
    condition = np.sqrt(np.diagonal(spans.coefficients).max())
    return float(max(tolerance / condition, ROUNDING))


def _bound(squares: np.ndarray, step: float, tolerance: float) -> np.ndarray:
    """How far rounding moves neurons from their expansions, given |c|^2 of these."""
    bound: np.ndarray = np.minimum(step * np.sqrt(1.0 + squares), tolerance)
    return bound


def _reachable(steps: np.ndarray) -> np.ndarray:
    """Which neurons can be reached from each, itself included, (m, m) bool, from single steps."""
    reached = steps | np.eye(len(steps), dtype=bool)
    while True:
        # Paths of twice the length: a product of float32 matrices is far faster than one of bools.
        further = reached.astype(np.float32) @ reached.astype(np.float32) > 0
        if (further == reached).all():
            return reached
        reached = further


def _check_independent(
    spans: Spans, neurons: np.ndarray, neurons_x: int, tolerance: float, step: float
) -> None:
    """Raise a ValueError if a side is linearly dependent, within rounding."""
    matrix = spans.coefficients
    of_x = neurons < neurons_x
    diagonal = np.diagonal(matrix)
    # Squared distance from the others of the side: 1 / P[i, i], and 0 where a reserve neuron, which
    # depends on the basis, has a coefficient on i that it would miss.
    squares = np.where(spans.basis, 1 / diagonal, 0.0)
    for q in np.flatnonzero(~spans.basis):
        same = spans.basis & (of_x == of_x[q])
        squares[same & (matrix[:, q] ** 2 > tolerance**2 * np.abs(diagonal))] = 0.0
    # Column i of P is P[i, i] times (1, -c), c the coefficients of i over the others of its side.
    own = np.where(spans.basis[:, None] & spans.basis & (of_x[:, None] == of_x), matrix, 0.0)
    bound = _bound((own**2).sum(0) / diagonal**2 - 1.0, step, tolerance)
    for argument, of_side, first in (("x", of_x, 0), ("y", ~of_x, neurons_x)):
        dependent = np.sort(neurons[of_side & (squares <= bound**2)]) - first
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
            " float32 activations, and 1e-7 times the condition of a mix that is beyond 10"
        )
