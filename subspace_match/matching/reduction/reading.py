"""Read activations, some samples at a time, while a thread reads the next ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..backends import resolve_device
from ..backends.base import Array, Device
from ..validation import dtype_name

ROUGH = 1024  # samples from which the rough means are computed


def read_ahead(
    arrays: Sequence[Any], step: int, device: Device
) -> Iterator[tuple[int, list[Array]]]:
    """Read several arrays over the same samples in steps, in order, each sample once.

    While the caller works on one step, a thread reads the next one: decompressing Zarr chunks takes
    about as long as multiplying narrow layers.

    Args:
        arrays: (samples, neurons) NumPy arrays, torch tensors or Zarr arrays.
        step: samples at a time.
        device: where to put the rows.

    Yields:
        The index of the first row, and the rows of each array as ``Device.rows`` gives them.
    """
    samples, readers = arrays[0].shape[0], [_ChunkReader(array) for array in arrays]

    def read(start: int) -> list[Array]:
        return [device.rows(reader[start : min(start + step, samples)]) for reader in readers]

    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(read, 0)
        for start in range(0, samples, step):
            rows = ahead.result()
            if start + step < samples:
                ahead = thread.submit(read, start + step)
            yield start, rows


class _ChunkReader:
    """Consecutive slices of an array, read by whole chunks.

    A plain slice would decompress a chunk again that it shares with the slice before. An array
    without chunks is sliced directly.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        chunk = (getattr(array, "chunks", None) or (1,))[0]
        # Chunks of different lengths, as of a Dask array, are a tuple of lengths.
        self._chunk = chunk if isinstance(chunk, int) else 1
        self._held, self._first = np.empty((0, 0)), 0

    def __getitem__(self, rows: slice) -> Any:
        if self._chunk == 1:
            return self._array[rows]
        kept, end = self._held[rows.start - self._first :], self._first + len(self._held)
        if rows.stop > end:
            more = np.asarray(self._array[end : -(-rows.stop // self._chunk) * self._chunk])
            self._held = np.concatenate([kept, more]) if len(kept) else more
            self._first = rows.start
        return self._held[rows.start - self._first : rows.stop - self._first]


def joint_chunks(x: Any, y: Any, step: int, device: Device) -> Iterator[Array]:
    """Yield Z = [X Y] as float64, ``step`` samples at a time; each chunk overwrites the last."""
    samples, n_x = x.shape
    joint = device.empty(min(step, samples), n_x + y.shape[1])
    for start, (rows_x, rows_y) in read_ahead((x, y), step, device):
        chunk = joint[: samples - start]
        chunk[:, :n_x], chunk[:, n_x:] = rows_x, rows_y
        yield chunk


class LayerReader:
    """A layer that is being read, as [X a]: its neurons and a distance column a.

    The distance column holds each sample's squared distance from the rough means. Debiased CKA
    needs its products with the other columns; they come out of the same matrix product.

    Attributes:
        array: (samples, neurons).
        width: number of columns, neurons + 1.
        shift: (neurons,) float64, the rough means, which are the means of the first rows; None
            before these are read. Squared distances from them keep digits that squared lengths
            would lose.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.width = array, array.shape[1] + 1
        self.shift: Array | None = None

    def fill(self, block: Array, rows: Array, device: Device) -> None:
        """Fill a block (samples, width) with rows; the first call must bring the first rows."""
        if self.shift is None:
            first = block[:ROUGH, :-1]
            first[:] = rows[:ROUGH]
            self.shift = first.mean(0)
        device.fill_with_distances(block, rows, self.shift)

    def distances_from_means(self, sums: Array) -> tuple[Array, Any]:
        """Express the squared distances from the exact means by the columns.

        With o = mean - shift, |x - mean|^2 = |x - shift|^2 - 2 o'x + a constant.

        Args:
            sums: column sums, (width,).

        Returns:
            The weights -2 o of the neurons' columns, (width - 1,), while the weight of the distance
            column is 1; and the sum of the squared distances over the samples, sum a - d |o|^2.
        """
        assert self.shift is not None, "call this after the last row was read"
        samples = self.array.shape[0]
        offset = sums[:-1] / samples - self.shift
        return -2 * offset, sums[-1] - samples * (offset**2).sum()


def check_range(argument: str, array: Any, squares: np.ndarray, step: int) -> None:
    """Raise a ValueError for columns whose sum of squares overflows or underflows float64."""
    suspect = ~np.isfinite(squares)
    # Products of float32 cannot underflow in float64. Products of float64 lose digits below 1e-280,
    # and at 0 a live neuron would look dead.
    if not dtype_name(array).endswith(("float16", "float32")):
        suspect |= squares < 1e-280
    if not suspect.any():
        return
    broken, not_zero = np.zeros(len(squares), dtype=np.int64), np.zeros(len(squares), dtype=bool)
    cpu = resolve_device("cpu")
    for start in range(0, array.shape[0], step):
        block = cpu.rows(array[start : start + step])
        broken += (~np.isfinite(block)).sum(0)
        not_zero |= (block != 0).any(0)
    if broken.any():
        neurons = np.flatnonzero(broken)
        raise ValueError(
            f"{argument}: expected finite activations, found {broken.sum()} NaN or infinite values"
            f" in {len(neurons)} neurons, first in neuron {neurons[0]}; find the layer that"
            " overflows, or drop these samples from both sides"
        )
    for neurons, size, problem, direction in (
        (np.flatnonzero(np.isinf(squares)), "large", "overflow", "down"),
        (np.flatnonzero(suspect & not_zero & (squares < 1)), "small", "underflow", "up"),
    ):
        if len(neurons):
            raise ValueError(
                f"{argument}: expected activations whose squares fit in float64, found neuron"
                f" {neurons[0]} with values so {size} that their squares {problem}; scale its"
                f" column {direction}"
            )
