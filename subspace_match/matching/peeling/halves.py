"""Peel by cross-fitted distances: factor both sides on both halves of the images.

Both halves need the same basis of each side. A neuron that depends on others in all images does so
on each half, with the same coefficients: it is kept in reserve, as in ``spans``. A neuron that adds
a direction, but not on both halves, has no coefficients that could be fitted: it is in no span, but
has distances itself. The same holds for a neuron that adds next to nothing on one half, such as the
rounding of its float32 values: rectified neurons that are active on all images of a half are linear
functions of the layer before on these, and not on images on which one is inactive. Coefficients
that were fitted to that rounding would be measured on the other half at a thousand times its size
and more.

Measured on half g, the fit B_h of the other half h has the residuals

    T_g - S_g B_h = (T_g - S_g B_g) + S_g (B_g - B_h).

The first part is orthogonal to span S_g. The second is R_g (B_g - B_h) in an orthonormal basis of
span S_g, with S_g = Q_g R_g. So the squared held-out residual is the squared fitted residual of g
plus |R_g (B_g - B_h)|^2, and nothing cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..backends.base import Array, Device
from ..backends.numpy_ import Cpu, pivoted_qr
from ..rank import CLEARLY, RANK_TOLERANCE, basis_first, clearly_independent
from .peel import remove_all
from .spans import solve
from .updates import SpanUpdates
from .updates_halves import HalvedSpans, HalvesUpdates

# Least distance of a neuron on one half from those before it in the order of a pivoted QR of that
# half, as a share of its distance from the same ones on the other half. ``clearly_independent``
# neurons are farther on both.
LEAST_SHARE = CLEARLY**0.5

# A side's neurons: a basis, those that depend on it, and those in no span.
Part: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Half:
    """The neurons on one half of the images.

    Attributes:
        factor: F, (k, m) float64, columns of norm 1.
        norms: norms of the neurons, (m,) float64.
        products: F'F if all columns are known to be independent and F comes from the moments, else
            None.
    """

    factor: np.ndarray
    norms: np.ndarray
    products: np.ndarray | None


def peel_halves(
    halves: Sequence[Half], width_x: int, device: Device, held_out_only: Sequence[bool]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Remove all neurons, the farthest first, and record their distances.

    Args:
        halves: the same neurons on both halves, X's first.
        width_x: number of X's neurons.
        device: where to compute.
        held_out_only: which distances, as in ``FourResiduals``; neurons are removed by each.

    Returns:
        For each distance: order, (m,) int64 neurons; distances, (m,) float64 in [0, 1]: the
        distance of each neuron, when it was removed, from the other side's remaining neurons.
    """
    neurons = np.arange(len(halves[0].norms))
    sides = neurons[:width_x], neurons[width_x:]
    if not all(map(len, sides)):
        return [(neurons, np.ones(len(neurons))) for _ in held_out_only]
    by_products = all(half.products is not None for half in halves)
    independent, lost = by_products, neurons[:0]
    if not by_products:
        parts = [_bases(halves, side, lost, device) for side in sides]
        # Decided once, so that it does not depend on the removals.
        lost = np.concatenate([undetermined for *_, undetermined in parts])
        independent = not len(lost) and not any(len(rest) for _, rest, _ in parts)
    if independent:
        parts = [_independent_side(side) for side in sides]
    spans = _factor(halves, parts, device, by_products=by_products)

    def path(only: bool, spans: HalvedSpans) -> tuple[np.ndarray, np.ndarray]:
        def start(_x: np.ndarray, _y: np.ndarray) -> SpanUpdates:
            return HalvesUpdates(spans, width_x, held_out_only=only, device=device)

        def again(*left: np.ndarray) -> SpanUpdates:
            own = [
                _independent_side(side)
                if independent
                else _bases(halves, side, lost, Cpu(), by_rank=True)
                for side in left
            ]
            return _updates_by_rotation(halves, own, held_out_only=only)

        order, squares = remove_all(*sides, start, again)
        return order, np.sqrt(squares)

    *others, last = held_out_only
    return [*(path(only, spans.copy()) for only in others), path(last, spans)]


def _updates_by_rotation(
    halves: Sequence[Half], parts: Sequence[Part], *, held_out_only: bool
) -> SpanUpdates:
    """Factor both sides on both halves as ``_factor`` does, to remove neurons by rotations."""
    from .updates_halves_rotation import HalvesRotationUpdates  # imports numba, seldom needed

    neurons = np.concatenate([part for side in parts for part in side])
    norms = np.stack([half.norms[neurons] for half in halves])
    units = np.sqrt(norms / norms[::-1])
    columns = [half.factor[:, neurons] * own for half, own in zip(halves, units, strict=True)]
    sizes = [[len(part) for part in side] for side in parts]
    return HalvesRotationUpdates.from_columns(
        neurons, columns, units, sizes, held_out_only=held_out_only
    )


def _factor(
    halves: Sequence[Half], parts: Sequence[Part], device: Device, *, by_products: bool
) -> HalvedSpans:
    """Factor both sides on both halves.

    Args:
        halves: the neurons on both halves.
        parts: X and Y, each with at least one neuron.
        device: where to compute.
        by_products: whether to factor the products.

    Returns:
        The spans, on the device.
    """
    neurons = np.concatenate([part for side in parts for part in side])
    columns = [_Columns(half, neurons, device, by_products=by_products) for half in halves]
    width = len(neurons)
    spans = HalvedSpans(
        neurons,
        np.zeros(width, dtype=bool),
        device.zeros(2, 2, width, width),
        device.empty(2, width),
        device.empty(2, width),
    )
    start = 0
    for basis, rest, undetermined in parts:
        rank, stop = len(basis), start + len(basis) + len(rest) + len(undetermined)
        _factor_side(spans, columns, slice(start, stop), rank, len(rest), device)
        start = stop
    return spans


