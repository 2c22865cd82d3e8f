"""Subtraction of a matrix product in place, from a part of a matrix, beside other threads.

NumPy computes a product first and subtracts it then, which takes about twice the time where few
terms are summed. SciPy's wrapper of ``dgemm`` can subtract in place, but it copies a part of a
matrix, and lets no other thread run meanwhile. So SciPy's BLAS is called directly.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import get_cython_function_address


def subtract_product(target: np.ndarray, lefts: np.ndarray, rights: np.ndarray) -> None:
    """Subtract L'R from a matrix, in place.

    Args:
        target: (rows, columns) float64; as L and R, a matrix in C order or a part of its rows and
            columns.
        lefts: L, (terms, rows) float64.
        rights: R, (terms, columns) float64.
    """
    (terms, rows), columns = lefts.shape, rights.shape[1]
    if not target.size or not terms:
        return
    for array in (target, lefts, rights):
        assert array.dtype == np.float64
        assert array.strides[1] == 8, "a row's numbers must adjoin"
    # For Fortran a matrix in C order is its transpose, so this is target' -= R' L.
    by = ctypes.byref
    _dgemm()(
        *(b"N", b"T", by(ctypes.c_int(columns)), by(ctypes.c_int(rows)), by(ctypes.c_int(terms))),
        *(by(ctypes.c_double(-1.0)), *_address(rights), *_address(lefts)),
        *(by(ctypes.c_double(1.0)), *_address(target)),
    )


def _address(matrix: np.ndarray) -> tuple[ctypes.c_void_p, Any]:
    """Return the address of the first number, and the distance from row to row."""
    # With one row the distance means nothing, but the BLAS checks it.
    distance = max(matrix.strides[0] // 8, matrix.shape[1])
    return ctypes.c_void_p(matrix.ctypes.data), ctypes.byref(ctypes.c_int(distance))


@functools.cache
def _dgemm() -> Callable[..., None]:
    address = get_cython_function_address("scipy.linalg.cython_blas", "dgemm")
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_char_p] * 2, *[ctypes.c_void_p] * 11)
    return signature(address)
