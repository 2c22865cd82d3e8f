"""What Snakemake's main process shows on the terminal: one short line for each job.

Snakemake itself shows every input and output of a job when it starts. Here a job has one line when
it ends, and another one only if it takes long. Warnings and errors stay. A failed job shows why: in
one line, or by the end of its log if it failed unexpectedly. Snakemake's own log file, in
``.snakemake/log``, keeps everything, and ``snakemake --verbose`` shows everything.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake.logging import logger  # type: ignore[import-untyped]

from .job import RAISED_HERE

LONG_SECONDS = 30.0  # a job that takes longer says that it has started
LAST_LINES = 30  # of the log of a job that failed unexpectedly
_MOST_LINES = 1000  # of a log that are read: more than a traceback has
_DEFAULT = "DefaultStreamHandler"  # Snakemake's name of the handler that writes to the terminal
# Messages without information for a reader; Snakemake has no switch for these alone.
_NOISE = (
    *("Assuming unrestricted", "Building DAG", "Using shell", "Provided cores", "Select jobs"),
    *("Rules claiming more threads", "SLURM run ID", "Cleaning up SLURM log files"),
    "Reasons:",  # always that outputs are missing, since paths contain what decides a result
)
_NOTHING = "Nothing to be done"
_NUMBERED_NOISE = re.compile(r"Execute \d+ jobs|Job \d+ has been submitted with SLURM jobid")
_SAID_BY_A_FAILED_JOB = re.compile(
    r"RuleException:\nCalledProcessError in file .*returned non-zero exit status 1\."
    r"|WorkflowError:\nAt least one job did not complete successfully\.",
    re.DOTALL,
)
_FLAGS = re.compile(r" \([^/]*\)$")  # what Snakemake appends to a file's name, in brackets
# The start of a record in a log.
_RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ")
_AT_THE_END = "Complete log(s)", "Elapsed time"
_DIGEST = re.compile(r"-[0-9a-f]{10}(?![0-9a-f])")
_NETWORK = re.compile(r"(.+)\.seed_(-?\d+)\.(.+)")


def one_line_per_job(workflow: Any, page: str | Path) -> None:
    """Show jobs in one line each, if this is the main process and nobody asked for more.

    Args:
        workflow: Snakemake's object, with all rules.
        page: named when there is nothing to do, if it exists.
    """
    settings = workflow.output_settings
    if not workflow.is_main_process or settings.verbose:
        return
    targets = {rule.name for rule in workflow.rules if rule.norun}
    for handler in list(logger.handlers):
        if handler.name == _DEFAULT:
            logger.removeHandler(handler)
            logger.addHandler(Terminal(handler, targets, Path(page), dry=settings.dryrun))


def job_words(rule: str, wildcards: Mapping[str, Any]) -> str:
    """Name a job by its rule and its wildcards, without digests.

    Example:
        >>> network = "vgg11_bn-b4336d1fac.seed_{}.last"
        >>> job_words("null", {"a": network.format(0), "b": network.format(1)})
        'null: vgg11_bn seed 0 last, vgg11_bn seed 1 last'
        >>> job_words("train", {"model": "vgg11_bn-8cd0fd3ee0", "seed": "1"})
        'train: vgg11_bn, seed 1'
    """
    words = []
    for name, value in wildcards.items():
        text = _DIGEST.sub("", str(value))
        if network := _NETWORK.fullmatch(text):
            text = "{} seed {} {}".format(*network.groups())
        words.append(f"{name} {text}" if name in ("seed", "epsilon") else text)
    return f"{rule}: {', '.join(words)}" if words else rule


def duration_words(seconds: float) -> str:
    """Return a duration as "8 s", "2 min 5 s" or "1 h 0 min".

    Example:
        >>> duration_words(0.4), duration_words(125), duration_words(3600)
        ('0 s', '2 min 5 s', '1 h 0 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@dataclass
class _Job:
    words: str
    started: float  # seconds
    says_it_started: threading.Timer


class Terminal(logging.Handler):
    """A handler in front of Snakemake's own, for the records of jobs.

    Args:
        default: Snakemake's handler; it gets the records that are shown as they are, and its
            stream and its filter (``--quiet``) hold for the others too.
        targets: names of rules that only ask for files; they are not shown.
        page: named when there is nothing to do, if it exists.
        dry: whether nothing runs, so that jobs only start.
    """

    def __init__(self, default: Any, targets: set[str], page: Path, *, dry: bool) -> None:
        super().__init__()
        self.name = _DEFAULT
        self._default, self._targets, self._page = default, targets, page
        self._jobs: dict[int, _Job] = {}
        self._done = self._total = 0
        self._has_failed = False
        self._shows: dict[str | None, Callable[[Any], str | None]] = {
            "job_info": self._planned if dry else self._started,
            "job_finished": self._finished,
            "job_error": self._failed,
            "run_info": self._table if dry else self._plan,
            **dict.fromkeys(("workflow_started", "progress", "resources_info"), _nothing),
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record: in this class's words if it is about a job, else in Snakemake's."""
        show = self._shows.get(getattr(record, "event", None))
        if show is None:
            if not self._is_noise(record):
                self._default.handle(record)
            if str(record.msg).startswith(_NOTHING) and self._page.exists():
                self._write(f"Page: {self._page}")
            return
        text = show(record)
        if not text or not self._default.filter(record):
            return
        if record.levelno < logging.WARNING:
            self._write(text)
        else:  # in colour
            level = {"levelno": record.levelno, "levelname": record.levelname}
            self._default.handle(logging.makeLogRecord({**level, "msg": text}))

    def _plan(self, record: Any) -> str | None:
        counts = {name: n for name, n in record.stats.items() if name not in self._targets}
        self._total = counts.pop("total") - sum(
            n for name, n in record.stats.items() if name in self._targets
        )
        each = ", ".join(f"{n} {name}" if n > 1 else name for name, n in counts.items())
        return f"{self._total} job{'' if self._total == 1 else 's'}: {each}" if counts else None

    def _table(self, record: Any) -> str | None:
        """Show Snakemake's table of jobs; a dry run logs it before and after them."""
        is_first, self._total = not self._total, 1
        return str(record.msg) if is_first else None

    def _planned(self, record: Any) -> str | None:
        return None if record.rule_name in self._targets else _words_of(record)

    def _started(self, record: Any) -> None:
        if record.rule_name in self._targets:
            return
        words = _words_of(record)
        log = f"; its log: {record.log[0]}" if record.log else ""
        place = " " * len(self._place())
        says = threading.Timer(
            LONG_SECONDS, self._write, [f"{place} {words} is running or queued{log}"]
        )
        says.daemon = True
        if self._default.filter(record):
            says.start()
        self._jobs[record.jobid] = _Job(words, time.monotonic(), says)

    def _finished(self, record: Any) -> str | None:
        job = self._jobs.pop(record.job_id, None)
        if job is None:
            return None
        self._done += 1
        return f"{self._place()} {self._ended(job)}"

    def _failed(self, record: Any) -> str:
        self._has_failed = True
        job = self._jobs.pop(record.jobid, None)
        failed = record.rule_name if job is None else self._ended(job)
        why = [f"    {record.rule_msg}"] if record.rule_msg else []  # from a cluster
        about = [f"    {name}: {value}" for name, value in record.aux.items()]
        # A job on this machine has shown its message on the terminal; that of a cluster has not.
        shown = not (why or about)
        paths = [_FLAGS.sub("", path) for path in record.log]
        logs = [line for path in paths for line in _end_of(path, shown=shown)]
        return "\n".join([f"FAILED {failed}", *why, *about, *logs])

    def _place(self) -> str:
        width = len(str(self._total))
        return f"[{self._done:>{width}}/{self._total}]"

    def _ended(self, job: _Job) -> str:
        job.says_it_started.cancel()
        return f"{job.words} ({duration_words(time.monotonic() - job.started)})"

    def _is_noise(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        if record.levelno >= logging.WARNING:
            return bool(_SAID_BY_A_FAILED_JOB.fullmatch(text.strip()))
        # After a success the results come last.
        at_the_end = not self._has_failed and text.startswith(_AT_THE_END)
        return at_the_end or text.startswith(_NOISE) or bool(_NUMBERED_NOISE.match(text))

    def _write(self, text: str) -> None:
        with self._default.lock:
            self._default.stream.write(f"{text}\n")
            self._default.flush()


def _nothing(_record: Any) -> None:
    """Show nothing."""


def _words_of(record: Any) -> str:
    return job_words(record.rule_name, record.wildcards)


def _end_of(path: str, *, shown: bool) -> list[str]:
    """Return why a job failed, from its log, and the log's name.

    Args:
        path: the log.
        shown: whether the user has seen the message of a failure that the job expected.
    """
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as stream:
            lines = [line.rstrip() for line in deque(stream, _MOST_LINES)]
    except OSError as error:
        return [f"    {path}: {error.strerror}"]
    starts = [n for n, line in enumerate(lines) if _RECORD.match(line)]
    if len(starts) > 1 and lines[starts[-1]].endswith(f" DEBUG {RAISED_HERE}"):
        message = lines[starts[-2] : starts[-1]]
        message[0] = _RECORD.sub("", message[0])
        return [*(() if shown else (f"    {line}" for line in message)), f"    its log: {path}"]
    return [f"    {path}:", *(f"        {line}" for line in lines[-LAST_LINES:] or ["(empty)"])]
