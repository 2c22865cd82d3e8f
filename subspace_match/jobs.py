"""What every job of the workflow does around its work: log, threads, GPU, end, provenance."""

from __future__ import annotations

import errno
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from .gpus import gpu_of_its_own
from .provenance import record_job

log = logging.getLogger("subspace_match")

# Those that a person, a terminal or a batch system ends a job with, and a process can answer.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU)


def run(work: Callable[[Any], None], snakemake: Any, threads: int | None = None) -> None:
    """Do a job's work: with its log, so many threads, and bad input ended in one line.

    What was made from what is recorded at the end.

    Args:
        work: called with ``snakemake``; of the name of its script.
        snakemake: the object that Snakemake gives to a script.
        threads: of a rule that reserves so many; None for the configuration's. Their number decides
            the order of additions, so it is not what Snakemake had to spare on a smaller machine.
    """
    _limit_threads(threads or snakemake.config["threads"])
    _log_to(snakemake.log[0])
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _end)
    own_gpu = gpu_of_its_own(log.info) if snakemake.resources.get("gpu") else nullcontext()
    try:
        with own_gpu:
            work(snakemake)
        record_job(snakemake, os.path.relpath(Path(snakemake.scriptdir, f"{work.__name__}.py")))
    except Exception as error:
        if not _says_it_all(error):
            log.exception("the job failed")
            raise
        log.error("%s", error)
        log.debug("raised here", exc_info=True)
        sys.exit(1)


def _says_it_all(error: Exception) -> bool:
    """Whether a person needs but the error's line, of bad input or a full disk."""
    return isinstance(error, ValueError) or getattr(error, "errno", None) == errno.ENOSPC


def show_progress() -> bool:
    """Whether a person watches: no bar goes to a file or a batch system's log."""
    return sys.stderr.isatty()


def _log_to(path: str) -> None:
    """Log to the job's own file, begun anew; warnings and errors to the terminal too."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    in_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    # A crash in a library's compiled code leaves no exception, but a signal: which, and from where.
    faulthandler.enable(in_file.stream)  # type: ignore[arg-type]  # None only until it is opened
    in_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    on_terminal = logging.StreamHandler()
    on_terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    on_terminal.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for logger in (log, logging.getLogger("py.warnings")):
        logger.handlers = [in_file, on_terminal]
        logger.setLevel(logging.DEBUG)


def _limit_threads(threads: int) -> None:
    # Read by the libraries when they are loaded, so before the work imports them.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)


def _end(number: int, _frame: object) -> None:
    """End as after an error, so that half-written files go, while a batch system still waits."""
    # Once is enough: what tidies up is not to be interrupted.
    signal.signal(number, signal.SIG_IGN)
    log.error("ended by the signal %s, as at a time limit or by a person", signal.strsignal(number))
    sys.exit(128 + number)
