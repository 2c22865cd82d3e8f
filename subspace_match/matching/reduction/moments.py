"""Activations to moments: the one pass over the samples.

Cost: little over d n^2 / 2 multiply-adds, on the device. One step of samples is held as it came,
and the next one, read meanwhile; a part of it that fits in a CPU's cache as float64.

How near the limit that is: the floor is those multiply-adds, at best half of one whole product Z'Z
(d n^2, float64). Seconds on one core, both sides float32 in memory, d = 10,000, as shares of that
product in torch:

    n_x = n_y      64     256     512
    reduce       0.98    0.62    0.64
    products     0.56    0.46    0.44  on and above the diagonal, by BLAS's syrk
    copies       0.27    0.08    0.05  to float64, squared lengths and sums
    factors      0.03    0.06    0.13

The rest, 0.02 at 512 + 512 and 0.12 at 64 + 64, is n^2 numbers copied, and Python.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..backends import resolve_device
from ..backends.base import Array, Device, DeviceLike
from ..validation import as_activations, as_chunk_samples, same_samples, warn_of_few_samples
from .block_sums import Blocks, GroupedSum
from .centred import Deviations
from .factor import ACCURACY, column_error, factor_from_moments, moment_error
from .reading import LayerReader, check_range, joint_chunks, read_ahead
from .second_read import centred_from_moments, read_about_means, shares

QR_ROWS = 2  # rows of a QR, in columns: so a third of it repeats the factor, and it stays in cache
LEAST_QR_ROWS = 256  # fewer would make many steps
SMALLEST_TOTAL = 1e-120  # of squared lengths, whose squares are summed; 1 / it is the largest


@dataclass(frozen=True)
class PairMoments:
    """All that matching needs of two layers' activations on the same samples.

    Attributes:
        second_moments: Z'Z, (n, n) float64, Z = [X Y] as it came (not scaled, not centred).
        sums: column sums of Z, (n,) float64.
        length_products: [[sum a^2, sum a b], [sum a b, sum b^2]] over the samples, (2, 2) float64,
            with a a sample's share of sum |x - mean x|^2, and b of sum |y - mean y|^2: of fourth
            order, so second moments do not hold them, and debiased CKA needs them. NaN for a side
            whose neurons are all dead.
        neurons_x: n_x, the first n_x rows and columns are X's.
        samples: d.
        factor: F with F'F the moments of the live columns scaled to norm 1, (k, live) float64,
            upper triangular.
        well_conditioned: whether the live columns are so far from dependent that the moments
            determine every distance to 5e-9; else the factor comes from a second read of the
            samples.
        moment_error: the most that rounding has moved an entry of the moments of the live columns
            scaled to norm 1, from the additions that were made.
        column_error: about as much as rounding has moved a column of the factor, of norm 1, where
            it comes from the samples; and as it moves one in a factorisation of its columns.
        tie_margin: distances that are as near as this to an epsilon count as equal to it: what
            rounding may have moved a distance by where the moments determine it, at most 5e-9, and
            5e-9 where the samples do.
        centred_factor: G with G'G the moments of the live columns without their means, scaled by
            the norms that they had with them, (k, live) float64, upper triangular. From a second
            read of the samples, too, where the moments do not hold it: where means are large beside
            deviations, or columns nearly dependent without them. None where that was not done, as
            of a null's permutations.
        centred: whether each neuron's mean was taken from it first, so that everything is of the
            deviations.
    """

    second_moments: np.ndarray
    sums: np.ndarray
    length_products: np.ndarray
    neurons_x: int
    samples: int
    factor: np.ndarray
    well_conditioned: bool
    moment_error: float
    column_error: float
    tie_margin: float
    centred_factor: np.ndarray | None = None
    centred: bool = False

    @property
    def neurons_y(self) -> int:
        """Number of Y's neurons, n_y."""
        return len(self.sums) - self.neurons_x

    @property
    def norms(self) -> np.ndarray:
        """Euclidean norm of every neuron's activation vector, (n,) float64; 0 if it is dead."""
        norms: np.ndarray = np.sqrt(np.diagonal(self.second_moments))
        return norms

    @property
    def live(self) -> np.ndarray:
        """Which neurons are not dead (some activation is not zero), (n,) bool."""
        return np.diagonal(self.second_moments) > 0

    @property
    def unit_products(self) -> np.ndarray | None:
        """Moments of the live columns scaled to norm 1, (live, live) float64.

        None where these do not hold all that the factor does, so that they cannot stand for it.
        """
        if not self.well_conditioned:
            return None
        live = np.flatnonzero(self.live)
        scales = 1.0 / self.norms[live]
        products = self.second_moments.take(live, 0).take(live, 1)
        products *= scales[:, None]
        products *= scales
        return products


