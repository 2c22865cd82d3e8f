"""Loops compiled by numba, and kept on disk so that the next process need not compile them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any], fastmath: Any = False) -> Any:
    """The function compiled; kept on disk if there is a place to keep it."""
    try:
        return numba.njit(cache=True, error_model="numpy", fastmath=fastmath)(function)
    except RuntimeError:  # neither this folder nor the user's can be written
        return numba.njit(error_model="numpy", fastmath=fastmath)(function)


def compiled_freely(function: Callable[..., Any]) -> Any:
    """As ``compiled``, for sums that may be made in any order, and so many terms at once."""
    return compiled(function, {"reassoc", "contract"})
