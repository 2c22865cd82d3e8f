"""What every job does around its work: locks, checks, log, threads, GPU, signals, provenance."""

from __future__ import annotations

import atexit
import errno
import faulthandler
import gc
import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
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
_OUT_OF_MEMORY_ADVICE = "too little memory; choose smaller sizes, or a machine with more"

_ACCESS_ADVICE = "change the permissions, or name another folder"

IN_FILE = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
# In a log: the line before it, or the lines, say all that a user needs to know about a failure.
RAISED_HERE = "raised here"

# What Python puts around the text of a warning: its place in the code, and the line there.
_PLACE = re.compile(r"^\S+:\d+: |\n  [^\n]*\n?$")

# Signals by which a person, a terminal or a batch system ends a job, and that a process can handle.
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU)


def run(
    work: Callable[..., Callable[[], object] | None], snakemake: Any, threads: int | None = None
) -> None:
    """Run a job's work with its log and threads; end with a one-line error on invalid input.

    Only one job at a time makes a result. A second one waits and reuses the finished result. The
    job's provenance records are written last.

    Args:
        work: called with ``snakemake`` and, if the job can have several results (``JobRecord``),
            the numbers of those to make; it has the name of its script. It may return a function
            that removes the files from which a killed job goes on; these stay until the records
            are written, because without its record all work counts as not done.
        snakemake: the object that Snakemake gives to a script.
        threads: the number that the rule reserves; None for the configured one. It decides the
            order of additions, so it does not depend on how many threads a machine can spare.
    """
    # Libraries read these variables when they are loaded, so set them before the work imports any.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads or snakemake.config["threads"])
    # Python's collector would take a fifth of a short job, for objects that stay until its end.
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)
    _log_to_terminal()
    for number in _ENDING_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _exit_on_signal)
    try:
        record = JobRecord(snakemake, code_files(work.__name__, snakemake))
        with ExitStack() as locks:
            for result in record.results:
                artefact = str(result.file).removesuffix(SUFFIX)
                locks.enter_context(exclusive_writer(artefact, log.warning))
            if not (missing := _missing(record, snakemake.log[0])):
                return
            for output in snakemake.output:
                remove_abandoned(output)
            check_as_planned(work.__name__, snakemake)
            with exclusive_gpu(log.info) if snakemake.resources.get("gpu") else nullcontext():
                tidy_up = work(snakemake, *([missing] if record.several else []))
            check_as_planned(work.__name__, snakemake)
            for result_number in missing:
                record.write(result_number)
            if tidy_up is not None:
                tidy_up()
    except Exception as error:
        out_of_memory = _is_out_of_memory(error)
        reason = getattr(error, "errno", None)
        no_access = reason in (errno.EACCES, errno.EPERM, errno.EROFS)
        no_room = reason in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        in_the_way = reason in (errno.EISDIR, errno.ENOTDIR)
        no_place = no_access or no_room or in_the_way
        if not (isinstance(error, ValueError) or no_place or out_of_memory):
            log.exception("the job failed")
            raise
        # The message suffices without a traceback.
        line, _, _ = str(error).partition("\n")
        message = f"{_OUT_OF_MEMORY_ADVICE}: {line}" if out_of_memory else str(error)
        log.error("%s", f"{message}; {_ACCESS_ADVICE}" if no_access else message)
        log.debug(RAISED_HERE, exc_info=True)
        sys.exit(1)


def _missing(record: JobRecord, log_file: str) -> list[int]:
    """Return the results to make; if one is up to date, continue the job's log, else start anew."""
    reused = False
    try:
        # Check the inputs before any work.
        checked = len(record.made_from)
        missing = record.missing()
        reused = len(missing) < len(record.results)
    finally:
        # Not earlier: before this process got the lock, another one could write to the log.
        if not reused:
            Path(log_file).unlink(missing_ok=True)
        _log_to_file(log_file)
    log.info("%d input results are as their jobs recorded them", checked)
    if not missing:
        log.info("the result exists and is up to date: reused")
    elif reused:
        up_to_date, all_of_them = len(record.results) - len(missing), len(record.results)
        log.info("%d of %d results exist and are up to date: reused", up_to_date, all_of_them)
    return missing


def _is_out_of_memory(error: Exception) -> bool:
    # torch's error is a subclass of RuntimeError for GPU memory and a plain one for CPU memory.
    from_torch = isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None
    return from_torch or isinstance(error, MemoryError)


def show_progress() -> bool:
    """Return whether stderr is a terminal; progress bars do not belong in log files."""
    return sys.stderr.isatty()


class _OnTerminal(logging.Formatter):
    """Shows a warning without its place in the code, which the log file has."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.name == "py.warnings":
            text = _PLACE.sub("", text)
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{record.levelname}: {text}{trace}"


def _log_to_terminal() -> None:
    on_terminal = logging.StreamHandler()
    on_terminal.setFormatter(_OnTerminal())
    on_terminal.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for logger in _LOGGERS:
        logger.handlers = [on_terminal]
        logger.setLevel(logging.DEBUG)


def _log_to_file(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Another Snakemake deletes this file when it starts a job that waits for this one. The handler
    # then opens a new file.
    in_file = WatchedFileHandler(path, encoding="utf-8")
    # A crash in compiled code raises no exception; faulthandler writes its signal and traceback.
    faulthandler.enable(in_file.stream)  # type: ignore[arg-type]  # None only until it is opened
    in_file.setFormatter(IN_FILE)
    for logger in _LOGGERS:
        logger.addHandler(in_file)


def _exit_on_signal(number: int, _frame: object) -> None:
    """Exit by an exception, so that temporary files are removed."""
    # A second signal must not interrupt the cleanup.
    signal.signal(number, signal.SIG_IGN)
    log.error("ended by the signal %s: a time limit or a person", signal.strsignal(number))
    sys.exit(128 + number)
