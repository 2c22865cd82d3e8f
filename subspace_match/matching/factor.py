"""The joint factor F: n numbers a column that stand for d samples a neuron.

F'F = Z'Z for the columns of Z scaled to norm 1, so the columns of F have the inner products,
spans and distances of the activation vectors. It comes from the moments by a Cholesky
factorisation, or, where the moments have lost a direction in rounding, from the samples by
streaming QR. Either way F is upper triangular.
"""

from __future__ import annotations

from collections.abc import Iterable

from .on_device import Array, Device

# Squared distance of a unit column from the span of all others. The moments carry it with an
# absolute error of about 1e-15, so below 1e-12 its digits are not to be relied on.
SAFE_SQUARE = 1e-12


def factor_from_moments(
    scaled_moments: Array, device: Device, safe_square: float = SAFE_SQUARE
) -> Array | None:
    """Cholesky factor of the moments of unit columns, or None if they do not hold it.

    Args:
        scaled_moments: (n, n) float64, unit diagonal; less than 1 for columns without their means.
        device: where they are.
        safe_square: squared distance from which on moments hold a column's direction.

    Returns:
        F of shape (n, n), upper triangular with F'F = scaled_moments, or None if the squared
        distance of a column from the span of the others lies below ``safe_square``: then columns
        are dependent or nearly so, and only the samples can tell which.
    """
    factor = device.cholesky(scaled_moments)
    if factor is None:
        return None
    # The diagonal of (F'F)^-1 holds 1 / squared distance from all others.
    inverse = device.inverse(factor)
    return factor if bool(((inverse**2).sum(1) < 1 / safe_square).all()) else None


def factor_from_samples(chunks: Iterable[Array], columns: int, device: Device) -> Array:
    """Triangular factor of the samples by streaming QR: R <- R of QR([R; next chunk]).

    Args:
        chunks: (samples, n) float64 with columns of joint norm 1, in order.
        columns: n.
        device: where they are.

    Returns:
        R of shape (n, n).
    """
    factor = device.zeros(columns, columns)
    for chunk in chunks:
        factor = device.triangle_with(factor, chunk)
    return factor
