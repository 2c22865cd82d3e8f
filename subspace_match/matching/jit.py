"""Numba compilation with an on-disk cache, so that later processes need not compile again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any], fastmath: Any = False) -> Any:
    """Compile a function; cache it on disk if a cache folder is writable."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath)(function)
    except RuntimeError:  # neither the module's folder nor the user's cache is writable
        return numba.njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)


def compiled_freely(function: Callable[..., Any]) -> Any:
    """Compile as ``compiled``, but let the compiler reorder sums, so that it can vectorise them."""
    return compiled(function, {"reassoc", "contract"})
