"""A progress counter for the terminal."""

from __future__ import annotations

import sys
import time

INTERVAL = 0.1  # seconds between two updates of the line


class Progress:
    """A line "what: done/total" on the terminal while work goes on; silent in a file or a log."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._shown = float("-inf")
        self._visible = sys.stderr.isatty()

    def update(self, count: int = 1) -> None:
        """Count work that is done."""
        self._done += count
        now = time.monotonic()
        if self._visible and now - self._shown >= INTERVAL:
            self._shown = now
            sys.stderr.write(f"\r\033[K{self._what}: {self._done}/{self._total}")
            sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._visible:
            sys.stderr.write("\r\033[K")
