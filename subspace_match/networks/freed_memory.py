"""What becomes of freed memory: the C library gives it back to the system, or keeps it.

Left alone it does something between the two, which suits neither a long comparison nor a training.
Only glibc has these functions; elsewhere nothing changes.
"""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress
from typing import Any

SHARE = 0.02  # of the time, at most
# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MOST_MAPS = -1, -4


class FreedMemory:
    """Gives memory back between batches, as often as that takes little of the time.

    The maps of a model come and go with every batch. The C library keeps what is freed, and each
    batch fits a little worse between what stays, so a process would take more memory the more
    batches there are.
    """

    def __init__(self) -> None:
        """Find the function."""
        self._trim = _function("malloc_trim")
        self._not_before = 0.0

    def give_back(self) -> None:
        """Give back what is free, unless it was given back a moment ago."""
        begin = time.monotonic()
        if self._trim is None or begin < self._not_before:
            return
        self._trim(0)
        end = time.monotonic()
        self._not_before = end + (end - begin) / SHARE


def keep_freed_memory() -> None:
    """Keep freed memory for the rest of this process.

    A training step frees its maps, and the next one needs as much again. Otherwise the system takes
    large maps back and clears every page of them anew, 15% of a training's time on a CPU.
    """
    if (mallopt := _function("mallopt")) is not None:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MOST_MAPS, 0)


def _function(name: str) -> Any:
    with suppress(AttributeError, OSError, TypeError):  # the last is for Windows
        return getattr(ctypes.CDLL(None), name)
    return None
