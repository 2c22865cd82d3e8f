"""Removal of the farthest neuron, again and again, until one side is exhausted.

Removing basis neuron j of side S takes z_j from the span of S. With p = P[j, j] and row j of the
coefficients W (see ``spans``) that raises the squared distance of the other side's neuron t by
W[j, t]^2 / p, and takes the rank-one term P[:, j] W[j, :] / p from the rows of S. A removal reads
only row j, so the terms are collected and applied as one matrix product: O(m^2) a removal, at the
speed of matrix multiplication. On a GPU nothing is read back inside a block of removals; on the
CPU, where that costs nothing, NumPy does the same arithmetic, for its calls are the shorter ones.

Exchange: if a reserve neuron q depends on j, the span of S stays without z_j. With c = W[:, q] over
S and c_j <> 0, q takes j's place in the basis: every vector's coefficients v become
v - (c / c_j) v_j, where c_q = -1 gives q the coefficient v_j / c_j; P changes from both sides.
Where c_j is too small to divide by, yet large enough for q to add a direction to what is left, what
remains is factored anew.

Numerics: a diagonal entry of P is h = 1 / squared distance from the others of its side. Rounding
of unit columns moves that distance by about 1e-16, and h by a share of 1e-16 sqrt(h). Where others
leave and it falls to p, that error stays: the share becomes 1e-16 h^(3/2) / p. If a removal lets it
exceed about 1e-7, the removals up to there stand and what remains is factored anew.
"""

from __future__ import annotations

import numpy as np
import torch

from .spans import RANK_TOLERANCE, Spans, factor_spans

BLOCK = 64  # removals collected before their terms are applied as one product
DEPENDS = 1e-8  # a reserve neuron depends on a basis neuron with a larger coefficient than this
LOST_DIGITS = 1e-6  # the least share of its highest value that an entry of P may ever fall to
ENTRY_ERROR = 1e-9  # times sqrt(h): the share where its error is 1e-7, if that is more
MOST_KEPT = 0.1  # but no more than this, for of such an entry few digits were right at its highest
COMPACT = 0.75  # the matrix is copied without what has left when this share of it remains


