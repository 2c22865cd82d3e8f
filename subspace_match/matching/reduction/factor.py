"""The joint factor F: n numbers a column that stand for d samples a neuron.

F'F = Z'Z for the columns of Z scaled to norm 1, so the columns of F have the inner products,
spans and distances of the activation vectors. It comes from the moments by a Cholesky
factorisation, or, where the moments have lost a direction in rounding, from the samples by
streaming QR. Either way F is upper triangular.
"""

from __future__ import annotations

from ..backends.base import Array, Device

# How far a critical epsilon may be from the exact one. Half of it is for what rounding does to a
# distance, half for what a critical epsilon is lowered by, so that a distance at epsilon counts.
ACCURACY = 1e-8
ROUNDOFF = 2.0**-53  # the largest relative error of one rounding


def moment_error(additions: int, columns: int) -> float:
    """The most that rounding moves an entry of the moments of unit columns, or of their factor's.

    Of two unit columns the absolute products sum up to at most 1, and |F|'|F| is at most 1 in every
    entry. So it is one rounding for each addition that a product passes, one for each column that
    a Cholesky factorisation subtracts (Higham 2002, Theorem 10.3), and one each for the product,
    the scaling and the rest.

    Args:
        additions: the most that a product passes.
        columns: n.
    """
    return (additions + columns + 8) * ROUNDOFF


def column_error(steps: int, columns: int) -> float:
    """How far QR may move a column of norm 1: two roundings for each column and step on its way.

    A rule and no bound: what is proved of Householder's QR, samples times columns roundings, is
    never seen. Tests hold it where all roundings go one way.
    """
    return 2 * (steps + columns) * ROUNDOFF


def factor_from_moments(
    scaled_moments: Array, error: float, device: Device, accuracy: float = ACCURACY / 2
) -> tuple[Array, float] | None:
    """Cholesky factor of the moments of unit columns, or None if they do not hold it.

    Let r be the distance of the nearest column from all others, and e the error of the moments. Two
    columns that near have a difference whose squared length is wrong by up to a share of 4 e / r^2,
    and so is the squared distance of a neuron that only their difference reaches: 2 e / r^2 of the
    distance. (Errors of many near columns could add up to more, but e is what all roundings in one
    direction would give.)

    Args:
        scaled_moments: (n, n) float64, unit diagonal; less than 1 for columns without their means.
        error: of their entries.
        device: where they are.
        accuracy: how far distances may be wrong.

    Returns:
        F of shape (n, n), upper triangular with F'F = scaled_moments, and how far distances may be
        wrong; or None if that is more than the accuracy: then columns are dependent or nearly so,
        and only the samples can tell which.
    """
    factor = device.cholesky(scaled_moments)
    if factor is None or len(factor) == 0:
        return factor if factor is None else (factor, 0.0)
    # The diagonal of (F'F)^-1 holds 1 / squared distance from all others.
    moved = 2 * error * float((device.inverse(factor) ** 2).sum(1).max())
    return (factor, moved) if moved <= accuracy else None


class StreamedFactor:
    """Triangular factor of the samples by streaming QR: R <- R of QR([R; next chunk]).

    Each group of chunks has a factor of its own, and all of these one: few steps for each sample.
    """

    def __init__(self, columns: int, group: int, device: Device) -> None:
        self._columns, self._group, self._device = columns, group, device
        self._factor: Array | None = None
        self._part, self._added = device.zeros(columns, columns), 0

    def add(self, chunk: Array) -> None:
        """Take in (samples, columns) float64."""
        if self._added == self._group:
            self._factor = self.upper()
            self._part, self._added = self._device.zeros(self._columns, self._columns), 0
        self._part = self._device.triangle_with(self._part, chunk)
        self._added += 1

    def upper(self) -> Array:
        """R of all chunks, (columns, columns)."""
        if self._factor is None:
            return self._part
        return self._device.triangle_with(self._factor, self._part)
