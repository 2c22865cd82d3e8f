"""Certificates: prove a match independently of peeling, from one new factorisation per side.

A set of neurons is the maximum match of an epsilon if it is

- sound: every member's distance from the other side's members is at most epsilon;
- complete: every other live neuron, in the order of removal, was farther than epsilon from the
  other side's remaining neurons when it was removed. By induction no epsilon-approximate match
  contains any of them, because distances only grow as the other side shrinks.

Both need the distance of a neuron from the columns of F that remained at some moment. If a side's
columns are put in reverse order of removal, every such set is a leading block. With S = Q R in that
order, the squared distance of t from the first p columns is the sum of the squares of the entries
of Q't below row p. So one factorisation per side serves every neuron, every moment and every
epsilon, in O(n^3). It shares nothing with the updates in ``peeling`` except the factor F.

Rank: a column that adds no direction must not get a row of R. LAPACK's QR would give it a row of
pure rounding, which would corrupt all later columns. Therefore columns are factored in panels. A
column that depends on those before it is left out, and the rest of the panel is factored again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .backends.base import Array, Device
from .rank import RANK_TOLERANCE
from .reduction.moments import PairMoments

PANEL = 64  # columns that are factored before their reflectors are applied to all later columns


@dataclass(frozen=True)
class Certificate:
    """The result of an independent check of one maximum match.

    Attributes:
        epsilon: the epsilon of the match.
        sound: every member is within epsilon of the other side's members, up to rounding; a
            distance equal to epsilon counts as within.
        complete: every live neuron outside the match was farther than epsilon when it was removed,
            up to rounding.
        margin: smallest |distance - epsilon| of all these decisions; inf if there are none because
            all neurons are dead.
        neuron: side and index of the neuron with the smallest margin, or None.
        rounding: how far a distance must be from epsilon for a certain decision. Let c be the
            coefficients of a neuron over the columns it is measured against. An error of u =
            ``PairMoments.column_error`` in every unit column moves its distance by at most
            u (1 + |c|_1) to first order. If the factor comes from the moments, their error e =
            ``PairMoments.moment_error`` also moves the squared distance by at most e (1 + |c|_1)^2.
            ``PairMoments.tie_margin`` is added, because closer distances count as ties.
    """

    epsilon: float
    sound: bool
    complete: bool
    margin: float
    neuron: tuple[str, int] | None
    rounding: float

    @property
    def certain(self) -> bool:
        """Whether rounding could not have changed any decision, and no distance is a tie."""
        return self.margin > self.rounding


def certify(
    pair: PairMoments,
    critical_epsilon: np.ndarray,
    removal_order: np.ndarray,
    epsilons: np.ndarray,
    *,
    device: Device,
) -> list[Certificate]:
    """Check the matches { v : critical(v) <= epsilon } of a path, one certificate per epsilon.

    The path is not trusted. In every path of ``match_path`` the members are the last neurons of the
    removal order; then all epsilons share two factorisations. An epsilon whose members are not the
    last ones needs two factorisations of its own.

    Args:
        pair: moments of the two sides.
        critical_epsilon: (n,) float64, X's neurons, then Y's; NaN for a dead neuron.
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
            f" {len(removal_order)} entries with {len(np.intersect1d(removal_order, live))} of the"
            " live neurons; use a path that was computed from these moments"
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
    """Distances of both sides' neurons at every moment of one removal order."""

    def __init__(self, pair: PairMoments, order: np.ndarray, device: Device) -> None:
        self._pair, self._order = pair, order
        last_first = order[::-1]
        of_y = last_first >= pair.neurons_x
        sides = [last_first[~of_y], last_first[of_y]]
        # Entry i: how many neurons of the side remain when i neurons of both sides remain.
        self._left = [np.r_[0, np.cumsum(of_side)] for of_side in (~of_y, of_y)]
        factor, column = device.array(pair.factor), np.cumsum(pair.live) - 1
        columns = [device.take(factor.T, column[side]).T for side in sides]
        self._sides = [_Side(columns[1 - side], columns[side], device) for side in (0, 1)]

        # When neuron i of last_first is removed, exactly those before it remain.
        self._removal = np.empty(len(order)), np.empty(len(order))
        for own, of_side in enumerate((~of_y, of_y)):
            left = self._left[1 - own][np.flatnonzero(of_side)]
            for array, values in zip(self._removal, self._sides[own].distances(left), strict=True):
                array[of_side] = values

    def certificate(self, epsilon: float, members: int) -> Certificate:
        """Check the match that consists of the last ``members`` neurons of the order."""
        distances, coefficients = (array.copy() for array in self._removal)
        of_y = self._order[::-1][:members] >= self._pair.neurons_x
        for own, of_side in enumerate((~of_y, of_y)):
            count, left = self._left[own][members], self._left[1 - own][members]
            found = self._sides[own].distances(np.full(count, left))
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
        """Return ``Certificate.rounding`` of each distance, without the tie margin."""
        sizes = 1.0 + coefficients
        moved: np.ndarray = self._pair.column_error * sizes
        if self._pair.well_conditioned:
            # An error e of a square moves a distance of 0 by sqrt(e), a large r by about e / 2 r.
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
    """Distances of one side's neurons from every leading block of the other side's columns."""

    def __init__(self, columns: Array, targets: Array, device: Device) -> None:
        self._upper, self._rotated, kept = staircase(columns, targets, device)
        self._rank = np.r_[0, np.cumsum(kept)]
        self._outside = device.suffix_sums(self._rotated**2)
        self._device = device

    def distances(self, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measure the first targets against leading blocks of columns.

        Args:
            left: (count,) int64, the number of columns for each of the first ``count`` targets.

        Returns:
            (count,) distances, and (count,) sums of the coefficients' absolute values.
        """
        rank = self._rank[left]
        deepest = int(rank.max(initial=0))
        distances = self._outside[rank, np.arange(len(left))] ** 0.5
        # With zeros below its own block, a target gets the solution of its own block.
        own_block = np.arange(deepest)[:, None] < rank
        inside = self._rotated[:deepest, : len(left)] * self._device.array(own_block)
        coefficients = self._device.triangular_solve(self._upper[:deepest, :deepest], inside)
        return self._device.numpy(distances), self._device.numpy(abs(coefficients).sum(0))


def staircase(columns: Array, targets: Array, device: Device) -> tuple[Array, Array, np.ndarray]:
    """Compute a QR of the columns in order, without those that depend on earlier ones.

    Column j is dependent if some linear combination of it and the columns before it, with
    coefficients of norm 1, is shorter than RANK_TOLERANCE times the number of columns. The shortest
    such combination has length 1 / |R^-1 e_j|. The diagonal entry R[j, j] alone would not suffice:
    after two near copies, rounding gives a column that depends on both a diagonal entry of up to
    1e-16 / (distance of the copies).

    Args:
        columns: (k, m) float64, norm 1.
        targets: (k, t) float64.
        device: where they are.

    Returns:
        R of the kept columns, (rank, rank); Q'targets, (k, t); mask of the kept columns, (m,) bool.
    """
    width, most = columns.shape[1], min(columns.shape)
    work = device.concatenate([columns.T, targets.T]).T  # each column contiguous
    upper, inverse = device.zeros(most, most), device.zeros(most, most)
    kept = np.zeros(width, dtype=bool)
    rank = start = 0
    while start < width and rank < len(work):
        stop, first = min(start + PANEL, width), rank
        vectors, scales = device.zeros(len(work), stop - start), device.zeros(stop - start)
        while start < stop and rank < len(work):
            tried = min(stop - start, len(work) - rank)
            reflectors, tau = device.householder_qr(work[rank:, start : start + tried])
            above, corner = work[:rank, start : start + tried], device.triu(reflectors[:tried])
            good = _extend(inverse, rank, above, corner, RANK_TOLERANCE * width, device)
            end = rank + good
            upper[:rank, rank:end] = above[:, :good]
            upper[rank:end, rank:end] = corner[:good, :good]
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
        inverse: R^-1 in its first ``rank`` rows and columns; extended in place.
        rank: number of columns of R so far.
        above: the next columns of R, rows 0 to rank - 1, (rank, tried).
        corner: the next columns of R, rows from ``rank`` on, (tried, tried) upper triangular.
        tolerance: a column is dependent if its column of R^-1 has norm 1 / tolerance or more.
        device: where they are.
    """
    good = _leading(abs(corner.diagonal()) > tolerance)
    if good == 0:
        return 0
    below = device.triangular_inverse(corner[:good, :good])
    beside = -device.product(inverse[:rank, :rank], device.product(above[:, :good], below))
    squares = (beside**2).sum(0) + (below**2).sum(0)
    good = _leading(squares < tolerance**-2)
    inverse[:rank, rank : rank + good] = beside[:, :good]
    inverse[rank : rank + good, rank : rank + good] = below[:good, :good]
    return good


def _leading(flags: Array) -> int:
    """Count the flags before the first that is not set."""
    return int(flags.cumprod(0).sum())


def _unit_lower(reflectors: Array, device: Device) -> Array:
    """Unpack the Householder vectors from geqrf's result."""
    vectors = reflectors - device.triu(reflectors)
    each = np.arange(reflectors.shape[1])
    vectors[each, each] = 1.0
    return vectors


def _reflect(rest: Array, vectors: Array, scales: Array, device: Device) -> None:
    """Apply Householder reflectors to all columns in place.

    With V the vectors and D = diag(1 / scales), H_k ... H_1 = I - V (striu(V'V) + D)^-T V'
    (Schreiber and Van Loan 1989; Puglisi 1992). LAPACK's ormqr would need a copy.
    """
    each = np.arange(len(scales))
    inner = device.triu(device.product(vectors.T, vectors), 1)
    with np.errstate(divide="ignore"):
        inner[each, each] = 1.0 / scales  # inf for a reflector that is the identity
    weights = device.triangular_solve(inner, device.product(vectors.T, rest), transposed=True)
    device.add_product(rest, vectors, weights, scale=-1.0)
