"""Linear regression: how much of one layer the other predicts."""

from __future__ import annotations

import numpy as np

from .bases import orthonormal_basis
from .pairs import Moments, sides
from .values import UndefinedError, measure


@measure(0.0, 1.0)
def linear_regression(pair: Moments, target: str = "x", *, centred: bool = True) -> float:
    """R^2 of regressing one side's neurons, all together, on the other side's.

    R^2 = |Q_Y'X|_F^2 / |X|_F^2 for target X, Q_Y an orthonormal basis of Y (Kornblith et al. 2019,
    arXiv 1905.00414, table 1). Centred is regression with an intercept. Uncentred is without one,
    and 1 - R^2 = sum |x|^2 r(x | Y)^2 / sum |x|^2 with the relative distances of the match: all
    share their rank tolerance, 1e-13 times the neurons.

    Args:
        pair: moments of the two sides, from ``reduce``.
        target: side to predict, "x" or "y".
        centred: take away every neuron's mean first.

    Returns:
        A number in [0, 1], 0 if there is nothing to predict from; NaN if there is nothing to
        predict: every neuron of the target side is constant, or if not centred, dead.

    Raises:
        ValueError: if ``target`` is neither "x" nor "y".

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
        >>> pair = sm.reduce(x, x[:, :1] + 7, device="cpu")
        >>> round(linear_regression(pair), 12), round(linear_regression(pair, "y"), 12)
        (0.5, 1.0)
    """
    if target not in ("x", "y"):
        raise ValueError(f"target: expected 'x' or 'y', the side to predict, found {target!r}")
    x, y = sides(pair, centred=centred)
    predicted, predictors = (x, y) if target == "x" else (y, x)
    if not predicted.has_variance:
        what = "constant" if centred else "dead"
        raise UndefinedError(f"every neuron of {target}, the side to predict, is {what}")
    explained = np.sum((orthonormal_basis(predictors).T @ predicted.neurons) ** 2)
    return float(explained / np.sum(predicted.neurons**2))
