"""Minimal matches: for a neuron v, a match that contains v and no smaller match that contains v.

Definition 9 of Wang et al. 2018. A neuron can have several; the order in which removals are tested
decides which one is found. ``walk`` tests removals for all neurons with the same order at once.

Times from moments to matches, for real fully connected layers of 256 + 256 neurons at epsilon 0.3:
8 ms for one neuron, mostly LAPACK and BLAS on 256 x 256 matrices; 0.5 s for all 426, mostly tests
and applying terms. With 100 near copies per side: 30 to 70 ms for one neuron, mostly QR, and 1 to
1.9 s for all. All 866 neurons of layers of 512 + 512: 4.5 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..path import Match, MatchPath
from ..reduction.moments import PairMoments
from ..ties import warn_of_ties
from ..validation import as_epsilon
from .order import Order, check_order, removal_orders
from .result import MinimalMatches, Neuron, column_of, deduplicate
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
    """Find a v-minimal match of one neuron v (Wang et al. 2018, Definition 9).

    The authors' greedy search: start from the maximum match. For each other neuron u in turn, take
    the maximum match without u; continue with it if it contains v, else keep u. A test costs at
    most O(m^2) for a maximum match of m neurons and any number of samples.

    Args:
        pair: moments of the two sides, from ``reduce``, or their ``match_path``. A path saves the
            search for the maximum match.
        epsilon: relative distance in [0, 1), as in ``MatchPath.maximum_match``.
        neuron: ("x", i) or ("y", j).
        order: as in ``minimal_matches``.
        seed: seed of the random orders.
        restarts: number of random orders.

    Returns:
        The match, or None if the neuron is not in the maximum match (dead neurons never are).

    Raises:
        ValueError: if there is no such neuron, epsilon is not one number in [0, 1), or an option is
            invalid.

    Warns:
        TieWarning: if distances equal epsilon up to rounding.

    Example:
        >>> from subspace_match.matching.reduction.moments import reduce
        >>> x = np.eye(4)[:, :3]
        >>> y = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, -1, 0], [0, 0, 0, 1]]).T
        >>> minimal_match(reduce(x, y), 0.1, ("x", 1))     # y1 and y2 span x1 and x2
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
    """Find a v-minimal match of each v in the maximum match (Wang et al. 2018, Definition 9).

    The matches are those of ``minimal_match``, but tests that several neurons share are made once.
    Runs on one CPU core. The first call on a machine compiles for a few seconds; the compiled code
    is stored on disk.

    Args:
        pair: moments of the two sides, from ``reduce``, or their ``match_path``. A path saves the
            search for the maximum match.
        epsilon: relative distance in [0, 1), as in ``MatchPath.maximum_match``.
        order: order in which removals are tested. It decides which minimal match is found:
            "authors": X's neurons, then Y's.
            "random": one random permutation of all n neurons per restart; the smallest match of
            each neuron is kept (the first if several have that size).
            "small" (ours): for each v the authors' order, then a second order that starts with the
            neurons that v needs least; the smaller match is kept (the first if sizes are equal).
            No match is larger than with "authors". It takes longer, because neurons share no tests
            in the second order.
        seed: seed for ``numpy.random.default_rng``; only with order="random".
        restarts: number of random orders, at least 1; only with order="random".
        progress: called with the number of neurons completed since the last call, for example
            ``tqdm(...).update``. The total is the size of the maximum match, times ``restarts`` for
            order="random" and times 2 for order="small".

    Returns:
        The matches by neuron.

    Raises:
        ValueError: if epsilon is not one number in [0, 1), or an option is invalid.

    Warns:
        TieWarning: as in ``minimal_match``.

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
    """Find minimal matches of all neurons of the maximum match, or of column ``only``."""
    check_order(order, seed, restarts)
    moments = pair.pair if isinstance(pair, MatchPath) else pair
    n, n_x = len(moments.sums), moments.neurons_x
    live = np.flatnonzero(moments.live)
    width_x = int((live < n_x).sum())
    columns = np.arange(len(live))
    if isinstance(pair, MatchPath):
        columns = np.flatnonzero(pair.critical_epsilon[live] <= epsilon)
    wanted = columns if only is None else columns[live[columns] == only]
    nothing = deduplicate(n_x, np.zeros((0, n), dtype=bool), np.full(n, -1))
    if not len(wanted) or not 0 < (columns < width_x).sum() < len(columns):
        return nothing

    margin = moments.tie_margin
    walk = Walk(moments.factor, columns, width_x, epsilon, moments.unit_products, margin)
    # The maximum match of one epsilon costs less than a whole path.
    if not isinstance(pair, MatchPath):
        if not walk.find_maximum(wanted):
            warn_of_ties(walk.ties, epsilon, margin)
            return nothing
        wanted = wanted[np.isin(wanted, walk.columns)]
    wanted = live[wanted]
    rows: list[np.ndarray] = []
    row_of, smallest = np.full(n, -1), np.full(n, n + 1)
    for tests, group in removal_orders(walk, live, wanted, n, order, seed, restarts):
        for members, match in walk.walk(tests, group):
            better = live[members][len(match) < smallest[live[members]]]
            if len(better):
                row_of[better], smallest[better] = len(rows), len(match)
                rows.append(np.isin(np.arange(n), live[match]))
            if progress is not None:
                progress(len(members))
    warn_of_ties(walk.ties, epsilon, margin)
    return deduplicate(n_x, np.array(rows), row_of)