def reduce(
    x: Any,
    y: Any,
    *,
    device: DeviceLike = "auto",
    chunk_samples: int | None = None,
    centred: bool = False,
) -> PairMoments:
    """Read two layers' activations, chunk by chunk, into their second moments.

    Activations are read once. Where neurons are so nearly dependent that rounded moments do not
    give every distance to 5e-9 (the nearest neuron is about 0.003 from the others' span, or less),
    they are read again for a QR factor, which ``PairMoments.well_conditioned`` reports. So they are
    where that is true of the neurons without their means (to 1e-6, about 0.0005 of the norms), as
    where means are 2,000 times the deviations.

    Args:
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples held at once; None for about 32 MB of them.
        centred: take each neuron's mean from it first, which takes one more read of the samples.
            The paper does not; but an offset that all neurons have, such as a positive mean, then
            makes neurons match that have nothing else in common. A constant neuron is a dead one.

    Returns:
        The pair's moments, on the CPU.

    Raises:
        ValueError: for NaN or infinity (naming neurons), different sample counts, not two
            dimensions, no samples, masked or sparse arrays, Zarr arrays without some of their
            chunks, or values whose squares leave float64's range.

    Warns:
        FewSamplesWarning: above 0.2 neurons a sample, where some of a match is chance.

    Example:
        >>> import numpy as np
        >>> pair = reduce(np.eye(3)[:, :2], np.ones((3, 1)))
        >>> pair.samples, pair.neurons_x, pair.neurons_y
        (3, 2, 1)
        >>> pair.second_moments
        array([[1., 0., 1.],
               [0., 1., 1.],
               [1., 1., 3.]])
    """
    x, y = as_activations("x", x), as_activations("y", y)
    same_samples(x, y)
    warn_of_few_samples(max(x.shape[1], y.shape[1]), x.shape[0])
    device = resolve_device(device)
    step = as_chunk_samples(chunk_samples, 8 * (x.shape[1] + y.shape[1]))

    if centred:
        x, y = Deviations("x", x, step), Deviations("y", y, step)
    layers = LayerReader(x), LayerReader(y)
    blocks = Blocks.on(device, x.shape[0], step, layers[0].width + layers[1].width)
    moments, sums = _sum_moments(*layers, blocks, device)
    squares = device.numpy(moments.diagonal())
    check_range("x", x, squares[: x.shape[1]], step)
    check_range("y", y, squares[layers[0].width : -1], step)
    pair = pair_of(*layers, moments, sums, blocks.additions, step, device)
    return replace(pair, centred=centred)


def pair_of(
    x: LayerReader,
    y: LayerReader,
    moments: Array,
    sums: Array,
    additions: int,
    step: int,
    device: Device,
) -> PairMoments:
    """The pair of two layers that have been read.

    Args:
        x: the layers, read again only where their moments do not hold the factor.
        y: likewise.
        moments: E'E, (n + 2, n + 2) float64 on the device, E = [X a Y b] the columns of both.
        sums: of the columns of E, (n + 2,).
        additions: the most that a product in the moments has passed.
        step: samples to read at once.
        device: where the moments are.

    Returns:
        The pair's moments, on the CPU.
    """
    products = _length_products(x, y, moments, sums, device)
    # Without the column more of X and of Y.
    neurons = np.delete(np.arange(len(sums)), [x.width - 1, len(sums) - 1])
    moments = device.take(device.take(moments, neurons), neurons, axis=1)
    sums = device.take(sums, neurons)
    error = moment_error(additions, len(neurons))
    return factored(x.array, y.array, moments, sums, products, error, step, device)


