"""PWCCA: canonical correlations weighted by what they account for (Morcos et al. 2018)."""

from __future__ import annotations

import numpy as np

from .bases import orthonormal_basis
from .pairs import Moments, varying_sides
from .values import measure, not_determined

EQUAL = 1e-8  # difference up to which correlations are equal: rounding turns their variables


@measure(0.0, 1.0)
def pwcca(pair: Moments) -> float:
    """Projection-weighted CCA, with the weights of X's side.

    sum_i alpha_i rho_i / sum_i alpha_i with alpha_i = sum_j |<h_i, x_j>|, h_i the i-th canonical
    variable of X, of norm 1, and x_j its centred neurons (Morcos et al. 2018, arXiv 1806.05759,
    section 3). Not symmetric: invariant to invertible mixes of Y, of X only to permutations and to
    one scale. The authors' code takes whichever side is narrower for X; here it is always X.

    Where canonical correlations are equal, as those of several shared neurons are, their canonical
    variables are determined up to a rotation only, and so are the weights: PWCCA then depends on
    which ones the singular value decomposition gives, unless all correlations are equal. A
    ``MeasureWarning`` says so.

    Args:
        pair: moments of the two sides, from ``reduce``.

    Returns:
        A number in [0, 1]; NaN if every neuron of a side is constant.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> round(pwcca(sm.reduce(x, x, device="cpu")), 12)
        1.0
    """
    x, y = varying_sides(pair)
    basis_x, basis_y = orthonormal_basis(x), orthonormal_basis(y)
    left, correlations, _ = np.linalg.svd(basis_x.T @ basis_y, full_matrices=False)
    equal = -np.diff(correlations) <= EQUAL
    if equal.any() and not equal.all():
        not_determined("pwcca", f"{equal.sum()} canonical correlations equal the one before them")
    weights = np.abs(left.T @ (basis_x.T @ x.neurons)).sum(1)
    return float(weights @ correlations.clip(0.0, 1.0) / weights.sum())
