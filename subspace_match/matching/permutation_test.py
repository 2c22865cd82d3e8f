"""The permutation test: is a similarity larger than under permuted samples, in one layer or any?

A null is an array with one row for each of K permutations. Tests are valid for every K. The 5%
level needs K = 20 m - 1: only then is p <= 0.05 the same as exceeding the m-th largest value of the
null, the ``threshold`` that tables and figures show.
"""

from __future__ import annotations

import numpy as np

from .permutation_counts import LEVEL

# Critical epsilons, similarities or areas that differ by no more are equal up to rounding: each is
# accurate to 5e-9, the largest ``PairMoments.tie_margin``.
_EQUAL = 1e-8
_DECIMALS = 12  # excesses over means that differ by less are equal up to rounding


def without_rounding(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the null with the observed values in place of those that equal them up to rounding.

    A permutation can leave a value as it is: if it moves no image within its class, or none on
    which a neuron is active. Rounding must not decide whether such a value reaches the observed.

    Args:
        observed: (...) observed values.
        null: (K, ...) values under K permutations.

    Example:
        >>> without_rounding(np.array([0.5]), np.array([[0.5 - 1e-12], [0.4]])).tolist()
        [[0.5], [0.4]]
    """
    return np.where(np.abs(null - observed) <= _EQUAL, observed, null)


def p_values(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return permutation p-values: p = (1 + #{null >= observed}) / (K + 1).

    Values that are equal up to rounding count as equal.

    Args:
        observed: (epsilons,) observed similarities.
        null: (K, epsilons) similarities under K permutations.

    Returns:
        (epsilons,) float64, at least 1 / (K + 1).

    Example:
        >>> p_values(np.array([0.5, 0.1]), np.array([[0.0, 0.1], [0.2, 0.3], [0.6, 0.0]]))
        array([0.5 , 0.75])
    """
    reached = without_rounding(observed, null) >= observed
    return np.asarray((1 + reached.sum(0)) / (len(null) + 1))


def threshold(null: np.ndarray) -> np.ndarray:
    """Return the value that an observation must exceed for p <= 0.05.

    It is the m-th largest of K = 20 m - 1 values. The probability that a new value of the null
    exceeds it is 5% on average over nulls; the maximum of 19 varies much around that.

    Args:
        null: (K, ...) similarities under K permutations.

    Returns:
        (...) float64; for another K the smallest value that at most 5% of the null exceed.

    Example:
        >>> threshold(np.arange(39.0)), threshold(np.arange(19.0))
        (array(37.), array(18.))
    """
    return np.asarray(np.quantile(null, 1 - 1 / LEVEL, axis=0, method="higher"))


def family_wise_p_values(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return p-values that are corrected for testing several layers (step-down max-T).

    Westfall and Young 1993, Algorithm 4.1. A layer's statistic is its similarity minus the mean of
    its K + 1 similarities, observed and permuted: so a layer with a high chance level does not hide
    the others. The layer with the largest statistic is compared with the largest statistic of all
    layers in each permutation, the next one with the largest of the remaining layers, and so on.
    The probability that any true null hypothesis has p <= a is at most a (given subset pivotality),
    whatever the dependence between layers, since all share the permutations.

    Args:
        observed: (layers,) observed similarities.
        null: (K, layers) similarities; a row is one permutation, the same in all layers.

    Returns:
        (layers,) float64, at least 1 / (K + 1) and never smaller than the plain ``p_values``.

    Example:
        >>> null = np.array([[0.1, 0.0], [0.0, 0.3], [0.1, 0.1]])
        >>> family_wise_p_values(np.array([0.9, 0.2]), null), p_values(np.array([0.9, 0.2]), null)
        (array([0.25, 0.5 ]), array([0.25, 0.5 ]))
    """
    both = np.vstack([observed, without_rounding(observed, null)])
    statistics = (both - both.mean(0)).round(_DECIMALS)
    order = np.argsort(-statistics[0], kind="stable")
    ranked = statistics[:, order]
    largest = np.maximum.accumulate(ranked[:, ::-1], axis=1)[:, ::-1]
    stepped = np.maximum.accumulate(p_values(ranked[0], largest[1:]))
    corrected = np.empty(len(order))
    corrected[order] = stepped
    return corrected


def adjusted_similarity(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return (s - mean) / (1 - mean), with the null's mean: 0 at the chance level, 1 at most.

    Args:
        observed: (...) observed similarities.
        null: (K, ...) similarities under K permutations.

    Returns:
        (...) float64; NaN where the null's mean is 1 up to rounding, so that nothing can exceed
        chance.

    Example:
        >>> adjusted_similarity(np.array([0.5, 1.0]), np.array([[0.0, 1.0], [0.5, 1.0]]))
        array([0.33333333,        nan])
    """
    mean = null.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(mean < 1 - _EQUAL, (observed - mean) / (1 - mean), np.nan)
