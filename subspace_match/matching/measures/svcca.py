"""SVCCA: canonical correlation of each side's leading principal components (Raghu et al. 2017)."""

from __future__ import annotations

import numpy as np

from .pairs import SAFE_SQUARE, Moments, centre


def svcca(pair: Moments, variance: float = 0.99) -> float:
    """Mean canonical correlation of the principal components that carry most of the variance.

    Each centred side is reduced to its fewest leading principal components that carry at least
    ``variance`` of its variance (squared singular values), and the canonical correlations of these
    are averaged (Raghu et al. 2017, arXiv 1706.05806; mean over the smaller number of components).
    Invariant to rotations and to one scale a side. The authors' code takes the fraction of the sum
    of singular values, not squared; the paper says variance, and so do we.

    Args:
        pair: moments of the two sides, from ``reduce``.
        variance: fraction to keep, in (0, 1]; met to 1e-12, so that rounding adds no component.

    Returns:
        A number in [0, 1]; NaN if every neuron of a side is constant.

    Raises:
        ValueError: if ``variance`` is not in (0, 1].

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> round(svcca(sm.reduce(x, x[:, ::-1], device="cpu")), 12)
        1.0
    """
    if not 0 < variance <= 1:
        raise ValueError(
            f"variance: expected a fraction in (0, 1], found {variance!r}; the paper keeps 0.99"
        )
    centred = centre(pair)
    squares_x, squares_y = np.split(np.diagonal(pair.second_moments), [pair.neurons_x])
    whitener_x = _whiten_leading(centred.xx, variance, SAFE_SQUARE * squares_x.sum())
    whitener_y = _whiten_leading(centred.yy, variance, SAFE_SQUARE * squares_y.sum())
    correlations = np.linalg.svd(whitener_x.T @ centred.xy @ whitener_y, compute_uv=False)
    return float(correlations.clip(0.0, 1.0).mean()) if len(correlations) else float("nan")


def _whiten_leading(moments: np.ndarray, variance: float, floor: float) -> np.ndarray:
    """W, (n, components), with W'CW = I for the leading components of centred moments C.

    Args:
        moments: C, (n, n).
        variance: fraction to keep.
        floor: at or below it a component's variance is centring's rounding.
    """
    values, vectors = np.linalg.eigh(moments)
    values, vectors = values[::-1], vectors[:, ::-1]
    values, vectors = values[values > floor], vectors[:, values > floor]
    if not len(values):
        return vectors
    carried = np.cumsum(values) / values.sum()
    components = int(np.searchsorted(carried, variance - 1e-12)) + 1
    whitener: np.ndarray = vectors[:, :components] / np.sqrt(values[:components])
    return whitener
