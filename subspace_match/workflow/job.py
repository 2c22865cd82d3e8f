"""What every job does around its work: lock, checks, log, threads, GPU, end, provenance."""

from __future__ import annotations

import errno
import faulthandler
import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from ..storage.files import remove_abandoned
from ..storage.job_records import SUFFIX
from .file_lock import exclusive_writer
from .gpu_lock import exclusive_gpu
from .invocation import check_as_planned, code_files
from .record_writer import JobRecord

log = logging.getLogger("subspace_match")
_LOGGERS = log, logging.getLogger("py.warnings")

_OUT_OF_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory")
_TOO_LITTLE_MEMORY = "too little memory; choose smaller sizes, or a machine with more"

# Those that a person, a terminal or a batch system ends a job with, and a process can answer.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU)


def run(work: Callable[[Any], None], snakemake: Any, threads: int | None = None) -> None:
    """Do a job's work: with its log, so many threads, and bad input ended in one line.

    One job at a time makes the same: another waits, and takes what has become whole. What was made
    from what is recorded at the end.

    Args:
        work: called with ``snakemake``; of the name of its script.
        snakemake: the object that Snakemake gives to a script.
        threads: of a rule that reserves so many; None for the configuration's. Their number decides
            the order of additions, so it is not what Snakemake had to spare on a smaller machine.
    """
    _limit_threads(threads or snakemake.config["threads"])
    _log_to_terminal()
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _end)
    try:
        record = JobRecord(snakemake, code_files(work.__name__, snakemake))
        with exclusive_writer(str(record.file).removesuffix(SUFFIX), log.warning):
            if _taken(record, snakemake.log[0]):
                return
            for output in snakemake.output:
                remove_abandoned(output)
            check_as_planned(work.__name__, snakemake)
            with exclusive_gpu(log.info) if snakemake.resources.get("gpu") else nullcontext():
                work(snakemake)
            check_as_planned(work.__name__, snakemake)
            record.write()
    except Exception as error:
        if not _says_it_all(error):
            log.exception("the job failed")
            raise
        first, _, _ = str(error).partition("\n")
        log.error("%s", f"{_TOO_LITTLE_MEMORY}: {first}" if _is_of_memory(error) else error)
        log.debug("raised here", exc_info=True)
        sys.exit(1)


def _taken(record: JobRecord, path: str) -> bool:
    """Whether the job's result stands already; its log is begun, or goes on where it ended."""
    taken = False
    try:
        # Before any work: what cannot be read would be noticed at its end.
        checked = len(record.made_from)
        taken = not record.forced and record.stands()
    finally:
        # Not before: until now it may have been that of another process.
        if not taken:
            Path(path).unlink(missing_ok=True)
        _log_to_file(path)
    log.info("%d results to be read, all as the records of their jobs say", checked)
    if taken:
        log.info("what this makes is there and whole: taken as it is")
    return taken


def _says_it_all(error: Exception) -> bool:
    """Whether a person needs but the error's line: of bad input, a full disk, too little memory."""
    of_disk = getattr(error, "errno", None) == errno.ENOSPC
    return isinstance(error, ValueError) or of_disk or _is_of_memory(error)


def _is_of_memory(error: Exception) -> bool:
    # torch has an error of its own for a GPU's memory, and none for the CPU's.
    of_torch = isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None
    return of_torch or isinstance(error, MemoryError)


def show_progress() -> bool:
    """Whether a person watches: no bar goes to a file or a batch system's log."""
    return sys.stderr.isatty()


def _log_to_terminal() -> None:
    """Show warnings and errors."""
    on_terminal = logging.StreamHandler()
    on_terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    on_terminal.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for logger in _LOGGERS:
        logger.handlers = [on_terminal]
        logger.setLevel(logging.DEBUG)


def _log_to_file(path: str) -> None:
    """Log to the job's own file too."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Another Snakemake removes it when it starts a job that will wait for this one; then it is
    # begun again.
    in_file = WatchedFileHandler(path, encoding="utf-8")
    # A crash in a library's compiled code leaves no exception, but a signal: which, and from where.
    faulthandler.enable(in_file.stream)  # type: ignore[arg-type]  # None only until it is opened
    in_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for logger in _LOGGERS:
        logger.addHandler(in_file)


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
