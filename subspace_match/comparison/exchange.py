"""Which inputs a permutation within classes exchanges."""

from __future__ import annotations

import numpy as np

from ..networks.sampling import LEAST_MOVED, within_classes


def exchangeable(
    groups: list[np.ndarray], labels: np.ndarray, sampled: np.ndarray, alike: bool
) -> list[np.ndarray] | None:
    """Return the inputs that a permutation within classes exchanges; None if it moves too few.

    Args:
        groups: all inputs, in groups that share their places.
        labels: (inputs,) int64.
        sampled: whether each input has samples, (inputs,) bool; whole groups have.
        alike: whether all inputs with samples share their places. Then groups are only those of the
            other layers, and inputs of a class are exchanged across groups if these have too few.

    Example:
        >>> pairs, every = [np.array([0, 1]), np.array([2, 3])], np.ones(4, dtype=bool)
        >>> exchangeable(pairs, np.array([7, 7, 5, 5]), every, alike=False)
        [array([0, 1]), array([2, 3])]
        >>> exchangeable(pairs, np.array([7, 5, 7, 5]), every, alike=False)
        >>> exchangeable(pairs, np.array([7, 5, 7, 5]), every, alike=True)
        [array([1, 3]), array([0, 2])]
    """
    for own in (groups, *([[np.flatnonzero(sampled), np.flatnonzero(~sampled)]] if alike else [])):
        parts = within_classes(own, labels)
        # A random permutation of a part leaves one of its inputs where it is, on average.
        moved = sum(len(part) - 1 for part in parts if sampled[part[0]])
        if moved >= LEAST_MOVED * sampled.sum():
            return parts
    return None
