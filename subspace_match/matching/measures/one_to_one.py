"""One-to-one matching of neurons by correlation (Li et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize

from ..reduction.moments import PairMoments
from .sides import Side, sides, varying_sides
from .values import measure


@dataclass(frozen=True)
class OneToOne:
    """A one-to-one matching: X's neuron x[k] is matched with Y's neuron y[k].

    Attributes:
        x: (pairs,) int64 indices into X's columns, ascending.
        y: (pairs,) int64 indices into Y's columns.
        correlations: (pairs,) float64 in [-1, 1].
    """

    x: np.ndarray
    y: np.ndarray
    correlations: np.ndarray


def one_to_one_matching(pair: PairMoments) -> OneToOne:
    """Return the one-to-one matching of neurons with the largest sum of correlations.

    The bipartite matching of Li et al. 2016 (arXiv 1511.07543, section 3.2), by the Hungarian
    method, with signed correlations as in the paper. All neurons of the narrower side are matched,
    even with weak correlations, except constant neurons. Their correlation is undefined; they are
    left out, where the paper sets it to 0.

    Returns:
        min(n_x, n_y) pairs, without counting constant neurons.

    Raises:
        ValueError: if the pair has no centred factor; some pairs of a null have none.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> one_to_one_matching(sm.reduce(x, x[:, [2, 0, 1]], device="cpu")).y
        array([1, 2, 0])
    """
    return _matching(*sides(pair))


@measure(-1.0, 1.0)
def one_to_one(pair: PairMoments) -> float:
    """Return the mean correlation of neurons matched by ``one_to_one_matching``.

    Invariant to permutations and to a positive scale and a shift of each neuron, not to rotations.

    Returns:
        A number in [-1, 1], negative only if every matching has a negative sum; NaN if every
        neuron of a side is constant.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> round(sm.one_to_one(x, x[:, [2, 0, 1]] * [1, 5, 9]), 12)
        1.0
    """
    return float(_matching(*varying_sides(pair)).correlations.mean())


def _matching(side_x: Side, side_y: Side) -> OneToOne:
    x, y = (np.flatnonzero(side.unit.any(0)) for side in (side_x, side_y))
    unit_x, unit_y = side_x.unit[:, x], side_y.unit[:, y]
    deviations = np.outer(np.linalg.norm(unit_x, axis=0), np.linalg.norm(unit_y, axis=0))
    correlations = (unit_x.T @ unit_y / deviations).clip(-1.0, 1.0)
    rows, columns = scipy.optimize.linear_sum_assignment(correlations, maximize=True)
    return OneToOne(x[rows], y[columns], correlations[rows, columns])
