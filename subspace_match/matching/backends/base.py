"""The interface to arrays on a device.

The mathematics is written once for NumPy arrays and torch tensors. It uses the operations that both
share (slices, ``+``, ``.T``, ``.sum(0)``) and the methods of ``Device`` for everything else. On the
CPU arrays are NumPy arrays: a job that matches a small layer takes a tenth of a second, and
importing torch would take ten times as long. On a GPU arrays are torch tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import torch

Array: TypeAlias = Any  # a NumPy array or a torch tensor
DeviceLike: TypeAlias = "str | torch.device | Device"


class Device(ABC):
    """A place for float64 arrays, and the operations that NumPy and torch spell differently."""

    name: str
    chunk_bytes = 32 * 2**20  # samples of all sides held at a time, as float64; more is not faster

    @abstractmethod
    def array(self, values: np.ndarray) -> Array:
        """Copy a NumPy array to this device; memory may be shared."""

    @abstractmethod
    def numpy(self, array: Array) -> np.ndarray:
        """Copy an array of this device to NumPy; memory may be shared."""

    def numpy_later(self, array: Array) -> Callable[[], np.ndarray]:
        """Start ``numpy`` beside other work, and return a function that waits for its result."""
        return partial(self.numpy, array)

    @abstractmethod
    def rows(self, block: Any) -> Array:
        """Copy rows of a NumPy, torch or Zarr array here, in a type that converts to float64."""

    @abstractmethod
    def block_samples(self, width: int) -> int:
        """Return how many samples of ``width`` numbers to multiply at a time."""

    @abstractmethod
    def empty(self, *shape: int) -> Array:
        """Return an uninitialised float64 array."""

    @abstractmethod
    def zeros(self, *shape: int) -> Array:
        """Return a float64 array of zeros."""

    @abstractmethod
    def concatenate(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        """Join arrays along an axis."""

    @abstractmethod
    def take(self, array: Array, positions: np.ndarray, axis: int = 0) -> Array:
        """Copy the rows or columns at these positions, in this order."""

    @abstractmethod
    def copy_rows(self, array: Array, positions: Array, out: Array) -> None:
        """Copy the rows at these positions, int64 on this device, to ``out``, in its type."""

    @abstractmethod
    def in_c_order(self, matrix: Array) -> Array:
        """Return the matrix in C order, copied if it has another order."""

    @abstractmethod
    def column_sums(self, matrix: Array) -> Array:
        """Sum over the rows, pairwise, so that rounding stays small."""

    @abstractmethod
    def suffix_sums(self, matrix: Array) -> Array:
        """Return for every row the sum of it and all rows below, plus a last row of zeros."""

    @abstractmethod
    def triu(self, matrix: Array, diagonal: int = 0) -> Array:
        """Copy a matrix with zeros below the given diagonal."""

    @abstractmethod
    def symmetric(self, upper: Array) -> Array:
        """Return the symmetric matrix of an upper triangle from ``add_upper_gram``."""

    @abstractmethod
    def fill_with_distances(self, block: Array, rows: Array, shift: Array) -> None:
        """Write rows to a block, and their squared distances from ``shift`` to its last column."""

    @abstractmethod
    def product(self, left: Array, right: Array) -> Array:
        """Return the matrix product."""

    @abstractmethod
    def add_product(self, total: Array, left: Array, right: Array, scale: float = 1.0) -> None:
        """Add scale * left @ right to ``total`` in place; its rows or columns are contiguous."""

    @abstractmethod
    def add_upper_gram(self, total: Array, chunk: Array) -> None:
        """Add chunk'chunk to the upper triangle of ``total`` in place; the rest is undefined."""

    @abstractmethod
    def cholesky(self, matrix: Array) -> Array | None:
        """Return the upper triangular R with R'R = matrix; None if not positive definite."""

    @abstractmethod
    def triangular_inverse(self, upper: Array) -> Array:
        """Return R^-1 for an upper triangular R."""

    @abstractmethod
    def gram_inverse(self, upper: Array) -> Array:
        """Return (R'R)^-1 for an upper triangular R."""

    @abstractmethod
    def triangular_solve(self, upper: Array, right: Array, *, transposed: bool = False) -> Array:
        """Return R^-1 right, or R'^-1 right if ``transposed``, for an upper triangular R."""

    @abstractmethod
    def triangular_product(self, upper: Array, right: Array) -> Array:
        """Return R right for an upper triangular R."""

    @abstractmethod
    def append_rows(self, upper: Array, rows: Array) -> Array:
        """Return the R of QR([R; rows]) for an upper triangular R."""

    @abstractmethod
    def householder_qr(self, matrix: Array) -> tuple[Array, Array]:
        """Factor as LAPACK's geqrf: R above, Householder vectors below; and their scales tau."""

    @abstractmethod
    def apply_q_transposed(self, reflectors: Array, scales: Array, matrix: Array) -> Array:
        """Return Q' matrix for the Q of ``householder_qr``."""
