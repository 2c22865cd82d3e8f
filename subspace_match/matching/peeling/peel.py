"""Removal of the farthest neuron, again and again, until one side is exhausted.

Removing basis neuron j of side S takes z_j from the span of S. With p = P[j, j] and row j of the
coefficients W (see ``spans``) that raises the squared distance of the other side's neuron t by
W[j, t]^2 / p, and takes the rank-one term P[:, j] W[j, :] / p from the rows of S. A removal reads
only row j, so the terms are collected and applied as one matrix product: O(m^2) a removal, at the
speed of matrix multiplication.

Exchange: if a reserve neuron q depends on j, the span of S stays without z_j. With c = W[:, q] over
S and c_j <> 0, q takes j's place in the basis: every vector's coefficients v become
v - (c / c_j) v_j, where c_q = -1 gives q the coefficient v_j / c_j; P changes from both sides.
Where c_j is too small to divide by, yet large enough for q to add a direction to what is left, its
digits are lost. Where q adds no direction, |c_j| / sqrt(p) being below the tolerance of ranks, c_j
is rounding, however large beside 1: near copies have large p.

Numerics: a diagonal entry of P is h = 1 / squared distance from the others of its side. Rounding
of unit columns moves that distance by about 1e-16, and h by a share of 1e-16 sqrt(h). Where others
leave and it falls to p, that error stays: the share becomes 1e-16 h^(3/2) / p. If a removal lets it
exceed about 1e-7, the removals up to there stand, and what remains is factored anew and removed by
rotations (see ``updates_rotation``). They lose no digits, so that happens once: where many
neurons have near copies, a new factorisation for each would take O(m^4).
"""

from __future__ import annotations

import numpy as np

from ..backends.base import Device
from ..backends.numpy_ import Cpu
from .spans import Spans, factor_spans
from .updates import Removals
from .updates_numpy import RemovalsOnCpu


def peel(
    factor: np.ndarray, width_x: int, products: np.ndarray | None, device: Device
) -> tuple[np.ndarray, np.ndarray]:
    """Order in which neurons leave, farthest first, and their distances as they leave.

    Args:
        factor: F, (k, m) float64, columns of norm 1, the ``width_x`` of X first.
        width_x: number of X's columns.
        products: F'F, if all columns are known to be independent and F comes from the moments.
        device: where to compute.

    Returns:
        order, (m,) int64 columns of F; distances, (m,) float64 in [0, 1], the relative distance of
        each from the span of what the other side had left at that moment.
    """
    left_x, left_y = np.arange(width_x), np.arange(width_x, factor.shape[1])
    order, squares = [left_x[:0]], [np.ones(0)]
    if len(left_x) and len(left_y):
        removals = _by_products(factor, left_x, left_y, products, device)
    while len(left_x) and len(left_y):
        removed, removed_squares, intact = removals.remove_block()
        last = _first_exhausted(removed < width_x, len(left_x), len(left_y))
        order.append(removed[:last])
        squares.append(removed_squares[:last])
        left_x, left_y = (np.setdiff1d(left, order[-1]) for left in (left_x, left_y))
        if not intact and len(left_x) and len(left_y):
            removals = _by_rotation(factor, left_x, left_y)
    # Nothing is left to span what is left now: its distance is 1.
    order += [left_x, left_y]
    squares.append(np.ones(len(left_x) + len(left_y)))
    return np.concatenate(order), np.sqrt(np.clip(np.concatenate(squares), 0.0, 1.0))


def _by_products(
    factor: np.ndarray, x: np.ndarray, y: np.ndarray, products: np.ndarray | None, device: Device
) -> Removals:
    transposed = device.array(np.ascontiguousarray(factor.T))
    independent = products is not None
    spans = factor_spans(
        *(transposed.T, x, y, device),
        independent=(independent, independent),
        products=None if products is None else device.array(products),
    )
    return _removals(spans, len(x), device)


def _removals(spans: Spans, width_x: int, device: Device) -> Removals:
    if isinstance(device, Cpu):
        return RemovalsOnCpu(spans, width_x, device)
    from .updates_torch import RemovalsOnTorch  # loads torch

    return RemovalsOnTorch(spans, width_x, device)


def _by_rotation(factor: np.ndarray, x: np.ndarray, y: np.ndarray) -> Removals:
    from .updates_rotation import RemovalsByRotation  # most layers need no compiled loops

    return RemovalsByRotation(factor, x, y)


def _first_exhausted(of_x: np.ndarray, left_x: int, left_y: int) -> int:
    """Number of these removals until one side is exhausted, or all of them."""
    exhausted = (np.cumsum(of_x) == left_x) | (np.cumsum(~of_x) == left_y)
    return int(exhausted.argmax()) + 1 if exhausted.any() else len(of_x)
