"""Distances at epsilon: a neuron exactly at epsilon is in, whatever rounding made of its distance.

Two numbers that rounding may have made of one cannot be told apart, so a distance counts as at most
epsilon up to epsilon + m, with m the ``tie_margin`` of the moments. The margin is taken off once,
from the critical epsilons, so that whoever counts them, a table or a page, asks for no more than
critical <= epsilon. Minimal matches add it to epsilon instead. Neurons between epsilon and
epsilon + m come in as well; a certificate calls every match uncertain that has a distance so near.
"""

from __future__ import annotations

import warnings

import numpy as np


def lowered(distances: np.ndarray, margin: float) -> np.ndarray:
    """Critical epsilons of these distances: less the margin, but not below 0.

    A distance of 1, of what nothing spans, stays: it is in no match, for every epsilon is below 1.
    """
    return np.where(distances >= 1.0, 1.0, np.maximum(distances - margin, 0.0))


def tie_squares(epsilon: float, margin: float) -> tuple[float, float]:
    """The squared distances between which a neuron counts as at epsilon, the upper one included."""
    below_one = np.nextafter(1.0, 0.0)
    return max(epsilon - margin, 0.0) ** 2, min((epsilon + margin) ** 2, float(below_one))


class TieWarning(UserWarning):
    """Decisions hang on what counts as at epsilon."""


def warn_of_ties(ties: int, epsilon: float, margin: float) -> None:
    """Warn if distances were seen that count as at epsilon."""
    if ties:
        warnings.warn(
            f"minimal matches: expected distances that rounding cannot move across epsilon"
            f" {epsilon:g}, found some within {margin:.1g} of it; they count as at epsilon, so the"
            " neurons are in: ask at another epsilon near by to see what hangs on them",
            TieWarning,
            stacklevel=4,
        )
