"""NumPy arrays on the CPU.

Large products use SciPy's BLAS. NumPy brings a BLAS of its own, whose threads keep spinning for
some milliseconds after a call. Alternating between the two makes each 1.3 to 2 times slower.

SciPy's wrappers expect Fortran order and copy everything else. Most matrices here are in C order.
Their transposes are in Fortran order, so we pass on the transposed problem.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import scipy.linalg
from scipy.linalg import blas, lapack
from threadpoolctl import ThreadpoolController

from .base import Array, Device

QR_BLOCK = 32  # reflectors that LAPACK applies at once
LONGEST = 1024  # samples in a block
BLOCK = 2**17  # numbers (1 MB): a filled block stays in a core's cache until it is multiplied
TILE = 2**16  # numbers: a filled tile stays in cache until its distances are computed
NARROW = 256  # up to this many columns, a second thread hardly speeds up a Gram matrix
FEW_NEURONS = 512  # of both layers: their matrices are small, and there are thousands of products


class Cpu(Device):
    """NumPy arrays on the CPU."""

    name = "cpu"

    def array(self, values: np.ndarray) -> Array:
        return values

    def numpy(self, array: np.ndarray) -> np.ndarray:
        return array

    def rows(self, block: Any) -> Array:
        if hasattr(block, "detach"):  # a torch tensor; NumPy lacks some of its types
            block = block.detach().cpu().resolve_neg()
            block = block if block.element_size() >= 4 else block.double()
        return np.asarray(block)

    def block_samples(self, width: int) -> int:
        # With fewer rows than columns the product is memory-bound. Longer blocks than LONGEST are
        # hardly faster, but round more.
        return min(max(BLOCK // width, width), LONGEST)

    def empty(self, *shape: int) -> Array:
        return np.empty(shape)

    def zeros(self, *shape: int) -> Array:
        return np.zeros(shape)

    def concatenate(self, arrays: Sequence[np.ndarray], axis: int = 0) -> Array:
        return np.concatenate(arrays, axis=axis)

    def take(self, array: np.ndarray, positions: np.ndarray, axis: int = 0) -> Array:
        return array.take(positions, axis)

    def copy_rows(self, array: np.ndarray, positions: np.ndarray, out: np.ndarray) -> None:
        if array.dtype == out.dtype:
            # In any other mode NumPy copies twice.
            array.take(positions, 0, out=out, mode="clip")
        else:
            out[:] = array.take(positions, 0)

    def in_c_order(self, matrix: np.ndarray) -> Array:
        return np.ascontiguousarray(matrix)

    def column_sums(self, matrix: np.ndarray) -> Array:
        # NumPy adds rows one by one; in two levels of sqrt(rows) each, fewer errors add up.
        rows = math.isqrt(len(matrix))
        whole = len(matrix) // rows * rows
        sums = matrix[:whole].reshape(-1, rows, matrix.shape[1]).sum(1).sum(0)
        return sums + matrix[whole:].sum(0)

    def suffix_sums(self, matrix: np.ndarray) -> Array:
        return np.concatenate([matrix[::-1].cumsum(0)[::-1], np.zeros((1, matrix.shape[1]))])

    def triu(self, matrix: np.ndarray, diagonal: int = 0) -> Array:
        return np.triu(matrix, diagonal)

    def symmetric(self, upper: np.ndarray) -> Array:
        return _mirrored(np.triu(upper))

    def fill_with_distances(self, block: np.ndarray, rows: np.ndarray, shift: np.ndarray) -> None:
        step = max(1, TILE // block.shape[1])
        buffer = np.empty((step, len(shift)))
        with np.errstate(invalid="ignore", over="ignore"):  # the caller checks for infinite sums
            for start in range(0, len(block), step):
                part = block[start : start + step]
                part[:, :-1] = rows[start : start + step]
                differences = np.subtract(part[:, :-1], shift, out=buffer[: len(part)])
                np.einsum("ij,ij->i", differences, differences, out=part[:, -1])

    def product(self, left: np.ndarray, right: np.ndarray) -> Array:
        (a, a_transposed), (b, b_transposed) = _fortran(right), _fortran(left)
        product = blas.dgemm(1.0, a, b, trans_a=not a_transposed, trans_b=not b_transposed)
        return product.T

    def add_product(
        self, total: np.ndarray, left: np.ndarray, right: np.ndarray, scale: float = 1.0
    ) -> None:
        if not total.size or not left.shape[1]:  # nothing to add, and BLAS rejects empty matrices
            return
        if not total.flags.f_contiguous:
            total, left, right = total.T, right.T, left.T
        assert total.flags.f_contiguous, "BLAS would add to a copy"
        (a, trans_a), (b, trans_b) = _fortran(left), _fortran(right)
        blas.dgemm(
            scale, a, b, beta=1.0, c=total, trans_a=trans_a, trans_b=trans_b, overwrite_c=True
        )

    def add_upper_gram(self, total: np.ndarray, chunk: np.ndarray) -> None:
        if len(total) < NARROW:
            # One thread, and NumPy, which releases the GIL: the thread that reads ahead needs both.
            with one_blas_thread(), np.errstate(all="ignore"):
                total += np.matmul(chunk.T, chunk)
            return
        assert total.flags.c_contiguous, "BLAS would add to a copy"
        blas.dsyrk(1.0, chunk.T, beta=1.0, c=total.T, overwrite_c=True, lower=True)

    def cholesky(self, matrix: np.ndarray) -> Array | None:
        lower, failed = lapack.dpotrf(matrix.T, lower=True)
        return None if failed else lower.T

    def triangular_inverse(self, upper: np.ndarray) -> Array:
        if not upper.size:  # LAPACK would print an error message
            return upper
        a, transposed = _fortran(upper)
        inverse = lapack.dtrtri(a, lower=transposed)[0]
        return inverse.T if transposed else inverse

    def gram_inverse(self, upper: np.ndarray) -> Array:
        a, transposed = _fortran(upper)
        return _mirrored(lapack.dpotri(a, lower=transposed)[0])

    def triangular_solve(
        self, upper: np.ndarray, right: np.ndarray, *, transposed: bool = False
    ) -> Array:
        (a, a_transposed), (b, b_transposed) = _fortran(upper), _fortran(right)
        # Solve R X = B, or X'R' = B'.
        trans = a_transposed ^ b_transposed ^ transposed
        solution = blas.dtrsm(1.0, a, b, side=b_transposed, lower=a_transposed, trans_a=trans)
        return solution.T if b_transposed else solution

    def triangular_product(self, upper: np.ndarray, right: np.ndarray) -> Array:
        (a, a_transposed), (b, b_transposed) = _fortran(upper), _fortran(right)
        # Compute R X, or X'R'.
        trans = a_transposed ^ b_transposed
        product = blas.dtrmm(1.0, a, b, side=b_transposed, lower=a_transposed, trans_a=trans)
        return product.T if b_transposed else product

    def append_rows(self, upper: np.ndarray, rows: np.ndarray) -> Array:
        below = np.array(rows, order="F")
        block = min(QR_BLOCK, len(upper))
        return lapack.dtpqrt(0, block, upper, below, overwrite_b=True)[0]

    def householder_qr(self, matrix: np.ndarray) -> tuple[Array, Array]:
        (packed, scales), _ = scipy.linalg.qr(matrix, mode="raw", check_finite=False)
        return packed, scales

    def apply_q_transposed(
        self, reflectors: np.ndarray, scales: np.ndarray, matrix: np.ndarray
    ) -> Array:
        work = 64 * (matrix.shape[1] + 65)  # workspace for LAPACK's largest blocks, 64 wide
        return lapack.dormqr("L", "T", reflectors, scales, matrix, work)[0]


def blas_threads() -> int:
    """Return how many threads the BLAS may use."""
    return max((library["num_threads"] for library in _blas_threads().info()), default=1)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Limit the BLAS to one thread, also in other threads of the process, while in the context."""
    limit: AbstractContextManager[Any] = _blas_threads().limit(limits=1)
    return limit


