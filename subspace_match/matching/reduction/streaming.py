"""Moments of layers whose samples arrive in pieces, each once, as a network computes them.

``reduce_halves`` can read its arrays a second time if the moments lose digits. A stream cannot be
read again, so one of two things replaces the second read:

- Few samples per neuron are kept as they are, until the stream ends; then they are reduced.
- Many samples are added up as they arrive, and a streaming QR goes along for each half. It needs no
  exact means: with the columns of the QR [1 U V a b], where U and V are the samples minus the rough
  means and a and b their squared lengths (see ``LayerReader``), row 0 of R has every column's
  component along the constant direction, and the rows below are the centred columns. The R of all
  samples is that of both halves' R, one below the other.

The sums are those of ``reduce_halves``, so both give the same moments, bit for bit. The factors of
the QR have other rounding errors than those of a second read, within the same bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..backends import resolve_device
from ..backends.base import Array, Device, DeviceLike
from ..validation import as_chunk_samples
from .block_sums import Blocks
from .factor import StreamedFactor
from .halved_sums import HalvedSum
from .halves import HalvedMoments, halved_from_sums, reduce_split
from .moments import MIN_QR_ROWS, QR_ROWS
from .reading import LayerReader
from .second_read import SecondRead, normalised

# Samples per neuron of a pair that are kept. Twenty rows of float32 take as much memory as what
# replaces them: for each half, five float64 matrices of that many rows and columns (moments, a
# block, R, and two for the next rows of the QR).
KEPT_PER_NEURON = 20
UNKNOWN = 10**8  # samples for which blocks are grouped if their number is not known


class StreamedPair:
    """Two layers whose samples arrive in pieces, each in one of two halves.

    Example:
        >>> import numpy as np
        >>> from .halves import reduce_halves, split_images
        >>> x, y = np.random.default_rng(0).random((2, 100, 3), dtype=np.float32)
        >>> in_first, images = split_images(None, 100, seed=0)
        >>> streamed = StreamedPair(3, 3, samples=100, device="cpu")
        >>> for start in range(0, 100, 30):
        ...     part = slice(start, start + 30)
        ...     streamed.add(x[part], y[part], in_first[part])
        >>> streamed.halves(images) == reduce_halves(x, y, seed=0, device="cpu")
        True
    """

    def __init__(
        self,
        neurons_x: int,
        neurons_y: int,
        samples: int | None,
        *,
        device: DeviceLike = "auto",
        keep: bool = False,
    ) -> None:
        """Prepare for the samples.

        Args:
            neurons_x: n_x.
            neurons_y: n_y.
            samples: number of samples that are expected, None if unknown. Fewer may arrive.
            device: "cpu", "cuda" or "auto"; must have float64.
            keep: whether to keep all samples, for ``samples``.
        """
        self._device = resolve_device(device)
        self._widths, self._expected = (neurons_x, neurons_y), samples
        most = KEPT_PER_NEURON * (neurons_x + neurons_y)
        if keep:
            self._most_kept: float = np.inf
        else:
            self._most_kept = most if samples is None or samples <= most else 0
        self._kept: list[tuple[Array, Array]] = []
        self._in_first: list[np.ndarray] = []  # of the samples that are kept
        self._sums: _Sums | None = None
        self.count = 0

    def add(self, x: Any, y: Any, in_first: np.ndarray) -> None:
        """Add the next samples of both layers.

        Args:
            x: (samples, n_x) finite float32 NumPy array or torch tensor, of which squares fit in
                float64. It may not be copied, so do not change it.
            y: (samples, n_y), the same samples.
            in_first: whether each sample is in the first half, (samples,) bool. All samples of an
                image must be in the same half.
        """
        self.count += len(x)
        if self._sums is not None:
            self._sums.add(x, y, in_first)
            return
        cpu = resolve_device("cpu")
        self._kept.append((cpu.rows(x), cpu.rows(y)))
        self._in_first.append(in_first)
        if self.count > self._most_kept:
            self._sums = _Sums(self._widths, self._expected or UNKNOWN, self._device)
            for rows, own in zip(self._kept, self._in_first, strict=True):
                self._sums.add(*rows, own)
            self._kept, self._in_first = [], []

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the samples of both layers, (samples, n_x) and (samples, n_y); needs ``keep``."""
        if len(self._kept) > 1:
            # One side at a time, so that never more than one is held twice.
            both = []
            for side in (0, 1):
                both.append(np.concatenate([rows[side] for rows in self._kept]))
                self._kept = [(np.empty(0), rows[1]) for rows in self._kept]
            self._kept = [(both[0], both[1])]
        return self._kept[0]

    def halves(self, images: tuple[int, int]) -> HalvedMoments:
        """Return the moments of both halves and of all samples; call this once, at the end.

        Args:
            images: number of images in the first and in the second half.
        """
        if self._sums is not None:
            return self._sums.halves(images)
        step = as_chunk_samples(None, sum(self._widths), self._device)
        in_first = np.concatenate(self._in_first)
        return reduce_split(*self.samples(), in_first, images, step, self._device)


@dataclass(frozen=True)
class _Arrived:
    """A layer of which only the shape is known."""

    shape: tuple[int, int]


