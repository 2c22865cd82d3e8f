"""A match proved again: every decision that led to it, from one fresh factorisation of each side.

Why a set is the maximum match of an epsilon, and nothing else is:

- sound: every member's distance from the other side's members is at most epsilon;
- complete: every other live neuron, in the order of removal, was farther than epsilon from what
  the other side had left when it went. By induction no epsilon-approximate match can hold any of
  them (a distance only grows as the other side shrinks), so the members are all there is.

Both need distances from what a side had left at some moment: from the columns of F that remained.
Put those columns in the reverse of the order in which they went, and every such set is a leading
block. With S = Q R of that order, the squared distance of t from the first p columns is the sum of
squares of Q't below row p: one factorisation a side answers for every neuron, every moment and
every epsilon, in O(n^3). It shares nothing with the downdates of ``peeling`` but the factor F.

Rank: a column that adds no direction gets no row. LAPACK's QR would give it one of pure rounding,
which is wrong for all that follows; so the columns are taken a panel at a time, and where one
depends on those before it, it is left out and what is left of the panel factored anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .backends.base import Array, Device
from .peeling.spans import RANK_TOLERANCE
from .reduction.moments import PairMoments

PANEL = 64  # columns factored between two applications of their reflectors to all the rest


@dataclass(frozen=True)
class Certificate:
    """What a fresh factorisation says about one maximum match.

    Attributes:
        epsilon: the match's.
        sound: every member is within epsilon of the other side's members, as far as rounding lets
            it be seen: a distance exactly at epsilon is.
        complete: every live neuron that is no member was farther than epsilon when it left,
            likewise.
        margin: smallest |distance - epsilon| of all these decisions, the one closest to the other
            outcome; inf if there was none to make, all neurons being dead.
        neuron: side and index of the neuron whose decision that is, or None.
        rounding: how far from epsilon a distance must be for its decision to be beyond doubt. With
            c the coefficients of a neuron over what it is measured against, an error of u in every
            unit column moves its distance by at most u (1 + |c|_1) in first order, u being
            ``PairMoments.column_error``. Where the factor comes from the moments, an error of e in
            each of them, ``PairMoments.moment_error``, also moves the squared distance by at most
            e (1 + |c|_1)^2. And what is within ``PairMoments.tie_margin`` counts as at epsilon.
    """

    epsilon: float
    sound: bool
    complete: bool
    margin: float
    neuron: tuple[str, int] | None
    rounding: float

    @property
    def certain(self) -> bool:
        """Whether no decision is so close that rounding could have turned it, nor any a tie."""
        return self.margin > self.rounding


def certify(
    pair: PairMoments,
    critical_epsilon: np.ndarray,
    removal_order: np.ndarray,
    epsilons: np.ndarray,
    *,
    device: Device,
) -> list[Certificate]:
    """Check the matches { v : critical(v) <= epsilon } of a path, one certificate an epsilon.

    Nothing in the path is taken on trust: the members need not be what the order leaves to the
    end. Where they are, as in every path of ``match_path``, all epsilons share two factorisations;
    an epsilon where they are not gets two of its own.

    Args:
        pair: moments of the two sides.
        critical_epsilon: (n,) float64 of X's neurons, then of Y's; NaN for a dead neuron.
        removal_order: (live neurons,) int64, each live neuron once.
        epsilons: (count,) float64 in [0, 1).
        device: where to compute.

    Returns:
        The certificates, in the order of ``epsilons``.

    Raises:
        ValueError: if ``removal_order`` does not hold each live neuron once.
    """
    live = np.flatnonzero(pair.live)
    if not np.array_equal(np.sort(removal_order), live):
        raise ValueError(
            f"removal_order: expected each of the {len(live)} live neurons once, found"
            f" {len(removal_order)} entries, {len(np.intersect1d(removal_order, live))} of the live"
            " neurons among them; use a path of these very moments"
        )
    shared: _Distances | None = None
    certificates = []
    for epsilon in epsilons:
        member = critical_epsilon[removal_order] <= epsilon
        order = np.concatenate([removal_order[~member], removal_order[member]])
        if np.array_equal(order, removal_order):
            shared = distances = shared or _Distances(pair, order, device)
        else:
            distances = _Distances(pair, order, device)
        certificates.append(distances.certificate(float(epsilon), int(member.sum())))
    return certificates


class _Distances:
    """Distances of both sides' neurons from what one order of removal leaves at every moment."""

    def __init__(self, pair: PairMoments, order: np.ndarray, device: Device) -> None:
        self._pair, self._order = pair, order
        last_first = order[::-1]
        of_y = last_first >= pair.neurons_x
        sides = [last_first[~of_y], last_first[of_y]]
        # How many of each side are left when so many are left in all.
        self._left = [np.r_[0, np.cumsum(of_side)] for of_side in (~of_y, of_y)]
        factor, column = device.array(pair.factor), np.cumsum(pair.live) - 1
        columns = [device.take(factor.T, column[side]).T for side in sides]
        self._sides = [_Side(columns[1 - side], columns[side], device) for side in (0, 1)]

        # No. i of last_first goes when those before it are all that stay.
        self._removal = np.empty(len(order)), np.empty(len(order))
        for own, of_side in enumerate((~of_y, of_y)):
            left = self._left[1 - own][np.flatnonzero(of_side)]
            for kind, values in zip(self._removal, self._sides[own].at(left), strict=True):
                kind[of_side] = values

    def certificate(self, epsilon: float, members: int) -> Certificate:
        """Of the match that holds the last so many neurons of the order."""
        distances, coefficients = (kind.copy() for kind in self._removal)
        of_y = self._order[::-1][:members] >= self._pair.neurons_x
        for own, of_side in enumerate((~of_y, of_y)):
            count, left = self._left[own][members], self._left[1 - own][members]
            found = self._sides[own].at(np.full(count, left))
            distances[:members][of_side], coefficients[:members][of_side] = found
        gaps = np.abs(distances - epsilon)
        moved = self._rounding(distances, coefficients) + self._pair.tie_margin
        closest = int(gaps.argmin()) if len(gaps) else None
        return Certificate(
            epsilon=epsilon,
            sound=bool((distances <= epsilon + moved)[:members].all()),
            complete=bool((distances > epsilon - moved)[members:].all()),
            margin=float(gaps.min(initial=np.inf)),
            neuron=None if closest is None else self._name(closest),
            rounding=float(moved.max(initial=0.0)),
        )

    def _rounding(self, distances: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Of each distance: see ``Certificate``."""
        sizes = 1.0 + coefficients
        moved: np.ndarray = self._pair.column_error * sizes
        if self._pair.well_conditioned:
            # It moves a distance of 0 by sqrt(e), a large one by about e / 2 r.
            squares = self._pair.moment_error * sizes**2
            up = np.sqrt(distances**2 + squares) - distances
            down = distances - np.sqrt(np.maximum(distances**2 - squares, 0.0))
            moved += np.maximum(up, down)
        return moved

    def _name(self, position: int) -> tuple[str, int]:
        neuron = int(self._order[::-1][position])
        of_x = neuron < self._pair.neurons_x
        return ("x", neuron) if of_x else ("y", neuron - self._pair.neurons_x)


class _Side:
    """One side's targets against every leading block of the other side's columns."""

    def __init__(self, columns: Array, targets: Array, device: Device) -> None:
        self._upper, self._rotated, kept = staircase(columns, targets, device)
        self._rank = np.r_[0, np.cumsum(kept)]
        self._outside = device.sums_from(self._rotated**2)
        self._device = device

    def at(self, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the first targets: distance from the first ``left`` columns, coefficients' norm.

        Args:
            left: (count,) int64, one number of columns for each of the first ``count`` targets.

        Returns:
            distance, and sum of absolute values of the coefficients on those columns: (count,).
        """
        rank = self._rank[left]
        deepest = int(rank.max(initial=0))
        distances = self._outside[rank, np.arange(len(left))] ** 0.5
        # A row below a target's own block is zero for it: then the solution is its own block's.
        own_block = np.arange(deepest)[:, None] < rank
        inside = self._rotated[:deepest, : len(left)] * self._device.array(own_block)
        coefficients = self._device.solve(self._upper[:deepest, :deepest], inside)
        return self._device.numpy(distances), self._device.numpy(abs(coefficients).sum(0))


def staircase(columns: Array, targets: Array, device: Device) -> tuple[Array, Array, np.ndarray]:
    """QR of the columns in their order, those left out that depend on the ones before them.

    Column j depends on those before it if some combination of them and of it, its coefficients of
    norm 1, is shorter than RANK_TOLERANCE times the number of columns. The shortest that its part
    outside their span allows is 1 / |R^-1 e_j|. That part alone would not do: after two columns
    that are nearly copies, rounding gives one that depends on both a part outside of up to 1e-16
    over the distance of the copies.

    Args:
        columns: (k, m) float64 of norm 1.
        targets: (k, t) float64.
        device: where they are.

    Returns:
        R of the kept columns, (rank, rank); Q'targets, (k, t); which columns are kept, (m,) bool.
    """
    width, most = columns.shape[1], min(columns.shape)
    work = device.concatenate([columns.T, targets.T]).T  # a column's numbers together
    upper, inverse = device.zeros(most, most), device.zeros(most, most)
    kept = np.zeros(width, dtype=bool)
    rank = start = 0
    while start < width and rank < len(work):
        stop, first = min(start + PANEL, width), rank
        vectors, scales = device.zeros(len(work), stop - start), device.zeros(stop - start)
        while start < stop and rank < len(work):
            tried = min(stop - start, len(work) - rank)
            reflectors, tau = device.reflectors(work[rank:, start : start + tried])
            above, corner = work[:rank, start : start + tried], device.upper(reflectors[:tried])
            good = _extend(inverse, rank, above, corner, RANK_TOLERANCE * width, device)
            end = rank + good
            upper[:rank, rank:end], upper[rank:end, rank:end] = (
                above[:, :good],
                corner[:good, :good],
            )
            new = slice(rank - first, end - first)
            vectors[rank:, new] = _unit_lower(reflectors[:, :good], device)
            scales[new] = tau[:good]
            if good < tried:
                _reflect(work[:, start:stop], vectors[:, new], scales[new], device)
            kept[start : start + good] = True
            rank = end
            start += good if good == tried else good + 1
        found = rank - first
        _reflect(work[:, stop:], vectors[:, :found], scales[:found], device)
        start = stop
    return upper[:rank, :rank], work[:, width:], kept


def _extend(
    inverse: Array, rank: int, above: Array, corner: Array, tolerance: float, device: Device
) -> int:
    """Extend R^-1 by the columns before the first dependent one; return how many these are.

    Args:
        inverse: R^-1 in its first ``rank`` rows and columns; written to.
        rank: number of columns that R has.
        above: R's next columns, the rows of R so far, (rank, tried).
        corner: their rows below, (tried, tried) upper triangular.
        tolerance: a column is dependent if its column of R^-1 has norm 1 / tolerance or more.
        device: where they are.
    """
    good = _leading(abs(corner.diagonal()) > tolerance)
    if good == 0:
        return 0
    below = device.inverse(corner[:good, :good])
    beside = -device.product(inverse[:rank, :rank], device.product(above[:, :good], below))
    squares = (beside**2).sum(0) + (below**2).sum(0)
    good = _leading(squares < tolerance**-2)
    inverse[:rank, rank : rank + good] = beside[:, :good]
    inverse[rank : rank + good, rank : rank + good] = below[:good, :good]
    return good


def _leading(flags: Array) -> int:
    """How many flags are set before the first that is not."""
    return int(flags.cumprod(0).sum())


def _unit_lower(reflectors: Array, device: Device) -> Array:
    """The Householder vectors that geqrf packs."""
    vectors = reflectors - device.upper(reflectors)
    each = np.arange(reflectors.shape[1])
    vectors[each, each] = 1.0
    return vectors


def _reflect(rest: Array, vectors: Array, scales: Array, device: Device) -> None:
    """Apply Householder reflectors to all columns in place.

    With V the vectors, D = diag(1 / scales): H_k ... H_1 = I - V (striu(V'V) + D)^-T V' (Schreiber
    and Van Loan 1989; Puglisi 1992). A few matrix products, where LAPACK's ormqr wants a copy.
    """
    each = np.arange(len(scales))
    inner = device.upper(device.product(vectors.T, vectors), 1)
    with np.errstate(divide="ignore"):
        inner[each, each] = 1.0 / scales  # inf for a reflector that is the identity
    weights = device.solve(inner, device.product(vectors.T, rest), transposed=True)
    device.add_product(rest, vectors, weights, scale=-1.0)
