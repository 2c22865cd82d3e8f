"""Spans under removal (see ``peeling``): what holds wherever they are.

Two forms of it do the same arithmetic. On the CPU each neuron that leaves can be looked at, and
only what its case needs is computed; on a GPU a look would wait for all that has been asked for.
A third, by rotation, loses no digits, and goes on where those have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ..backends.base import Array

BLOCK = 64  # removals collected before their terms are applied as one product
COMPACT = 0.75  # the matrix is copied without what has left when this share of it remains
DEPENDS = 1e-8  # a reserve neuron depends on a basis neuron with a larger coefficient than this
LOST_DIGITS = 1e-6  # the least share of its highest value that an entry of P may ever fall to
ENTRY_ERROR = 1e-9  # times sqrt(h): the share where its error is 1e-7, if that is more
MOST_KEPT = 0.1  # but no more than this, for of such an entry few digits were right at its highest


class Removals(ABC):
    """Both sides' spans, of which one neuron after another leaves.

    What has left stays in place, its residual -inf, until enough has gone to be worth a copy.
    """

    @abstractmethod
    def remove_block(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """Remove the farthest neuron, up to BLOCK times.

        Returns:
            The neurons, their squared distances, and whether the state still has its digits; if
            not, these removals are good and the state is not.
        """


def least_kept(highest: Array) -> Array:
    """How far down a diagonal entry of P may fall from its highest value."""
    share = (ENTRY_ERROR * highest.clip(min=0.0) ** 0.5).clip(LOST_DIGITS, MOST_KEPT)
    return share * highest
