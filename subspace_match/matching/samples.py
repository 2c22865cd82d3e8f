"""Activations as they are read: some samples at a time, as float64 on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from .checks import dtype_name


def joint_chunks(x: Any, y: Any, step: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Z = [X Y] as float64, ``step`` samples at a time; every chunk overwrites the one before."""
    samples, n_x = x.shape
    joint = torch.empty(min(step, samples), n_x + y.shape[1], dtype=torch.float64, device=device)
    for start in range(0, samples, step):
        chunk = joint[: samples - start]
        chunk[:, :n_x] = rows_of(x, start, start + step, device)
        chunk[:, n_x:] = rows_of(y, start, start + step, device)
        yield chunk


class Layer:
    """A layer that is being read, as [X a]: its neurons, and one column more.

    That column is every sample's squared distance from the neurons' rough means. All that debiased
    CKA needs beyond second moments are its products with the other columns, and they come with
    theirs.

    Attributes:
        array: (samples, neurons), read some samples at a time.
        shift: (neurons + 1,) float64 on the device, the rough means: those of the first samples
            read, and 0 for the column more. Squares of distances from them keep the digits that
            those of uncentred lengths would lose.
    """

    def __init__(self, array: Any, device: torch.device) -> None:
        self.array = array
        self.shift = torch.zeros(array.shape[1] + 1, dtype=torch.float64, device=device)

    @property
    def width(self) -> int:
        """Number of columns, one more than neurons."""
        return len(self.shift)

    def read(self, start: int, block: torch.Tensor) -> None:
        """Fill a block (samples, width) with as many samples as it has, from ``start`` on."""
        rows = rows_of(self.array, start, start + len(block), block.device)
        if start == 0:
            self.shift[:-1] = rows.mean(0, dtype=torch.float64)
        fill(block, rows, self.shift[:-1])


def fill(block: torch.Tensor, rows: torch.Tensor, shift: torch.Tensor) -> None:
    """Write rows, and in the column more each one's squared distance from the shift."""
    neurons, lengths = block[:, :-1], block[:, -1]
    neurons.copy_(rows)
    lengths.copy_((neurons - shift).square_().sum(1))


def rows_of(array: Any, start: int, stop: int, device: torch.device) -> torch.Tensor:
    """Rows of a NumPy, torch or Zarr array, on the device in a type that torch has."""
    block = array[start:stop]
    if not isinstance(block, torch.Tensor):
        block = np.asarray(block)
        if block.dtype not in (np.float32, np.float64):
            block = block.astype(np.float64)
        # Torch wants native, writeable memory; a memory map or a Zarr block need not be.
        block = torch.from_numpy(np.require(block, block.dtype.newbyteorder("="), ["C", "W"]))
    return block.detach().to(device)


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
    for start in range(0, array.shape[0], step):
        block = rows_of(array, start, start + step, torch.device("cpu"))
        broken += (~torch.isfinite(block)).sum(0).numpy()
        not_zero |= (block != 0).any(0).numpy()
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
