"""Removal of the farthest neuron, again and again, until one side is exhausted.

Removing basis neuron j of side S takes z_j from the span of S. With p = P[j, j] and row j of the
coefficients W (see ``spans``) that raises the squared distance of the other side's neuron t by
W[j, t]^2 / p, and takes the rank-one term P[:, j] W[j, :] / p from the rows of S. A removal reads
only row j, so the terms are collected and applied as one matrix product: O(m^2) a removal, at the
speed of matrix multiplication. Inside a block of removals nothing is read back from the device.

Exchange: if a reserve neuron q depends on j, the span of S stays without z_j. With c = W[:, q] over
S and c_j <> 0, q takes j's place in the basis: every vector's coefficients v become
v - (c / c_j) v_j, where c_q = -1 gives q the coefficient v_j / c_j; P changes from both sides.

Numerics: a diagonal entry of P that falls by more than six digits in these subtractions has lost
them. The removals up to there stand; what remains is factored anew.
"""

from __future__ import annotations

import numpy as np
import torch

from .spans import Spans, factor_spans

BLOCK = 64  # removals collected before their terms are applied as one product
DEPENDS = 1e-8  # a reserve neuron depends on a basis neuron with a larger coefficient than this
LOST_DIGITS = 1e-6  # a diagonal entry of P that falls by this factor has lost six digits
COMPACT = 0.75  # the matrix is copied without what has left when this share of it remains