def pivoted_qr(matrix: np.ndarray, mode: Any) -> Any:
    """Return ``scipy.linalg.qr`` in a mode, with column pivoting, in one thread.

    Half of it are products with single columns. A second thread hardly helps there, and where other
    programs use the cores, every product waits until it gets one.
    """
    with one_blas_thread():
        return scipy.linalg.qr(matrix, mode=mode, pivoting=True, check_finite=False)


def threads_for(neurons: int) -> AbstractContextManager[Any]:
    """Limit the BLAS to one thread while two layers with few neurons are matched.

    A second thread hardly speeds up small products. Where other programs use the cores, each of
    them waits until the second thread gets one, and is then up to 50 times slower.

    Args:
        neurons: of both layers together.
    """
    return one_blas_thread() if neurons <= FEW_NEURONS else contextlib.nullcontext()


@functools.cache
def _blas_threads() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def _mirrored(triangle: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix of a triangle whose other half is zero."""
    both: np.ndarray = triangle + triangle.T
    np.einsum("ii->i", both)[:] /= 2
    return both


def _fortran(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the matrix or its transpose in Fortran order, and whether it is the transpose."""
    if matrix.flags.f_contiguous:
        return matrix, False
    if matrix.strides[0] == matrix.itemsize:
        return np.asfortranarray(matrix), False
    return np.ascontiguousarray(matrix).T, True
