"""What every job does around its work."""

import errno
import faulthandler
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from subspace_match.artefacts import written
from subspace_match.jobs import _ENDING, log, run


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A job has a process of its own, this one goes on: what it changes there is put back."""
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(logging.getLogger("py.warnings"), "handlers", [])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ[name])
    monkeypatch.setattr(faulthandler, "enable", lambda _: None)  # the runner's own stays
    before = {number: signal.getsignal(number) for number in _ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    logging.captureWarnings(False)


@pytest.fixture
def job(tmp_path: Path) -> SimpleNamespace:
    """What Snakemake gives to a script."""
    return SimpleNamespace(
        config={"threads": 1},
        log=[str(tmp_path / "job.log")],
        resources={"gpu": 1},
        scriptdir=str(tmp_path),
    )


def failing(error: Exception) -> Callable[[Any], None]:
    def work(_: Any) -> None:
        raise error

    return work


def test_a_job_that_asks_for_a_gpu_sees_one_of_its_own(
    job: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    recorded: list[object] = []  # test_provenance has what is recorded
    monkeypatch.setattr("subspace_match.jobs.record_job", lambda job, _: recorded.append(job))
    seen: list[str] = []
    for gpu in (1, 0):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
        job.resources["gpu"] = gpu
        run(lambda _: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]), job)
    assert seen == ["5", "5,6"]
    assert recorded == [job, job]


@pytest.mark.parametrize(
    "error", [ValueError("positions: expected more"), OSError(errno.ENOSPC, "full", "a.npz")]
)
def test_bad_input_and_a_full_disk_are_one_line(
    error: Exception, job: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(failing(error), job)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"ERROR: {error}\n"
    assert "Traceback" in Path(job.log[0]).read_text()


def test_any_other_error_is_shown_whole(job: SimpleNamespace) -> None:
    with pytest.raises(KeyError):
        run(failing(KeyError("a bug")), job)
    assert "Traceback" in Path(job.log[0]).read_text()


@pytest.mark.parametrize("number", _ENDING)
def test_a_job_that_is_ended_says_so_and_leaves_nothing_half_written(
    job: SimpleNamespace, tmp_path: Path, number: int
) -> None:
    def work(_: Any) -> None:
        with written(tmp_path / "store") as temporary:
            temporary.mkdir()
            os.kill(os.getpid(), number)

    with pytest.raises(SystemExit) as ended:
        run(work, job)
    assert ended.value.code == 128 + number
    said = f"ERROR ended by the signal {signal.strsignal(number)}"
    assert said in Path(job.log[0]).read_text()
    assert list(tmp_path.iterdir()) == [Path(job.log[0])]


def test_a_job_goes_on_after_a_signal_that_it_was_told_to_ignore(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nohup does."""
    monkeypatch.setattr("subspace_match.jobs.record_job", lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run(lambda _: os.kill(os.getpid(), signal.SIGHUP), job)
    assert "signal" not in Path(job.log[0]).read_text()


CRASH = """
import os, sys
from types import SimpleNamespace
from subspace_match.jobs import log, run

def work(_):
    log.info("at work")
    os.kill(os.getpid(), int(sys.argv[2]))

run(work, SimpleNamespace(config={"threads": 1}, log=[sys.argv[1]], resources={}, scriptdir="."))
"""


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGSEGV, "Segmentation fault"),
        (signal.SIGABRT, "Aborted"),
        (signal.SIGBUS, "Bus error"),
        (signal.SIGFPE, "Floating point exception"),
    ],
)
def test_a_job_that_dies_by_a_signal_says_which_in_its_log(
    tmp_path: Path, number: int, name: str
) -> None:
    file = tmp_path / "job.log"
    ended = subprocess.run([sys.executable, "-c", CRASH, str(file), str(int(number))])
    assert ended.returncode == -number
    assert f"at work\nFatal Python error: {name}\n" in file.read_text()


@pytest.mark.parametrize(("reserved", "used"), [(None, "3"), (1, "1")])
def test_a_job_uses_the_threads_that_its_rule_reserves(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, reserved: int | None, used: str
) -> None:
    monkeypatch.setattr("subspace_match.jobs.record_job", lambda *_: None)
    job.config["threads"] = 3
    job.threads = 2  # of a machine that has no more: it is not to change the result
    seen: list[str] = []
    run(lambda _: seen.append(os.environ["OMP_NUM_THREADS"]), job, reserved)
    assert seen == [used]


def test_rules_reserve_what_their_scripts_use() -> None:
    """All of the configuration's threads, or one."""
    project = Path(__file__).parents[1]
    text = "".join(file.read_text() for file in (project / "rules").glob("*.smk"))
    rules = re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(rules) >= 15
    for rule, body in rules:
        script = (project / "workflow_scripts" / f"{rule}.py").read_text()
        reserved = re.findall(r"^    threads: (.*)$", body, re.MULTILINE)
        assert reserved in ([], ['config["threads"]'])
        assert (f"run({rule}, snakemake)" in script) == bool(reserved), rule
        assert (f"run({rule}, snakemake, threads=1)" in script) == (not reserved), rule


def test_no_library_has_read_its_number_of_threads_before_the_job_sets_it() -> None:
    libraries = "{'numpy', 'scipy', 'torch'}"
    code = f"import sys; import subspace_match.jobs; print({libraries} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
