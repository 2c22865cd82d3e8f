"""The joint factor F: columns of n numbers that replace activation vectors of d samples.

F'F = Z'Z for the columns of Z scaled to norm 1. So the columns of F have the same inner products
and distances as the unit activation vectors, and their spans correspond. F comes from the moments
by a Cholesky factorisation or, if rounding has lost a direction in the moments, from the samples by
streaming QR. In both cases F is upper triangular.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..backends.base import Array, Device

# Largest error of a critical epsilon. One half is for rounding of distances, the other half for the
# tie margin by which critical epsilons are lowered.
ACCURACY = 1e-8
ROUNDOFF = 2.0**-53  # largest relative error of one rounding


def moment_error(additions: int, columns: int) -> float:
    """Bound the rounding error of an entry of the moments of unit columns, or of F'F.

    The absolute products of two unit columns sum to at most 1, and every entry of |F|'|F| is at
    most 1. So the error is at most one rounding for each addition that a product passes, one for
    each column that the Cholesky factorisation subtracts (Higham 2002, Theorem 10.3), and a few
    for the product, the scaling and the rest.

    Args:
        additions: largest number of additions that a product passes.
        columns: n.
    """
    return (additions + columns + 8) * ROUNDOFF


def column_error(steps: int, columns: int) -> float:
    """Estimate how far QR moves a column of norm 1: two roundings per column and per step.

    This is a rule of thumb, not a bound. The proven bound for Householder QR, samples times columns
    roundings, never occurs in practice. Tests check the rule where all roundings go one way.
    """
    return 2 * (steps + columns) * ROUNDOFF


@dataclass(frozen=True)
class MomentFactor:
    """The Cholesky factor of the moments of unit columns.

    Attributes:
        upper: F, (n, n) upper triangular; F'F are the moments.
        inverse_diagonal: of the moments, (n,): 1 / squared distance from the other columns' span.
        error: largest error of a distance.
    """

    upper: Array
    inverse_diagonal: Array
    error: float


def factor_from_moments(scaled_moments: Array, error: float, device: Device) -> MomentFactor | None:
    """Return the Cholesky factor of the moments of unit columns, or None if it is not accurate.

    Let r be the smallest distance of a column from the span of the others, and e the error of the
    moments. The difference of two columns that are r apart then has a squared length with a
    relative error of up to 4 e / r^2. If a neuron lies along this difference only, its squared
    distance has that relative error too, and its distance an error of 2 e / r^2. (Errors of many
    near columns could add up to more, but e already assumes that all roundings go one way.)

    Args:
        scaled_moments: (n, n) float64; unit diagonal.
        error: largest error of an entry.
        device: where they are.

    Returns:
        The factor. None if the error of distances exceeds half of ``ACCURACY``: the columns are
        dependent or nearly dependent, and only the samples show which.
    """
    upper = device.cholesky(scaled_moments)
    if upper is None:
        return None
    inverse_diagonal = (device.triangular_inverse(upper) ** 2).sum(1)
    moved = 2 * error * float(inverse_diagonal.max()) if len(upper) else 0.0
    return MomentFactor(upper, inverse_diagonal, moved) if moved <= ACCURACY / 2 else None


class StreamedFactor:
    """The triangular factor of the samples by streaming QR: R <- R of QR([R; next chunk]).

    Each group of chunks has its own factor, and the factors are combined at the end of a group. So
    each sample passes few steps.
    """

    def __init__(self, columns: int, group: int, device: Device) -> None:
        self._columns, self._group, self._device = columns, group, device
        self._factor: Array | None = None
        self._part, self._added = device.zeros(columns, columns), 0

    def add(self, chunk: Array) -> None:
        """Add a chunk (samples, columns) float64."""
        if self._added == self._group:
            self._factor = self.upper()
            self._part, self._added = self._device.zeros(self._columns, self._columns), 0
        self._part = self._device.append_rows(self._part, chunk)
        self._added += 1

    def upper(self) -> Array:
        """Return R of all chunks, (columns, columns)."""
        if self._factor is None:
            return self._part
        return self._device.append_rows(self._factor, self._part)
