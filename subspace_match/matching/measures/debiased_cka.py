"""Debiased linear CKA, and the few numbers beyond second moments that it needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .pairs import CentredMoments, Moments, centre
from .ratios import ratio


@dataclass(frozen=True)
class RowSquares:
    """Moments of samples' squared lengths a_i = |x_i - c|^2 and b_i = |y_i - c|^2.

    With a shift c that is the means but roughly, sums of fourth order keep their digits; with c = 0
    they lose them as the fourth power of |mean| over spread. Sums over samples, so those of chunks
    with one shift add up to those of all: O(d n) work beside the moments' O(d n^2).

    Attributes:
        shift: c, (n,) float64, X's neurons first.
        products: [[sum a^2, sum a b], [sum a b, sum b^2]], (2, 2) float64.
        with_neurons: [sum_i a_i (z_i - c), sum_i b_i (z_i - c)], (2, n) float64, with z_i a row of
            Z = [X Y].
    """

    shift: np.ndarray
    products: np.ndarray
    with_neurons: np.ndarray

    def __add__(self, other: RowSquares) -> RowSquares:
        """The sums of both chunks.

        Raises:
            ValueError: if their shifts differ.
        """
        if not np.array_equal(self.shift, other.shift):
            raise ValueError(
                "shift: expected one shift for all chunks, found two; give the first chunk's shift"
                " to row_squares for all others"
            )
        return RowSquares(
            self.shift, self.products + other.products, self.with_neurons + other.with_neurons
        )


def row_squares(x: np.ndarray, y: np.ndarray, shift: np.ndarray | None = None) -> RowSquares:
    """What a chunk of samples adds to ``RowSquares``.

    Args:
        x: (samples, n_x) activations.
        y: (samples, n_y), the same samples.
        shift: (n_x + n_y,) rough means, the same for all chunks; None for these samples' own.

    Returns:
        Its sums; add those of all chunks.

    Example:
        >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 80))
        >>> first = row_squares(x[:50], y[:50])
        >>> rows = first + row_squares(x[50:], y[50:], first.shift)
    """
    joint = np.hstack([x, y]).astype(np.float64)
    if shift is None:
        shift = joint.mean(0)
    joint -= shift
    n_x = x.shape[1]
    sides = joint[:, :n_x], joint[:, n_x:]
    squares = np.stack([np.einsum("ij,ij->i", side, side) for side in sides])
    return RowSquares(shift, squares @ squares.T, squares @ joint)


def debiased_linear_cka(pair: Moments, rows: RowSquares) -> float:
    """Linear CKA with the unbiased estimator of HSIC.

    HSIC_1(K, L) = (tr K~L~ + 1'K~1 1'L~1 / ((d-1)(d-2)) - 2 / (d-2) 1'K~L~1) / (d (d-3)), K~ being
    K with a diagonal of 0 (Song et al. 2012, equation 5; as a CKA: Nguyen et al. 2021, arXiv
    2010.15327). It does not change when neurons are shifted, and of centred neurons the rows of K
    sum to 0, whence for linear kernels

        d (d-3) HSIC_1 = |X_c'Y_c|_F^2 - d / (d-2) S_xy + tr X_c'X_c tr Y_c'Y_c / ((d-1)(d-2))

    with S_xy = sum_i |x_i - mean|^2 |y_i - mean|^2. That sum is of fourth order in the activations,
    so second moments do not hold it; it expands into them and ``RowSquares``.

    Args:
        pair: moments of the two sides, from ``reduce``.
        rows: the same samples' ``RowSquares``.

    Returns:
        HSIC_1(X, Y) / sqrt(HSIC_1(X, X) HSIC_1(Y, Y)): 0 on average for unrelated layers, so it can
        be negative; NaN if a side's own estimate is not positive, as when it is constant.

    Raises:
        ValueError: for fewer than 4 samples, or rows of another pair.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 80))
        >>> pair = sm.reduce(x, y, device="cpu")
        >>> sm.linear_cka(pair) > 0.4
        True
        >>> abs(debiased_linear_cka(pair, row_squares(x, y))) < 0.1
        True
    """
    d = pair.samples
    if d < 4:
        raise ValueError(
            f"pair: expected at least 4 samples for the debiased estimate, found {d}; use more"
            " samples, or linear_cka"
        )
    if rows.products.shape != (2, 2) or rows.with_neurons.shape != (2, len(pair.sums)):
        raise ValueError(
            f"rows: expected sums for {len(pair.sums)} neurons, of shapes (2, 2) and"
            f" (2, {len(pair.sums)}), found {rows.products.shape} and {rows.with_neurons.shape};"
            " take row_squares of the same layers"
        )
    centred = centre(pair)
    lengths = _centred_products(pair, centred, rows)

    def hsic(moments: np.ndarray, i: int, j: int) -> float:
        traces = (np.trace(centred.xx), np.trace(centred.yy))
        total = np.sum(moments**2) - d / (d - 2) * lengths[i, j]
        return float(total + traces[i] * traces[j] / ((d - 1) * (d - 2)))

    own = hsic(centred.xx, 0, 0), hsic(centred.yy, 1, 1)
    # A product of two negative estimates would pass for a positive one.
    return ratio(hsic(centred.xy, 0, 1), np.sqrt(own[0] * own[1]) if min(own) > 0 else 0.0)


def _centred_products(pair: Moments, centred: CentredMoments, rows: RowSquares) -> np.ndarray:
    """Sums of products of the squared lengths of centred samples, (2, 2): S_xx, S_xy; S_xy, S_yy.

    With w = x_i - c and the means' offset o = mean - c, |x_i - mean|^2 = a_i - 2 o'w + |o|^2: a
    squared length is [a_i, b_i, w, 1] times weights, and the sums of products are those weights
    around the moments of [a, b, w, 1].
    """
    n, n_x, d = len(pair.sums), pair.neurons_x, pair.samples
    offset = pair.sums / d - rows.shift
    offset_squares = np.sum(offset[:n_x] ** 2), np.sum(offset[n_x:] ** 2)
    centred_joint = np.block([[centred.xx, centred.xy], [centred.xy.T, centred.yy]])

    joint = np.empty((n + 3, n + 3))
    joint[:2, :2] = rows.products
    joint[:2, 2:-1], joint[2:-1, :2] = rows.with_neurons, rows.with_neurons.T
    joint[2:-1, 2:-1] = centred_joint + d * np.outer(offset, offset)
    joint[-1, 0] = np.trace(centred.xx) + d * offset_squares[0]
    joint[-1, 1] = np.trace(centred.yy) + d * offset_squares[1]
    joint[-1, 2:-1], joint[-1, -1] = d * offset, d
    joint[:, -1] = joint[-1]

    weights = np.zeros((n + 3, 2))
    weights[0, 0] = weights[1, 1] = 1.0
    weights[2 : 2 + n_x, 0], weights[2 + n_x : -1, 1] = -2 * offset[:n_x], -2 * offset[n_x:]
    weights[-1] = offset_squares
    products: np.ndarray = weights.T @ joint @ weights
    return products
