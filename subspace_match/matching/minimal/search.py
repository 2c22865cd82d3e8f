"""Minimal matches: for a neuron v, a match that contains v and no smaller match that contains v.

Definition 9 of Wang et al. 2018. A neuron can have several; the order in which removals are tested
decides which one is found. ``walk`` tests removals for all neurons with the same order at once.

For one neuron most time goes to the first factorisation. For all neurons it goes to applying terms
and to tests, about half each, and a neuron costs about one factorisation of its matrices. So the
time grows with up to the fourth power of the width. It is shorter by some times where a layer has
far fewer directions than neurons (``alone``). ``benchmarks/bench_minimal_matches.py`` and
``bench_wide_minimal_matches.py`` measure it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import numpy as np

from ..backends.numpy_ import blas_threads, one_blas_thread
from ..path import Match, MatchPath, moments_of
from ..reduction.moments import PairMoments
from ..ties import warn_of_ties
from ..validation import as_epsilon, check_type, in_words
from .order import Order, check_order, removal_orders, search_in_words
from .partial import PartialMatches
from .result import MinimalMatches, Neuron, column_of
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
        >>> import numpy as np, subspace_match as sm
        >>> x = np.eye(4)[:, :3]
        >>> y = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, -1, 0], [0, 0, 0, 1]]).T
        >>> sm.minimal_match(sm.reduce(x, y), 0.1, ("x", 1))     # y1 and y2 span x1 and x2
        Match(x=array([1, 2]), y=array([1, 2]))
        >>> sm.minimal_match(sm.reduce(x, y), 0.1, ("x", 0))
        Match(x=array([0]), y=array([0]))
        >>> sm.minimal_match(sm.reduce(x, y), 0.1, ("y", 3)) is None
        True
    """
    epsilon = as_epsilon(epsilon)
    moments = moments_of(pair)
    column = column_of(neuron, moments.neurons_x, moments.neurons_y)
    columns = np.array([column])
    return _search(pair, epsilon, columns, order, seed, restarts, 1, None, None).get(neuron)


def minimal_matches(
    pair: PairMoments | MatchPath,
    epsilon: float,
    *,
    neurons: Iterable[Neuron] | None = None,
    order: Order = "authors",
    seed: int | None = None,
    restarts: int = 1,
    threads: int | None = None,
    progress: Callable[[int], Any] | None = None,
    partial: PartialMatches | None = None,
) -> MinimalMatches:
    """Find a v-minimal match of each v in the maximum match (Wang et al. 2018, Definition 9).

    The matches are those of ``minimal_match``, but tests that several neurons share are made once.
    The first call on a machine compiles for a few seconds; the compiled code is stored on disk.

    Args:
        pair: moments of the two sides, from ``reduce``, or their ``match_path``. A path saves the
            search for the maximum match.
        epsilon: relative distance in [0, 1), as in ``MatchPath.maximum_match``.
        neurons: v's, each ("x", i) or ("y", j); all neurons if omitted. Few take a share of the
            time of all.
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
        threads: number of threads; as many as the BLAS may use if omitted. It does not change the
            result.
        progress: called with the number of neurons completed since the last call, for example
            ``tqdm(...).update``. The total is the size of the maximum match, times ``restarts`` for
            order="random" and times 2 for order="small".
        partial: matches that an unfinished call has found, with the same pair, epsilon, order,
            seed and restarts. They are not searched again, and new ones are added to it.
            ``progress`` may save it.

    Returns:
        The matches by neuron.

    Raises:
        ValueError: if there is no such neuron, epsilon is not one number in [0, 1), an option is
            invalid, or ``partial`` is of another search.

    Warns:
        TieWarning: as in ``minimal_match``.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.eye(4)[:, :3]
        >>> y = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, -1, 0], [0, 0, 0, 1]]).T
        >>> matches = sm.minimal_matches(sm.reduce(x, y), 0.1)
        >>> matches.sizes_x, matches.sizes_y
        (array([2, 4, 4]), array([2, 4, 4, 0]))
        >>> matches["y", 2]
        Match(x=array([1, 2]), y=array([1, 2]))
        >>> len(matches), len(matches.distinct)
        (6, 2)
    """
    epsilon = as_epsilon(epsilon)
    if threads is None:
        threads = blas_threads()
    elif not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ValueError(
            f"threads: expected an integer of at least 1, found {in_words(threads)}; omit it to use"
            " all cores"
        )
    if progress is not None and not callable(progress):
        raise ValueError(
            f"progress: expected a function of a number of neurons, found {in_words(progress)}; use"
            " for example tqdm(...).update"
        )
    moments = moments_of(pair)
    columns = None
    if neurons is not None:
        check_type("neurons", neurons, Iterable, "a list of ('x', index) or ('y', index), or None")
        sizes = moments.neurons_x, moments.neurons_y
        columns = np.array([column_of(neuron, *sizes) for neuron in neurons], dtype=np.int64)
    options = order, seed, restarts, int(threads), progress, partial
    return _search(pair, epsilon, columns, *options)


def _search(
    pair: PairMoments | MatchPath,
    epsilon: float,
    only: np.ndarray | None,
    order: Order,
    seed: int | None,
    restarts: int,
    threads: int,
    progress: Callable[[int], Any] | None,
    partial: PartialMatches | None,
) -> MinimalMatches:
    """Find minimal matches of the maximum match's neurons, or of those among columns ``only``."""
    check_order(order, seed, restarts)
    moments = moments_of(pair)
    n, n_x = len(moments.sums), moments.neurons_x
    found = PartialMatches(n) if partial is None else partial
    check_type(
        "partial", found, PartialMatches, "the PartialMatches of an unfinished call, or None"
    )
    if partial is not None:
        found.begin(search_in_words(epsilon, order, seed, restarts), moments)
    live = np.flatnonzero(moments.live)
    width_x = int((live < n_x).sum())
    columns = np.arange(len(live))
    if isinstance(pair, MatchPath):
        columns = np.flatnonzero(pair.critical_epsilon[live] <= epsilon)
    wanted = columns if only is None else columns[np.isin(live[columns], only)]
    if not len(wanted) or not 0 < (columns < width_x).sum() < len(columns):
        return found.matches(n_x, only)

    margin = moments.tie_margin
    with one_blas_thread():  # the walk has threads of its own
        walk = Walk(moments.factor, columns, width_x, epsilon, moments.unit_products, margin)
        # The maximum match of one epsilon costs less than a whole path.
        if not isinstance(pair, MatchPath):
            some = walk.find_maximum(wanted)
            wanted = wanted[np.isin(wanted, walk.columns)] if some else wanted[:0]
        wanted = live[wanted]
        orders = removal_orders(walk, live, wanted, n, order, seed, restarts) if len(wanted) else ()
        given = np.zeros(n, dtype=np.int64)  # orders of each neuron so far
        for tests, group in orders:
            given[live[group]] += 1
            group = group[found.searched[live[group]] < given[live[group]]]
            # Closed, so that its threads end if ``progress`` raises an exception.
            with closing(walk.walk(tests, group, threads)) as matches:
                for members, match in matches:
                    found.add(live[members], live[match])
                    if progress is not None:
                        progress(len(members))
    if walk.ties:
        warn_of_ties(epsilon, margin)
    return found.matches(n_x, only)
