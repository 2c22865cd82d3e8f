"""The interface to both sides' spans while neurons are removed; ``peel`` derives the updates.

Three classes implement it. ``NumpyUpdates`` and ``TorchUpdates`` do the same arithmetic. The CPU
looks at each removed neuron and computes only its case (dependent, exchange or loss of a
direction). On a GPU looking would wait for all queued work, so every case is computed.
``RotationUpdates`` loses no digits and continues when the other two have lost too many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ..backends.base import Array

BLOCK = 64  # removals whose rank-one terms are collected and applied as one matrix product
COMPACT = 0.75  # copy the matrix without removed neurons when this fraction of them remains
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
    """

    @abstractmethod
    def remove_block(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """Remove the farthest neuron, up to BLOCK times.

        Returns:
            The removed neurons, their squared distances, and whether the state is still accurate.
            If not, these removals are still valid.
        """


def lowest_accurate(highest: Array) -> Array:
    """Return the lowest accurate value of each diagonal entry of P, given its highest so far."""
    fraction = (ENTRY_ERROR * highest.clip(min=0.0) ** 0.5).clip(LOST_DIGITS, MOST_KEPT)
    return fraction * highest
