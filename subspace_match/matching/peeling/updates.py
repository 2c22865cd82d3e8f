"""The interface to both sides' spans while neurons are removed; ``peel`` derives the updates.

Five classes implement it. ``NumpyUpdates`` and ``TorchUpdates`` do the same arithmetic. The CPU
looks at each removed neuron and computes only its case (dependent, exchange or loss of a
direction). On a GPU looking would wait for all queued work, so every case is computed.
``RotationUpdates`` loses no digits and continues when the other two have lost too many.
``HalvesUpdates`` and ``HalvesRotationUpdates`` do the same for cross-fitted distances. All but
``TorchUpdates`` look at each neuron, and share ``OneByOne``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ..backends.base import Array

DEPENDS = 1e-8  # a dependent neuron can replace a basis neuron if its coefficient exceeds this
# Refactor when P[i, i] falls below a fraction of its maximum h: ENTRY_ERROR * sqrt(h), at which its
# relative error reaches 1e-7, but at least LOST_DIGITS and at most MOST_KEPT. (If the fraction is
# MOST_KEPT, few digits are correct even at the maximum.)
LOST_DIGITS = 1e-6
ENTRY_ERROR = 1e-9
MOST_KEPT = 0.1


class SpanUpdates(ABC):
    """Both sides' spans, from which neurons are removed one by one.

    A removed neuron keeps its place, with residual -inf, until the state is copied without it.

    Attributes:
        BLOCK: removals whose rank-one terms are collected and applied as one matrix product.
        COMPACT: the state is copied without removed neurons when this fraction of them remains.
    """

    BLOCK = 64
    COMPACT = 0.75

    @abstractmethod
    def remove_block(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """Remove the farthest neuron, up to BLOCK times.

        Returns:
            The removed neurons, their squared distances, and whether the state is still accurate.
            If not, these removals are still valid.
        """


class OneByOne(SpanUpdates):
    """Updates that learn which neuron is the farthest before they remove it."""

    _neurons: np.ndarray  # at each position, (m,) int64
    _alive: np.ndarray  # whether it is not removed, (m,) bool
    _residual: Array  # squared distance, or what grows with it; -inf if removed; (m,) float64

    def remove_block(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """Remove the farthest neuron, up to BLOCK times."""
        positions: list[int] = []
        residuals: list[float] = []
        accurate = True
        steps = min(self.BLOCK, int(self._alive.sum()))
        while accurate and len(positions) < steps:
            neuron = int(self._residual.argmax())
            positions.append(neuron)
            residuals.append(float(self._residual[neuron]))
            self._residual[neuron] = -np.inf
            self._alive[neuron] = False
            accurate = self._remove(neuron)
        removed = self._neurons[positions]
        if accurate:
            self._apply()
            if self._alive.sum() <= self.COMPACT * len(self._alive):
                self._compact()
        return removed, self._squares(np.array(residuals)), accurate

    @abstractmethod
    def _remove(self, neuron: int) -> bool:
        """Remove the neuron at a position; return whether the state is still accurate."""

    @abstractmethod
    def _apply(self) -> None:
        """Apply the terms of a block of removals."""

    @abstractmethod
    def _compact(self) -> None:
        """Copy the state without removed neurons."""

    def _squares(self, residuals: np.ndarray) -> np.ndarray:
        """Return the squared distances that residuals stand for."""
        return residuals


def lowest_accurate(highest: Array) -> Array:
    """Return the lowest accurate value of each diagonal entry of P, given its highest so far."""
    fraction = (ENTRY_ERROR * highest.clip(min=0.0) ** 0.5).clip(LOST_DIGITS, MOST_KEPT)
    return fraction * highest
