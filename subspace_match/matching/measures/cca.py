"""Mean canonical correlation (Raghu et al. 2017; Kornblith et al. 2019)."""

from __future__ import annotations

import numpy as np

from ..reduction.moments import PairMoments
from .sides import Side, sides, varying_sides
from .values import measure


def canonical_correlations(pair: PairMoments) -> np.ndarray:
    """Return canonical correlations: cosines of the principal angles between the centred spans.

    They are the singular values of Q_x'Q_y, with Q_x and Q_y orthonormal bases of the centred sides
    (Hotelling 1936). Dependent and constant neurons add no direction. The rank of a side is
    determined by pivoted QR of its columns in units of their norms before centring, with tolerance
    1e-13 times the number of neurons, so near copies do add a direction.

    Returns:
        (min(rank of X, rank of Y),) float64 in [0, 1], descending.

    Raises:
        ValueError: if the pair has no centred factor; some pairs of a null have none.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
        >>> canonical_correlations(sm.reduce(x, x[:, :1] + x[:, 1:], device="cpu")).round(12)
        array([1.])
    """
    return _correlations(*sides(pair))


@measure(0.0, 1.0)
def mean_cca(pair: PairMoments) -> float:
    """Return the mean canonical correlation.

    sum_i rho_i / min(rank of X, rank of Y) (Kornblith et al. 2019, arXiv 1905.00414, table 1, but
    with ranks instead of widths, because a dependent neuron adds no direction). Invariant to
    invertible mixes of either side, and therefore 1 for any two layers with both ranks d - 1.

    Returns:
        A number in [0, 1]; NaN if every neuron of a side is constant.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> mix = np.array([[1.0, 2, 0], [0, 1, 3], [1, 0, 1]])
        >>> round(sm.mean_cca(x, x @ mix), 12)
        1.0
    """
    return float(_correlations(*varying_sides(pair)).mean())


def _correlations(x: Side, y: Side) -> np.ndarray:
    product = x.orthonormal_basis.T @ y.orthonormal_basis
    correlations: np.ndarray = np.linalg.svd(product, compute_uv=False)
    return correlations.clip(0.0, 1.0)
