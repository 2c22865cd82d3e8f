"""The centred factor, and a second read of the samples if the moments have lost digits.

The centred factor G is for centred neurons what the joint factor F is for uncentred ones:
G'G = Z_c'Z_c, where the columns of Z are scaled to norm 1 and then centred. So a column of G is
short if its neuron's deviations are small compared with its mean.

From the moments, G'G is Z'Z minus the products of the means. This cancels if means are large
compared with deviations, or if centred neurons are nearly dependent. Then the samples are read
again, minus their means, for the R of a QR of [1 Z_c]:

    R = [r t']    with r = 1 and t nearly 0, because the means are those of the samples.
        [0 G ]

Only the first row contains the constant direction. With the means added back to that row, R also
gives the joint factor: F is the R of a QR of G and that row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..backends.base import Array, Device
from .block_sums import Blocks
from .factor import MomentFactor, StreamedFactor

CENTRED_ACCURACY = 1e-6  # largest error of a distance, relative to the norm before centring


@dataclass(frozen=True)
class SecondRead:
    """Both factors and the length products, computed from the samples.

    Attributes:
        factor: F, (k, live) float64 on the device, with k the smaller of samples and live.
        centred_factor: G, (k, live) or (k - 1, live) float64 on the device; None if only the
            factor is wanted.
        length_products: as in ``PairMoments``.
    """

    factor: Array
    centred_factor: Array | None
    length_products: np.ndarray


def centred_from_moments(
    scaled_moments: Array, joint: MomentFactor, unit_means: Array, error: float, device: Device
) -> Array | None:
    """Return the centred factor, or None if the moments do not determine it.

    That depends on the centred columns' distances from each other's span, as for the joint factor.
    Let A be the moments, m the means and v = A^-1 m. Since A - m m' differs from A by rank 1, its
    inverse is A^-1 + v v' / s, where s = 1 - m'v = det(A - m m') / det A.

    Args:
        scaled_moments: moments of unit columns, (live, live) float64.
        joint: their factor.
        unit_means: their components along the constant direction, (live,) float64.
        error: largest error of an entry of the moments; the means have a smaller one.
        device: where the arrays are.

    Returns:
        G, (live, live) float64, upper triangular.
    """
    upper = device.cholesky(scaled_moments - unit_means[:, None] * unit_means)
    if upper is None or len(upper) == 0:
        return upper
    column = device.triangular_solve(joint.upper, unit_means[:, None], transposed=True)
    solved = device.triangular_solve(joint.upper, column)[:, 0]
    determinants = ((upper.diagonal() / joint.upper.diagonal()) ** 2).prod()
    # Multiplied by s, which may be 0.
    largest = (joint.inverse_diagonal * determinants + solved**2).max()
    accurate = bool(2 * 3 * error * largest <= CENTRED_ACCURACY * determinants)
    return upper if accurate else None


def read_about_means(
    chunks: Iterable[Array],
    blocks: Blocks,
    means: Array,
    norms: Array,
    live_x: int,
    device: Device,
) -> SecondRead:
    """Compute both factors and the length products from the samples.

    Args:
        chunks: samples of the live neurons, not centred, (rows, live) float64, in order; one chunk
            if there are no more samples than live neurons.
        blocks: the number of samples and of chunks.
        means: means of the live neurons, (live,) float64 on the device.
        norms: norms of the live neurons, (live,) float64 on the device.
        live_x: number of X's live neurons, which come first.
        device: where all arrays are.
    """
    width = len(means)
    samples, streamed = blocks.samples, None
    if samples > width:
        streamed = StreamedFactor(width + 1, blocks.group, device)
    products, totals = device.zeros(2, 2), device.zeros(2)
    sides = slice(None, live_x), slice(live_x, None)
    # In units of a side's largest norm, fourth powers stay within float64's range.
    longest = [norms[side].max() if len(norms[side]) else 1.0 for side in sides]
    weights = [norms[side] / unit for side, unit in zip(sides, longest, strict=True)]
    for chunk in chunks:
        bordered = device.empty(len(chunk), width + 1)
        bordered[:, 0] = samples**-0.5
        bordered[:, 1:] = (chunk - means) / norms
        lengths = device.empty(len(chunk), 2)
        for number, (side, weight) in enumerate(zip(sides, weights, strict=True)):
            lengths[:, number] = ((bordered[:, 1:][:, side] * weight) ** 2).sum(1)
        products += lengths.T @ lengths
        totals += lengths.sum(0)
        if streamed is not None:
            streamed.add(bordered)
    # Streaming would spread few samples over ``width`` rows, and each row costs time wherever
    # columns of F are factored.
    assert streamed is not None or len(bordered) == samples, "few samples are one chunk"
    upper = _triangle(bordered, device) if streamed is None else streamed.upper()
    constant = upper[:1, 1:] + upper[0, 0] * samples**0.5 * means / norms
    centred = upper[1:, 1:]
    if streamed is None:
        factor = _triangle(device.concatenate([constant, centred]), device)
    else:
        factor = device.append_rows(centred, constant)
    products = normalised(device.numpy(products), device.numpy(totals))
    return SecondRead(factor, centred, products)


def _triangle(matrix: Array, device: Device) -> Array:
    """Return R of the QR of a matrix with no more rows than columns, (rows, columns)."""
    return device.triu(device.householder_qr(matrix)[0])


def normalised(products: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Divide length products (2, 2) by the sides' totals; NaN for a side whose total is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(products / totals[:, None] / totals)
