"""Each side's neurons as coefficients over the other side's, from the joint factor.

One square matrix W over m neurons of both sides holds all that a removal reads. Row i of W belongs
to neuron i of side S, with S the basis of its side and T the other side's neurons:

- W[i, i'] = P[i, i'] with P = (S'S)^-1, for i' in the basis of the same side;
- W[i, t] = B[i, t] with B = P S'T, the coefficient of the other side's neuron t on i;
- W[i, q] = coefficient on i of a reserve neuron q: of the same side, dependent on the basis.

The row of a reserve neuron q is zero but for W[q, q] = -1, so that q's column over its own side is
the relation sum_i W[i, q] z_i - z_q = 0.

Numerics: factor, never invert. S = Q R by QR of the columns of F, then P = R^-1 R^-T and
B = R^-1 Q'T; what Q' leaves of T below R's rows is its part outside the span. Inverting the
moments instead gives other matches where neurons are nearly copies of each other. Where F itself
comes from the moments and a side is far from dependent, S'S = R'R and Q'T = R^-T S'T cost a third
and lose nothing: both then carry the error of the moments times about 1 / distance^2, no more. And
where a side is very far from dependent, so does B = P S'T, which is cheaper still.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..backends.base import Array, Device

# Times the number of columns. A looser rank tolerance is wrong: a near copy adds a direction.
RANK_TOLERANCE = 1e-13

# Largest 1 / (squared distance of a column from the others) at which S'S may take S's place: up to
# there its error of 1e-16 moves a squared distance by about 1e-10 at most.
SAFE_INVERSE = 1e6
VERY_SAFE_INVERSE = 1e4  # likewise, at which P may be multiplied by S'T


@dataclass(frozen=True)
class Spans:
    """Both sides' spans, for m neurons in an order of their own: X's basis, its reserve, then Y's.

    Attributes:
        neurons: which neuron each position stands for, (m,) int64.
        basis: whether the neuron is in the basis of its side, (m,) bool.
        coefficients: W, (m, m) float64, on the device.
        residual: squared relative distance of each neuron from the other side's span, (m,) float64,
            on the device.
        duals: R^-1 of each side's S = Q R, (m, c) float64 with c the larger of the two ranks; None
            unless asked for.
    """

    neurons: np.ndarray
    basis: np.ndarray
    coefficients: Array
    residual: Array
    duals: Array | None = None


def factor_spans(
    factor: Array,
    x: np.ndarray,
    y: np.ndarray,
    device: Device,
    *,
    independent: tuple[bool, bool],
    products: Array | None = None,
    with_duals: bool = False,
) -> Spans:
    """Factor both sides.

    Args:
        factor: F, (k, live) float64, columns of norm 1.
        x: columns of F that are X's neurons, at least one.
        y: columns of F that are Y's neurons, at least one.
        device: where F is.
        independent: whether X's columns, and Y's, are known to be independent, so that no rank is
            looked for.
        products: F'F, (live, live) float64, if F holds no more digits than the moments and all its
            columns are independent: a side's products are factored in its place where that is safe.
        with_duals: give the duals too. P is then their product, so that the two agree to the last
            digits, and a side's basis should be known to come from a pivoted QR
            (``independent=(False, False)``): the rows of its R then are as small as the distances
            that they stand for, and R^-1 is right in every entry.

    Returns:
        The spans, on the device.
    """
    (x, rank_x), (y, rank_y) = (
        _basis_first(factor, side, known, device)
        for side, known in zip((x, y), independent, strict=True)
    )
    neurons, width = np.concatenate([x, y]), len(x) + len(y)
    columns = factor.T
    if not np.array_equal(neurons, np.arange(len(columns))):
        columns = device.take(columns, neurons)
        if products is not None:
            products = device.take(device.take(products, neurons), neurons, axis=1)
    columns = columns.T
    coefficients, residual = device.zeros(width, width), device.empty(width)
    basis = np.zeros(width, dtype=bool)
    duals = device.zeros(width, max(rank_x, rank_y)) if with_duals else None
    for start, stop, rank in ((0, len(x), rank_x), (len(x), width, rank_y)):
        end = start + rank
        basis[start:end] = True
        parts = [part for part in (columns[:, :start], columns[:, end:]) if part.shape[1]]
        others = parts[0] if len(parts) == 1 else device.concatenate(parts, axis=1)
        given = None
        if products is not None:
            own = products[start:stop]
            given = own[:, start:stop], own[:, stop:] if start == 0 else own[:, :start]
        upper, inverse, over_basis, distances = _solve(columns[:, start:end], others, given, device)
        if duals is not None:
            root = device.inverse(upper)
            duals[start:end, :rank], inverse = root, device.product(root, root.T)
        coefficients[start:end, start:end] = inverse
        coefficients[start:end, :start] = over_basis[:, :start]
        coefficients[start:end, end:] = over_basis[:, start:]
        residual[:start] = distances[:start]
        residual[stop:] = distances[start + stop - end :]
    reserve = np.flatnonzero(~basis)
    coefficients[reserve, reserve] = -1.0
    return Spans(neurons, basis, coefficients, residual, duals)


def _solve(
    basis: Array, others: Array, products: tuple[Array, Array] | None, device: Device
) -> tuple[Array, Array, Array, Array]:
    """R, P and B of a basis S = Q R, and the squared distances of the others, T, from its span.

    With the products S'S and S'T, if these may take the place of S and T.
    """
    rank, factored = basis.shape[1], None
    if _is_triangular(basis, device):  # X's columns of F as it comes from the moments
        upper, inside, outside = basis[:rank], others[:rank], (others[rank:] ** 2).sum(0)
    elif products is not None and (factored := _factor_products(products[0], device)) is not None:
        (upper, inverse), across = factored, products[1]
        # Columns have norm 1, so what is not inside is outside.
        if bool(inverse.diagonal().max() <= VERY_SAFE_INVERSE):
            over_basis = device.product(inverse, across)
            return upper, inverse, over_basis, 1.0 - (over_basis * across).sum(0)
        inside = device.solve(upper, across, transposed=True)
        outside = 1.0 - (inside**2).sum(0)
    else:
        reflectors, scales = device.reflectors(basis)
        rotated = device.rotate(reflectors, scales, others)
        upper, inside = device.upper(reflectors[:rank]), rotated[:rank]
        outside = (rotated[rank:] ** 2).sum(0)
    inverse = device.inverse_of_square(upper) if factored is None else factored[1]
    return upper, inverse, device.solve(upper, inside), outside


def _is_triangular(columns: Array, device: Device) -> bool:
    width = columns.shape[1]  # what is below the square is looked at first, for it costs less
    if bool(columns[width:].any()):
        return False
    return not bool(device.upper(columns[:width].T, 1).any())


def _factor_products(products: Array, device: Device) -> tuple[Array, Array] | None:
    """R with R'R = S'S, and (S'S)^-1; None if S is not far enough from dependent for that."""
    upper = device.cholesky(products)
    if upper is None:
        return None
    inverse = device.inverse_of_square(upper)
    return None if bool((inverse.diagonal() > SAFE_INVERSE).any()) else (upper, inverse)


def _basis_first(
    factor: Array, columns: np.ndarray, independent: bool, device: Device
) -> tuple[np.ndarray, int]:
    """The columns in an order in which the first ``rank`` are a basis of all, and that rank."""
    if independent:
        return columns, len(columns)
    side = device.numpy(device.take(factor, columns, axis=1))
    upper, order = scipy.linalg.qr(side, mode="r", pivoting=True, check_finite=False)
    rank = int((np.abs(np.diagonal(upper)) > RANK_TOLERANCE * len(columns)).sum())
    return columns[order], rank
