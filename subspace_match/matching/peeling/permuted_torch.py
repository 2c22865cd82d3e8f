"""Peel a pair under many permutations at once, on a GPU (see ``permuted``)."""

from __future__ import annotations

import torch

from .permuted import PermutedRemovals
from .updates import SpanUpdates, lowest_accurate


@torch.inference_mode()
def peel_permuted(
    own_x: torch.Tensor, own_y: torch.Tensor, crosses: torch.Tensor, error: float
) -> PermutedRemovals | None:
    """Peel K pairs that have the same moments of each side and different cross moments.

    Args:
        own_x: as all arguments, that of ``permuted_numpy.peel_permuted``, on the device.
        own_y: Y'Y.
        crosses: X'Y under each permutation.
        error: of the moments.

    Returns:
        The removals; None if a side's own neurons are dependent, so that no permutation is valid.
    """
    joint = torch.cat(
        [
            torch.cat([own_x.expand(len(crosses), -1, -1), crosses], 2),
            torch.cat([crosses.mT, own_y.expand(len(crosses), -1, -1)], 2),
        ],
        1,
    )
    margins = _errors_of_distances(joint, error)
    spans = _spans(own_x, own_y, crosses, joint)
    if spans is None:
        return None
    from_all = spans[1].cpu().numpy().copy()  # removals overwrite them
    stack = _Stack(*spans, width_x=len(own_x))
    steps = [stack.remove_block() for _ in range(-(-joint.shape[1] // SpanUpdates.BLOCK))]
    order, squares = (torch.cat(parts, 1).cpu().numpy() for parts in zip(*steps, strict=True))
    found, accurate = margins.cpu().numpy(), stack.accurate.cpu().numpy()
    return PermutedRemovals.of_all(order, squares, from_all, len(own_x), found, accurate)


def _errors_of_distances(joint: torch.Tensor, error: float) -> torch.Tensor:
    """Return the error of each permutation's distances, inf if its neurons are dependent.

    See ``factor_from_moments``.
    """
    factors, failed = torch.linalg.cholesky_ex(joint, upper=True)
    eye = torch.eye(joint.shape[1], dtype=torch.float64, device=joint.device)
    inverses = torch.linalg.solve_triangular(factors, eye.expand_as(factors), upper=True)
    errors = 2 * error * inverses.square_().sum(2).amax(1)
    return torch.where(failed > 0, torch.inf, errors.nan_to_num(torch.inf))


def _spans(
    own_x: torch.Tensor, own_y: torch.Tensor, crosses: torch.Tensor, stack: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the coefficients W, in the memory of ``stack``, and the squared distances.

    See ``spans``; (K, m, m) and (K, m).
    """
    count, width_x, width_y = crosses.shape
    squares = crosses.new_empty(count, width_x + width_y)
    sides = (
        (own_x, crosses, slice(width_x), slice(width_x, None)),
        (own_y, crosses.mT, slice(width_x, None), slice(width_x)),
    )
    for own, across, mine, others in sides:
        upper, failed = torch.linalg.cholesky_ex(own, upper=True)
        if failed:
            return None
        # One solve with the columns of all permutations.
        flat = across.transpose(0, 1).reshape(len(own), -1)
        inside = torch.linalg.solve_triangular(upper.mT, flat, upper=False)
        over = torch.linalg.solve_triangular(upper, inside, upper=True)
        stack[:, mine, mine] = torch.cholesky_inverse(upper, upper=True)
        stack[:, mine, others] = over.reshape(len(own), count, -1).transpose(0, 1)
        squares[:, others] = 1.0 - inside.square_().sum(0).reshape(count, -1)
    return stack, squares


class _Stack:
    """The spans of many pairs, from each of which neurons are removed one by one.

    The arithmetic is that of ``TorchUpdates._remove``, with an axis of permutations first.
    """

    def __init__(self, matrix: torch.Tensor, residual: torch.Tensor, width_x: int) -> None:
        self._matrix, self._residual = matrix, residual
        count, width = residual.shape
        self._columns = torch.arange(width, device=matrix.device).expand(count, -1)
        self._of_x = (self._columns < width_x).to(torch.float64)
        self._highest = matrix.diagonal(dim1=1, dim2=2).clone()
        self._diagonal = self._highest
        self._left = width
        self.accurate = torch.ones(count, dtype=torch.bool, device=matrix.device)

    def remove_block(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Remove the farthest neuron of every pair, up to BLOCK times.

        Returns:
            The removed columns, (K, removals), and their squared distances.
        """
        count, width = self._residual.shape
        removals = min(SpanUpdates.BLOCK, self._left)
        lefts, rights = self._residual.new_empty(2, count, removals, width)
        order, squares = [], []
        for step in range(removals):
            square, place = self._residual.max(1, keepdim=True)
            self._residual.scatter_(1, place, -torch.inf)
            row = self._matrix.gather(1, place[:, :, None].expand(-1, -1, width))
            if step:
                weights = lefts[:, :step].gather(2, place[:, :, None].expand(-1, step, -1))
                row.baddbmm_(weights.mT, rights[:, :step], alpha=-1.0)
            rights[:, step] = row = row.squeeze(1)
            scaled = row / row.gather(1, place)
            same = self._of_x == self._of_x.gather(1, place)
            lefts[:, step] = left = scaled * same
            self._residual.addcmul_(row, scaled - left)
            order.append(place)
            squares.append(square)
        places = torch.cat(order, 1)
        self._check(lefts, rights, places)
        self._matrix.baddbmm_(lefts.mT, rights, alpha=-1.0)
        removed = self._columns.gather(1, places)
        self._left -= removals
        if self._left <= SpanUpdates.COMPACT * width:
            self._compact()
        return removed, torch.cat(squares, 1)

    def _check(self, lefts: torch.Tensor, rights: torch.Tensor, places: torch.Tensor) -> None:
        """Note pairs that lost digits; see ``TorchUpdates._ends``."""
        ends = self._diagonal - (lefts * rights).sum(1)
        lowest = torch.where(self._residual > -torch.inf, ends, torch.inf)
        at_removal = rights.gather(2, places[:, :, None]).squeeze(2)
        lowest.scatter_(1, places, at_removal)
        self.accurate &= (lowest >= lowest_accurate(self._highest)).all(1)
        self._diagonal = ends

    def _compact(self) -> None:
        """Copy the state without removed neurons."""
        alive = self._residual > -torch.inf
        kept = torch.argsort(alive.to(torch.int8), dim=1, descending=True, stable=True)
        kept = kept[:, : self._left]
        rows = self._matrix.gather(1, kept[:, :, None].expand(-1, -1, self._matrix.shape[2]))
        self._matrix = rows.gather(2, kept[:, None, :].expand(-1, self._left, -1))
        for name in ("_residual", "_columns", "_of_x", "_highest", "_diagonal"):
            setattr(self, name, getattr(self, name).gather(1, kept))
