"""Linear CKA: centred kernel alignment with linear kernels (Kornblith et al. 2019)."""

from __future__ import annotations

import numpy as np

from ..reduction.moments import PairMoments
from .sides import varying_sides
from .values import measure


@measure(0.0, 1.0)
def linear_cka(pair: PairMoments) -> float:
    """Return the linear centred kernel alignment.

    CKA = |X_c'Y_c|_F^2 / (|X_c'X_c|_F |Y_c'Y_c|_F) (Kornblith et al. 2019, arXiv 1905.00414,
    equation 4 with linear kernels). Invariant to rotations and to one scale factor per side, not to
    invertible mixes. It increases with n / d even for unrelated layers; ``debiased_linear_cka``
    does not.

    Returns:
        A number in [0, 1]; NaN if every neuron of a side is constant.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> round(sm.linear_cka(x, 2 * x[:, ::-1] + 1), 12)
        1.0
    """
    x, y = (side.neurons for side in varying_sides(pair))
    return float(np.sum((x.T @ y) ** 2) / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))