@torch.inference_mode()
def peel(
    factor: np.ndarray, width_x: int, *, independent: bool, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Order in which neurons leave, farthest first, and their distances as they leave.

    Args:
        factor: F, (k, m) float64, columns of norm 1, the ``width_x`` of X first.
        width_x: number of X's columns.
        independent: all columns are known to be independent.
        device: where to compute.

    Returns:
        order, (m,) int64 columns of F; distances, (m,) float64 in [0, 1], the relative distance of
        each from the span of what the other side had left at that moment.
    """
    transposed = torch.from_numpy(np.ascontiguousarray(factor.T)).to(device)
    left_x, left_y = np.arange(width_x), np.arange(width_x, factor.shape[1])
    order, squares = [left_x[:0]], [np.ones(0)]
    no_reserve = independent, independent
    peeling: _Peeling | None = None
    while len(left_x) and len(left_y):
        if peeling is None:
            spans = factor_spans(transposed.T, left_x, left_y, independent=no_reserve)
            # Where all are independent, so is what will be left of them.
            of_x = spans.neurons < width_x
            no_reserve = bool(spans.basis[of_x].all()), bool(spans.basis[~of_x].all())
            peeling = _Peeling(spans, width_x)
        removed, removed_squares, intact = peeling.remove_block()
        last = _first_exhausted(removed < width_x, len(left_x), len(left_y))
        order.append(removed[:last])
        squares.append(removed_squares[:last])
        left_x, left_y = (np.setdiff1d(left, order[-1]) for left in (left_x, left_y))
        if not intact:
            peeling = None
    # Nothing is left to span what is left now: its distance is 1.
    order += [left_x, left_y]
    squares.append(np.ones(len(left_x) + len(left_y)))
    return np.concatenate(order), np.sqrt(np.clip(np.concatenate(squares), 0.0, 1.0))


def _first_exhausted(of_x: np.ndarray, left_x: int, left_y: int) -> int:
    """Number of these removals until one side is exhausted, or all of them."""
    exhausted = (np.cumsum(of_x) == left_x) | (np.cumsum(~of_x) == left_y)
    return int(exhausted.argmax()) + 1 if exhausted.any() else len(of_x)


class _Peeling:
    """Spans under removal: the matrix of coefficients, and terms not yet taken from it.

    What has left stays in place, its residual -inf, until enough has gone to be worth a copy.
    """

    def __init__(self, spans: Spans, width_x: int) -> None:
        device = spans.residual.device
        side = torch.from_numpy((spans.neurons >= width_x).astype(np.int64)).to(device)
        basis = torch.from_numpy(spans.basis).to(device)
        self._neurons = spans.neurons
        self._alive = np.ones(len(spans.neurons), dtype=bool)
        self._matrix = spans.coefficients
        self._residual = spans.residual
        self._side = side
        # Masks are float64: products with them are cheaper than selections by truth values.
        self._same_side = torch.stack([side == 0, side == 1]).to(torch.float64)
        self._basis = basis.to(torch.float64)
        self._reserve = (~basis).to(torch.float64)
        self._has_reserve = not spans.basis.all()
        self._diagonal = self._matrix.diagonal().clone()
        self._highest = self._diagonal
        self._allocate()

    def remove_block(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """Remove up to BLOCK neurons.

        Returns:
            The neurons, their squared distances, and whether the state still has its digits; if
            not, these removals are good and the state is not.
        """
        steps = min(BLOCK, int(self._alive.sum()))
        remove = self._remove_or_exchange if self._has_reserve else self._remove
        for step in range(steps):
            remove(step)
        positions, squares, lost, has_reserve = self._read_back(steps)
        if lost.any():
            good = int(lost.argmax()) + 1
            return self._neurons[positions[:good]], squares[:good], False
        removed = self._neurons[positions]
        self._alive[positions] = False
        self._apply(steps * self._terms_each)
        if has_reserve != self._has_reserve or self._alive.sum() <= COMPACT * len(self._alive):
            self._has_reserve = has_reserve
            self._compact()
        return removed, squares, True

    def _remove(self, step: int) -> None:
        """Remove the farthest neuron where every neuron is in its side's basis."""
        neuron = self._take_farthest(step)
        row = self._row(neuron, step)
        scaled = row / row.index_select(0, neuron)
        left = torch.mul(scaled, self._same(neuron), out=self._lefts[step])
        self._residual.addcmul_(row, scaled - left)

    def _remove_or_exchange(self, step: int) -> None:
        """Remove the farthest neuron where there is a reserve: two terms, zero where not needed.

        Every case is computed and one selected, since the host does not know which it is. A reserve
        neuron's row is zero but for itself, so its removal falls out as no change.
        """
        neuron, first, second = self._take_farthest(step), 2 * step, 2 * step + 1
        self._reserve.index_fill_(0, neuron, 0.0)
        self._basis.index_fill_(0, neuron, 0.0)
        row, same = self._row(neuron, first), self._same(neuron)
        strength, successor = (row.abs() * same * self._reserve).max(0, keepdim=True)
        exchange = strength > DEPENDS
        entering = torch.zeros_like(row).index_fill_(0, successor, 1.0)

        change = self._column(successor, first) * same / row.index_select(0, successor)
        scaled = row / row.index_select(0, neuron)
        self._lefts[first].copy_(torch.where(exchange, change, scaled * same * self._basis))
        self._residual += torch.where(exchange, 0.0, row * scaled * (1.0 - same))

        moved = self._column(neuron, second) * same
        self._lefts[second].copy_(torch.where(exchange, moved, 0.0))
        self._rights[second].copy_(torch.where(exchange, change * (self._basis + entering), 0.0))
        self._basis += torch.where(exchange, entering, 0.0)
        self._reserve -= torch.where(exchange, entering, 0.0)

    def _take_farthest(self, step: int) -> torch.Tensor:
        """Record the farthest neuron and its distance; return its position, (1,)."""
        neuron = self._order[step]
        torch.max(self._residual, 0, keepdim=True, out=(self._squares[step], neuron))
        self._residual.index_fill_(0, neuron, -torch.inf)
        return neuron

    def _same(self, neuron: torch.Tensor) -> torch.Tensor:
        """1 for every neuron of this neuron's side, else 0; (m,)."""
        return self._same_side.index_select(0, self._side.index_select(0, neuron)).squeeze(0)

    def _row(self, neuron: torch.Tensor, terms: int) -> torch.Tensor:
        """The neuron's row as it is after so many terms, put in place as the next term's right."""
        row = self._matrix.index_select(0, neuron).squeeze(0)
        weights = self._first_lefts[terms].index_select(1, neuron).squeeze(1)
        rights = self._first_rights[terms]
        return torch.addmv(row, rights.T, weights, alpha=-1.0, out=self._rights[terms])

    def _column(self, neuron: torch.Tensor, terms: int) -> torch.Tensor:
        """The neuron's column as it is after so many terms."""
        column = self._matrix.index_select(1, neuron).squeeze(1)
        weights = self._first_rights[terms].index_select(1, neuron).squeeze(1)
        return torch.addmv(column, self._first_lefts[terms].T, weights, alpha=-1.0)

    def _read_back(self, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """What the host needs of a block, in one transfer.

        Returns:
            Positions and squared distances of what has left, whether each removal has lost digits,
            and whether any reserve neuron remains.
        """
        order, squares = torch.cat(self._order[:steps]), torch.cat(self._squares[:steps])
        each = self._terms_each
        falls = (self._first_lefts[steps * each] * self._first_rights[steps * each]).cumsum(0)
        diagonals = self._diagonal - falls[each - 1 :: each]
        highest = self._highest.expand_as(diagonals)
        if self._has_reserve:  # an exchange can raise them, otherwise they only fall
            highest = torch.cat([highest[:1], diagonals]).cummax(0).values[1:]
        self._diagonal, self._highest = diagonals[-1], highest[-1]
        # Neurons that have left, and the reserve with its -1, can lose no digits.
        times = torch.arange(steps, device=order.device)
        leaves = torch.where(self._residual > -torch.inf, steps, -1).scatter_(0, order, times)
        stays = (leaves > times[:, None]) & (highest > 0)
        lost = (stays & ~(diagonals >= LOST_DIGITS * highest)).any(1)
        report = torch.cat([order, squares, lost, self._reserve.sum()[None]]).cpu().numpy()
        positions, read_squares, read_lost = report[:-1].reshape(3, steps)
        return positions.astype(np.int64), read_squares, read_lost > 0, bool(report[-1] > 0)

    def _apply(self, terms: int) -> None:
        self._matrix.addmm_(self._first_lefts[terms].T, self._first_rights[terms], alpha=-1.0)

    def _compact(self) -> None:
        """Let go of what has left."""
        kept = torch.from_numpy(np.flatnonzero(self._alive)).to(self._side.device)
        self._neurons = self._neurons[self._alive]
        self._alive = np.ones(len(kept), dtype=bool)
        self._matrix = self._matrix[kept[:, None], kept]
        self._same_side = self._same_side[:, kept]
        for name in ("_residual", "_side", "_basis", "_reserve", "_diagonal", "_highest"):
            setattr(self, name, getattr(self, name)[kept])
        self._allocate()

    def _allocate(self) -> None:
        """Room for a block's terms and records, with a view of each kept: making views costs."""
        self._terms_each = 2 if self._has_reserve else 1
        width, terms = len(self._residual), BLOCK * self._terms_each
        lefts, rights = self._residual.new_empty(2, terms, width)
        self._lefts, self._rights = lefts.unbind(), rights.unbind()
        self._first_lefts = [lefts[:count] for count in range(terms + 1)]
        self._first_rights = [rights[:count] for count in range(terms + 1)]
        self._squares = self._residual.new_empty(BLOCK, 1).unbind()
        self._order = self._side.new_empty(BLOCK, 1).unbind()
