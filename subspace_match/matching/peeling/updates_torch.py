"""Span updates on a GPU: within a block of removals, nothing is copied to the host."""

from __future__ import annotations

import numpy as np
import torch

from ..backends.base import Device
from ..rank import RANK_TOLERANCE
from .spans import Spans
from .updates import DEPENDS, SpanUpdates, lowest_accurate


class TorchUpdates(SpanUpdates):
    """Span updates on torch tensors."""

    @torch.inference_mode()
    def __init__(self, spans: Spans, width_x: int, device: Device) -> None:
        self._device = device
        side = device.array((spans.neurons >= width_x).astype(np.int64))
        basis = device.array(spans.basis)
        self._neurons = spans.neurons
        self._alive = np.ones(len(spans.neurons), dtype=bool)
        self._matrix = spans.coefficients
        self._residual = spans.residual
        self._side = side
        # Masks are float64: multiplying by them is cheaper than boolean indexing.
        self._same_side = torch.stack([side == 0, side == 1]).to(torch.float64)
        self._basis = basis.to(torch.float64)
        self._dependent = (~basis).to(torch.float64)
        self._has_dependent = not spans.basis.all()
        self._diagonal = self._matrix.diagonal().clone()
        self._highest = self._diagonal
        self._allocate()

    @torch.inference_mode()
    def remove_block(self) -> tuple[np.ndarray, np.ndarray, bool]:
        steps = min(self.BLOCK, int(self._alive.sum()))
        remove = self._remove_or_exchange if self._has_dependent else self._remove
        for step in range(steps):  # results after the first inaccurate step are discarded
            remove(step)
        positions, squares, inaccurate, has_dependent = self._read_back(steps)
        if inaccurate.any():
            valid = int(inaccurate.argmax()) + 1
            return self._neurons[positions[:valid]], squares[:valid], False
        removed = self._neurons[positions]
        self._alive[positions] = False
        self._apply(steps)
        if has_dependent != self._has_dependent or self._alive.sum() <= self.COMPACT * len(
            self._alive
        ):
            self._has_dependent = has_dependent
            self._compact()
        return removed, squares, True

    def _remove(self, step: int) -> None:
        """Remove the farthest neuron when every neuron is in its side's basis."""
        neuron = self._take_farthest(step)
        row = self._row(neuron, step)
        scaled = row / row.index_select(0, neuron)
        left = torch.mul(scaled, self._same(neuron), out=self._lefts[step])
        self._residual.addcmul_(row, scaled - left)

    def _remove_or_exchange(self, step: int) -> None:
        """Remove the farthest neuron when there are dependent neurons: two terms, possibly zero.

        Compute every case and select one on the device. The row of a dependent neuron is zero
        except for itself, so its removal changes nothing.
        """
        neuron, first, second = self._take_farthest(step), 2 * step, 2 * step + 1
        self._dependent.index_fill_(0, neuron, 0.0)
        self._basis.index_fill_(0, neuron, 0.0)
        row, same = self._row(neuron, first), self._same(neuron)
        strength, successor = (row.abs() * same * self._dependent).max(0, keepdim=True)
        # The successor's distance from the remaining basis is strength / sqrt(P[j, j]).
        pivot = row.index_select(0, neuron)
        adds_direction = strength > RANK_TOLERANCE * len(row) * pivot.abs().sqrt()
        exchange = adds_direction & (strength > DEPENDS)
        torch.logical_and(adds_direction, ~exchange, out=self._failed_exchange[step])
        entering = torch.zeros_like(row).index_fill_(0, successor, 1.0)

        change = self._column(successor, first) * same / row.index_select(0, successor)
        scaled = row / pivot
        self._lefts[first].copy_(torch.where(exchange, change, scaled * same * self._basis))
        self._residual += torch.where(exchange, 0.0, row * scaled * (1.0 - same))

        moved = self._column(neuron, second) * same
        self._lefts[second].copy_(torch.where(exchange, moved, 0.0))
        self._rights[second].copy_(torch.where(exchange, change * (self._basis + entering), 0.0))
        self._basis += torch.where(exchange, entering, 0.0)
        self._dependent -= torch.where(exchange, entering, 0.0)

    def _take_farthest(self, step: int) -> torch.Tensor:
        """Record the farthest neuron and its squared distance; return its position, (1,)."""
        square, neuron = self._records[step]
        torch.max(self._residual, 0, keepdim=True, out=(square, neuron))
        self._residual.index_fill_(0, neuron, -torch.inf)
        return neuron

    def _same(self, neuron: torch.Tensor) -> torch.Tensor:
        """Return a mask of this neuron's side, (m,) float64."""
        side = self._side.index_select(0, neuron)
        same: torch.Tensor = self._same_side.index_select(0, side).squeeze(0)
        return same

    def _row(self, neuron: torch.Tensor, terms: int) -> torch.Tensor:
        """Compute the neuron's row after ``terms`` terms, stored as the next right factor."""
        row = self._matrix.index_select(0, neuron).squeeze(0)
        weights = self._first_lefts[terms].index_select(1, neuron).squeeze(1)
        rights = self._first_rights[terms]
        return torch.addmv(row, rights.T, weights, alpha=-1.0, out=self._rights[terms])

    def _column(self, neuron: torch.Tensor, terms: int) -> torch.Tensor:
        """Compute the neuron's column after ``terms`` terms."""
        column = self._matrix.index_select(1, neuron).squeeze(1)
        weights = self._first_rights[terms].index_select(1, neuron).squeeze(1)
        return torch.addmv(column, self._first_lefts[terms].T, weights, alpha=-1.0)

    def _read_back(self, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """Copy what the host needs of a block, in one transfer (two if accuracy is lost).

        Returns:
            Positions and squared distances of the removed neurons, whether each removal left P
            inaccurate, and whether any dependent neuron remains.
        """
        order, squares = self._order[:steps], self._squares[:steps]
        if self._has_dependent:
            inaccurate = self._inaccurate_steps(order) | torch.cat(self._failed_exchange[:steps])
        else:
            ends, all_accurate = self._ends(order)
            inaccurate = (~all_accurate).expand_as(order)
        report = torch.cat([order, squares, inaccurate, self._dependent.sum()[None]]).cpu().numpy()
        positions, host_squares, flags = report[:-1].reshape(3, steps)
        if not self._has_dependent:
            if flags.any():  # rare, so which steps are inaccurate is computed only now
                flags = self._inaccurate_steps(order).cpu().numpy()
            else:
                self._diagonal = ends
        return positions.astype(np.int64), host_squares, flags > 0, bool(report[-1] > 0)

    def _ends(self, order: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the diagonal of P after a block, and whether it stayed accurate throughout.

        For blocks without dependent neurons. Entries then only fall, so each is lowest at the end
        or when its neuron is removed.
        """
        rights = self._first_rights[len(order)]
        ends = self._diagonal - (self._first_lefts[len(order)] * rights).sum(0)
        lowest = torch.where(self._residual > -torch.inf, ends, torch.inf)
        lowest.scatter_(0, order, rights.gather(1, order[:, None]).squeeze(1))
        return ends, (lowest >= lowest_accurate(self._highest)).all()

    def _inaccurate_steps(self, order: torch.Tensor) -> torch.Tensor:
        """Return whether a diagonal entry of P is inaccurate after each removal, (steps,) bool."""
        steps, each = len(order), self._terms_each
        falls = (self._first_lefts[steps * each] * self._first_rights[steps * each]).cumsum(0)
        diagonals = self._diagonal - falls[each - 1 :: each]
        highest = self._highest.expand_as(diagonals)
        if self._has_dependent:  # an exchange can raise entries; otherwise they only fall
            highest = torch.cat([highest[:1], diagonals]).cummax(0).values[1:]
        self._diagonal, self._highest = diagonals[-1], highest[-1]
        # Removed neurons and dependent ones (whose entry is -1) do not count.
        times = torch.arange(steps, device=order.device)
        removed_at = torch.where(self._residual > -torch.inf, steps, -1).scatter_(0, order, times)
        counts = (removed_at > times[:, None]) & (highest > 0)
        inaccurate: torch.Tensor = (counts & ~(diagonals >= lowest_accurate(highest))).any(1)
        return inaccurate

    def _apply(self, steps: int) -> None:
        """Subtract a block's terms from the matrix.

        A row only has terms of its own side; the left factors of the others are zero. To leave them
        out would halve the arithmetic, but reading and writing the matrix takes longer, and the
        choice would need a copy from the host.
        """
        terms = steps * self._terms_each
        lefts, rights = self._first_lefts[terms], self._first_rights[terms]
        self._matrix.addmm_(lefts.T, rights, alpha=-1.0)

    def _compact(self) -> None:
        """Copy the state without removed neurons."""
        kept = self._device.array(np.flatnonzero(self._alive))
        self._neurons = self._neurons[self._alive]
        self._alive = np.ones(len(kept), dtype=bool)
        self._matrix = self._matrix.index_select(0, kept).index_select(1, kept)
        self._same_side = self._same_side[:, kept]
        for name in ("_residual", "_side", "_basis", "_dependent", "_diagonal", "_highest"):
            setattr(self, name, getattr(self, name)[kept])
        self._allocate()

    def _allocate(self) -> None:
        """Allocate a block's terms and records, and keep a view of each: creating views is slow."""
        self._terms_each = 2 if self._has_dependent else 1
        width, terms = len(self._residual), self.BLOCK * self._terms_each
        lefts, rights = self._residual.new_empty(2, terms, width)
        self._lefts, self._rights = lefts.unbind(), rights.unbind()
        self._first_lefts = [lefts[:count] for count in range(terms + 1)]
        self._first_rights = [rights[:count] for count in range(terms + 1)]
        self._squares = self._residual.new_empty(self.BLOCK)
        self._order = self._side.new_empty(self.BLOCK)
        records = self._squares[:, None].unbind(), self._order[:, None].unbind()
        self._records: list[tuple[torch.Tensor, torch.Tensor]] = list(zip(*records, strict=True))
        failed = torch.zeros(self.BLOCK, 1, dtype=torch.bool, device=self._side.device)
        self._failed_exchange = failed.unbind()