def factored(
    x: Any,
    y: Any,
    moments: Array,
    sums: Array,
    length_products: np.ndarray | None,
    error: float,
    step: int,
    device: Device,
    *,
    centre: bool = True,
) -> PairMoments:
    """The pair of moments that are there already, factored.

    Args:
        x: (samples, n_x) activations, read only if the moments do not hold a factor.
        y: (samples, n_y).
        moments: Z'Z, (n, n) float64 on the device.
        sums: of the columns of Z, (n,).
        length_products: as of ``PairMoments``; None if they left float64's range.
        error: of the moments, as of ``PairMoments``.
        step: samples to read at once.
        device: where the moments are.
        centre: read the samples also where only the centred factor needs it.

    Returns:
        The pair's moments, on the CPU.
    """
    second_moments = device.numpy(moments)
    live = np.flatnonzero(np.diagonal(second_moments))
    norms = device.array(np.sqrt(np.diagonal(second_moments)[live]))
    scaled = device.take(device.take(moments, live), live, axis=1)
    scaled /= norms[:, None]
    scaled /= norms
    found, steps = factor_from_moments(scaled, error, device), 0
    factor, margin = found or (None, ACCURACY / 2)
    centred = None
    if factor is not None and length_products is not None:
        means = device.take(sums, live) / norms * x.shape[0] ** -0.5
        centred = centred_from_moments(scaled, means, error, device)
    if len(live) and (factor is None or (centred is None and centre)):
        rows = QR_ROWS * len(sums)
        step = max(step, rows)
        blocks = Blocks(x.shape[0], step, min(x.shape[0], step, max(rows, LEAST_QR_ROWS)))
        read = read_about_means(
            (
                device.take(chunk[block], live, axis=1)
                for chunk in joint_chunks(x, y, step, device)
                for block in blocks.within(len(chunk))
            ),
            blocks=blocks,
            means=device.take(sums, live) / x.shape[0],
            norms=norms,
            live_x=int((live < x.shape[1]).sum()),
            device=device,
        )
        if factor is None:
            factor, steps = read.factor, blocks.levels
        centred, length_products = read.centred_factor, read.length_products
    return PairMoments(
        second_moments=second_moments,
        sums=device.numpy(sums),
        length_products=np.full((2, 2), np.nan) if length_products is None else length_products,
        neurons_x=x.shape[1],
        samples=x.shape[0],
        factor=device.numpy(factor),
        well_conditioned=found is not None,
        moment_error=error,
        column_error=column_error(steps, len(sums)),
        tie_margin=margin,
        centred_factor=None if centred is None else device.numpy(centred),
    )


def _sum_moments(
    x: LayerReader, y: LayerReader, blocks: Blocks, device: Device
) -> tuple[Array, Array]:
    """E'E and the column sums of E = [X a Y b], block by block."""
    width = x.width + y.width
    joint = device.empty(blocks.length, width)
    upper, sums = GroupedSum(blocks, device, width, width), GroupedSum(blocks, device, width)
    for _, (rows_x, rows_y) in read_ahead((x.array, y.array), blocks.step, device):
        for block in blocks.within(len(rows_x)):
            part_x, part_y = rows_x[block], rows_y[block]
            chunk = joint[: len(part_x)]
            x.fill(chunk[:, : x.width], part_x, device)
            y.fill(chunk[:, x.width :], part_y, device)
            device.add_upper_square(upper.next(), chunk)
            part = sums.next()
            part += device.column_sums(chunk)
    return device.symmetric(upper.total()), sums.total()


def _length_products(
    x: LayerReader, y: LayerReader, moments: Array, sums: Array, device: Device
) -> np.ndarray | None:
    """Sums of products of squared distances from the means: their covariance, and their means'.

    None where the fourth powers of activations leave float64's range.
    """
    weights = device.zeros(len(sums), 2)
    totals = np.empty(2)
    for side, (layer, start) in enumerate(((x, 0), (y, x.width))):
        end = start + layer.width - 1
        weights[start:end, side], totals[side] = layer.lengths(sums[start : end + 1])
        weights[end, side] = 1.0
    if not all(total == 0 or SMALLEST_TOTAL < total < 1 / SMALLEST_TOTAL for total in totals):
        return None
    weighted = device.numpy(weights.T @ sums)
    products = device.numpy(weights.T @ device.product(moments, weights))
    means = np.outer(totals, totals) - np.outer(weighted, weighted)
    return shares(products + means / x.array.shape[0], totals)