class _Sums:
    """The sums over the samples of each half so far, and the QR that goes along."""

    def __init__(self, widths: tuple[int, int], samples: int, device: Device) -> None:
        self._device, self._widths = device, widths
        self._x, self._y = (LayerReader(_Arrived((samples, width))) for width in widths)
        step = as_chunk_samples(None, sum(widths), device)
        width = self._x.width + self._y.width
        self._blocks = Blocks.for_device(device, samples, step, width)
        self._factors = [_ShiftedFactor(self._x, self._y, samples, device) for _ in range(2)]
        followers = [factor.add for factor in self._factors]
        self._sums = HalvedSum(self._x, self._y, self._blocks, device, followers)

    def add(self, x: Any, y: Any, in_first: np.ndarray) -> None:
        """Add samples."""
        self._sums.add(self._device.rows(x), self._device.rows(y), in_first)

    def halves(self, images: tuple[int, int]) -> HalvedMoments:
        """Return the moments of all samples."""
        sums = self._sums.finish()
        counts, (n_x, n_y) = self._sums.counts, self._widths
        for layer, width in ((self._x, n_x), (self._y, n_y)):
            layer.array = _Arrived((sum(counts), width))
        return halved_from_sums(
            (self._x, self._y),
            sums,
            [(_Arrived((count, n_x)), _Arrived((count, n_y))) for count in counts],
            images,
            self._blocks,
            self._device,
            [partial(self._second_read, own) for own in ((0, 1), (0,), (1,))],
        )

    def _second_read(
        self, halves: Sequence[int], live: np.ndarray, norms: Array
    ) -> tuple[SecondRead, int]:
        """Return what a second read of the samples would, and how many QR steps a sample passed.

        Args:
            halves: the halves to which the samples belong.
            live: the live columns, (live,).
            norms: their norms, (live,) float64 on the device.
        """
        upper = self._factors[halves[0]].upper()
        for half in halves[1:]:
            upper = self._device.append_rows(upper, self._factors[half].upper())
        steps = self._factors[0].steps + len(halves) - 1
        return _read_from_r(upper, self._x, self._y, live, norms, self._device), steps


class _ShiftedFactor:
    """Streaming QR of [1 U V a b]; see the module's docstring."""

    def __init__(self, x: LayerReader, y: LayerReader, samples: int, device: Device) -> None:
        self._x, self._y = x, y
        self._neurons_x, self._neurons = x.width - 1, x.width + y.width - 2
        rows = max(QR_ROWS * self._neurons, MIN_QR_ROWS)
        blocks = Blocks(samples, samples, rows)
        self.steps = blocks.block_additions + 2  # that a sample passes
        self._streamed = StreamedFactor(self._neurons + 3, blocks.group, device)
        self._rows, self._filled = device.empty(rows, self._neurons + 3), 0

    def add(self, chunk: Array) -> None:
        """Add a block of E = [X a Y b]."""
        n_x, n = self._neurons_x, self._neurons
        for part, rows in self._room(chunk):
            rows[:, 0] = 1.0
            rows[:, 1 : n_x + 1] = part[:, :n_x] - self._x.shift
            rows[:, n_x + 1 : n + 1] = part[:, n_x + 1 : -1] - self._y.shift
            rows[:, n + 1] = part[:, n_x]
            rows[:, n + 2] = part[:, -1]
            self._filled += len(part)
            if self._filled == len(self._rows):
                self._flush()

    def _room(self, chunk: Array) -> Iterator[tuple[Array, Array]]:
        """Yield parts of a chunk, and the rows of the buffer for each."""
        start = 0
        while start < len(chunk):
            use = min(len(chunk) - start, len(self._rows) - self._filled)
            yield chunk[start : start + use], self._rows[self._filled : self._filled + use]
            start += use

    def _flush(self) -> None:
        self._streamed.add(self._rows[: self._filled])
        self._filled = 0

    def upper(self) -> Array:
        """Return R, (n + 3, n + 3)."""
        if self._filled:
            self._flush()
        return self._streamed.upper()


def _read_from_r(
    upper: Array, x: LayerReader, y: LayerReader, live: np.ndarray, norms: Array, device: Device
) -> SecondRead:
    """Compute from the R of [1 U V a b] what a second read of the samples would give."""
    length = upper[0, 0]  # of the column of ones, with the sign that the QR gave it
    columns = device.take(upper, live + 1, axis=1) / norms
    # Without dead columns R is no longer triangular.
    square = device.zeros(len(live), len(live))
    centred = device.append_rows(square, columns[1:])
    shift = device.take(device.concatenate([x.shift, y.shift]), live)
    constant = columns[:1] + length * shift / norms
    return SecondRead(
        factor=device.append_rows(centred, constant),
        centred_factor=centred,
        length_products=_length_products(device.numpy(upper), x.width - 1),
    )


def _length_products(upper: np.ndarray, neurons_x: int) -> np.ndarray:
    """Return ``PairMoments.length_products`` from R.

    With o the mean of U, |x - mean|^2 = a - 2 U o + |o|^2 is a combination of R's columns.
    """
    n = len(upper) - 3
    # R's first column is that of the ones: its only entry is +-sqrt(d).
    means = upper[0, 1 : n + 1] / upper[0, 0]
    lengths = np.empty((len(upper), 2))
    sides = (0, slice(0, neurons_x), n + 1), (1, slice(neurons_x, n), n + 2)
    for side, own, distance in sides:
        offset = means[own]
        combined = upper[:, distance] - 2 * upper[:, 1 : n + 1][:, own] @ offset
        combined[0] += upper[0, 0] * (offset @ offset)
        # In units of the largest entry, fourth powers stay within float64's range.
        lengths[:, side] = combined / (np.abs(combined).max() or 1.0)
    # Sums over the samples are products with the column of ones.
    return normalised(lengths.T @ lengths, lengths[0] * upper[0, 0])
