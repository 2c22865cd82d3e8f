"""SVCCA: canonical correlation of leading principal components (Raghu et al. 2017)."""

from __future__ import annotations

import numpy as np

from ..reduction.moments import PairMoments
from .sides import Side, varying_sides
from .values import measure, warn_not_determined

EQUAL = 1e-8  # relative difference of singular values to count as equal: rounding rotates axes


@measure(0.0, 1.0)
def svcca(pair: PairMoments, variance: float = 0.99) -> float:
    """Return the mean canonical correlation of the leading principal components.

    Each centred side is reduced to the smallest number of leading principal components that explain
    at least ``variance`` of its variance (squared singular values). Their canonical correlations
    are averaged over the smaller number of components (Raghu et al. 2017, arXiv 1706.05806).
    Invariant to rotations and to one scale factor per side. The authors' code uses a fraction of
    the sum of singular values, not squared; we follow the paper, which says variance.

    If the threshold falls between two equal singular values, the choice of components is not
    determined. SVCCA then depends on the components that the singular value decomposition returns.
    A ``MeasureWarning`` reports this.

    Args:
        pair: moments of the two sides, from ``reduce``.
        variance: fraction to keep, in (0, 1]; met up to 1e-12, so that rounding adds no component.

    Returns:
        A number in [0, 1]; NaN if every neuron of a side is constant.

    Raises:
        ValueError: if ``variance`` is not in (0, 1].

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> round(sm.svcca(x, x[:, ::-1]), 12)
        1.0
    """
    if not isinstance(variance, (int, float, np.floating)) or not 0 < variance <= 1:
        raise ValueError(
            f"variance: expected a fraction in (0, 1], found {variance!r}; the paper uses 0.99"
        )
    leading_x, leading_y = (_leading(side, variance) for side in varying_sides(pair))
    correlations = np.linalg.svd(leading_x.T @ leading_y, compute_uv=False)
    return float(correlations.mean())


def _leading(side: Side, variance: float) -> np.ndarray:
    """Return the side's leading principal components, (k, components), orthonormal."""
    directions, values, _ = np.linalg.svd(side.neurons, full_matrices=False)
    explained = np.cumsum(values**2) / np.sum(values**2)
    kept = int(np.searchsorted(explained, variance - 1e-12)) + 1
    if kept < len(values) and values[kept] >= (1 - EQUAL) * values[kept - 1]:
        warn_not_determined(
            "svcca", f"the threshold {variance:g} splits equal singular values of {side.name}"
        )
    leading: np.ndarray = directions[:, :kept]
    return leading
