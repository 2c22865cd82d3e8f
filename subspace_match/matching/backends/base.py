"""Arrays on a device, and the arithmetic on them.

The mathematics is written once, in what NumPy's arrays and torch's tensors have in common (slices,
``+``, ``.T``, ``.sum(0)``) and the methods of ``Device`` where they have not. On the CPU arrays are
NumPy's: a job that matches a small layer takes a tenth of a second, and to load torch ten times as
long. On a GPU they are torch's tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import torch


Array: TypeAlias = Any  # NumPy's or torch's
DeviceLike: TypeAlias = "str | torch.device | Device"


class Device(ABC):
    """Arrays in one place, and the arithmetic on them that NumPy and torch spell differently."""

    name: str

    @abstractmethod
    def array(self, values: np.ndarray) -> Array:
        """The same numbers here; they may share memory."""

    @abstractmethod
    def numpy(self, array: Array) -> np.ndarray:
        """The same numbers on the CPU; they may share memory."""

    @abstractmethod
    def rows(self, block: Any) -> Array:
        """Rows of a NumPy, torch or Zarr array here, in a type that can be copied to float64."""

    @abstractmethod
    def block_samples(self, width: int) -> int:
        """How many samples of so many numbers to fill in and multiply at a time."""

    @abstractmethod
    def empty(self, *shape: int) -> Array:
        """Numbers not yet written."""

    @abstractmethod
    def zeros(self, *shape: int) -> Array:
        """Zeros."""

    @abstractmethod
    def concatenate(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        """Arrays one after another."""

    @abstractmethod
    def take(self, array: Array, positions: np.ndarray, axis: int = 0) -> Array:
        """Rows or columns, copied in the order of their positions."""

    @abstractmethod
    def column_sums(self, matrix: Array) -> Array:
        """Sums over rows, added in a tree."""

    @abstractmethod
    def sums_from(self, matrix: Array) -> Array:
        """For every row the sums of it and all below, and one row more of zeros."""

    @abstractmethod
    def symmetric(self, upper: Array) -> Array:
        """The symmetric matrix that ``add_upper_square`` has added up on and above the diagonal."""

    @abstractmethod
    def upper(self, matrix: Array, above: int = 0) -> Array:
        """A copy with zeros below the diagonal that is so far above the main one."""

    @abstractmethod
    def fill(self, block: Array, rows: Array, shift: Array) -> None:
        """Write rows to a block, and in its last column each one's squared distance from shift."""

    @abstractmethod
    def product(self, left: Array, right: Array) -> Array:
        """The matrix product."""

    @abstractmethod
    def add_product(self, total: Array, left: Array, right: Array, scale: float = 1.0) -> None:
        """Add scale times the matrix product to rows or columns without gaps between them."""

    @abstractmethod
    def add_upper_square(self, total: Array, chunk: Array) -> None:
        """Add chunk'chunk above the diagonal and on it, in little over half the work of all.

        What is below the diagonal is not to be used.
        """

    @abstractmethod
    def cholesky(self, matrix: Array) -> Array | None:
        """R, upper triangular, with R'R the matrix, or None if it is not positive definite."""

    @abstractmethod
    def inverse(self, upper: Array) -> Array:
        """R^-1 of an upper triangular R."""

    @abstractmethod
    def inverse_of_square(self, upper: Array) -> Array:
        """(R'R)^-1 of an upper triangular R."""

    @abstractmethod
    def solve(self, upper: Array, right: Array, *, transposed: bool = False) -> Array:
        """R^-1 right, or R'^-1 right, of an upper triangular R."""

    @abstractmethod
    def triangle_with(self, upper: Array, chunk: Array) -> Array:
        """R of the QR of an upper triangular matrix and rows below it."""

    @abstractmethod
    def reflectors(self, matrix: Array) -> tuple[Array, Array]:
        """QR as LAPACK's geqrf packs it: R above, Householder vectors below; their scales."""

    @abstractmethod
    def rotate(self, reflectors: Array, scales: Array, matrix: Array) -> Array:
        """Q' matrix, of what ``reflectors`` gives."""
