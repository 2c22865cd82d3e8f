"""PWCCA: projection-weighted canonical correlation (Morcos et al. 2018)."""

from __future__ import annotations

import numpy as np

from ..reduction.moments import PairMoments
from .sides import varying_sides
from .values import measure, warn_not_determined

EQUAL = 1e-8  # correlations that differ by less count as equal: rounding rotates their variables


@measure(0.0, 1.0)
def pwcca(pair: PairMoments) -> float:
    """Return projection-weighted CCA, with weights from X's side.

    sum_i alpha_i rho_i / sum_i alpha_i with alpha_i = sum_j |<h_i, x_j>|, where h_i is the i-th
    canonical variable of X, of norm 1, and x_j are X's centred neurons (Morcos et al. 2018, arXiv
    1806.05759, section 3). Not symmetric: invariant to invertible mixes of Y, but for X only to
    permutations and one scale factor. The authors' code takes the weights from the narrower side;
    here they always come from X.

    If canonical correlations are equal, as for several shared neurons, their canonical variables
    are determined only up to a rotation. The weights, and so PWCCA, then depend on the variables
    that the singular value decomposition returns, unless all correlations are equal. A
    ``MeasureWarning`` reports this.

    Returns:
        A number in [0, 1]; NaN if every neuron of a side is constant.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> round(sm.pwcca(x, x), 12)
        1.0
    """
    x, y = varying_sides(pair)
    basis_x, basis_y = x.orthonormal_basis, y.orthonormal_basis
    left, correlations, _ = np.linalg.svd(basis_x.T @ basis_y, full_matrices=False)
    equal = -np.diff(correlations) <= EQUAL
    if equal.any() and not equal.all():
        reason = f"{equal.sum()} canonical correlations equal the one before them"
        warn_not_determined("pwcca", reason)
    weights = np.abs(left.T @ (basis_x.T @ x.neurons)).sum(1)
    return float(weights @ correlations.clip(0.0, 1.0) / weights.sum())
