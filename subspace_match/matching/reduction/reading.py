"""Activations as they are read: some samples at a time, as float64 on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..backends import resolve_device
from ..backends.base import Array, Device
from ..validation import dtype_name

ROUGH = 1024  # samples whose means are near enough


def read_ahead(
    arrays: Sequence[Any], step: int, device: Device
) -> Iterator[tuple[int, list[Array]]]:
    """Rows of several arrays over the same samples, in order, each sample once.

    While one step's rows are worked on, a thread reads the next ones: decompressing Zarr chunks
    takes about as long as the products of narrow layers.

    Args:
        arrays: (samples, neurons) NumPy arrays, torch tensors or Zarr arrays.
        step: samples at a time.
        device: where to put them.

    Yields:
        The first row's number, and the rows of each array as ``Device.rows`` gives them.
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
    """Rows of an array that are asked for in order, read from it by the whole chunks it has.

    A chunk that two slices share would be decompressed for both. An array without chunks is read
    as it is sliced.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self._chunk = (getattr(array, "chunks", None) or (1,))[0]
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
    """Z = [X Y] as float64, ``step`` samples at a time; every chunk overwrites the one before."""
    samples, n_x = x.shape
    joint = device.empty(min(step, samples), n_x + y.shape[1])
    for start, (rows_x, rows_y) in read_ahead((x, y), step, device):
        chunk = joint[: samples - start]
        chunk[:, :n_x], chunk[:, n_x:] = rows_x, rows_y
        yield chunk


class LayerReader:
    """A layer that is being read, as [X a]: its neurons, and one column more.

    That column is every sample's squared distance from the neurons' rough means. All that debiased
    CKA needs beyond second moments are its products with the other columns, and they come with
    theirs.

    Attributes:
        array: (samples, neurons).
        width: number of columns, one more than neurons.
        shift: (neurons,) float64, the rough means: those of the first rows, None before they are
            read. Squares of distances from them keep digits that those of lengths would lose.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.width = array, array.shape[1] + 1
        self.shift: Array | None = None

    def fill(self, block: Array, rows: Array, device: Device) -> None:
        """Fill a block (samples, width) with rows, the layer's first ones first."""
        if self.shift is None:
            first = block[:ROUGH, :-1]
            first[:] = rows[:ROUGH]
            self.shift = first.mean(0)
        device.fill(block, rows, self.shift)

    def lengths(self, sums: Array) -> tuple[Array, Any]:
        """Squared distances from the means, as the columns and their sums (width,) give them.

        With o = mean - shift, |x - mean|^2 = |x - shift|^2 - 2 o'x + a constant.

        Returns:
            The neurons' weights, (width - 1,), where the column more has 1; and the sum over
            samples, a - d |o|^2.
        """
        assert self.shift is not None, "asked for after the last row"
        samples = self.array.shape[0]
        offset = sums[:-1] / samples - self.shift
        return -2 * offset, sums[-1] - samples * (offset**2).sum()


def check_range(argument: str, array: Any, squares: np.ndarray, step: int) -> None:
    """Raise a ValueError for columns whose sum of squares is not a float64 that can be used."""
    suspect = ~np.isfinite(squares)
    # Products of float32 cannot underflow in float64. Below 1e-280 those of float64 lose digits,
    # and at 0 a neuron that is not dead would pass for dead.
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
            f" in {len(neurons)} neurons, the first of them neuron {neurons[0]}; find the layer"
            " that overflows, or drop those samples from both sides"
        )
    for neurons, size, what, way in (
        (np.flatnonzero(np.isinf(squares)), "large", "overflow", "down"),
        (np.flatnonzero(suspect & not_zero & (squares < 1)), "small", "vanish", "up"),
    ):
        if len(neurons):
            raise ValueError(
                f"{argument}: expected activations whose squares fit in float64, found neuron"
                f" {neurons[0]} with values so {size} that their squares {what}; scale its column"
                f" {way}"
            )
