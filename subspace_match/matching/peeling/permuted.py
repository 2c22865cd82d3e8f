"""Removals from a pair under many permutations at once.

A permutation of Y's samples only changes the cross moments, so both sides' own inverses serve all
permutations. The removals of all of them run together, as operations on stacks of arrays. For
layers of some hundred neurons most of the time would otherwise go into starting small operations.
Only pairs whose neurons are all independent can run together, as nearly all unrelated layers can;
the caller computes the others one by one.

``permuted_numpy`` and ``permuted_torch`` have the arithmetic, the same as in ``updates_numpy``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..reduction.factor import ACCURACY


@dataclass(frozen=True)
class PermutedRemovals:
    """Removals under K permutations, on the CPU.

    Attributes:
        order: (K, m) int64 columns in the order of removal.
        distances: (K, m) float64 in [0, 1], as from ``peel``.
        from_all: (K, m) float64 in [0, 1], of each column (not in the order of removal) the
            distance before any removal, from all of the other side.
        margins: (K,) float64, the error of each permutation's distances (its ``tie_margin``).
        valid: (K,) bool; False where neurons are nearly dependent or digits were lost: the other
            fields then mean nothing.
    """

    order: np.ndarray
    distances: np.ndarray
    from_all: np.ndarray
    margins: np.ndarray
    valid: np.ndarray

    @classmethod
    def of_all(
        cls,
        order: np.ndarray,
        squares: np.ndarray,
        squares_from_all: np.ndarray,
        width_x: int,
        margins: np.ndarray,
        accurate: np.ndarray,
    ) -> PermutedRemovals:
        """Build them from the removals of all columns.

        Args:
            order: as the attribute; X's columns come first.
            squares: squared distances, (K, m) float64.
            squares_from_all: the same before any removal, by column.
            width_x: number of X's columns.
            margins: as the attribute.
            accurate: whether no digits were lost, (K,) bool.
        """
        distances, from_all = (
            np.sqrt(np.clip(own, 0.0, 1.0)) for own in (squares, squares_from_all)
        )
        of_x = order < width_x
        # Once a side is empty, the neurons that remain have distance 1.
        left_x = width_x - of_x.cumsum(1)
        left_y = order.shape[1] - width_x - (~of_x).cumsum(1)
        empty = (left_x == 0) | (left_y == 0)
        distances[:, 1:][empty[:, :-1]] = 1.0
        valid = (margins <= ACCURACY / 2) & accurate
        return cls(order, distances, from_all, margins, valid)

    @classmethod
    def joined(cls, parts: Sequence[PermutedRemovals], count: int) -> PermutedRemovals:
        """Put parts together; the last of ``count`` permutations, if missing, are not valid."""
        names = [field.name for field in fields(cls)]
        known = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
        missing = count - len(known[0])
        return cls(*(np.pad(each, [(0, missing)] + [(0, 0)] * (each.ndim - 1)) for each in known))
