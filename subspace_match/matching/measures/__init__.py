"""Other measures of representational similarity, from the same moments as the match.

Every measure takes a pair's moments and gives one number. All are centred, as they are defined,
unless they say otherwise; all are 1 for a layer against itself. Modules are one quantity each;
``pairs`` and ``bases`` hold what they share.
"""

from __future__ import annotations

from .cca import canonical_correlations, mean_cca
from .cka import linear_cka
from .debiased_cka import debiased_linear_cka
from .one_to_one import OneToOne, one_to_one, one_to_one_matching
from .pairs import Moments
from .procrustes import procrustes
from .pwcca import pwcca
from .regression import linear_regression
from .svcca import svcca

__all__ = [
    "OneToOne",
    "all_measures",
    "canonical_correlations",
    "debiased_linear_cka",
    "linear_cka",
    "linear_regression",
    "mean_cca",
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
    return {
        "linear_cka": linear_cka(pair),
        "debiased_linear_cka": debiased_linear_cka(pair),
        "mean_cca": mean_cca(pair),
        "svcca": svcca(pair),
        "pwcca": pwcca(pair),
        "procrustes": procrustes(pair),
        "linear_regression_x": linear_regression(pair, "x"),
        "linear_regression_y": linear_regression(pair, "y"),
        "one_to_one": one_to_one(pair),
    }
