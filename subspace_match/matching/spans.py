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
moments instead gives other matches where neurons are nearly copies of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch

# Times the number of columns. A looser rank tolerance is wrong: a near copy adds a direction.
RANK_TOLERANCE = 1e-13


@dataclass(frozen=True)
class Spans:
    """Both sides' spans, for m neurons in an order of their own: X's basis, its reserve, then Y's.

    Attributes:
        neurons: which neuron each position stands for, (m,) int64.
        basis: whether the neuron is in the basis of its side, (m,) bool.
        coefficients: W, (m, m) float64, on the device.
        residual: squared relative distance of each neuron from the other side's span, (m,) float64,
            on the device.
    """

    neurons: np.ndarray
    basis: np.ndarray
    coefficients: torch.Tensor
    residual: torch.Tensor


def factor_spans(
    factor: torch.Tensor, x: np.ndarray, y: np.ndarray, *, independent: tuple[bool, bool]
) -> Spans:
    """Factor both sides.

    Args:
        factor: F, (k, live) float64, columns of norm 1.
        x: columns of F that are X's neurons, at least one.
        y: columns of F that are Y's neurons, at least one.
        independent: whether X's columns, and Y's, are known to be independent, so that no rank is
            looked for.

    Returns:
        The spans, on the device of ``factor``.
    """
    (x, rank_x), (y, rank_y) = (
        _basis_first(factor, side, known) for side, known in zip((x, y), independent, strict=True)
    )
    neurons, width = np.concatenate([x, y]), len(x) + len(y)
    columns = factor.T[torch.from_numpy(neurons).to(factor.device)].T
    coefficients = factor.new_zeros(width, width)
    residual = factor.new_empty(width)
    basis = np.zeros(width, dtype=bool)
    for start, stop, rank in ((0, len(x), rank_x), (len(x), width, rank_y)):
        end = start + rank
        basis[start:end] = True
        others = torch.cat([columns[:, :start], columns[:, end:]], dim=1)
        inverse, over_basis, outside = _solve(columns[:, start:end], others)
        coefficients[start:end, start:end] = inverse @ inverse.T
        coefficients[start:end, :start] = over_basis[:, :start]
        coefficients[start:end, end:] = over_basis[:, start:]
        distances = outside.square().sum(0)
        residual[:start] = distances[:start]
        residual[stop:] = distances[start + stop - end :]
    coefficients.diagonal()[torch.from_numpy(~basis).to(factor.device)] = -1.0
    return Spans(neurons, basis, coefficients, residual)


def _solve(
    basis: torch.Tensor, others: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For basis = Q R: R^-1, R^-1 Q'others, and of Q'others the rows outside the basis's span."""
    rank = basis.shape[1]
    if basis.tril(-1).any():
        reflectors, scales = torch.geqrf(basis)
        upper = reflectors[:rank].triu()
        rotated = torch.ormqr(reflectors, scales, others, left=True, transpose=True)
    else:  # X's columns of F as it comes from the moments: triangular already
        upper, rotated = basis[:rank], others
    eye = torch.eye(rank, dtype=basis.dtype, device=basis.device)
    inverse = torch.linalg.solve_triangular(upper, eye, upper=True)
    return inverse, inverse @ rotated[:rank], rotated[rank:]


def _basis_first(
    factor: torch.Tensor, columns: np.ndarray, independent: bool
) -> tuple[np.ndarray, int]:
    """The columns in an order in which the first ``rank`` are a basis of all, and that rank."""
    if independent:
        return columns, len(columns)
    side = factor[:, torch.from_numpy(columns).to(factor.device)].cpu().numpy()
    upper, order = scipy.linalg.qr(side, mode="r", pivoting=True, check_finite=False)
    rank = int((np.abs(np.diagonal(upper)) > RANK_TOLERANCE * len(columns)).sum())
    return columns[order], rank
