"""Orthonormal bases of what a side's neurons span."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from .pairs import RANK_TOLERANCE, Side


def orthonormal_basis(side: Side) -> np.ndarray:
    """An orthonormal basis of the span of a side's neurons, in the factor's coordinates.

    By pivoted QR of the columns in units of their norms before centring, R's rows from the first of
    |R_ii| <= tolerance left out. In these units float64 holds every column to the same error, so
    one tolerance tells directions from rounding, however large the means were.

    Args:
        side: from ``sides``.

    Returns:
        (k, rank) float64 with orthonormal columns.
    """
    directions, upper, _ = scipy.linalg.qr(
        side.unit, mode="economic", pivoting=True, check_finite=False
    )
    rank = int((np.abs(np.diagonal(upper)) > RANK_TOLERANCE * side.unit.shape[1]).sum())
    basis: np.ndarray = directions[:, :rank]
    return basis
