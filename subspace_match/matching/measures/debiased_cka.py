"""Debiased linear CKA (Nguyen et al. 2021)."""

from __future__ import annotations

import math

import numpy as np

from ..reduction.moments import PairMoments
from .sides import Side, varying_sides
from .values import UndefinedError, measure

# Smallest estimate of a side with itself, relative to the sum of its terms' absolute values. The
# terms are accurate to about 1e-15, so a larger estimate is accurate to 1e-7.
SMALLEST_ESTIMATE = 1e-8


@measure(-1.0, 1.0)
def debiased_linear_cka(pair: PairMoments) -> float:
    """Return linear CKA with the unbiased estimator of HSIC.

    HSIC_1(K, L) = (tr K~L~ + 1'K~1 1'L~1 / ((d-1)(d-2)) - 2 / (d-2) 1'K~L~1) / (d (d-3)), where K~
    is K with a zero diagonal (Song et al. 2012, equation 5; as a CKA: Nguyen et al. 2021, arXiv
    2010.15327). Shifting neurons does not change it, and with centred neurons the rows of K sum to
    0, so for linear kernels

        d (d-3) HSIC_1 = |X_c'Y_c|_F^2 - d / (d-2) S_xy + tr X_c'X_c tr Y_c'Y_c / ((d-1)(d-2))

    with S_xy = sum_i |x_i - mean|^2 |y_i - mean|^2. This sum is of fourth order in the activations,
    so second moments do not determine it; the pair stores it in ``length_products``, in units of
    tr X_c'X_c tr Y_c'Y_c.

    Returns:
        HSIC_1(X, Y) / sqrt(HSIC_1(X, X) HSIC_1(Y, Y)), in [-1, 1]. It is 0 on average for unrelated
        layers, so it can be negative. NaN with fewer than 4 samples, or if the estimate of a side
        with itself is 0 up to rounding, as for neurons that are constant or active on one sample.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 80))
        >>> pair = sm.reduce(x, y, device="cpu")
        >>> sm.linear_cka(pair) > 0.4
        True
        >>> abs(sm.debiased_linear_cka(pair)) < 0.1
        True
    """
    d = pair.samples
    if d < 4:
        raise UndefinedError(f"the unbiased estimate needs at least 4 samples, found {d}")
    both = varying_sides(pair)
    totals = [np.sum(side.neurons**2) for side in both]

    def terms(i: int, j: int) -> list[float]:
        """Return the three terms of d (d-3) HSIC_1, in the sides' units."""
        product = totals[i] * totals[j]
        return [
            float(np.sum((both[i].neurons.T @ both[j].neurons) ** 2)),
            float(-d / (d - 2) * pair.length_products[i, j] * product),
            float(product / ((d - 1) * (d - 2))),
        ]

    def own(side: Side, i: int) -> float:
        found = terms(i, i)
        estimate = sum(found)
        if not estimate > SMALLEST_ESTIMATE * np.abs(found).sum():
            raise UndefinedError(
                f"the unbiased estimate of {side.name} with itself is 0 up to rounding, as for"
                " neurons that are active on a single sample"
            )
        return estimate

    return sum(terms(0, 1)) / math.sqrt(own(both[0], 0) * own(both[1], 1))