class _Columns:
    """Neurons on one half, on the device."""

    def __init__(
        self, half: Half, neurons: np.ndarray, device: Device, *, by_products: bool
    ) -> None:
        in_order = np.array_equal(neurons, np.arange(len(half.norms)))
        chosen = np.s_[:] if in_order else neurons
        # The transpose is contiguous, so that columns can be taken without copies.
        self.factor = device.array(np.ascontiguousarray(half.factor.T[chosen])).T
        self.norms = device.array(half.norms[chosen])
        self.products: Array | None = None
        if by_products and half.products is not None:
            self.products = device.array(half.products[chosen][:, chosen])


def _factor_side(
    spans: HalvedSpans,
    columns: Sequence[_Columns],
    side: slice,
    rank: int,
    rest: int,
    device: Device,
) -> None:
    """Fill in the rows of one side, and the residuals of the other side's neurons.

    Args:
        spans: overwritten.
        columns: the neurons on both halves.
        side: positions of this side: its basis, its dependent neurons, those in no span.
        rank: number of neurons in the basis.
        rest: number of dependent neurons.
        device: where to compute.
    """
    width = len(spans.neurons)
    end = side.start + rank
    own, other = slice(side.start, end), slice(side.stop, width)
    if side.start:
        other = slice(0, side.start)
    spans.basis[own] = True
    dependent = np.arange(end, side.stop)
    uppers = []
    for half, found in enumerate(columns):
        before, after = found.factor[:, : side.start], found.factor[:, end:]
        parts = [part for part in (before, after) if part.shape[1]]
        gram = None
        if found.products is not None:
            rows = found.products[own]
            across = rows[:, other]
            gram = rows[:, own], across
        others = parts[0] if len(parts) == 1 else device.concatenate(parts, axis=1)
        upper, inverse, over_basis, squares = solve(found.factor[:, own], others, gram, device)
        rows = spans.matrices[half, 0, own]
        rows[:, own] = inverse
        rows[:, : side.start], rows[:, end:] = (
            -over_basis[:, : side.start],
            -over_basis[:, side.start :],
        )
        rows[:, end + rest : side.stop] = 0.0
        uppers.append(upper)
        squares = squares[: side.start] if side.start else squares[side.stop - end :]
        spans.fitted[half, other] = squares
        spans.matrices[half, 0][dependent, dependent] = 1.0
    for fit, measured in ((0, 1), (1, 0)):
        fitted, products = spans.matrices[fit, :, own]
        ratio = columns[measured].norms / columns[fit].norms  # to the units of the fit
        upper = uppers[measured] * ratio[own]
        duals = device.triangular_product(upper, fitted[:, own])
        differences = spans.matrices[measured, 0, own, other] * ratio[other]
        differences /= -ratio[own, None]
        differences += fitted[:, other]
        residuals = device.triangular_product(upper, differences)
        products[:, own] = device.product(duals.T, duals)
        products[:, other] = device.product(duals.T, residuals)
        gained = (residuals**2).sum(0)
        spans.held_out[fit, other] = spans.fitted[measured, other] * ratio[other] ** 2 + gained


def _independent_side(side: np.ndarray) -> Part:
    """Return a side whose neurons are all in its basis."""
    return side, side[:0], side[:0]


def _bases(
    halves: Sequence[Half],
    side: np.ndarray,
    lost: np.ndarray,
    device: Device,
    *,
    by_rank: bool = False,
) -> Part:
    """Divide a side into a basis, neurons that depend on it, and neurons in no span.

    Args:
        halves: the neurons on both halves.
        side: neurons of one side, at least one.
        lost: neurons known to be in no span.
        device: where to find out whether all neurons are independent.
        by_rank: whether only ranks decide, so that next to nothing on a half is a direction.
    """
    undetermined = np.intersect1d(side, lost)
    side = np.setdiff1d(side, undetermined)
    columns = (device.array(half.factor[:, side]) for half in halves)
    if len(side) and all(clearly_independent(own, device) for own in columns):
        return side, side[:0], undetermined
    while True:
        joint = np.concatenate([half.factor[:, side] * half.norms[side] for half in halves])
        joint /= np.linalg.norm(joint, axis=0)
        basis, rest = _independent(joint, side)
        for half, other in zip(halves, reversed(halves), strict=True):
            here, there = half.factor[:, basis], other.factor[:, basis]
            dependent = (
                _independent(here, basis)[1] if by_rank else basis[_add_nothing(here, there)]
            )
            if len(dependent):
                undetermined = np.concatenate([undetermined, dependent])
                side = np.setdiff1d(side, dependent)
                break
        else:
            return basis, rest, np.sort(undetermined)


def _add_nothing(columns: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the neurons that add next to no direction on one half, but do on the other.

    Args:
        columns: the neurons on one half, columns of norm 1.
        others: the same neurons on the other half.
    """
    upper, order = pivoted_qr(columns, "r")
    distances, elsewhere = np.zeros((2, len(order)))
    for found, triangle in (
        (distances, upper),
        (elsewhere, np.linalg.qr(others[:, order], mode="r")),
    ):
        diagonal = np.abs(np.diagonal(triangle))
        found[: len(diagonal)] = diagonal
    least = np.maximum(RANK_TOLERANCE * len(order), LEAST_SHARE * elsewhere)
    return np.asarray(order[distances <= least])


def _independent(columns: np.ndarray, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide neurons, with a column each, into a basis and the rest, by pivoted QR."""
    order, rank = basis_first(columns)
    return neurons[order[:rank]], neurons[order[rank:]]
