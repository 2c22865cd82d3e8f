"""The span of one side's neurons, and what leaves it when a neuron does.

For one side S (basis neurons, as columns of the factor F) and the other side's neurons as targets,
keep P = (S'S)^-1, the targets' coefficients B = P S'T and their squared relative distances. Removing
basis neuron j raises the squared distance of target t by B[j,t]^2 / P[j,j] and takes the rank-one
term P[:,j] [P B][j,:] / P[j,j] from [P B]. A removal reads only row j, so the terms are collected
and applied as one matrix product: O(n^2) a removal, at the speed of matrix multiplication.

Neurons that depend on the basis are a reserve. Where a basis neuron is removed on which one of
them depends, the span stays: the reserve neuron takes its row (an exchange, itself a rank-one
change of the rows and one of P's columns).

Numerics: P and B come from a QR factorisation of the columns (factor, never invert). A removal
that lowers a diagonal entry of P by more than 1e6 has cost those digits: ``needs_rebuild`` is set.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch

BLOCK = 48  # rank-one terms collected before they are applied as one product
RANK_TOLERANCE = 1e-13  # times the number of columns; looser, a near copy would lose its direction
DEPENDS = 1e-8  # a reserve neuron depends on a basis neuron with a larger coefficient than this
LOST_DIGITS = 1e-6  # a diagonal entry of P that falls by this factor has lost six digits


class Span:
    """One side's span and the other side's distances from it, under removals.

    Attributes:
        targets: ids of the other side's neurons, as they are held; -1 stands for none.
        residual: squared relative distance of each target, (targets,) float64, -inf once dropped.
        needs_rebuild: whether a removal has cost digits, so that a new Span is due.
    """

    def __init__(
        self,
        columns: np.ndarray,
        target_columns: np.ndarray,
        neurons: np.ndarray,
        targets: np.ndarray,
        *,
        independent: bool,
        device: torch.device,
    ) -> None:
        """Factor the side's columns.

        Args:
            columns: (k, side's neurons) columns of F.
            target_columns: (k, targets) columns of F.
            neurons: ids of the side's neurons.
            targets: ids of the targets.
            independent: the columns are known to be well conditioned, so no rank is looked for.
            device: where the matrices live.
        """
        order, rank = _basis_first(columns, independent)
        own, all_columns = len(order), np.hstack([columns[:, order], target_columns])
        # R of all columns, the basis first: its upper rows are coordinates in an orthonormal basis
        # of the span, and what a target has in the rows below lies outside the span.
        upper = scipy.linalg.qr(all_columns, mode="r", check_finite=False)[0]
        inside, outside = upper[:rank], upper[rank:, own:]
        inverse = scipy.linalg.solve_triangular(inside[:, :rank], np.eye(rank), check_finite=False)
        coordinates = np.hstack([inverse.T, inside[:, own:], inside[:, rank:own]])
        matrix = inverse @ coordinates

        self.needs_rebuild = False
        self.targets = targets
        self.basis = [int(neuron) for neuron in neurons[order[:rank]]]
        self.reserve = [int(neuron) for neuron in neurons[order[rank:]]]
        self._row_of = {neuron: row for row, neuron in enumerate(self.basis)}
        self._living = len(self.basis)
        self._matrix = torch.from_numpy(matrix).to(device)
        self.residual = torch.from_numpy(np.einsum("ij,ij->j", outside, outside)).to(device)
        self._diagonal = self._matrix.diagonal()[:rank].clone()
        self._terms = 0
        self._allocate()

    def drop_target(self, position: int) -> None:
        """Stop following a target."""
        self.residual[position] = -torch.inf

    def remove(self, neuron: int) -> None:
        """Remove one of the side's neurons and update the targets' distances."""
        row = self._row_of.pop(neuron, None)
        if row is None:
            self.reserve[self.reserve.index(neuron)] = -1
            return
        values = self._row(row)
        successor = self._successor(values)
        if successor is None:
            self._remove_row(row, values)
        else:
            self._exchange(row, values, successor)
        if self._terms > BLOCK:
            self._apply()

    def _successor(self, values: torch.Tensor) -> int | None:
        """Position of the reserve neuron that depends most on the row's, if one does."""
        if not self.reserve:
            return None
        coefficients = values[len(self.basis) + len(self.targets) :].abs()
        gone = [position for position, neuron in enumerate(self.reserve) if neuron < 0]
        coefficients[gone] = 0.0
        position = int(coefficients.argmax())
        return position if float(coefficients[position]) > DEPENDS else None

    def _remove_row(self, row: int, values: torch.Tensor) -> None:
        width = len(self.basis)
        column = values[:width] / values[row]
        of_targets = values[width : width + len(self.targets)]
        self.residual += of_targets**2 / values[row]
        self._subtract(column, values)
        self._follow_diagonal(self._diagonal - column * values[:width], row)
        self._diagonal[row] = torch.inf  # a row that has left can lose no digits
        self.basis[row] = -1
        self._living -= 1
        if self._living == 0:
            # Nothing is left to span with: every distance is 1, whatever rounding says.
            self.residual = torch.where(torch.isinf(self.residual), self.residual, 1.0)

    def _exchange(self, row: int, values: torch.Tensor, position: int) -> None:
        width, index = len(self.basis), len(self.basis) + len(self.targets) + position
        pivot = values[index]
        step = self._column(index) / pivot
        step[row] = 1.0 - 1.0 / pivot
        self._subtract(step, values)
        moved = self._column(row)
        mirrored = torch.zeros_like(values)
        mirrored[:width] = step
        self._subtract(moved, mirrored)
        self._follow_diagonal(self._diagonal - step * values[:width] - moved * step, row)
        neuron = self.reserve[position]
        self.reserve[position] = -1
        self.basis[row] = neuron
        self._row_of[neuron] = row

    def _follow_diagonal(self, diagonal: torch.Tensor, row: int) -> None:
        lowered = diagonal < LOST_DIGITS * self._diagonal
        lowered[row] = False
        self.needs_rebuild |= bool(lowered.any())
        self._diagonal = diagonal

    def _row(self, row: int) -> torch.Tensor:
        done = self._terms
        return self._matrix[row] - self._left[row, :done] @ self._right[:done]

    def _column(self, column: int) -> torch.Tensor:
        done = self._terms
        return self._matrix[:, column] - self._left[:, :done] @ self._right[:done, column]

    def _subtract(self, column: torch.Tensor, row: torch.Tensor) -> None:
        self._left[:, self._terms] = column
        self._right[self._terms] = row
        self._terms += 1

    def _allocate(self) -> None:
        rows, columns = self._matrix.shape
        self._left = self._matrix.new_empty(rows, BLOCK + 2)
        self._right = self._matrix.new_empty(BLOCK + 2, columns)

    def _apply(self) -> None:
        """Apply the collected terms as one product, then let go of what has left."""
        self._matrix.addmm_(self._left[:, : self._terms], self._right[: self._terms], alpha=-1.0)
        self._terms = 0
        rows = [row for row, neuron in enumerate(self.basis) if neuron >= 0]
        kept_targets = torch.nonzero(~torch.isinf(self.residual)).flatten().tolist()
        kept_reserve = [place for place, neuron in enumerate(self.reserve) if neuron >= 0]
        first_target, first_reserve = len(self.basis), len(self.basis) + len(self.targets)
        columns = (
            rows
            + [first_target + target for target in kept_targets]
            + [first_reserve + place for place in kept_reserve]
        )
        self._matrix = self._matrix[rows][:, columns]
        self._diagonal = self._diagonal[rows]
        self.residual = self.residual[kept_targets]
        self.targets = self.targets[kept_targets]
        self.basis = [self.basis[row] for row in rows]
        self.reserve = [self.reserve[place] for place in kept_reserve]
        self._row_of = {neuron: row for row, neuron in enumerate(self.basis)}
        self._allocate()


def _basis_first(columns: np.ndarray, independent: bool) -> tuple[np.ndarray, int]:
    """An order of the columns in which the first ``rank`` are a basis of all, and that rank."""
    if independent or columns.shape[1] == 0:
        return np.arange(columns.shape[1]), columns.shape[1]
    upper, order = scipy.linalg.qr(columns, mode="r", pivoting=True, check_finite=False)
    rank = int((np.abs(np.diagonal(upper)) > RANK_TOLERANCE * columns.shape[1]).sum())
    return order, rank
