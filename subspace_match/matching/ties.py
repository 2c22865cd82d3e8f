"""Ties: a neuron whose distance equals epsilon is in the match, in spite of rounding.

Rounding may make two equal numbers different. Therefore a distance r counts as at most epsilon if
r <= epsilon + m, where m is the ``tie_margin`` of the moments. The margin is subtracted once,
from the critical epsilons, so that every reader (a table, a web page) only has to compare
critical <= epsilon. Minimal matches add it to epsilon instead. Neurons between epsilon and
epsilon + m also enter the match; the certificate of such a match is not ``certain``.
"""

from __future__ import annotations

import warnings

import numpy as np


def lower_by_margin(distances: np.ndarray, margin: float) -> np.ndarray:
    """Return critical epsilons: the distances minus the margin, but at least 0.

    A distance of 1 stays 1: such a neuron is in no match, because every epsilon is below 1.
    """
    return np.where(distances >= 1.0, 1.0, np.maximum(distances - margin, 0.0))


def tie_squares(epsilon: float, margin: float) -> tuple[float, float]:
    """Return the smallest and the largest squared distance that count as a tie."""
    below_one = np.nextafter(1.0, 0.0)
    return max(epsilon - margin, 0.0) ** 2, min((epsilon + margin) ** 2, float(below_one))


class TieWarning(UserWarning):
    """The result depends on distances that equal epsilon up to rounding."""


def warn_of_ties(epsilon: float, margin: float) -> None:
    """Warn that some distances were ties."""
    warnings.warn(
        f"minimal matches: expected distances that rounding cannot move across epsilon"
        f" {epsilon:g}, found some within {margin:.1g} of it; they count as equal to epsilon,"
        " so their neurons are in the match: try a slightly different epsilon to see what"
        " depends on them",
        TieWarning,
        stacklevel=4,
    )
