"""Linear regression: how much of one layer's variance the other predicts."""

from __future__ import annotations

import numpy as np

from ..reduction.moments import PairMoments
from .sides import sides
from .values import UndefinedError, measure


@measure(0.0, 1.0)
def linear_regression(pair: PairMoments, target: str = "x", *, centred: bool = True) -> float:
    """Return R^2 of the regression of one side's neurons, together, on the other side's.

    R^2 = |Q_Y'X|_F^2 / |X|_F^2 for target X, with Q_Y an orthonormal basis of Y (Kornblith et al.
    2019, arXiv 1905.00414, table 1). With centring the regression has an intercept. Without, it has
    none, and 1 - R^2 = sum |x|^2 r(x | Y)^2 / sum |x|^2 with the relative distances of the match.
    The rank tolerance is that of the match, 1e-13 times the number of neurons.

    Args:
        pair: moments of the two sides, from ``reduce``.
        target: side to predict, "x" or "y".
        centred: subtract each neuron's mean first.

    Returns:
        A number in [0, 1]; 0 if every predictor is constant, NaN if every neuron of the target side
        is constant. Without centring, read "dead" for "constant".

    Raises:
        ValueError: if ``target`` is neither "x" nor "y".

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
        >>> pair = sm.reduce(x, x[:, :1] + 7, device="cpu")
        >>> round(sm.linear_regression(pair), 12), round(sm.linear_regression(pair, "y"), 12)
        (0.5, 1.0)
    """
    if target not in ("x", "y"):
        raise ValueError(f"target: expected 'x' or 'y', the side to predict, found {target!r}")
    x, y = sides(pair, centred=centred)
    predicted, predictors = (x, y) if target == "x" else (y, x)
    if not predicted.has_variance:
        what = "constant" if centred else "dead"
        raise UndefinedError(f"every neuron of {target}, the side to predict, is {what}")
    explained = np.sum((predictors.orthonormal_basis.T @ predicted.neurons) ** 2)
    return float(explained / np.sum(predicted.neurons**2))
