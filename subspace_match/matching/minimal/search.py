"""Minimal matches: for a neuron v, a match that contains v and has no smaller one inside that does.

Definition 9 of Wang et al. 2018. A neuron can have several; which one is found depends on the order
in which removals are tested. ``minimal_walk`` tests them, for all neurons together where they share
an order.

How long that takes, for real fully connected layers of 256 + 256 at epsilon 0.3, from moments to
match: one neuron 8 ms, most of it LAPACK and BLAS on matrices of 256 x 256; all 426 0.5 s, tests
and applied lists of terms. With 100 near copies a side all take 1 to 1.9 s, and one 30 to 70 ms,
mostly QR. All 866 of 512 + 512: 4.5 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..path import Match, MatchPath
from ..reduction.moments import PairMoments
from ..ties import warn_of_ties
from ..validation import as_epsilon
from .order import Order, check_order, orders_of_tests
from .result import MinimalMatches, Neuron, column_of, kept_once
from .walk import Walk


def minimal_match(
    pair: PairMoments | MatchPath,
    epsilon: float,
    neuron: Neuron,
    *,
    order: Order = "authors",
    seed: int | None = None,
    restarts: int = 1,
) -> Match | None:
    """A v-minimal match of one neuron v (Wang et al. 2018, Definition 9).

    Found as the authors do: from the maximum match, for every other neuron u in turn take out u and
    take the maximum match of the rest; if v is still in it, go on with that, else keep u. Costs
    O(m^2) a test at most for a maximum match of m neurons, whatever the number of samples.

    Args:
        pair: moments of the two sides, from ``reduce``; or their ``match_path``, whose maximum
            match is then taken, where from moments the one of this epsilon is found on the way.
        epsilon: relative distance in [0, 1), as in ``MatchPath.maximum_match``.
        neuron: ("x", i) or ("y", j).
        order: as in ``minimal_matches``, like ``seed`` and ``restarts``.
        seed: of the random orders.
        restarts: number of random orders.

    Returns:
        The match, or None if the neuron is not in the maximum match (a dead one never is).

    Raises:
        ValueError: if there is no such neuron, epsilon is not one number in [0, 1), or an option is
            not one of those above.

    Warns:
        TieWarning: where distances are exactly at epsilon, or nearer than rounding lets be told.

    Example:
        >>> from subspace_match.matching.reduction.moments import reduce
        >>> x = np.eye(4)[:, :3]
        >>> y = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, -1, 0], [0, 0, 0, 1]]).T
        >>> minimal_match(reduce(x, y), 0.1, ("x", 1))     # spanned by y1 and y2, as x2 is
        Match(x=array([1, 2]), y=array([1, 2]))
        >>> minimal_match(reduce(x, y), 0.1, ("x", 0))
        Match(x=array([0]), y=array([0]))
        >>> minimal_match(reduce(x, y), 0.1, ("y", 3)) is None
        True
    """
    epsilon = as_epsilon(epsilon)
    moments = pair.pair if isinstance(pair, MatchPath) else pair
    column = column_of(neuron, moments.neurons_x, moments.neurons_y)
    found = _search(pair, epsilon, order, seed, restarts, only=column, progress=None)
    return found.get(neuron)


def minimal_matches(
    pair: PairMoments | MatchPath,
    epsilon: float,
    *,
    order: Order = "authors",
    seed: int | None = None,
    restarts: int = 1,
    progress: Callable[[int], Any] | None = None,
) -> MinimalMatches:
    """A v-minimal match of every neuron v in the maximum match (Wang et al. 2018, Definition 9).

    The same matches as ``minimal_match`` of each, but tests that several neurons have in common are
    made once. Runs on one core of the CPU. The first call on a machine compiles for some seconds,
    what it compiles is kept on disk.

    Args:
        pair: moments of the two sides, from ``reduce``; or their ``match_path``, whose maximum
            match is then taken, where from moments the one of this epsilon is found on the way.
        epsilon: relative distance in [0, 1), as in ``MatchPath.maximum_match``.
        order: order in which removals are tested, which decides between a neuron's minimal matches:
            "authors", X's neurons and then Y's;
            "random", a random permutation of all n neurons for each restart, keeping each neuron's
            smallest match (the first of equals);
            "small" (ours), for every v the authors' order and then the neurons first that v needs
            least, keeping the smaller match (the first of equals). So no match is larger than the
            authors', and it takes longer: in the second order neurons share no tests.
        seed: of the random orders, for ``numpy.random.default_rng``; only with order="random".
        restarts: number of random orders, at least 1; only with order="random".
        progress: called with the number of neurons that are done since the last call, for instance
            ``tqdm(...).update``; in all, as many as the maximum match has, times ``restarts``, or
            twice for order="small".

    Returns:
        The matches.

    Raises:
        ValueError: if epsilon is not one number in [0, 1), or an option is not one of those above.

    Warns:
        TieWarning: as ``minimal_match``.

    Example:
        >>> from subspace_match.matching.reduction.moments import reduce
        >>> x = np.eye(4)[:, :3]
        >>> y = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, -1, 0], [0, 0, 0, 1]]).T
        >>> matches = minimal_matches(reduce(x, y), 0.1)
        >>> matches.sizes_x, matches.sizes_y
        (array([2, 4, 4]), array([2, 4, 4, 0]))
        >>> matches["y", 2]
        Match(x=array([1, 2]), y=array([1, 2]))
        >>> len(matches), len(matches.distinct)
        (6, 2)
    """
    return _search(pair, as_epsilon(epsilon), order, seed, restarts, only=None, progress=progress)


def _search(
    pair: PairMoments | MatchPath,
    epsilon: float,
    order: Order,
    seed: int | None,
    restarts: int,
    *,
    only: int | None,
    progress: Callable[[int], Any] | None,
) -> MinimalMatches:
    """Minimal matches of all neurons of the maximum match, or of the one asked for."""
    check_order(order, seed, restarts)
    moments = pair.pair if isinstance(pair, MatchPath) else pair
    n, n_x = len(moments.sums), moments.neurons_x
    live = np.flatnonzero(moments.live)
    width_x = int((live < n_x).sum())
    columns = np.arange(len(live))
    if isinstance(pair, MatchPath):
        columns = np.flatnonzero(pair.critical_epsilon[live] <= epsilon)
    sought = columns if only is None else columns[live[columns] == only]
    nothing = kept_once(n_x, np.zeros((0, n), dtype=bool), np.full(n, -1))
    if not len(sought) or not 0 < (columns < width_x).sum() < len(columns):
        return nothing

    margin = moments.tie_margin
    walk = Walk(moments.factor, columns, width_x, epsilon, moments.unit_products, margin)
    # Without a path, the maximum match of this one epsilon: a part of what a path would take.
    if not isinstance(pair, MatchPath):
        if not walk.find_maximum(sought):
            warn_of_ties(walk.ties, epsilon, margin)
            return nothing
        sought = sought[np.isin(sought, walk.columns)]
    sought = live[sought]
    rows: list[np.ndarray] = []
    row_of, smallest = np.full(n, -1), np.full(n, n + 1)
    for tests, group in orders_of_tests(walk, live, sought, n, order, seed, restarts):
        for members, match in walk.walk(tests, group):
            better = live[members][len(match) < smallest[live[members]]]
            if len(better):
                row_of[better], smallest[better] = len(rows), len(match)
                rows.append(np.isin(np.arange(n), live[match]))
            if progress is not None:
                progress(len(members))
    warn_of_ties(walk.ties, epsilon, margin)
    return kept_once(n_x, np.array(rows), row_of)
