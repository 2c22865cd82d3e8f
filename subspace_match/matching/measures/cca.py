"""Mean canonical correlation (Raghu et al. 2017; Kornblith et al. 2019)."""

from __future__ import annotations

import numpy as np

from .bases import neuron_vectors, orthonormal_basis
from .pairs import Moments


def canonical_correlations(pair: Moments) -> np.ndarray:
    """Canonical correlations: cosines of the principal angles between the two centred spans.

    The singular values of Q_x'Q_y, Q orthonormal bases of the centred sides (Hotelling 1936).
    Dependent and constant neurons add no direction: a side's rank is by pivoted QR of its unit
    columns, tolerance 1e-10, so near copies do add one.

    Args:
        pair: moments of the two sides, from ``reduce``.

    Returns:
        (min(rank of X, rank of Y),) float64 in [0, 1], descending.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
        >>> canonical_correlations(sm.reduce(x, x[:, :1] + x[:, 1:], device="cpu")).round(12)
        array([1.])
    """
    basis_x, basis_y = (orthonormal_basis(side) for side in neuron_vectors(pair))
    correlations: np.ndarray = np.linalg.svd(basis_x.inner(basis_y), compute_uv=False)
    return correlations.clip(0.0, 1.0)


def mean_cca(pair: Moments) -> float:
    """Mean canonical correlation.

    sum_i rho_i / min(rank of X, rank of Y) (Kornblith et al. 2019, arXiv 1905.00414, table 1, with
    ranks for widths: a dependent neuron has no direction of its own to correlate). Invariant to
    invertible mixes of either side, and so 1 for any two layers once both ranks reach d - 1.

    Args:
        pair: moments of the two sides, from ``reduce``.

    Returns:
        A number in [0, 1]; NaN if every neuron of a side is constant.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> mix = np.array([[1.0, 2, 0], [0, 1, 3], [1, 0, 1]])
        >>> round(mean_cca(sm.reduce(x, x @ mix, device="cpu")), 12)
        1.0
    """
    correlations = canonical_correlations(pair)
    return float(correlations.mean()) if len(correlations) else float("nan")
