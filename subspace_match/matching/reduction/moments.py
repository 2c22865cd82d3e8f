"""From activations to moments: the one pass over the samples.

Cost: slightly more than d n^2 / 2 multiply-adds, half of those of one full product Z'Z in float64.
Memory: one step of samples in its own type, the next step, which is read meanwhile, and a block of
float64 that fits in a CPU's cache.

Time relative to the full product in torch, on one core, for float32 sides in memory, d = 10,000:

    n_x = n_y      64     256     512
    reduce       0.97    0.60    0.61
    products     0.56    0.46    0.44  upper triangle, by BLAS syrk
    copies       0.27    0.08    0.05  to float64, with squared distances and sums
    factors      0.02    0.04    0.10

The rest, 0.02 at 512 + 512 and 0.12 at 64 + 64, is copying n^2 numbers, and Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..backends import resolve_device
from ..backends.base import Array, Device, DeviceLike
from ..backends.numpy_ import Cpu
from ..content import EqualByContent
from ..validation import as_activations, as_chunk_samples, same_samples, warn_of_few_samples
from .block_sums import Blocks, GroupedSum
from .centred import Deviations
from .factor import ACCURACY, column_error, factor_from_moments, moment_error
from .reading import LayerReader, check_range, joint_chunks, read_ahead
from .second_read import SecondRead, centred_from_moments, normalised, read_about_means

QR_ROWS = 2  # rows per QR step, as a multiple of the columns: small enough to stay in cache
MIN_QR_ROWS = 256  # fewer rows per step would mean many steps
# From the live columns and their norms, (live,) on the device: both factors, and how many QR steps
# a sample passed.
ReadAgain = Callable[[np.ndarray, Array], tuple[SecondRead, int]]
SMALLEST_TOTAL = 1e-120  # sums of squared lengths are squared; the largest is 1 / SMALLEST_TOTAL


@dataclass(frozen=True, eq=False, repr=False)
class PairMoments(EqualByContent):
    """Everything that matching needs from two layers' activations on the same samples.

    Two of them are equal if all their numbers are, bit for bit.

    Attributes:
        second_moments: Z'Z, (n, n) float64, with Z = [X Y] neither scaled nor centred.
        sums: column sums of Z, (n,) float64.
        length_products: [[sum a^2, sum a b], [sum a b, sum b^2]] over the samples, (2, 2) float64.
            For one sample, a is |x - mean x|^2 divided by its sum over the samples, and b the same
            for y. Debiased CKA needs these fourth-order moments. NaN for a side without live
            neurons.
        neurons_x: n_x; the first n_x rows and columns are X's.
        samples: d.
        factor: F, (k, live) float64, upper triangular; F'F are the moments of the live columns
            scaled to norm 1.
        well_conditioned: whether the live columns are far enough from dependent that the moments
            determine every distance to 5e-9; if not, the factor comes from a second read of the
            samples.
        moment_error: bound on the rounding error of an entry of the moments of the live columns
            scaled to norm 1, from the number of additions made.
        column_error: estimated rounding error of a unit column of the factor, from the second read
            (if there was one) and from a later factorisation of the columns.
        tie_margin: distances this close to an epsilon count as equal to it. If the pair is
            well-conditioned, it is the rounding error of distances, at most 5e-9; otherwise 5e-9.
        centred_factor: G, (k, live) float64, upper triangular; G'G are the moments of the centred
            live columns, divided by their norms before centring. It also comes from a second read
            if the moments do not determine it: if means are large compared with deviations, or
            centred columns are nearly dependent. None if a permutation of a null distribution would
            need a second read for it.
        centred: whether each neuron's mean was subtracted first, so that all fields describe the
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

    def __repr__(self) -> str:
        sizes = f"{self.neurons_x} + {self.neurons_y} neurons, {self.samples} samples"
        words = [sizes, *(["centred"] if self.centred else [])]
        words += [] if self.well_conditioned else ["nearly dependent neurons"]
        return f"<PairMoments of {', '.join(words)}>"

    @property
    def neurons_y(self) -> int:
        """Number of Y's neurons, n_y."""
        return len(self.sums) - self.neurons_x

    @property
    def norms(self) -> np.ndarray:
        """Euclidean norm of every neuron's activation vector, (n,) float64; 0 if dead."""
        norms: np.ndarray = np.sqrt(np.diagonal(self.second_moments))
        return norms

    @property
    def live(self) -> np.ndarray:
        """Mask of live neurons (some activation is not zero), (n,) bool."""
        return np.diagonal(self.second_moments) > 0

    @property
    def unit_products(self) -> np.ndarray | None:
        """Moments of the live columns scaled to norm 1, (live, live) float64.

        None if the pair is not ``well_conditioned``: then only the factor is accurate.
        """
        return self.unit_products_on(Cpu())

    def unit_products_on(self, device: Device) -> Array | None:
        """Compute ``unit_products`` on a device."""
        if not self.well_conditioned:
            return None
        live = np.flatnonzero(self.live)
        scales = device.array(1.0 / self.norms[live])
        products = device.take(device.take(device.array(self.second_moments), live), live, axis=1)
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
    """Reduce two layers' activations, chunk by chunk, to their second moments.

    Activations are read once. They are read again for a QR factor if neurons are so nearly
    dependent that rounded moments do not give every distance to 5e-9 (some neuron is closer than
    about 0.003 to the others' span); ``PairMoments.well_conditioned`` is then False. They are also
    read again if rounded moments do not give the distances of centred neurons to 1e-6 (some neuron
    is closer than about 0.0005 of its norm), for example if means are 2,000 times the deviations.

    Args:
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples held at a time; None for about 32 MB, on a GPU 256 MB.
        centred: whether to subtract each neuron's mean first, which needs one more read. The paper
            does not centre; but then an offset that all neurons share, such as a positive mean,
            makes neurons match that have nothing else in common. A constant neuron becomes dead.

    Returns:
        The pair's moments, on the CPU.

    Raises:
        ValueError: for NaN or infinity (the message names a neuron), different sample counts,
            arrays that are not two-dimensional, empty, masked or sparse, Zarr arrays with missing
            chunks, or values whose squares leave float64's range.

    Warns:
        FewSamplesWarning: above 0.2 neurons per sample, where part of a match is chance.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> pair = sm.reduce(np.eye(3)[:, :2], np.ones((3, 1)))
        >>> pair.samples, pair.neurons_x, pair.neurons_y
        (3, 2, 1)
        >>> pair.second_moments
        array([[1., 0., 1.],
               [0., 1., 1.],
               [1., 1., 3.]])
    """
    x, y = as_activations("x", x), as_activations("y", y)
    same_samples({"x": x, "y": y})
    warn_of_few_samples(max(x.shape[1], y.shape[1]), x.shape[0], "sample")
    device = resolve_device(device)
    step = as_chunk_samples(chunk_samples, x.shape[1] + y.shape[1], device)

    if centred:
        x, y = Deviations("x", x, step), Deviations("y", y, step)
    layers = LayerReader(x), LayerReader(y)
    blocks = Blocks.for_device(device, x.shape[0], step, layers[0].width + layers[1].width)
    total = MomentSum(*layers, blocks, device)
    for _, rows in read_ahead((x, y), step, device):
        total.add(*rows)
    moments, sums = total.moments(), total.sums()
    check_squares(*layers, moments, step, device)
    pair = pair_from_sums(*layers, moments, sums, blocks, device)
    return replace(pair, centred=centred)