@torch.inference_mode()
def peel(
    factor: np.ndarray, width_x: int, *, independent: bool, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Order in which neurons leave, farthest first, and their distances as they leave.

    Args:
        factor: F, (k, m) float64, columns of norm 1, the ``width_x`` of X first.
        width_x: number of X's columns.
        independent: all columns are known to be independent, and F comes from the moments.
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
            spans = factor_spans(
                transposed.T, left_x, left_y, independent=no_reserve, from_moments=independent
            )
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


def _least_kept(highest: torch.Tensor) -> torch.Tensor:
    """How far down a diagonal entry of P may fall from its highest value."""
    share = (ENTRY_ERROR * highest.clamp(min=0.0).sqrt()).clamp(LOST_DIGITS, MOST_KEPT)
    return share * highest


class _Peeling:
    """Spans under removal: the matrix of coefficients, and terms not yet taken from it.

    What has left stays in place, its residual -inf, until enough has gone to be worth a copy.
    """

    def __init__(self, spans: Spans, width_x: int) -> None:
        device = spans.residual.device
        self._on_host = device.type == "cpu"
        side = torch.from_numpy((spans.neurons >= width_x).astype(np.int64)).to(device)
        basis = torch.from_numpy(spans.basis).to(device)
        self._neurons = spans.neurons
        self._width_x = int((spans.neurons < width_x).sum())  # the first positions are X's
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
        if self._has_reserve:
            remove = self._remove_or_exchange
        else:
            remove = self._remove_on_host if self._on_host else self._remove
        with np.errstate(all="ignore"):  # from where digits are lost, nothing is used
            for step in range(steps):
                remove(step)
        positions, squares, lost, has_reserve = self._read_back(steps)
        if lost.any():
            good = int(lost.argmax()) + 1
            return self._neurons[positions[:good]], squares[:good], False
        removed = self._neurons[positions]
        self._alive[positions] = False
        self._apply(positions)
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

    def _remove_on_host(self, step: int) -> None:
        """As ``_remove``, where the neuron and its side can be looked at."""
        order, squares, matrix, residual, lefts, rights = self._host
        neuron = residual.argmax()
        order[step], squares[step], residual[neuron] = neuron, residual[neuron], -np.inf
        own, other = self._side_and_other[int(neuron >= self._width_x)]
        row = np.dot(lefts[:step, neuron], rights[:step], out=rights[step])
        np.subtract(matrix[neuron], row, out=row)
        left, raised = lefts[step], row[other]
        np.divide(row[own], row[neuron], out=left[own])
        left[other] = 0.0
        residual[other] += raised * (raised / row[neuron])

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
        # How far the successor is from what is left of the basis is strength / sqrt(P[j, j]).
        pivot = row.index_select(0, neuron)
        noticed = strength > RANK_TOLERANCE * len(row) * pivot.abs().sqrt()
        torch.logical_and(noticed, ~exchange, out=self._doubts[step])
        entering = torch.zeros_like(row).index_fill_(0, successor, 1.0)

        change = self._column(successor, first) * same / row.index_select(0, successor)
        scaled = row / pivot
        self._lefts[first].copy_(torch.where(exchange, change, scaled * same * self._basis))
        self._residual += torch.where(exchange, 0.0, row * scaled * (1.0 - same))

        moved = self._column(neuron, second) * same
        self._lefts[second].copy_(torch.where(exchange, moved, 0.0))
        self._rights[second].copy_(torch.where(exchange, change * (self._basis + entering), 0.0))
        self._basis += torch.where(exchange, entering, 0.0)
        self._reserve -= torch.where(exchange, entering, 0.0)

    def _take_farthest(self, step: int) -> torch.Tensor:
        """Record the farthest neuron and its distance; return its position, (1,)."""
        square, neuron = self._records[step]
        torch.max(self._residual, 0, keepdim=True, out=(square, neuron))
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
        order, squares = self._order[:steps], self._squares[:steps]
        if self._has_reserve:
            lost = self._lost_digits_each(order) | torch.cat(self._doubts[:steps])
        elif self._lost_digits(order):
            lost = self._lost_digits_each(order)
        else:
            lost = torch.zeros_like(squares)
        report = torch.cat([order, squares, lost, self._reserve.sum()[None]]).cpu().numpy()
        positions, read_squares, read_lost = report[:-1].reshape(3, steps)
        return positions.astype(np.int64), read_squares, read_lost > 0, bool(report[-1] > 0)

    def _lost_digits(self, order: torch.Tensor) -> bool:
        """Whether any diagonal entry of P has lost its digits, where there is no reserve.

        Then they only fall, so that each is lowest at the end or when its neuron leaves.
        """
        steps = len(order)
        rights = self._first_rights[steps]
        ends = self._diagonal - (self._first_lefts[steps] * rights).sum(0)
        lowest = torch.where(self._residual > -torch.inf, ends, torch.inf)
        lowest.scatter_(0, order, rights.gather(1, order[:, None]).squeeze(1))
        if bool((lowest >= _least_kept(self._highest)).all()):
            self._diagonal = ends
            return False
        return True

    def _lost_digits_each(self, order: torch.Tensor) -> torch.Tensor:
        """Whether each removal has cost a diagonal entry of P its digits, (steps,) bool."""
        steps, each = len(order), self._terms_each
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
        lost: torch.Tensor = (stays & ~(diagonals >= _least_kept(highest))).any(1)
        return lost

    def _apply(self, positions: np.ndarray) -> None:
        """Take the terms of a block from the matrix: only those of its own side from each row."""
        terms = len(positions) * self._terms_each
        of_x = np.repeat(positions < self._width_x, self._terms_each)
        x_rows, y_rows = slice(self._width_x), slice(self._width_x, None)
        for rows, of_side in ((x_rows, of_x), (y_rows, ~of_x)):
            chosen = torch.from_numpy(np.flatnonzero(of_side)).to(self._side.device)
            lefts = self._first_lefts[terms][:, rows].index_select(0, chosen)
            rights = self._first_rights[terms].index_select(0, chosen)
            self._matrix[rows].addmm_(lefts.T, rights, alpha=-1.0)

    def _compact(self) -> None:
        """Let go of what has left."""
        kept = torch.from_numpy(np.flatnonzero(self._alive)).to(self._side.device)
        self._width_x = int(self._alive[: self._width_x].sum())
        self._neurons = self._neurons[self._alive]
        self._alive = np.ones(len(kept), dtype=bool)
        rows = self._matrix.index_select(0, kept)
        self._matrix = rows.gather(1, kept.expand(len(kept), -1))  # faster than index_select here
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
        self._squares, self._order = self._residual.new_empty(BLOCK), self._side.new_empty(BLOCK)
        records = self._squares[:, None].unbind(), self._order[:, None].unbind()
        self._records = list(zip(*records, strict=True))
        self._doubts = torch.zeros(BLOCK, 1, dtype=torch.bool, device=self._side.device).unbind()
        if self._on_host:
            shared = self._order, self._squares, self._matrix, self._residual, lefts, rights
            self._host = tuple(tensor.numpy() for tensor in shared)
            of_x, of_y = slice(self._width_x), slice(self._width_x, None)
            self._side_and_other = (of_x, of_y), (of_y, of_x)
