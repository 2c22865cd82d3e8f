"""Each side's neurons as coefficients over the other side's, from the joint factor.

One square matrix W over the m neurons of both sides holds all that a removal reads. Row i of W
belongs to neuron i. Let S be a basis of its side, and T all neurons of the other side:

- W[i, i'] = P[i, i'] with P = (S'S)^-1, for i' in the basis of the same side;
- W[i, t] = B[i, t] with B = P S'T, the coefficient of the other side's neuron t on i;
- W[i, q] = the coefficient on i of q, a neuron of the same side that depends on the basis.

The row of a dependent neuron q is zero except for W[q, q] = -1, so q's column over its own side
expresses the relation sum_i W[i, q] z_i - z_q = 0.

Numerics: factor, never invert. With S = Q R from a QR of the columns of F, P = R^-1 R^-T and
B = R^-1 Q'T; the rows of Q'T below those of R are the part of T outside the span. Inverting the
moments instead would give wrong matches of near copies. But if F itself comes from the moments,
every neuron is far enough from dependent: S'S = R'R and Q'T = R^-T S'T then lose nothing and cost a
third. Their error is the error of the moments times about 1 / distance^2. Still farther from
dependent, B = P S'T is as accurate too, and even cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backends.base import Array, Device
from ..rank import basis_first, clearly_independent

# Limits of P[i, i] = 1 / (squared distance of column i from the rest of its side).
SAFE_INVERSE = 1e6  # an error of 1e-16 in S'S moves a squared distance by at most about 1e-10
SAFE_PRODUCT = 1e4  # up to here, B = P S'T is accurate too


@dataclass(frozen=True)
class Spans:
    """Both sides' spans. The positions hold X's basis, X's dependent neurons, then the same for Y.

    Attributes:
        neurons: the neuron at each position, (m,) int64.
        basis: whether the neuron is in the basis of its side, (m,) bool.
        coefficients: W, (m, m) float64, on the device.
        residual: squared relative distance of each neuron from the other side's span, (m,) float64,
            on the device.
        duals: R^-1 of each side's S = Q R, (m, c) float64 with c the larger of the two ranks; None
            unless requested.
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
    independent: bool,
    products: Array | None = None,
    with_duals: bool = False,
) -> Spans:
    """Factor both sides.

    Args:
        factor: F, (k, live) float64, columns of norm 1.
        x: columns of F that are X's neurons, at least one.
        y: columns of F that are Y's neurons, at least one.
        device: where F is.
        independent: whether each side's columns are known to be linearly independent; then no rank
            is determined.
        products: F'F, (live, live) float64, if F comes from well-conditioned moments: F'F is then
            as accurate as F, and is factored instead.
        with_duals: whether to return the duals. P is then computed from them, so that both agree to
            the last digits. The basis should come from a pivoted QR (``independent=False``): the
            rows of R are then as small as the distances they stand for, and every entry of R^-1 is
            accurate.

    Returns:
        The spans, on the device.
    """
    (x, rank_x), (y, rank_y) = (
        _basis_first(factor, side, independent, not with_duals, device) for side in (x, y)
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
        gram = None
        if products is not None:
            own = products[start:stop]
            gram = own[:, start:stop], own[:, stop:] if start == 0 else own[:, :start]
        upper, inverse, over_basis, distances = solve(columns[:, start:end], others, gram, device)
        if duals is not None:
            root = device.triangular_inverse(upper)
            duals[start:end, :rank], inverse = root, device.product(root, root.T)
        coefficients[start:end, start:end] = inverse
        coefficients[start:end, :start] = over_basis[:, :start]
        coefficients[start:end, end:] = over_basis[:, start:]
        residual[:start] = distances[:start]
        residual[stop:] = distances[start + stop - end :]
    dependent = np.flatnonzero(~basis)
    coefficients[dependent, dependent] = -1.0
    return Spans(neurons, basis, coefficients, residual, duals)


def solve(
    basis: Array, others: Array, products: tuple[Array, Array] | None, device: Device
) -> tuple[Array, Array, Array, Array]:
    """Return R, P and B of a basis S = Q R, and the squared distances of T from its span.

    Args:
        basis: S, (k, rank).
        others: T, (k, t).
        products: S'S and S'T, if they are accurate enough to replace S and T.
        device: where they are.
    """
    rank = basis.shape[1]
    if _is_triangular(basis, device):  # X's columns, if F comes from the moments
        upper, rotated = basis[:rank], others
    elif products is not None:
        gram, across = products
        upper = device.cholesky(gram)
        inverse = device.gram_inverse(upper)
        return upper, inverse, *over_basis_by_products(upper, inverse, across, device)
    else:
        reflectors, scales = device.householder_qr(basis)
        upper = device.triu(reflectors[:rank])
        rotated = device.apply_q_transposed(reflectors, scales, others)
    over_basis = device.triangular_solve(upper, rotated[:rank])
    return upper, device.gram_inverse(upper), over_basis, (rotated[rank:] ** 2).sum(0)


def over_basis_by_products(
    upper: Array, inverse: Array, across: Array, device: Device
) -> tuple[Array, Array]:
    """Return B and the squared distances of T from R, P and S'T."""
    # Columns have norm 1, so the squared parts inside and outside the span sum to 1.
    if bool(inverse.diagonal().max() <= SAFE_PRODUCT):
        over_basis = device.product(inverse, across)
        return over_basis, 1.0 - (over_basis * across).sum(0)
    inside = device.triangular_solve(upper, across, transposed=True)
    return device.triangular_solve(upper, inside), 1.0 - (inside**2).sum(0)


def _is_triangular(columns: Array, device: Device) -> bool:
    width = columns.shape[1]
    if bool(columns[width:].any()):  # first because it is cheaper
        return False
    return not bool(device.triu(columns[:width].T, 1).any())


def _basis_first(
    factor: Array, columns: np.ndarray, independent: bool, any_basis: bool, device: Device
) -> tuple[np.ndarray, int]:
    """Order the columns so that the first ``rank`` are a basis of all; return them and the rank.

    Args:
        factor: as in ``factor_spans``.
        columns: of the factor.
        independent: whether all columns are known to be linearly independent.
        any_basis: whether the columns may stay in their order if they are clearly independent.
        device: where the factor is.
    """
    if independent:
        return columns, len(columns)
    side = device.take(factor, columns, axis=1)
    if any_basis and clearly_independent(side, device):
        return columns, len(columns)
    order, rank = basis_first(device.numpy(side))
    return columns[order], rank