def pair_from_sums(
    x: LayerReader,
    y: LayerReader,
    moments: Array,
    sums: Array,
    blocks: Blocks,
    device: Device,
    *,
    halves: int = 1,
    read_again: ReadAgain | None = None,
) -> PairMoments:
    """Build the pair from the sums over all samples.

    Args:
        x: X's layer, read again only if the moments do not determine the factor.
        y: Y's layer, read again in the same case.
        moments: E'E, (n + 2, n + 2) float64 on the device, with E = [X a Y b] the columns of both
            ``LayerReader``.
        sums: column sums of E, (n + 2,).
        blocks: how the samples were added up.
        device: where the moments are.
        halves: number of parts that were added up separately, and then together.
        read_again: replaces the second read of x and y.

    Returns:
        The pair's moments, on the CPU.
    """
    products = _length_products(x, y, moments, sums, device)
    moments, sums = neurons_only(x, moments, sums, device)
    error = moment_error(blocks.additions + halves - 1, len(sums))
    return pair_from_moments(
        *(x.array, y.array, moments, sums, products, error, blocks.step, device),
        read_again=read_again,
    )


def pair_from_moments(
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
    read_again: ReadAgain | None = None,
) -> PairMoments:
    """Build the pair from its moments: factor them, or read the samples again.

    Args:
        x: (samples, n_x) activations, read only if the moments do not determine a factor.
        y: (samples, n_y) activations.
        moments: Z'Z, (n, n) float64 on the device.
        sums: column sums of Z, (n,).
        length_products: as in ``PairMoments``; None if they left float64's range.
        error: ``moment_error`` as in ``PairMoments``.
        step: samples to read at a time.
        device: where the moments are.
        centre: whether to read the samples again if only the centred factor needs it.
        read_again: replaces the second read of x and y.

    Returns:
        The pair's moments, on the CPU.
    """
    # Large layers take as long to copy to the host as to factor, so both are done at once.
    second_moments = device.numpy_later(moments)
    squares = device.numpy(moments.diagonal())
    live = np.flatnonzero(squares)
    norms = device.array(np.sqrt(squares[live]))
    scaled = device.take(device.take(moments, live), live, axis=1)
    scaled /= norms[:, None]
    scaled /= norms
    found, steps, centred = factor_from_moments(scaled, error, device), 0, None
    if found is not None:
        factor = device.numpy_later(found.upper)
        if length_products is not None:
            means = device.take(sums, live) / norms * x.shape[0] ** -0.5
            centred = centred_from_moments(scaled, found, means, error, device)
    if len(live) and (found is None or (centred is None and centre)):
        if read_again is None:
            read, qr_steps = _read_again(x, y, sums, live, norms, step, device)
        else:
            read, qr_steps = read_again(live, norms)
        if found is None:
            factor, steps = device.numpy_later(read.factor), qr_steps
        centred, length_products = read.centred_factor, read.length_products
    return PairMoments(
        second_moments=second_moments(),
        sums=device.numpy(sums),
        length_products=np.full((2, 2), np.nan) if length_products is None else length_products,
        neurons_x=x.shape[1],
        samples=x.shape[0],
        factor=factor(),
        well_conditioned=found is not None,
        moment_error=error,
        column_error=column_error(steps, len(sums)),
        tie_margin=ACCURACY / 2 if found is None else found.error,
        centred_factor=None if centred is None else device.numpy(centred),
    )


