"""Which of a side's columns are a basis of all.

A pivoted QR decides it: the next column is always the farthest from the span of those before it,
and |R_ii| is its distance. From the first distance within the tolerance on, columns are dependent.
Half of a pivoted QR are products with single columns, which are slow. Products of all columns
suffice to show that a side is clearly independent, as most are.
"""

from __future__ import annotations

import numpy as np

from .backends.base import Array, Device
from .backends.numpy_ import pivoted_qr

# Per column of a side. A larger tolerance would be wrong: a near copy does add a direction.
RANK_TOLERANCE = 1e-13
CLEARLY = 1e-6  # squared distance from the others; 1e-16 of rounding in products changes it little


def rank_of(upper: np.ndarray) -> int:
    """Return the rank of unit columns, from R of their pivoted QR, (k, n)."""
    return int((np.abs(np.diagonal(upper)) > RANK_TOLERANCE * upper.shape[1]).sum())


def basis_first(columns: np.ndarray) -> tuple[np.ndarray, int]:
    """Order unit columns so that the first ``rank`` are a basis of all.

    Args:
        columns: (k, n) float64.

    Returns:
        The order, (n,) integers, and the rank.
    """
    upper, order = pivoted_qr(columns, "r")
    return order, rank_of(upper)


def clearly_independent(columns: Array, device: Device) -> bool:
    """Return whether each unit column is at least 0.001 from the span of the others.

    Takes a tenth of a pivoted QR's time.

    Args:
        columns: (k, n) float64, at least one column.
        device: where they are.
    """
    if columns.shape[0] < columns.shape[1]:
        return False
    upper = device.cholesky(device.product(columns.T, columns))
    # The diagonal of the inverse holds 1 / (squared distance from all other columns).
    return upper is not None and bool(device.gram_inverse(upper).diagonal().max() <= 1 / CLEARLY)
