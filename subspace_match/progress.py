"""A line on the terminal while work goes on."""

from __future__ import annotations

import sys
import time

PROGRESS_INTERVAL = 0.1  # seconds between two updates of the line


class Progress:
    """A line "what: done/total, time left" on a terminal or in a notebook; else silent."""

    def __init__(self, what: str, total: int | None) -> None:
        """Prepare the line; ``total`` is None if it is not known."""
        self._what, self._total, self._done = what, total, 0
        self._shown, self._start = float("-inf"), time.monotonic()
        self._visible = sys.stderr.isatty() or "ipykernel" in sys.modules

    def update(self, count: int = 1) -> None:
        """Count work that is done."""
        self._done += count
        now = time.monotonic()
        if self._visible and now - self._shown >= PROGRESS_INTERVAL:
            self._shown = now
            sys.stderr.write(f"\r\033[K{self._what}: {self._done}{self._of(now)}")
            sys.stderr.flush()

    def _of(self, now: float) -> str:
        """Return the total and the time left, if the total is known."""
        if self._total is None:
            return ""
        left = int((now - self._start) * (self._total - self._done) / max(self._done, 1))
        return f"/{self._total}, about {left // 60}:{left % 60:02} left"

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._visible:
            sys.stderr.write("\r\033[K")
