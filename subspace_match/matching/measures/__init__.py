"""Other measures of representational similarity, computed from the same moments as the match.

Each measure takes the moments of a pair, from ``reduce``, or two arrays in their place, and returns
one number. A layer compared with itself gives 1. Measures use centred activations, as in their
definitions, unless stated otherwise. A measure without a value returns NaN, and a
``MeasureWarning`` gives the reason. Values are accurate to 1e-6 if means are up to 1e6 times the
deviations.

To add a measure, write its module and add it to the list in ``registry``. ``sides`` holds what
measures read, ``values`` what they return.
"""

from .cca import canonical_correlations, mean_cca
from .cka import linear_cka
from .debiased_cka import debiased_linear_cka
from .one_to_one import OneToOne, one_to_one, one_to_one_matching
from .procrustes import procrustes
from .pwcca import pwcca
from .registry import Noted, all_measures, noted_measures
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
