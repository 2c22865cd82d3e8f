"""Orthogonal Procrustes similarity (Ding et al. 2021; Williams et al. 2021)."""

from __future__ import annotations

import numpy as np

from ..reduction.moments import PairMoments
from .sides import varying_sides
from .values import measure


@measure(0.0, 1.0)
def procrustes(pair: PairMoments) -> float:
    """Return the similarity after the best rotation.

    max over orthogonal Q of <X_c, Y_c Q> / (|X_c|_F |Y_c|_F) = |X_c'Y_c|_* / (|X_c|_F |Y_c|_F),
    with |.|_* the sum of singular values and the narrower side padded with zeros. For a similarity
    s, arccos s is the angular distance of Williams et al. 2021 (arXiv 2110.14739), and 2 - 2 s is
    the squared distance of Ding et al. 2021 (arXiv 2108.01661) between sides scaled to norm 1.
    Invariant to rotations and to one scale factor per side, not to invertible mixes.

    Returns:
        A number in [0, 1]; NaN if every neuron of a side is constant.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 2))
        >>> turn = np.array([[0.6, -0.8], [0.8, 0.6]])
        >>> round(sm.procrustes(x, 3 * x @ turn), 12)
        1.0
    """
    x, y = (side.neurons for side in varying_sides(pair))
    nuclear = np.linalg.svd(x.T @ y, compute_uv=False).sum()
    return float(nuclear / (np.linalg.norm(x) * np.linalg.norm(y)))
