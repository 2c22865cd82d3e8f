"""The list of all measures, and their values for one pair."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, overload

from ..reduction.moments import PairMoments
from .cca import mean_cca
from .cka import linear_cka
from .debiased_cka import debiased_linear_cka
from .one_to_one import one_to_one
from .procrustes import procrustes
from .pwcca import pwcca
from .regression import linear_regression
from .sides import PairOfSides
from .svcca import svcca
from .values import MeasureWarning, as_pair

# By name, in the order of the rows of a table.
MEASURES: dict[str, Callable[[PairMoments], float]] = {
    "linear_cka": linear_cka,
    "debiased_linear_cka": debiased_linear_cka,
    "mean_cca": mean_cca,
    "svcca": svcca,
    "pwcca": pwcca,
    "procrustes": procrustes,
    "linear_regression_x": partial(linear_regression, target="x"),
    "linear_regression_y": partial(linear_regression, target="y"),
    "one_to_one": one_to_one,
}


@overload
def all_measures(pair: PairMoments, /) -> dict[str, float]: ...


@overload
def all_measures(x: Any, y: Any, /) -> dict[str, float]: ...


def all_measures(*arguments: Any) -> dict[str, float]:
    """Compute every measure of a pair, or of two layers' activations.

    Args:
        arguments: the moments from ``reduce``, or x and y, (samples, neurons) each.

    Returns:
        Values by name, always in the same order. "linear_regression_x" predicts X from Y,
        "linear_regression_y" Y from X.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> measures = sm.all_measures(x, x)
        >>> list(measures)[:3]
        ['linear_cka', 'debiased_linear_cka', 'mean_cca']
        >>> all(round(value, 12) == 1 for value in measures.values())
        True
    """
    pair = PairOfSides.of(as_pair("all_measures", arguments)[0])
    return {name: measure(pair) for name, measure in MEASURES.items()}


class Noted(NamedTuple):
    """A measure's value and the text of its ``MeasureWarning``, empty without a warning."""

    value: float
    note: str


def noted_measures(pair: PairMoments) -> dict[str, Noted]:
    """Compute every measure as ``all_measures``, with the reason if it is NaN or not determined.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> pair = sm.reduce(np.ones((50, 3)), np.random.default_rng(0).random((50, 3)))
        >>> noted_measures(pair)["linear_cka"]
        Noted(value=nan, note='NaN, since every neuron of x is constant')
    """
    noted, pair = {}, PairOfSides.of(pair)
    for name, measure in MEASURES.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", MeasureWarning)
            value = measure(pair)
        texts = [str(each.message) for each in caught if each.category is MeasureWarning]
        noted[name] = Noted(value, "; ".join(text.partition(": ")[2] for text in texts))
    return noted
