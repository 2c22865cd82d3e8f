"""Debiased linear CKA (Nguyen et al. 2021)."""

from __future__ import annotations

import numpy as np

from .pairs import Moments, centre
from .ratios import ratio


def debiased_linear_cka(pair: Moments) -> float:
    """Linear CKA with the unbiased estimator of HSIC.

    HSIC_1(K, L) = (tr K~L~ + 1'K~1 1'L~1 / ((d-1)(d-2)) - 2 / (d-2) 1'K~L~1) / (d (d-3)), K~ being
    K with a diagonal of 0 (Song et al. 2012, equation 5; as a CKA: Nguyen et al. 2021, arXiv
    2010.15327). It does not change when neurons are shifted, and of centred neurons the rows of K
    sum to 0, whence for linear kernels

        d (d-3) HSIC_1 = |X_c'Y_c|_F^2 - d / (d-2) S_xy + tr X_c'X_c tr Y_c'Y_c / ((d-1)(d-2))

    with S_xy = sum_i |x_i - mean|^2 |y_i - mean|^2. That sum is of fourth order in the activations,
    so second moments do not hold it; a pair carries it as its ``length_products``.

    Args:
        pair: moments of the two sides, from ``reduce``.

    Returns:
        HSIC_1(X, Y) / sqrt(HSIC_1(X, X) HSIC_1(Y, Y)): 0 on average for unrelated layers, so it can
        be negative; NaN if a side's own estimate is not positive, as when it is constant, and for
        fewer than 4 samples, of which there is no estimate.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 80))
        >>> pair = sm.reduce(x, y, device="cpu")
        >>> sm.linear_cka(pair) > 0.4
        True
        >>> abs(debiased_linear_cka(pair)) < 0.1
        True
    """
    d = pair.samples
    if d < 4:
        return float("nan")
    centred = centre(pair)

    def hsic(moments: np.ndarray, i: int, j: int) -> float:
        traces = (np.trace(centred.xx), np.trace(centred.yy))
        total = np.sum(moments**2) - d / (d - 2) * pair.length_products[i, j]
        return float(total + traces[i] * traces[j] / ((d - 1) * (d - 2)))

    own = hsic(centred.xx, 0, 0), hsic(centred.yy, 1, 1)
    # A product of two negative estimates would pass for a positive one.
    return ratio(hsic(centred.xy, 0, 1), np.sqrt(own[0] * own[1]) if min(own) > 0 else 0.0)
