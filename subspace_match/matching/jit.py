"""Numba compilation with an on-disk cache, so that later processes need not compile again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

log = logging.getLogger(__name__)


def compiled(function: Callable[..., Any], fastmath: Any = False) -> Any:
    """Compile a function; cache it on disk if a cache folder is writable."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=fastmath)(function)
    except RuntimeError:  # neither the module's folder nor the user's cache is writable
        _Says.later = "no folder for the compiled code is writable, so every process compiles"
        return numba.njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)


def compiled_freely(function: Callable[..., Any]) -> Any:
    """Compile as ``compiled``, but let the compiler reorder sums, so that it can vectorise them."""
    return compiled(function, {"reassoc", "contract"})


class _Says(event.Listener):
    """Logs that compilation begins, once per process; loading compiled code is no compilation."""

    later = "later runs on this machine need not"

    def __init__(self) -> None:
        self.has_said = False

    def on_start(self, event: Any) -> None:
        # Users may have compiled functions of their own.
        own = event.data["dispatcher"].py_func.__module__.startswith(__name__.partition(".")[0])
        if own and not self.has_said:
            self.has_said = True
            log.info("compiling, which takes up to a minute; %s", self.later)

    def on_end(self, event: Any) -> None:
        """Say nothing."""


event.register("numba:compile", _Says())  # type: ignore[no-untyped-call]
