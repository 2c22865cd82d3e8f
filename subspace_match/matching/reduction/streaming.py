"""Moments of two layers whose samples arrive in pieces, each once, as a network computes them.

``reduce`` can read its arrays a second time if the moments lose digits. A stream cannot be read
again, so one of two things replaces the second read:

- Few samples per neuron are kept as they are, until the stream ends; then ``reduce`` reads them.
- Many samples are added up as they arrive, and a streaming QR goes along. It needs no exact means:
  with the columns of the QR [1 U V a b], where U and V are the samples minus the rough means and a
  and b their squared lengths (see ``LayerReader``), row 0 of R has every column's component along
  the constant direction, and the rows below are the centred columns.

The sums take the same blocks as those of ``reduce``, so both give the same moments, bit for bit.
The factors of the QR have other rounding errors than those of a second read, within the same
bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends import resolve_device
from ..backends.base import Array, Device, DeviceLike
from ..validation import as_chunk_samples
from .block_sums import Blocks
from .factor import StreamedFactor
from .moments import MIN_QR_ROWS, QR_ROWS, MomentSum, PairMoments, pair_from_sums, reduce
from .reading import LayerReader
from .second_read import SecondRead, normalised

# Samples per neuron of a pair that are kept. Ten rows of float32 take as much memory as what
# replaces them: five float64 matrices of that many rows and columns (moments, a block, R, and two
# for the next rows of the QR).
KEPT_PER_NEURON = 10
UNKNOWN = 10**8  # samples for which blocks are grouped if their number is not known


class StreamedPair:
    """Two layers whose samples arrive in pieces.

    Example:
        >>> import numpy as np
        >>> x, y = np.random.default_rng(0).random((2, 100, 3), dtype=np.float32)
        >>> streamed = StreamedPair(3, 3, samples=100, device="cpu")
        >>> for start in range(0, 100, 30):
        ...     streamed.add(x[start : start + 30], y[start : start + 30])
        >>> streamed.pair() == reduce(x, y, device="cpu")
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
        self._sums: _Sums | None = None
        self.count = 0

    @staticmethod
    def bytes_kept(neurons: int, samples: int) -> int:
        """Return how much memory this many samples of a pair of ``neurons`` in all take."""
        return 4 * neurons * samples

    def add(self, x: Any, y: Any) -> None:
        """Add the next samples of both layers.

        Args:
            x: (samples, n_x) finite float32 NumPy array or torch tensor, of which squares fit in
                float64. It is not copied, so do not change it.
            y: (samples, n_y), the same samples.
        """
        self.count += len(x)
        if self._sums is None:
            cpu = resolve_device("cpu")
            self._kept.append((cpu.rows(x), cpu.rows(y)))
            if self.count <= self._most_kept:
                return
            self._sums = _Sums(self._widths, self._expected or UNKNOWN, self._device)
            for rows in self._kept:
                self._sums.add(*rows)
            self._kept = []
        else:
            self._sums.add(x, y)

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

    def pair(self) -> PairMoments:
        """Return the moments of all samples; call this once, after the last ``add``."""
        if self._sums is None:
            return reduce(*self.samples(), device=self._device)
        return self._sums.pair()


@dataclass
class _Arrived:
    """A layer of which only the shape is known."""

    shape: tuple[int, int]


