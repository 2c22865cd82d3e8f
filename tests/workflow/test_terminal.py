"""The terminal shows one line for each job, and errors with the log of the job that failed."""

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from snakemake.logging import (  # type: ignore[import-untyped]
    ColorizingTextHandler,
    DefaultFilter,
    DefaultFormatter,
)
from snakemake.settings.enums import Quietness  # type: ignore[import-untyped]
from snakemake_interface_logger_plugins.common import LogEvent

from subspace_match.workflow import job, terminal

NETWORK = "vgg11_bn-b4336d1fac.seed_0.last"


class Shown:
    """A terminal, and what it shows."""

    def __init__(self, page: Path, *, dry: bool = False, quiet: Any = ()) -> None:
        self.stream = io.StringIO()
        default = ColorizingTextHandler(
            stream=self.stream,
            formatter=DefaultFormatter(),
            filter=DefaultFilter(set(quiet), False, False, dry, False),
        )
        self.terminal = terminal.Terminal(default, {"all"}, page, dry=dry)

    def log(self, message: str, event: str | None = None, level: str = "INFO", **more: Any) -> str:
        """Send a record; return what is shown since the last one."""
        levelno = logging.getLevelName(level)
        about = {"msg": message, "levelname": level, "levelno": levelno}
        about |= {"event": event and LogEvent(event), **more}
        self.stream.seek(0)
        self.stream.truncate()
        self.terminal.handle(logging.makeLogRecord(about))
        return self.stream.getvalue()

    def start(self, jobid: int, rule: str, **wildcards: str) -> str:
        more = {"jobid": jobid, "rule_name": rule, "wildcards": wildcards, "log": ["a.log"]}
        lists: dict[str, Any] = dict.fromkeys(("input", "output"), ["x"] * 99)
        return self.log("", "job_info", **more, **lists, reason="Missing output files")


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(tmp_path / "report.html")


def test_a_job_has_one_short_line_when_it_ends(shown: Shown) -> None:
    stats = {"train": 9, "match": 1, "all": 1, "total": 11}
    assert shown.log("Job stats:", "run_info", stats=stats) == "10 jobs: 9 train, match\n"
    assert shown.start(1, "train", model="vgg11_bn-b4336d1fac", seed="3") == ""
    assert shown.start(2, "match", a=NETWORK, group="conv1-fc2-821954c730") == ""
    assert shown.start(3, "all") == ""
    done = shown.log("Finished", "job_finished", job_id=2)
    assert done == "[ 1/10] match: vgg11_bn seed 0 last, conv1-fc2 (0 s)\n"
    done = shown.log("Finished", "job_finished", job_id=1)
    assert done == "[ 2/10] train: vgg11_bn, seed 3 (0 s)\n"
    assert shown.log("Finished", "job_finished", job_id=3) == ""
    assert shown.log("", "progress", done=2, total=11) == ""
    assert shown.log("Select jobs to execute...") == ""
    assert shown.log("Job 3 has been submitted with SLURM jobid 7 (log: x.log).") == ""
    assert shown.log("Complete log(s): x.log") == ""


def test_a_long_job_says_that_it_runs(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "LONG_SECONDS", 0.0)
    shown.log("", "run_info", stats={"train": 1, "total": 1})
    shown.start(1, "train", seed="0")
    shown.terminal._jobs[1].says_it_started.join()
    assert "train: seed 0 is running or queued; its log: a.log" in shown.stream.getvalue()


def test_a_failed_job_shows_the_end_of_its_log(shown: Shown, tmp_path: Path) -> None:
    log = tmp_path / "runs (2)" / "job.log"
    log.parent.mkdir()
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    shown.start(1, "train", seed="0")
    about: dict[str, Any] = {"jobid": 1, "rule_name": "train", "aux": {"slurm": 7}}
    about["rule_msg"] = "the node is lost"
    text = shown.log("", "job_error", "ERROR", log=[str(log), "none.log (lost)"], **about)
    first, *rest = text.splitlines()
    assert first == "FAILED train: seed 0 (0 s)"
    found = [line.strip() for line in rest[:4]]
    assert found == ["the node is lost", "slurm: 7", f"{log}:", "line 70"]
    assert [line.strip() for line in rest[-2:]] == [
        "line 99",
        "none.log: No such file or directory",
    ]
    # Snakemake's complete log is named if something failed.
    assert shown.log("Complete log(s): x.log") == "Complete log(s): x.log\n"


@pytest.mark.parametrize("where", ["here", "on a cluster"])
def test_a_job_that_says_why_it_failed_shows_no_traceback(
    shown: Shown, tmp_path: Path, where: str
) -> None:
    """Its message is on the terminal already, unless it ran elsewhere."""
    log = tmp_path / "job.log"
    logger = logging.Logger("job")
    logger.addHandler(logging.FileHandler(log))
    logger.handlers[0].setFormatter(job.IN_FILE)
    logger.info("some work")
    logger.error("a.png: expected one,\nfound none")
    try:
        raise ValueError("a.png: expected one,\nfound none")
    except ValueError:
        logger.debug(job.RAISED_HERE, exc_info=True)
    shown.start(1, "train", seed="0")
    about: dict[str, Any] = {"jobid": 1, "rule_name": "train", "rule_msg": None, "log": [str(log)]}
    elsewhere = where == "on a cluster"
    aux = {"slurm": 7} if elsewhere else {}
    text = shown.log("", "job_error", "ERROR", aux=aux, **about)
    said = ["    slurm: 7", "    a.png: expected one,", "    found none"] if elsewhere else []
    assert text.splitlines() == ["FAILED train: seed 0 (0 s)", *said, f"    its log: {log}"]


def test_snakemakes_words_about_a_failed_job_are_left_out(shown: Shown) -> None:
    where = 'RuleException:\nCalledProcessError in file "a.smk", line 3:\nCommand x'
    assert shown.log(f"{where} returned non-zero exit status 1.", level="ERROR") == ""
    said = "WorkflowError:\nAt least one job did not complete successfully."
    assert shown.log(said, level="ERROR") == ""
    killed = f"{where} died with <Signals.SIGKILL: 9>."
    assert shown.log(killed, level="ERROR") == f"{killed}\n"


def test_warnings_and_errors_are_shown_in_full(shown: Shown) -> None:
    for level in ("WARNING", "ERROR"):
        assert shown.log("Select jobs: a warning", level=level) == "Select jobs: a warning\n"


def test_a_dry_run_lists_its_jobs(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "none", dry=True)
    assert shown.log("Job stats:\ntrain 1", "run_info", stats={}) == "Job stats:\ntrain 1\n"
    assert shown.start(1, "train", seed="0") == "train: seed 0\n"
    assert shown.log("Job stats:\ntrain 1", "run_info", stats={}) == ""
    assert shown.log("Reasons:\n    output files have to be generated:\n        train") == ""


def test_with_nothing_to_do_the_page_is_named(shown: Shown, tmp_path: Path) -> None:
    nothing = "Nothing to be done (all requested files are present)."
    assert shown.log(nothing) == f"{nothing}\n"
    (tmp_path / "report.html").touch()
    assert shown.log(nothing) == f"{nothing}\nPage: {tmp_path / 'report.html'}\n"


def test_quiet_holds_for_jobs_too(tmp_path: Path) -> None:
    shown = Shown(tmp_path, quiet=[Quietness.RULES, Quietness.PROGRESS])
    assert shown.log("", "run_info", stats={"train": 1, "total": 1}) == ""
    shown.start(1, "train")
    assert shown.log("", "job_finished", job_id=1) == ""