def _read_again(
    x: Any, y: Any, sums: Array, live: np.ndarray, norms: Array, step: int, device: Device
) -> tuple[SecondRead, int]:
    """Read the samples again; return both factors, and how many QR steps a sample passed."""
    rows = QR_ROWS * len(sums)
    step = max(step, rows)
    blocks = Blocks(x.shape[0], step, min(x.shape[0], step, max(rows, MIN_QR_ROWS)))
    read = read_about_means(
        (
            device.take(chunk[block], live, axis=1)
            for chunk in joint_chunks(x, y, step, device)
            for block in blocks.slices(len(chunk))
        ),
        blocks=blocks,
        means=device.take(sums, live) / x.shape[0],
        norms=norms,
        live_x=int((live < x.shape[1]).sum()),
        device=device,
    )
    return read, blocks.block_additions


class MomentSum:
    """The sums E'E and the column sums of E = [X a Y b], added up from rows of both layers."""

    def __init__(self, x: LayerReader, y: LayerReader, blocks: Blocks, device: Device) -> None:
        self._x, self._y, self._blocks, self._device = x, y, blocks, device
        width = x.width + y.width
        self._joint = device.empty(blocks.length, width)
        self._upper = GroupedSum(blocks, device, width, width)
        self._sums = GroupedSum(blocks, device, width)

    def add(self, rows_x: Array, rows_y: Array) -> None:
        """Add the same samples of both layers, block by block."""
        for block in self._blocks.slices(len(rows_x)):
            self.add_block(rows_x[block], rows_y[block])

    def add_block(self, rows_x: Array, rows_y: Array) -> Array:
        """Add at most a block of samples; return it as E, which the next call overwrites."""
        chunk = self._joint[: len(rows_x)]
        self._x.fill(chunk[:, : self._x.width], rows_x, self._device)
        self._y.fill(chunk[:, self._x.width :], rows_y, self._device)
        self._device.add_upper_gram(self._upper.next(), chunk)
        part = self._sums.next()
        part += self._device.column_sums(chunk)
        return chunk

    def moments(self) -> Array:
        """Return E'E, (n + 2, n + 2) float64 on the device."""
        return self._device.symmetric(self._upper.total())

    def sums(self) -> Array:
        """Return the column sums of E, (n + 2,) float64 on the device."""
        return self._sums.total()


def check_squares(
    x: LayerReader, y: LayerReader, moments: Array, step: int, device: Device
) -> None:
    """Raise a ValueError for neurons of x and y whose sum of squares leaves float64's range."""
    squares = device.numpy(moments.diagonal())
    check_range("x", x.array, squares[: x.width - 1], step)
    check_range("y", y.array, squares[x.width : -1], step)


def neurons_only(
    x: LayerReader, moments: Array, sums: Array, device: Device
) -> tuple[Array, Array]:
    """Leave the distance columns a and b out of the moments and sums of E = [X a Y b]."""
    neurons = np.delete(np.arange(len(sums)), [x.width - 1, len(sums) - 1])
    moments = device.take(device.take(moments, neurons), neurons, axis=1)
    return moments, device.take(sums, neurons)


def _length_products(
    x: LayerReader, y: LayerReader, moments: Array, sums: Array, device: Device
) -> np.ndarray | None:
    """Return ``PairMoments.length_products``, or None if fourth powers leave float64's range."""
    weights = device.zeros(len(sums), 2)
    totals = np.empty(2)
    for side, (layer, start) in enumerate(((x, 0), (y, x.width))):
        end = start + layer.width - 1
        weights[start:end, side], totals[side] = layer.distances_from_means(sums[start : end + 1])
        weights[end, side] = 1.0
    if not all(total == 0 or SMALLEST_TOTAL < total < 1 / SMALLEST_TOTAL for total in totals):
        return None
    weighted = device.numpy(weights.T @ sums)
    products = device.numpy(weights.T @ device.product(moments, weights))
    # Weighted columns equal the distances up to a constant: replace their means by the true ones.
    means = np.outer(totals, totals) - np.outer(weighted, weighted)
    return normalised(products + means / x.array.shape[0], totals)
