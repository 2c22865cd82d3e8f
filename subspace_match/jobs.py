"""What every job of the workflow does around its work: its log, its threads, its errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("subspace_match")


@contextmanager
def job(log_file: str, threads: int = 1) -> Iterator[None]:
    """Log to the job's own file, warnings to the terminal too, and end bad input in one line.

    Args:
        log_file: of this job; begun anew.
        threads: of every library that computes. It decides the order of additions, so it is the
            configuration's and not what a machine happens to have.
    """
    _limit_threads(threads)
    Path(log_file).parent.mkdir(parents=True, exist_ok=True)
    in_file = logging.FileHandler(log_file, mode="w", encoding="utf-8")
    in_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    on_terminal = logging.StreamHandler()
    on_terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    on_terminal.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for logger in (log, logging.getLogger("py.warnings")):
        logger.handlers = [in_file, on_terminal]
        logger.setLevel(logging.DEBUG)
    try:
        yield
    except ValueError as error:
        # Bad input: one line says it all to a person, the log keeps where it came up.
        log.error("%s", error)
        log.debug("raised here", exc_info=True)
        sys.exit(1)
    except BaseException:
        log.exception("the job failed")
        raise


def _limit_threads(threads: int) -> None:
    # For libraries that are loaded later; those that are loaded already take the call below.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def show_progress() -> bool:
    """Whether a person watches: no bar goes to a file or a batch system's log."""
    return sys.stderr.isatty()
