"""Give memory that is free back to the system between batches.

The maps of a model come and go with every batch. The C library keeps what is freed, and each batch
fits a little worse between what stays, so a process would take more memory the more batches there
are. Only glibc needs this and has the function for it.
"""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress
from typing import Any

SHARE = 0.02  # of the time, at most


class FreedMemory:
    """Gives memory back as often as that takes little of the time."""

    def __init__(self) -> None:
        """Find the function."""
        self._trim: Any = None
        with suppress(AttributeError, OSError, TypeError):  # the last is for Windows
            self._trim = ctypes.CDLL(None).malloc_trim
        self._not_before = 0.0

    def give_back(self) -> None:
        """Give back what is free, unless it was given back a moment ago."""
        begin = time.monotonic()
        if self._trim is None or begin < self._not_before:
            return
        self._trim(0)
        end = time.monotonic()
        self._not_before = end + (end - begin) / SHARE