class _Sums:
    """The sums over all samples so far, and the QR that goes along."""

    def __init__(self, widths: tuple[int, int], samples: int, device: Device) -> None:
        self._device, self._count = device, 0
        self._arrays = [_Arrived((samples, width)) for width in widths]
        self._x, self._y = (LayerReader(array) for array in self._arrays)
        step = as_chunk_samples(None, 8 * sum(widths))
        width = self._x.width + self._y.width
        self._blocks = Blocks.for_device(device, samples, step, width)
        self._joint = MomentSum(self._x, self._y, self._blocks, device)
        self._pending: list[tuple[Array, Array]] = []
        self._factor = _ShiftedFactor(self._x, self._y, samples, device)

    def add(self, x: Any, y: Any) -> None:
        """Add samples; they wait until they fill a block, as ``reduce`` divides samples."""
        self._pending.append((self._device.rows(x), self._device.rows(y)))
        self._take_blocks(last=False)

    def _take_blocks(self, *, last: bool) -> None:
        waiting = sum(len(rows) for rows, _ in self._pending)
        while waiting:
            in_step = self._blocks.step - self._count % self._blocks.step
            size = min(self._blocks.length, in_step)
            if waiting < size and not last:
                return
            x, y = self._pop(min(size, waiting))
            self._factor.add(self._joint.add_block(x, y))
            self._count += len(x)
            waiting -= len(x)

    def _pop(self, count: int) -> tuple[Array, Array]:
        """Remove the first ``count`` waiting samples and return them."""
        parts, taken = [], 0
        while taken < count:
            x, y = self._pending.pop(0)
            use = min(len(x), count - taken)
            parts.append((x[:use], y[:use]))
            if use < len(x):
                self._pending.insert(0, (x[use:], y[use:]))
            taken += use
        if len(parts) == 1:
            return parts[0]
        x, y = (self._device.concatenate(list(side)) for side in zip(*parts, strict=True))
        return x, y

    def pair(self) -> PairMoments:
        """Return the moments of all samples."""
        self._take_blocks(last=True)
        for array in self._arrays:
            array.shape = (self._count, array.shape[1])
        moments, sums = self._joint.moments(), self._joint.sums()
        return pair_from_sums(
            *(self._x, self._y, moments, sums, self._blocks, self._device),
            read_again=self._factor.second_read,
        )


class _ShiftedFactor:
    """Streaming QR of [1 U V a b]; see the module's docstring."""

    def __init__(self, x: LayerReader, y: LayerReader, samples: int, device: Device) -> None:
        self._x, self._y, self._device = x, y, device
        self._neurons_x, self._neurons = x.width - 1, x.width + y.width - 2
        rows = max(QR_ROWS * self._neurons, MIN_QR_ROWS)
        self._blocks = Blocks(samples, samples, rows)
        self._streamed = StreamedFactor(self._neurons + 3, self._blocks.group, device)
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

    def second_read(self, live: np.ndarray, norms: Array) -> tuple[SecondRead, int]:
        """Return what a second read of the samples would, and how many QR steps a sample passed.

        Args:
            live: the live columns, (live,).
            norms: their norms, (live,) float64 on the device.
        """
        if self._filled:
            self._flush()
        device, upper = self._device, self._streamed.upper()
        length = upper[0, 0]  # of the column of ones, with the sign that the QR gave it
        columns = device.take(upper, live + 1, axis=1) / norms
        # Without dead columns R is no longer triangular.
        square = device.zeros(len(live), len(live))
        centred = device.append_rows(square, columns[1:])
        shift = device.take(device.concatenate([self._x.shift, self._y.shift]), live)
        constant = columns[:1] + length * shift / norms
        read = SecondRead(
            factor=device.append_rows(centred, constant),
            centred_factor=centred,
            length_products=self._length_products(device.numpy(upper)),
        )
        return read, self._blocks.block_additions + 2

    def _length_products(self, upper: np.ndarray) -> np.ndarray:
        """Return ``PairMoments.length_products`` from R.

        With o the mean of U, |x - mean|^2 = a - 2 U o + |o|^2 is a combination of R's columns.
        """
        n_x, n = self._neurons_x, self._neurons
        # R's first column is that of the ones: its only entry is +-sqrt(d).
        means = upper[0, 1 : n + 1] / upper[0, 0]
        lengths = np.empty((len(upper), 2))
        for side, own, distance in ((0, slice(0, n_x), n + 1), (1, slice(n_x, n), n + 2)):
            offset = means[own]
            combined = upper[:, distance] - 2 * upper[:, 1 : n + 1][:, own] @ offset
            combined[0] += upper[0, 0] * (offset @ offset)
            # In units of the largest entry, fourth powers stay within float64's range.
            lengths[:, side] = combined / (np.abs(combined).max() or 1.0)
        # Sums over the samples are products with the column of ones.
        return normalised(lengths.T @ lengths, lengths[0] * upper[0, 0])
