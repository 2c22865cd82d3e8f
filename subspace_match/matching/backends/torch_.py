"""Arrays as torch's tensors, on a GPU: float64, nothing read back that is not asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .base import Array, Device

PANEL = 128  # columns of a square a product: narrower ones waste less below the diagonal


class TorchDevice(Device):
    """A device of torch's."""

    def __init__(self, name: str) -> None:
        self.name, self._device = name, torch.device(name)

    def array(self, values: np.ndarray) -> Array:
        # Torch wants native, writeable memory; a memory map or a Zarr block need not be.
        native = np.require(values, values.dtype.newbyteorder("="), ["C", "W"])
        return torch.from_numpy(native).to(self._device)

    def numpy(self, array: torch.Tensor) -> np.ndarray:
        return array.cpu().numpy()

    def rows(self, block: Any) -> Array:
        if isinstance(block, torch.Tensor):
            return block.detach().to(self._device)
        block = np.asarray(block)
        if block.dtype not in (np.float32, np.float64):
            block = block.astype(np.float64)
        return self.array(block)

    def block_samples(self, width: int) -> int:
        return sys.maxsize  # the more the better

    def empty(self, *shape: int) -> Array:
        return torch.empty(*shape, dtype=torch.float64, device=self._device)

    def zeros(self, *shape: int) -> Array:
        return torch.zeros(*shape, dtype=torch.float64, device=self._device)

    def concatenate(self, arrays: Sequence[torch.Tensor], axis: int = 0) -> Array:
        return torch.cat(list(arrays), dim=axis)

    def take(self, array: torch.Tensor, positions: np.ndarray, axis: int = 0) -> Array:
        return array.index_select(axis, self.array(positions))

    def column_sums(self, matrix: torch.Tensor) -> Array:
        return matrix.sum(0)

    def sums_from(self, matrix: torch.Tensor) -> Array:
        return self.concatenate([matrix.flip(0).cumsum(0).flip(0), self.zeros(1, matrix.shape[1])])

    def symmetric(self, upper: torch.Tensor) -> Array:
        return upper.triu() + upper.triu(1).T

    def upper(self, matrix: torch.Tensor, above: int = 0) -> Array:
        return matrix.triu(above)

    def fill(self, block: torch.Tensor, rows: torch.Tensor, shift: torch.Tensor) -> None:
        block[:, :-1] = rows
        block[:, -1] = torch.linalg.vector_norm(block[:, :-1] - shift, dim=1).square_()

    def product(self, left: torch.Tensor, right: torch.Tensor) -> Array:
        return left @ right

    def add_product(
        self, total: torch.Tensor, left: torch.Tensor, right: torch.Tensor, scale: float = 1.0
    ) -> None:
        total.addmm_(left, right, alpha=scale)

    def add_upper_square(self, total: torch.Tensor, chunk: torch.Tensor) -> None:
        for start in range(0, len(total), PANEL):
            stop = start + PANEL
            total[start:stop, start:].addmm_(chunk[:, start:stop].T, chunk[:, start:])

    def cholesky(self, matrix: torch.Tensor) -> Array | None:
        factor, failed = torch.linalg.cholesky_ex(matrix, upper=True)
        return None if failed else factor

    def inverse(self, upper: torch.Tensor) -> Array:
        eye = torch.eye(len(upper), dtype=torch.float64, device=self._device)
        return torch.linalg.solve_triangular(upper, eye, upper=True)

    def inverse_of_square(self, upper: torch.Tensor) -> Array:
        return torch.cholesky_inverse(upper, upper=True)

    def solve(self, upper: torch.Tensor, right: torch.Tensor, *, transposed: bool = False) -> Array:
        triangle = upper.T if transposed else upper
        return torch.linalg.solve_triangular(triangle, right, upper=not transposed)

    def triangle_with(self, upper: torch.Tensor, chunk: torch.Tensor) -> Array:
        return torch.linalg.qr(torch.cat([upper, chunk]), mode="r").R

    def reflectors(self, matrix: torch.Tensor) -> tuple[Array, Array]:
        return torch.geqrf(matrix)

    def rotate(self, reflectors: torch.Tensor, scales: torch.Tensor, matrix: torch.Tensor) -> Array:
        return torch.ormqr(reflectors, scales, matrix, left=True, transpose=True)
