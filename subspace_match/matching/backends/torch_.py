"""Torch tensors on a GPU, in float64. They stay there; only ``numpy`` copies them to the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch

from .base import Array, Device

# Larger arrays are copied between host and GPU in pieces, through page-locked memory. Without it,
# copies were three times as slow to an H200, and 13 times as slow from an H100. To lock the memory
# of a whole result took longer still: 0.2 to 1 s for 0.5 GB.
SMALL = 2**20
PIECE = 2**25  # bytes, so that one piece is copied on the host while the next one is on its way
PANEL = 512  # columns of a Gram matrix per product: wide enough to occupy a whole GPU
ALIGNED = 16  # numbers of a row, 128 bytes
NARROW = 1024  # a triangle up to here is inverted by a triangular solve

T = TypeVar("T")
_COPIES = ThreadPoolExecutor(1)  # copies to the host beside the caller's work


class TorchDevice(Device):
    """Torch tensors on the torch device of this name."""

    chunk_bytes = 256 * 2**20

    def __init__(self, name: str) -> None:
        self.name, self._device = name, torch.device(name)

    def array(self, values: np.ndarray) -> Array:
        # Torch needs native byte order, writable memory and no negative strides; memory maps, Zarr
        # and slices may lack these. Fortran order stays.
        native = np.require(values, values.dtype.newbyteorder("="), ["W"])
        if any(stride < 0 for stride in native.strides):
            native = np.ascontiguousarray(native)
        return self._from_host(torch.from_numpy(native))

    def numpy(self, array: torch.Tensor) -> np.ndarray:
        if self._device.type == "cpu":
            return array.numpy()
        if array.nbytes <= SMALL:
            return array.cpu().numpy()
        host = np.empty(array.shape, dtype=torch.empty(0, dtype=array.dtype).numpy().dtype)
        there = torch.from_numpy(host)

        def start(piece: slice) -> tuple[slice, torch.Tensor, torch.cuda.Event]:
            part = array[piece]
            locked = torch.empty(part.shape, dtype=part.dtype, pin_memory=True)
            locked.copy_(part, non_blocking=True)
            return piece, locked, torch.cuda.current_stream(part.device).record_event()

        for piece, locked, arrived in _one_ahead(map(start, _pieces(array))):
            arrived.synchronize()
            there[piece].copy_(locked)
        return host

    def numpy_later(self, array: torch.Tensor) -> Callable[[], np.ndarray]:
        if self._device.type == "cpu":
            return super().numpy_later(array)
        # A thread has a device and a stream of its own: the copy must follow the caller's work.
        stream = torch.cuda.current_stream(array.device)

        def copy() -> np.ndarray:
            with torch.cuda.stream(stream):
                return self.numpy(array)

        return _COPIES.submit(copy).result

    def _from_host(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._device.type == "cpu":
            return tensor
        if tensor.nbytes <= SMALL:  # returns once the values have left the host's memory
            return tensor.to(self._device, non_blocking=True)
        there = torch.empty_like(tensor, device=self._device)  # in the same order
        for piece in _pieces(tensor):
            there[piece].copy_(tensor[piece].contiguous().pin_memory(), non_blocking=True)
        return there

    def rows(self, block: Any) -> Array:
        if isinstance(block, torch.Tensor):
            block = block.detach().resolve_neg()
            return self._from_host(block) if block.device.type == "cpu" else block.to(self._device)
        block = np.asarray(block)
        if block.dtype not in (np.float32, np.float64):
            block = block.astype(np.float64)
        return self.array(block)

    def block_samples(self, width: int) -> int:
        # A wide product needs many rows to hide that its result is read and written. More than 2048
        # were no faster on an H200, and let rounding errors grow.
        return min(max(width, 1024), 2048)

    def empty(self, *shape: int) -> Array:
        return self._with_aligned_rows(torch.empty, shape)

    def zeros(self, *shape: int) -> Array:
        return self._with_aligned_rows(torch.zeros, shape)

    def _with_aligned_rows(self, make: Any, shape: tuple[int, ...]) -> torch.Tensor:
        """Make an array whose rows start at multiples of 128 bytes; products are faster then."""
        *counts, columns = shape
        padded = -(-columns // ALIGNED) * ALIGNED if counts else columns
        array: torch.Tensor = make(*counts, padded, dtype=torch.float64, device=self._device)
        return array[..., :columns]

    def concatenate(self, arrays: Sequence[torch.Tensor], axis: int = 0) -> Array:
        return torch.cat(list(arrays), dim=axis)

    def take(self, array: torch.Tensor, positions: np.ndarray, axis: int = 0) -> Array:
        return array.index_select(axis, self.array(positions))

    def copy_rows(self, array: torch.Tensor, positions: torch.Tensor, out: torch.Tensor) -> None:
        out.copy_(array.index_select(0, positions))

    def in_c_order(self, matrix: torch.Tensor) -> Array:
        return matrix.contiguous()

    def column_sums(self, matrix: torch.Tensor) -> Array:
        return matrix.sum(0)

    def suffix_sums(self, matrix: torch.Tensor) -> Array:
        return self.concatenate([matrix.flip(0).cumsum(0).flip(0), self.zeros(1, matrix.shape[1])])

    def triu(self, matrix: torch.Tensor, diagonal: int = 0) -> Array:
        return matrix.triu(diagonal)

    def symmetric(self, upper: torch.Tensor) -> Array:
        return upper.triu() + upper.triu(1).T

    def fill_with_distances(
        self, block: torch.Tensor, rows: torch.Tensor, shift: torch.Tensor
    ) -> None:
        block[:, :-1] = rows
        block[:, -1] = torch.linalg.vector_norm(block[:, :-1] - shift, dim=1).square_()

    def product(self, left: torch.Tensor, right: torch.Tensor) -> Array:
        return left @ right

    def add_product(
        self, total: torch.Tensor, left: torch.Tensor, right: torch.Tensor, scale: float = 1.0
    ) -> None:
        total.addmm_(left, right, alpha=scale)

    def add_upper_gram(self, total: torch.Tensor, chunk: torch.Tensor) -> None:
        # The last panel takes the rest too: a product of a few columns is slow.
        starts = range(0, max(len(total) - PANEL // 2, 1), PANEL)
        for start in starts:
            stop = len(total) if start == starts[-1] else start + PANEL
            total[start:stop, start:].addmm_(chunk[:, start:stop].T, chunk[:, start:])

    def cholesky(self, matrix: torch.Tensor) -> Array | None:
        # With upper=True it took almost twice the time on an H200.
        lower, failed = torch.linalg.cholesky_ex(matrix.T)
        return None if failed else lower.T

    def triangular_inverse(self, upper: torch.Tensor) -> Array:
        if len(upper) <= NARROW:
            eye = torch.eye(len(upper), dtype=torch.float64, device=self._device)
            return torch.linalg.solve_triangular(upper, eye, upper=True)
        # By products of halves: 0.55 of the time of a triangular solve on an H200.
        half = len(upper) // 2
        inverse = torch.zeros_like(upper)
        inverse[:half, :half] = first = self.triangular_inverse(upper[:half, :half])
        inverse[half:, half:] = second = self.triangular_inverse(upper[half:, half:])
        inverse[:half, half:] = -(first @ upper[:half, half:]) @ second
        return inverse

    def gram_inverse(self, upper: torch.Tensor) -> Array:
        return torch.cholesky_inverse(upper, upper=True)

    def triangular_solve(
        self, upper: torch.Tensor, right: torch.Tensor, *, transposed: bool = False
    ) -> Array:
        triangle = upper.T if transposed else upper
        return torch.linalg.solve_triangular(triangle, right, upper=not transposed)

    def triangular_product(self, upper: torch.Tensor, right: torch.Tensor) -> Array:
        return upper @ right

    def append_rows(self, upper: torch.Tensor, rows: torch.Tensor) -> Array:
        return torch.linalg.qr(torch.cat([upper, rows]), mode="r").R

    def householder_qr(self, matrix: torch.Tensor) -> tuple[Array, Array]:
        return torch.geqrf(matrix)

    def apply_q_transposed(
        self, reflectors: torch.Tensor, scales: torch.Tensor, matrix: torch.Tensor
    ) -> Array:
        return torch.ormqr(reflectors, scales, matrix, left=True, transpose=True)


def _pieces(tensor: torch.Tensor) -> Iterator[slice]:
    """Yield slices of rows with at most ``PIECE`` bytes, or one row."""
    rows = max(1, PIECE * len(tensor) // max(1, tensor.nbytes))
    return (slice(start, start + rows) for start in range(0, len(tensor), rows))


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items, each when the next one has been made."""
    current = next(items)
    for following in items:
        yield current
        current = following
    yield current
