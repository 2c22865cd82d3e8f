"""The joint factor F: n numbers a column that stand for d samples a neuron.

F'F = Z'Z for the columns of Z scaled to norm 1, so the columns of F have the inner products,
spans and distances of the activation vectors. It comes from the moments by a pivoted Cholesky
factorisation, or, where the moments have lost a direction in rounding, from the samples by
streaming QR.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from scipy.linalg import lapack

# A pivot is the squared distance of a unit column from the span of those before it. Moments carry
# it with an absolute error of about 1e-15, so below 1e-12 its digits are not to be relied on.
SAFE_PIVOT = 1e-12


def factor_from_moments(scaled_moments: np.ndarray) -> np.ndarray | None:
    """Pivoted Cholesky factor of the moments of unit columns, or None if they do not hold it.

    Args:
        scaled_moments: (n, n) float64, unit diagonal.

    Returns:
        F of shape (n, n) with F'F = scaled_moments, or None if a pivot lies below SAFE_PIVOT: then
        columns are dependent or nearly so, and only the samples can tell which.
    """
    n = len(scaled_moments)
    lower, pivots, rank, _ = lapack.dpstrf(scaled_moments, tol=SAFE_PIVOT, lower=1)
    if rank < n:
        return None
    factor = np.empty_like(scaled_moments)
    factor[:, pivots - 1] = np.tril(lower).T
    return factor


def factor_from_samples(chunks: Iterable[torch.Tensor]) -> np.ndarray:
    """Triangular factor of the samples by streaming QR: R <- R of QR([R; next chunk]).

    Args:
        chunks: (samples, n) float64 tensors with columns of joint norm 1, in order.

    Returns:
        R of shape (at most n, n).
    """
    factor: torch.Tensor | None = None
    for chunk in chunks:
        stacked = chunk if factor is None else torch.cat([factor, chunk])
        factor = torch.linalg.qr(stacked, mode="r").R
    assert factor is not None, "no samples: as_activations lets none through"
    return factor.cpu().numpy()
