"""What a second read of the samples gives where their moments have lost digits.

The centred factor G is to the neurons without their means what the joint factor F is to them as
they came: G'G = Z_c'Z_c for the columns of Z scaled to norm 1. The unit is the norm before
centring, so a column of G is as short as its neuron's deviations are small beside its mean.

From the moments, G'G is Z'Z less the means' products. That cancels where means are large beside
deviations, or where neurons are nearly dependent once they are centred. There the samples are read
again, about their means, for the R of a QR of [1 Z_c]:

    R = [r t']    with r = 1 and t nearly 0, since the means are those of the samples.
        [0 G ]

The constant direction is the first row alone, so with the means put back into it the same R holds
the joint factor, too: F is the R of a QR of G and that row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..backends.base import Array, Device
from .block_sums import Blocks
from .factor import StreamedFactor, factor_from_moments

CENTRED_ACCURACY = 1e-6  # how far distances may be wrong, of the norms that neurons had with means


@dataclass(frozen=True)
class SecondRead:
    """What the samples say that the moments did not hold.

    Attributes:
        factor: F, (live, live) float64 on the device.
        centred_factor: G, (live, live) float64 on the device.
        length_products: as of ``PairMoments``.
    """

    factor: Array
    centred_factor: Array
    length_products: np.ndarray


def centred_from_moments(
    scaled_moments: Array, unit_means: Array, error: float, device: Device
) -> Array | None:
    """The centred factor, or None if the moments do not hold it.

    Args:
        scaled_moments: of unit columns, (live, live) float64.
        unit_means: their parts along the constant direction, (live,) float64.
        error: of an entry of the moments, and less than that of the means.
        device: where both are.

    Returns:
        G, (live, live) float64, upper triangular.
    """
    centred = scaled_moments - unit_means[:, None] * unit_means
    found = factor_from_moments(centred, 3 * error, device, CENTRED_ACCURACY)
    return found and found[0]


def read_about_means(
    chunks: Iterable[Array],
    blocks: Blocks,
    means: Array,
    norms: Array,
    live_x: int,
    device: Device,
) -> SecondRead:
    """Both factors and the products of lengths, from the samples.

    Args:
        chunks: samples of the live neurons as they came, (rows, live) float64, in order.
        blocks: how many samples, and chunks, there are.
        means: of the live neurons, (live,) float64 on the device.
        norms: of the live neurons, likewise.
        live_x: number of X's live neurons, which come first.
        device: where all this is.
    """
    width = len(means)
    streamed, samples = StreamedFactor(width + 1, blocks.group, device), blocks.samples
    products, totals = device.zeros(2, 2), device.zeros(2)
    sides = slice(None, live_x), slice(live_x, None)
    # Squares of squares stay within float64 in units of a side's longest neuron.
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
        streamed.add(bordered)
    upper = streamed.upper()
    constant = upper[:1, 1:] + upper[0, 0] * samples**0.5 * means / norms
    return SecondRead(
        factor=device.triangle_with(upper[1:, 1:], constant),
        centred_factor=upper[1:, 1:],
        length_products=shares(device.numpy(products), device.numpy(totals)),
    )


def shares(products: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Products of lengths, (2, 2), of lengths that sum to 1; NaN for a side without any."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(products / totals[:, None] / totals)
