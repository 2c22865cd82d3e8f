"""SVCCA: canonical correlation of each side's leading principal components (Raghu et al. 2017)."""

from __future__ import annotations

import numpy as np

from .pairs import Moments, Side, varying_sides
from .values import measure, not_determined

EQUAL = 1e-8  # relative difference up to which singular values are equal: rounding turns their axes


@measure(0.0, 1.0)
def svcca(pair: Moments, variance: float = 0.99) -> float:
    """Mean canonical correlation of the principal components that carry most of the variance.

    Each centred side is reduced to its fewest leading principal components that carry at least
    ``variance`` of its variance (squared singular values), and the canonical correlations of these
    are averaged (Raghu et al. 2017, arXiv 1706.05806; mean over the smaller number of components).
    Invariant to rotations and to one scale a side. The authors' code takes the fraction of the sum
    of singular values, not squared; the paper says variance, and so do we.

    Where ``variance`` is met between two equal singular values, which of their components are kept
    is not determined, and neither is SVCCA: it then depends on those that the singular value
    decomposition gives. A ``MeasureWarning`` says so.

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
    leading_x, leading_y = (_leading(side, variance) for side in varying_sides(pair))
    correlations = np.linalg.svd(leading_x.T @ leading_y, compute_uv=False)
    return float(correlations.mean())


def _leading(side: Side, variance: float) -> np.ndarray:
    """The side's leading principal components, (k, components) with orthonormal columns."""
    directions, values, _ = np.linalg.svd(side.neurons, full_matrices=False)
    carried = np.cumsum(values**2) / np.sum(values**2)
    kept = int(np.searchsorted(carried, variance - 1e-12)) + 1
    if kept < len(values) and values[kept] >= (1 - EQUAL) * values[kept - 1]:
        not_determined(
            "svcca", f"the threshold {variance:g} splits equal singular values of {side.name}"
        )
    leading: np.ndarray = directions[:, :kept]
    return leading
