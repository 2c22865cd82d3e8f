"""The smallest of a neuron's minimal matches over several orders, and how much their sizes vary.

A minimal match cannot be made smaller by leaving neurons out, but another one may be smaller: the
order in which removals are tested decides which is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..path import MatchPath
from ..reduction.moments import PairMoments
from ..validation import check_seed, in_words
from .partial import PartialMatches
from .result import MinimalMatches, Neuron, deduplicate
from .search import minimal_matches


def smallest_minimal_matches(
    pair: PairMoments | MatchPath,
    epsilon: float,
    *,
    neurons: Iterable[Neuron] | None = None,
    orders: int = 10,
    seed: int = 0,
    progress: Callable[[int], Any] | None = None,
    partials: Sequence[PartialMatches] | None = None,
) -> MinimalMatches:
    """Find minimal matches in the authors' order and in random ones, and keep the smallest.

    Args:
        pair: as in ``minimal_matches``.
        epsilon: as in ``minimal_matches``.
        neurons: as in ``minimal_matches``.
        orders: number of orders, at least 1: the authors' order, then random ones.
        seed: the k-th random order is that of ``minimal_matches`` with seed + k - 1.
        progress: called with the number of neurons completed since the last call. The total is the
            number of neurons searched for times ``orders``.
        partials: one per order: matches that an unfinished call with the same arguments has found,
            as in ``minimal_matches``.

    Returns:
        The smallest matches (the first of that size), with ``sizes_by_order``.

    Raises:
        ValueError: if ``orders`` is below 1 or not the number of ``partials``, and as
            ``minimal_matches``.

    Warns:
        TieWarning: as ``minimal_matches``, for every order.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.eye(4)[:, :3]
        >>> y = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, -1, 0], [0, 0, 0, 1]]).T
        >>> matches = sm.smallest_minimal_matches(sm.reduce(x, y), 0.1, orders=3)
        >>> matches.sizes, matches.sizes_by_order.shape
        (array([2, 4, 4, 2, 4, 4, 0]), (3, 7))
    """
    if not isinstance(orders, (int, np.integer)) or orders < 1:
        raise ValueError(
            f"orders: expected a whole number of at least 1, found {in_words(orders)}; 10 show how"
            " sizes vary"
        )
    check_seed(seed)
    if neurons is not None:
        neurons = list(neurons)  # every order reads them
    searches: list[dict[str, Any]] = [
        {"order": "random", "seed": seed + number - 1} if number else {"order": "authors"}
        for number in range(orders)
    ]
    finished: Sequence[PartialMatches | None] = [None] * orders
    if partials is not None:
        _check_partials(partials, orders)
        finished = partials
    found = [
        minimal_matches(
            pair, epsilon, neurons=neurons, progress=progress, partial=partial, **options
        )
        for options, partial in zip(searches, finished, strict=True)
    ]
    sizes = np.stack([one.sizes for one in found])
    match_of = np.stack([one.match_of for one in found])
    # Number the rows of all orders one after another; -1 stays outside the maximum match.
    starts = np.cumsum([0, *(len(one.distinct) for one in found[:-1])])
    numbered = np.where(match_of >= 0, match_of + starts[:, None], -1)
    row_of = numbered[sizes.argmin(0), np.arange(sizes.shape[1])]
    rows = np.concatenate([one.distinct for one in found])
    return replace(deduplicate(found[0].neurons_x, rows, row_of), sizes_by_order=sizes)


def _check_partials(partials: Any, orders: int) -> None:
    """Raise a ValueError unless there is one PartialMatches per order."""
    sized = hasattr(partials, "__len__") and not isinstance(partials, (str, bytes))
    if not sized or len(partials) != orders:
        found = len(partials) if sized else in_words(partials)
        raise ValueError(
            f"partials: expected one PartialMatches for each of {orders} orders, found {found};"
            f" pass [PartialMatches(n) for _ in range({orders})], or omit it"
        )
