"""Remove the farthest neuron again and again, until one side is empty.

Removal: let j be a neuron in the basis of its side S, W[j, :] its row of the coefficients (see
``spans``) and p = P[j, j]. Without j the span of S loses a direction. The squared distance of every
neuron t of the other side grows by W[j, t]^2 / p, and the rows of S lose the rank-one term
P[:, j] W[j, :] / p. A removal reads only row j, so the terms of many removals are collected and
applied as one matrix product: O(m^2) per removal, at the speed of matrix multiplication.

Exchange: if a dependent neuron q has a coefficient on j, the span of S does not need z_j. Let
c = W[:, q] over S, with c_j != 0. Then q takes j's place in the basis, and the coefficients v of
every vector become v - (c / c_j) v_j, where c_q = -1 gives q the coefficient v_j / c_j. P changes
from both sides, and no distance changes. The distance of q from the remaining basis is
|c_j| / sqrt(p). If it is below the rank tolerance, q adds no direction and c_j is rounding, even if
c_j is larger than 1: near copies have a large p. If q adds a direction but c_j is too small to
divide by, accuracy is lost.

Numerics: a diagonal entry of P is h = 1 / (squared distance from the rest of its side). Rounding of
unit columns moves that distance by about 1e-16, so h has a relative error of 1e-16 sqrt(h). When
removals lower the entry to p, the absolute error stays, and the relative error becomes
1e-16 h^(3/2) / p. If it exceeds about 1e-7, the removals so far remain valid, and the remaining
neurons are factored again and removed by rotations (see ``updates_rotation``). Rotations lose no
digits, so this happens at most once. Factoring again for every near copy would cost O(m^4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ..backends.base import Array, Device
from ..backends.numpy_ import Cpu
from .spans import Spans, factor_spans
from .updates import SpanUpdates
from .updates_numpy import NumpyUpdates

Factor: TypeAlias = Callable[[np.ndarray, np.ndarray], SpanUpdates]  # of X's and Y's neurons


class Peeled(NamedTuple):
    """What the removal of all neurons found.

    Attributes:
        order: (m,) int64 columns of F, as they were removed.
        distances: (m,) float64 in [0, 1]: the relative distance of each removed neuron, when it was
            removed, from the span of the other side's remaining neurons.
        from_all: (m,) float64 in [0, 1]: the relative distance of each column of F, before any
            removal, from the span of all of the other side's neurons.
    """

    order: np.ndarray
    distances: np.ndarray
    from_all: np.ndarray


def peel(factor: np.ndarray, width_x: int, products: Array | None, device: Device) -> Peeled:
    """Remove all neurons, the farthest first, and record their distances.

    Args:
        factor: F, (k, m) float64, columns of norm 1, X's ``width_x`` columns first.
        width_x: number of X's columns.
        products: F'F, on the device, if all columns are known to be independent and F comes from
            the moments, else None.
        device: where to compute.
    """
    from_all = np.ones(factor.shape[1])  # squared; 1 if the other side is empty

    def start(x: np.ndarray, y: np.ndarray) -> SpanUpdates:
        transposed = device.in_c_order(device.array(factor).T)
        spans = factor_spans(
            *(transposed.T, x, y, device),
            independent=products is not None,
            products=products,
        )
        from_all[spans.neurons] = device.numpy(spans.residual)  # removals overwrite it
        return updates_for(spans, len(x), device)

    order, squares = remove_all(
        np.arange(width_x),
        np.arange(width_x, factor.shape[1]),
        start,
        lambda x, y: _updates_by_rotation(factor, x, y),
    )
    return Peeled(order, np.sqrt(squares), np.sqrt(np.clip(from_all, 0.0, 1.0)))


def remove_all(
    left_x: np.ndarray, left_y: np.ndarray, start: Factor, again: Factor
) -> tuple[np.ndarray, np.ndarray]:
    """Remove the farthest neuron until one side is empty.

    Args:
        left_x: X's neurons, int64, below all of ``left_y``.
        left_y: Y's neurons.
        start: factors both sides and returns their updates.
        again: factors what is left after removals have lost digits.

    Returns:
        order, (m,) int64 neurons; squares, (m,) float64 in [0, 1]: the squared distance of each
        neuron when it was removed, 1 for those that remain when the other side is empty.
    """
    first_y = left_y[0] if len(left_y) else 0
    order, squares = [left_x[:0]], [np.ones(0)]
    if len(left_x) and len(left_y):
        updates = start(left_x, left_y)
    while len(left_x) and len(left_y):
        removed, removed_squares, accurate = updates.remove_block()
        of_y = (removed >= first_y).astype(np.int64)
        count = removals_until_empty(of_y, (len(left_x), len(left_y)))
        order.append(removed[:count])
        squares.append(removed_squares[:count])
        left_x, left_y = (np.setdiff1d(left, order[-1]) for left in (left_x, left_y))
        if not accurate and len(left_x) and len(left_y):
            updates = again(left_x, left_y)
    # The other side is empty, so the remaining neurons have distance 1.
    order += [left_x, left_y]
    squares.append(np.ones(len(left_x) + len(left_y)))
    return np.concatenate(order), np.clip(np.concatenate(squares), 0.0, 1.0)


def updates_for(spans: Spans, width_x: int, device: Device) -> SpanUpdates:
    """Return the implementation of updates that suits the device."""
    if isinstance(device, Cpu):
        return NumpyUpdates(spans, width_x, device)
    from .updates_torch import TorchUpdates  # imports torch

    return TorchUpdates(spans, width_x, device)


def _updates_by_rotation(factor: np.ndarray, x: np.ndarray, y: np.ndarray) -> SpanUpdates:
    from .updates_rotation import RotationUpdates  # imports numba, which most layers do not need

    return RotationUpdates.from_factor(factor, x, y)


def removals_until_empty(sides: np.ndarray, left: Sequence[int] | np.ndarray) -> int:
    """Return how many removals it takes to empty one side, or the number of all.

    Args:
        sides: the side of each removed neuron, (removals,) int64.
        left: number of neurons of each side before them.
    """
    of_side = sides[:, None] == np.arange(len(left))
    empty = (of_side.cumsum(0) == left).any(1)
    return int(empty.argmax()) + 1 if empty.any() else len(sides)
