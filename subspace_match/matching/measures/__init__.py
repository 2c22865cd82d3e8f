"""Other measures of representational similarity, from the same moments as the match.

Every measure takes a pair's moments and gives one number. All are centred, as they are defined,
unless they say otherwise; all are 1 for a layer against itself. Where one has no value it is NaN,
and a ``MeasureWarning`` says why. All are right to 1e-6 up to means of 1e6 times the deviations.
Modules are one quantity each; ``pairs``, ``bases`` and ``values`` hold what they share.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from .cca import canonical_correlations, mean_cca
from .cka import linear_cka
from .debiased_cka import debiased_linear_cka
from .one_to_one import OneToOne, one_to_one, one_to_one_matching
from .pairs import Moments
from .procrustes import procrustes
from .pwcca import pwcca
from .regression import linear_regression
from .svcca import svcca
from .values import MeasureWarning

__all__ = [
    "MeasureWarning",
    "Noted",
    "OneToOne",
    "all_measures",
    "canonical_correlations",
    "debiased_linear_cka",
    "linear_cka",
    "linear_regression",
    "mean_cca",
    "noted_measures",
    "one_to_one",
    "one_to_one_matching",
    "procrustes",
    "pwcca",
    "svcca",
]


def all_measures(pair: Moments) -> dict[str, float]:
    """Every measure, for a row of a table.

    Args:
        pair: moments of the two sides, from ``reduce``.

    Returns:
        Numbers by name, always in the same order. "linear_regression_x" predicts X from Y, and
        "_y" Y from X.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> measures = all_measures(sm.reduce(x, x, device="cpu"))
        >>> list(measures)[:3]
        ['linear_cka', 'debiased_linear_cka', 'mean_cca']
        >>> all(round(value, 12) == 1 for value in measures.values())
        True
    """
    return {name: value() for name, value in _measures(pair).items()}


class Noted(NamedTuple):
    """A measure's value, and what its ``MeasureWarning`` says of it; empty if there is none."""

    value: float
    note: str


def noted_measures(pair: Moments) -> dict[str, Noted]:
    """Every measure as of ``all_measures``, with why it is NaN or not determined.

    Args:
        pair: moments of the two sides, from ``reduce``.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> pair = sm.reduce(np.ones((50, 3)), np.random.default_rng(0).random((50, 3)))
        >>> noted_measures(pair)["linear_cka"]
        Noted(value=nan, note='NaN, since every neuron of x is constant')
    """
    noted = {}
    for name, value in _measures(pair).items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", MeasureWarning)
            found = value()
        texts = [str(each.message) for each in caught if each.category is MeasureWarning]
        noted[name] = Noted(found, "; ".join(text.partition(": ")[2] for text in texts))
    return noted


def _measures(pair: Moments) -> dict[str, Callable[[], float]]:
    return {
        "linear_cka": partial(linear_cka, pair),
        "debiased_linear_cka": partial(debiased_linear_cka, pair),
        "mean_cca": partial(mean_cca, pair),
        "svcca": partial(svcca, pair),
        "pwcca": partial(pwcca, pair),
        "procrustes": partial(procrustes, pair),
        "linear_regression_x": partial(linear_regression, pair, "x"),
        "linear_regression_y": partial(linear_regression, pair, "y"),
        "one_to_one": partial(one_to_one, pair),
    }
