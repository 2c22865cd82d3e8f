"""How far long work is: a line on a terminal, lines in the log elsewhere."""

from __future__ import annotations

import logging
import sys
import time

log = logging.getLogger(__name__)

BAR_INTERVAL = 0.1  # seconds between two updates of the line on a terminal
LINE_INTERVAL = 10.0  # seconds between two lines in the log


class Progress:
    """Shows "what: done/total, about m:ss left".

    On a terminal or in a notebook that is one line, which is written again and again. Elsewhere it
    goes to the log (``logging``, level INFO) every ten seconds, which shows nothing unless asked;
    the commands write it to stderr.
    """

    def __init__(self, what: str, total: int | None, work: float | None = None) -> None:
        """Prepare.

        Args:
            what: the things that are counted.
            total: how many there are; None if it is not known.
            work: what all of them cost, in any unit, if they do not cost the same.
        """
        self._what, self._total, self._done = what, total, 0
        self._work, self._worked = total if work is None else work, 0.0
        # A program without standard error (``2>&-``) has None.
        notebook = "ipykernel" in sys.modules
        self._visible = sys.stderr is not None and (sys.stderr.isatty() or notebook)
        self._interval = BAR_INTERVAL if self._visible else LINE_INTERVAL
        self._start = time.monotonic()
        self._shown = self._start - BAR_INTERVAL

    def update(self, count: int = 1, work: float | None = None) -> None:
        """Count things that are done, and what they, or parts of the next one, did cost."""
        self._done += count
        self._worked += count if work is None else work
        now = time.monotonic()
        if now - self._shown >= self._interval:
            self._shown = now
            self._show(f"{self._what}: {self._done}{self._of(now)}")

    def _show(self, line: str) -> None:
        if self._visible:
            sys.stderr.write(f"\r\033[K{line}")
            sys.stderr.flush()
        else:
            log.info("%s", line)

    def _of(self, now: float) -> str:
        """Return the total and the time left, if the total is known and was not too small."""
        if self._total is None or self._work is None or self._done > self._total:
            return ""
        if not self._worked:
            return f"/{self._total}"
        left = int((now - self._start) * (self._work - self._worked) / self._worked)
        return f"/{self._total}, about {left // 60}:{left % 60:02} left"

    def __enter__(self) -> Progress:
        if self._visible and self._total:
            self._show(f"{self._what}: 0/{self._total}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._visible:
            sys.stderr.write("\r\033[K")
