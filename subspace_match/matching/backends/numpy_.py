"""Arrays as NumPy's, on the CPU.

Large products go to SciPy's BLAS. NumPy has another of its own, whose threads keep a core busy for
some milliseconds after a call: used in turn, each takes from a third to as much again.

SciPy's functions want Fortran's order and copy what is in another. Here most matrices are in C's,
and such a matrix is its transpose in Fortran's, so it is the transposed problem that is handed on.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
from scipy.linalg import blas, lapack
from threadpoolctl import ThreadpoolController

from .base import Array, Device

REFLECTORS = 32  # that are applied at once
BLOCK = 2**17  # numbers, 1 MB: what is filled in stays in a core's cache until it is multiplied
TILE = 2**16  # likewise, until it is squared
NARROW = 256  # columns up to which a second thread makes a square hardly faster


class Cpu(Device):
    """The CPU."""

    name = "cpu"

    def array(self, values: np.ndarray) -> Array:
        return values

    def numpy(self, array: np.ndarray) -> np.ndarray:
        return array

    def rows(self, block: Any) -> Array:
        if hasattr(block, "detach"):  # a tensor, whose type NumPy need not have
            block = block.detach().cpu()
            block = block if block.element_size() >= 4 else block.double()
        return np.asarray(block)

    def block_samples(self, width: int) -> int:
        # A product of fewer rows than columns would rather read and write its result.
        return max(BLOCK // width, width)

    def empty(self, *shape: int) -> Array:
        return np.empty(shape)

    def zeros(self, *shape: int) -> Array:
        return np.zeros(shape)

    def concatenate(self, arrays: Sequence[np.ndarray], axis: int = 0) -> Array:
        return np.concatenate(arrays, axis=axis)

    def take(self, array: np.ndarray, positions: np.ndarray, axis: int = 0) -> Array:
        return array.take(positions, axis)

    def column_sums(self, matrix: np.ndarray) -> Array:
        # NumPy adds rows one after another, so it is given sums of about sqrt(rows) each to add.
        rows = math.isqrt(len(matrix))
        whole = len(matrix) // rows * rows
        sums = matrix[:whole].reshape(-1, rows, matrix.shape[1]).sum(1).sum(0)
        return sums + matrix[whole:].sum(0)

    def sums_from(self, matrix: np.ndarray) -> Array:
        return np.concatenate([matrix[::-1].cumsum(0)[::-1], np.zeros((1, matrix.shape[1]))])

    def symmetric(self, upper: np.ndarray) -> Array:
        return _both_halves(np.triu(upper))

    def upper(self, matrix: np.ndarray, above: int = 0) -> Array:
        return np.triu(matrix, above)

    def fill(self, block: np.ndarray, rows: np.ndarray, shift: np.ndarray) -> None:
        step = max(1, TILE // block.shape[1])
        away = np.empty((step, len(shift)))
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite shows in its square
            for start in range(0, len(block), step):
                part = block[start : start + step]
                part[:, :-1] = rows[start : start + step]
                distance = np.subtract(part[:, :-1], shift, out=away[: len(part)])
                np.einsum("ij,ij->i", distance, distance, out=part[:, -1])

    def product(self, left: np.ndarray, right: np.ndarray) -> Array:
        (a, a_turned), (b, b_turned) = _fortran(right), _fortran(left)
        product = blas.dgemm(1.0, a, b, trans_a=not a_turned, trans_b=not b_turned)
        return product.T

    def add_product(
        self, total: np.ndarray, left: np.ndarray, right: np.ndarray, scale: float = 1.0
    ) -> None:
        if not total.size or not left.shape[1]:  # nothing to add; BLAS takes no empty matrix
            return
        if not total.flags.f_contiguous:
            total, left, right = total.T, right.T, left.T
        assert total.flags.f_contiguous, "it would be added to a copy"
        (a, a_turned), (b, b_turned) = _fortran(left), _fortran(right)
        blas.dgemm(
            scale, a, b, beta=1.0, c=total, trans_a=a_turned, trans_b=b_turned, overwrite_c=True
        )

    def add_upper_square(self, total: np.ndarray, chunk: np.ndarray) -> None:
        if len(total) < NARROW:
            # The other core is for the thread that reads ahead, which SciPy would not let go on.
            with _blas_threads().limit(limits=1), np.errstate(all="ignore"):
                total += np.matmul(chunk.T, chunk)
            return
        assert total.flags.c_contiguous, "it would be added to a copy"
        blas.dsyrk(1.0, chunk.T, beta=1.0, c=total.T, overwrite_c=True, lower=True)

    def cholesky(self, matrix: np.ndarray) -> Array | None:
        lower, failed = lapack.dpotrf(matrix.T, lower=True)
        return None if failed else lower.T

    def inverse(self, upper: np.ndarray) -> Array:
        if not upper.size:  # LAPACK would print a complaint
            return upper
        a, turned = _fortran(upper)
        inverse = lapack.dtrtri(a, lower=turned)[0]
        return inverse.T if turned else inverse

    def inverse_of_square(self, upper: np.ndarray) -> Array:
        a, turned = _fortran(upper)
        return _both_halves(lapack.dpotri(a, lower=turned)[0])

    def solve(self, upper: np.ndarray, right: np.ndarray, *, transposed: bool = False) -> Array:
        (a, a_turned), (b, b_turned) = _fortran(upper), _fortran(right)
        # R X = B, or X'R' = B'.
        trans = a_turned ^ b_turned ^ transposed
        solution = blas.dtrsm(1.0, a, b, side=b_turned, lower=a_turned, trans_a=trans)
        return solution.T if b_turned else solution

    def triangle_with(self, upper: np.ndarray, chunk: np.ndarray) -> Array:
        below = np.array(chunk, order="F")
        block = min(REFLECTORS, len(upper))
        return lapack.dtpqrt(0, block, upper, below, overwrite_b=True)[0]

    def reflectors(self, matrix: np.ndarray) -> tuple[Array, Array]:
        (packed, scales), _ = scipy.linalg.qr(matrix, mode="raw", check_finite=False)
        return packed, scales

    def rotate(self, reflectors: np.ndarray, scales: np.ndarray, matrix: np.ndarray) -> Array:
        room = 64 * (matrix.shape[1] + 65)  # what LAPACK can use, its blocks being of 64 at most
        return lapack.dormqr("L", "T", reflectors, scales, matrix, room)[0]


@functools.cache
def _blas_threads() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def _both_halves(half: np.ndarray) -> np.ndarray:
    """The symmetric matrix of one half, the other being zero."""
    both: np.ndarray = half + half.T
    np.einsum("ii->i", both)[:] /= 2
    return both


def _fortran(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """The matrix or its transpose, whichever is in Fortran's order, and whether it is that."""
    if matrix.flags.f_contiguous:
        return matrix, False
    if matrix.strides[0] == matrix.itemsize:
        return np.asfortranarray(matrix), False
    return np.ascontiguousarray(matrix).T, True
