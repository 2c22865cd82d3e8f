"""What a job does around its work."""

import errno
import faulthandler
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from jobs import Params, make_result, record_for
from jobs import job as a_job

from subspace_match.storage.files import atomic_write, write_manifest
from subspace_match.storage.job_records import Records, check
from subspace_match.workflow.invocation import INVOCATION, invocation
from subspace_match.workflow.job import _ENDING_SIGNALS, log, run
from subspace_match.workflow.record_writer import JobRecord


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore what a job changes in its process, since the tests share one."""
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(logging.getLogger("py.warnings"), "handlers", [])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ[name])
    monkeypatch.setattr(faulthandler, "enable", lambda _: None)  # keep the test runner's
    before = {number: signal.getsignal(number) for number in _ENDING_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    logging.captureWarnings(False)


CONFIG = {"results": "results", "threads": 1}
NETWORK = "networks/net/seed_0/last.safetensors"
TABLE = Path("results/experiments/x-2/a.csv")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The ``snakemake`` object of a job that makes a table from a network and a store."""
    monkeypatch.chdir(tmp_path)
    files = {"work": ["work.py", "module_of_work.py"]}
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, CONFIG, CONFIG, files=files))
    # Another test covers this check.
    monkeypatch.setattr("subspace_match.workflow.job.check_as_planned", lambda *_: None)
    make_result("train", "networks/net/seed_0", ["last.safetensors", "last.json"], CONFIG)
    make_result("extract", "activations/1", ["net.zarr/"], CONFIG, [NETWORK])
    for code in ("work.py", "module_of_work.py"):
        Path(code).write_text("")
    inputs = [NETWORK, "networks/net/seed_0/last.json", "activations/1/net.zarr"]
    job = a_job("work", "experiments/x-2", ["a.csv"], CONFIG, inputs)
    job.resources["gpu"] = 1
    return job


def working(times: list[int] | None = None) -> Callable[[Any], None]:
    """Return a job's work that counts its calls."""

    def work(job: SimpleNamespace) -> None:
        if times is not None:
            times.append(1)
        Path(job.output[0]).parent.mkdir(parents=True, exist_ok=True)
        Path(job.output[0]).write_text("1,2\n")

    return work


def failing(error: Exception) -> Callable[[Any], None]:
    def work(_: Any) -> None:
        raise error

    return work


def test_a_job_that_asks_for_a_gpu_sees_only_one(
    job: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    seen: list[str] = []

    def work(job: SimpleNamespace) -> None:
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        working()(job)

    for gpu in (1, 0):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
        job.resources["gpu"] = gpu
        run(work, job)
        TABLE.unlink()
    assert seen == ["5", "5,6"]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ValueError("positions: expected more"), ""),
        *((OSError(n, "full", "a.npz"), "") for n in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        *((OSError(n, "in the way", "a.npz"), "") for n in (errno.EISDIR, errno.ENOTDIR)),
        *(
            (OSError(n, "denied", "a.npz"), "; change the permissions, or name another folder")
            for n in (errno.EACCES, errno.EPERM, errno.EROFS)
        ),
    ],
)
def test_bad_input_and_files_that_cannot_be_written_give_one_line(
    error: Exception, advice: str, job: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(failing(error), job)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"ERROR: {error}{advice}\n"
    assert "Traceback" in Path(job.log[0]).read_text()


@pytest.mark.parametrize(
    "take",
    [
        lambda: np.empty(10**15),
        lambda: torch.empty(10**15),
        lambda: failing(torch.OutOfMemoryError("CUDA out of memory. Tried 9 GiB.\nMore"))(None),
    ],
)
def test_too_little_memory_gives_one_line(
    take: Callable[[], Any], job: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """The errors of NumPy, and of torch on the CPU and on a GPU."""

    def work(_: Any) -> None:
        take()

    with pytest.raises(SystemExit):
        run(work, job)
    error = capsys.readouterr().err
    assert error.startswith(
        "ERROR: too little memory; choose smaller sizes, or a machine with more"
    )
    assert len(error.splitlines()) == 1
    assert "Traceback" in Path(job.log[0]).read_text()


def test_a_warning_has_its_place_in_the_log_only(
    job: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(job: SimpleNamespace) -> None:
        warnings.warn("few samples\n  of a layer", stacklevel=1)
        working()(job)

    run(work, job)
    assert capsys.readouterr().err.splitlines() == [
        "WARNING: UserWarning: few samples",
        "  of a layer",
    ]
    assert f"{__file__}:" in Path(job.log[0]).read_text()


def test_any_other_error_has_a_traceback(job: SimpleNamespace) -> None:
    with pytest.raises(KeyError):
        run(failing(KeyError("a bug")), job)
    assert "Traceback" in Path(job.log[0]).read_text()


@pytest.mark.parametrize("number", _ENDING_SIGNALS)
def test_a_job_ended_by_a_signal_logs_it_and_removes_temporary_files(
    job: SimpleNamespace, tmp_path: Path, number: int
) -> None:
    def work(_: Any) -> None:
        with atomic_write(tmp_path / "store") as temporary:
            temporary.mkdir()
            os.kill(os.getpid(), number)

    signal.signal(number, signal.SIG_DFL)  # a shell or nohup may have it ignored
    with pytest.raises(SystemExit) as ended:
        run(work, job)
    assert ended.value.code == 128 + number
    message = f"ERROR ended by the signal {signal.strsignal(number)}"
    assert message in Path(job.log[0]).read_text()
    assert not list(tmp_path.rglob("store")) + list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("fault", ["changed code", "full disk", "signal", "none"])
def test_what_a_job_goes_on_from_stays_until_it_has_its_record(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Without its record all work counts as not done."""
    resume, record = Path("resume"), TABLE.with_name("work.provenance.json")

    def work(job: SimpleNamespace) -> Callable[[], None]:
        resume.write_text("all epochs")
        working()(job)
        return resume.unlink

    def check(*_: object) -> None:
        if fault == "changed code" and TABLE.exists():
            raise ValueError("work: expected the code of work as when the run was planned")

    def write(record: JobRecord, number: int = 0) -> None:
        if fault == "full disk":
            raise OSError(errno.ENOSPC, "full", "work.provenance.json")
        if fault == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        written(record, number)

    written = JobRecord.write
    monkeypatch.setattr("subspace_match.workflow.job.check_as_planned", check)
    monkeypatch.setattr(JobRecord, "write", write)
    with nullcontext() if fault == "none" else pytest.raises(SystemExit):
        run(work, job)
    assert resume.exists() == (fault != "none")
    assert record.exists() == (fault == "none")


def log_of(job: SimpleNamespace) -> str:
    return Path(job.log[0]).read_text()


def test_an_up_to_date_result_is_reused_and_its_log_continues(
    job: SimpleNamespace,
) -> None:
    times: list[int] = []
    run(working(times), job)
    first, made = log_of(job), TABLE.stat().st_mtime_ns
    run(working(times), job)
    assert (len(times), TABLE.stat().st_mtime_ns) == (1, made)
    assert log_of(job).startswith(first)
    assert "the result exists and is up to date: reused" in log_of(job)[len(first) :]


def test_a_deleted_log_is_started_again(job: SimpleNamespace) -> None:
    """Snakemake deletes it when it starts a job that waits for this one."""

    def work(job: SimpleNamespace) -> None:
        log.info("before")
        Path(job.log[0]).unlink()
        log.info("after")
        working()(job)

    run(work, job)
    assert "after" in log_of(job)
    assert "before" not in log_of(job)


def change_code(_: SimpleNamespace) -> None:
    Path("module_of_work.py").write_text("# edited")


def change_script(_: SimpleNamespace) -> None:
    Path("work.py").write_text("# edited")


def change_params(job: SimpleNamespace) -> None:
    job.params[0] = {"seed": "other"}


def change_input(_: SimpleNamespace) -> None:
    Path("results", NETWORK).unlink()
    Path("results", NETWORK).write_text("trained again with other rounding")
    job = a_job("train", "networks/net/seed_0", ["last.safetensors", "last.json"], CONFIG)
    record_for(job).write()


def change_output(_: SimpleNamespace) -> None:
    TABLE.write_text("1,3\n")


def remove_output(_: SimpleNamespace) -> None:
    TABLE.unlink()


def damage_record(_: SimpleNamespace) -> None:
    TABLE.with_name("work.provenance.json").write_text("")


def remove_record(_: SimpleNamespace) -> None:
    TABLE.with_name("work.provenance.json").unlink()


def force(_: SimpleNamespace) -> None:
    os.environ[INVOCATION] = json.dumps(json.loads(os.environ[INVOCATION]) | {"forced": True})


@pytest.mark.parametrize(
    "change",
    [
        change_code,
        change_script,
        change_params,
        change_input,
        change_output,
        remove_output,
        damage_record,
        remove_record,
        force,
    ],
)
def test_a_damaged_or_outdated_result_is_made_again(
    change: Callable[[SimpleNamespace], None], job: SimpleNamespace
) -> None:
    times: list[int] = []
    run(working(times), job)
    change(job)
    run(working(times), job)
    assert len(times) == 2
    assert TABLE.read_text() == "1,2\n"
    job_of_table = Records().required(TABLE)
    check(TABLE.absolute(), job_of_table)


SEVERAL = ("activations/1/net.zarr", "activations/2/net.zarr")


def job_with_several_results() -> SimpleNamespace:
    """A job with one parameter, and one store, for each of two samplings."""
    job = a_job("work", "", [*SEVERAL, *(f"{store}.provenance.json" for store in SEVERAL)], CONFIG)
    job.log[0] = f"results/logs/{SEVERAL[0]}.log"
    job.params = Params(each=[{"seed": 1}, {"seed": 2}], shared=0)
    job.output = Outputs(job.output)
    return job


class Outputs(list[str]):
    """Outputs of which some are provenance records."""

    @property
    def provenance(self) -> list[str]:
        return [name for name in self if name.endswith(".provenance.json")]


def work_of_several(made: list[list[int]]) -> Callable[..., None]:
    """Return a job's work that notes which results it was asked for."""

    def work(job: SimpleNamespace, numbers: list[int]) -> None:
        made.append(numbers)
        for number in numbers:
            with atomic_write(job.output[number]) as store:
                store.mkdir()
                (store / "part").write_text(f"{job.params[0][number]}")
                write_manifest(store)

    return work


def other_sampling(job: SimpleNamespace) -> None:
    job.params[0][1]["seed"] = 3


def damage_second_store(job: SimpleNamespace) -> None:
    Path(job.output[1], "part").write_text("damaged")


def lose_second_record(job: SimpleNamespace) -> None:
    """As when a job is killed between the two records."""
    Path(f"{job.output[1]}.provenance.json").unlink()


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("change", "again"),
    [
        (other_sampling, [1]),
        (damage_second_store, [1]),
        (lose_second_record, [1]),
        (change_code, [0, 1]),
        (force, [0, 1]),
    ],
)
def test_of_several_results_only_those_out_of_date_are_made_again(
    change: Callable[[SimpleNamespace], None], again: list[int]
) -> None:
    made: list[list[int]] = []
    job = job_with_several_results()
    run(work_of_several(made), job)
    run(work_of_several(made), job)
    assert made == [[0, 1]]
    log_before = log_of(job)
    change(job)
    run(work_of_several(made), job)
    assert made == [[0, 1], again]
    # The log of a result that is kept is kept too.
    assert log_of(job).startswith(log_before) == (again == [1])
    for store, own in zip(SEVERAL, job.params[0], strict=True):
        record = Records().required(f"results/{store}")
        check(Path("results", store).absolute(), record)
        assert Path("results", store, "part").read_text() == str(own)


@pytest.mark.usefixtures("job")
def test_a_failed_part_leaves_the_results_that_are_up_to_date() -> None:
    made: list[list[int]] = []
    job = job_with_several_results()
    run(work_of_several(made), job)
    other_sampling(job)

    def work(_job: SimpleNamespace, _numbers: list[int]) -> None:
        raise ValueError("no memory")

    with pytest.raises(SystemExit):
        run(work, job)
    run(work_of_several(made), job)
    assert made == [[0, 1], [1]]


def test_times_and_folders_do_not_matter(job: SimpleNamespace, tmp_path: Path) -> None:
    """Two clones share the results."""
    times: list[int] = []
    run(working(times), job)
    for path in tmp_path.rglob("*"):
        os.utime(path)
    clone = tmp_path / "clone"
    clone.mkdir()
    for code in ("work.py", "module_of_work.py"):
        Path(code).rename(clone / code)
    os.chdir(clone)
    Path("results").symlink_to(tmp_path / "results")
    run(working(times), job)
    assert len(times) == 1


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (NETWORK, "last.safetensors: expected what the rule train made"),
        ("networks/net/seed_0/last.json", "last.json: expected what the rule train made"),
        ("activations/1/net.zarr/manifest.json", "net.zarr: expected what the rule extract made"),
        (
            "networks/net/seed_0/train.provenance.json",
            "last.safetensors: expected the record of its job, found a damaged one",
        ),
    ],
)
@pytest.mark.parametrize("damage", ["changed", "emptied", "removed", "made a folder"])
def test_a_damaged_input_gives_one_line_before_any_work(
    file: str, message: str, damage: str, job: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("results", file)
    content = path.read_text()
    if damage in ("removed", "made a folder"):
        path.unlink()
        if damage == "made a folder":
            path.mkdir()
    else:
        path.write_text("" if damage == "emptied" else content.replace("a", "b", 1))
    times: list[int] = []
    with pytest.raises(SystemExit) as ended:
        run(working(times), job)
    assert (ended.value.code, times) == (1, [])
    (error,) = capsys.readouterr().err.splitlines()
    if damage == "removed":
        assert f"{path.name}" in error or "found no record that names it" in error
    else:
        assert message in error
    assert "remove" in error or "found no such file" in error
    assert error.removeprefix("ERROR: ") in log_of(job)


@pytest.mark.parametrize(
    ("made", "copied", "file"),
    [
        ("networks/net/seed_0", "networks/net/seed_1", "last.safetensors"),
        ("activations/1", "activations/2", "net.zarr"),
        ("experiments/x-1", "experiments/x-3", "a.csv"),
    ],
)
def test_a_copy_of_another_result_is_refused(
    made: str, copied: str, file: str, job: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is whole and has its record, but it would be compared under the wrong name."""
    make_result("aggregate", "experiments/x-1", ["a.csv"], CONFIG)
    shutil.copytree(Path("results", made), Path("results", copied))
    job.input = [f"results/{made}/{file}", f"results/{copied}/{file}"]
    with pytest.raises(SystemExit):
        run(working(), job)
    (error,) = capsys.readouterr().err.splitlines()
    assert f"{copied}/{file}: expected a result that was made in its folder, found one" in error
    assert f"results/{made} and copied; remove" in error
    # A project that was moved with all its results goes on.
    shutil.rmtree(Path("results", copied))
    shutil.move("results", "elsewhere")
    Path("results").symlink_to("elsewhere")
    job.input = [f"results/{made}/{file}"]
    run(working(), job)


def test_a_copy_of_another_result_is_not_reused(job: SimpleNamespace) -> None:
    """Its seed, a wildcard, may be all in which it differs."""
    times: list[int] = []
    run(working(times), job)
    shutil.copytree(TABLE.parent, TABLE.parent.with_name("x-3"))
    for name in ("output", "log"):
        setattr(job, name, [path.replace("x-2", "x-3") for path in getattr(job, name)])
    run(working(times), job)
    run(working(times), job)
    assert len(times) == 2
    assert Records("results").required(job.output[0]).record["folder"] == "experiments/x-3"


def test_a_damaged_record_of_the_job_itself_does_no_harm(job: SimpleNamespace) -> None:
    """The job writes it again."""
    record = TABLE.with_name("work.provenance.json")
    record.parent.mkdir(parents=True)
    record.write_text("")
    run(working(), job)
    check(TABLE.absolute(), Records().required(TABLE))


@pytest.mark.parametrize("place", [TABLE, TABLE.with_name("work.provenance.json")])
def test_a_folder_in_the_place_of_a_result_or_its_record_gives_one_line_and_stays(
    place: Path, job: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "mine").mkdir(parents=True)

    def work(job: SimpleNamespace) -> None:
        with atomic_write(job.output[0]) as temporary:
            temporary.write_text("1,2\n")

    with pytest.raises(SystemExit):
        run(work, job)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ERROR: [Errno 21] expected a file to write, found a folder; give anoth")
    assert line.endswith(f"or remove it: '{place}'")
    (place / "mine").rmdir()
    place.rmdir()
    run(work, job)
    check(TABLE.absolute(), Records().required(TABLE))


def test_temporary_files_of_a_killed_job_are_removed(job: SimpleNamespace) -> None:
    left = TABLE.with_name(".a.csv.0123456789abcdef.partial")
    left.parent.mkdir(parents=True)
    left.write_text("half")
    run(working(), job)
    assert not left.exists()


# Where a process finds the package and the tests' helpers.
PATH = os.pathsep.join(map(str, [Path(__file__).parents[1], Path(__file__).parents[2]]))
# A job that appends its name to a file and works until a path exists. Two containers can share a
# host name and a process number.
SCRIPT = """
import os, platform, sys, time
from pathlib import Path
from jobs import job
platform.node, os.getpid = lambda: "container", lambda: 1
from subspace_match.workflow import job as jobs
from subspace_match.storage.files import atomic_write
jobs.check_as_planned = lambda *_: None

def work(job):
    with atomic_write(job.output[0]) as temporary:
        temporary.write_text(sys.argv[2])
        with open("worked", "a") as worked:
            worked.write(sys.argv[2])
        while not os.path.exists(sys.argv[1]):
            time.sleep(0.01)

config = {"results": "results", "threads": 1}
jobs.run(work, job("work", "experiments/x-2", ["a.csv"], config, [%r]))
"""


def start(until: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT % NETWORK, until, name]
    environment = os.environ | {"PYTHONPATH": PATH}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(path: str, content: str) -> None:
    deadline = time.monotonic() + 60
    while not Path(path).exists() or Path(path).read_text() != content:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("job")
def test_a_job_waits_for_another_that_makes_the_same_and_reuses_its_result() -> None:
    first = start("end", "1")
    wait_for("worked", "1")
    others = [start(".", "2"), start(".", "3")]
    waiting = [other.stderr.readline() for other in others if other.stderr is not None]
    Path("end").touch()
    for other, message in zip(others, waiting, strict=True):
        assert message.startswith("WARNING: waiting for container, process 1, since ")
        assert other.communicate(timeout=120)[1] == ""
        assert other.returncode == 0
    assert first.wait() == 0
    assert (Path("worked").read_text(), TABLE.read_text()) == ("1", "1")


@pytest.mark.usefixtures("job")
def test_a_job_that_waited_for_a_killed_one_does_the_work_itself() -> None:
    first = start("end", "1")
    wait_for("worked", "1")
    second = start(".", "2")
    assert second.stderr is not None
    assert "waiting for" in second.stderr.readline()
    first.kill()
    first.communicate()
    assert second.wait() == 0
    second.stderr.close()
    assert (Path("worked").read_text(), TABLE.read_text()) == ("12", "2")
    assert not list(TABLE.parent.glob("*.partial"))


def test_a_job_continues_after_an_ignored_signal(job: SimpleNamespace) -> None:
    """As with nohup."""

    def work(job: SimpleNamespace) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        working()(job)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run(work, job)
    assert "signal" not in log_of(job)


CRASH = """
import os, sys
from jobs import job
from subspace_match.workflow import job as jobs
jobs.check_as_planned = lambda *_: None

def work(_):
    jobs.log.info("at work")
    os.kill(os.getpid(), int(sys.argv[1]))

config = {"results": "results", "threads": 1}
jobs.run(work, job("work", "experiments/x-2", ["a.csv"], config))
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
def test_the_log_of_a_crash_names_the_signal(job: SimpleNamespace, number: int, name: str) -> None:
    command = [sys.executable, "-c", CRASH, str(int(number))]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": PATH})
    assert ended.returncode == -number
    assert f"at work\nFatal Python error: {name}\n" in log_of(job)


@pytest.mark.parametrize(("reserved", "used"), [(None, "3"), (1, "1")])
def test_a_job_uses_the_threads_that_its_rule_reserves(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, reserved: int | None, used: str
) -> None:
    monkeypatch.setattr("subspace_match.workflow.job.JobRecord.write", lambda *_: None)
    job.config["threads"] = 3
    job.threads = 2  # what a smaller machine can spare must not change the result
    seen: list[str] = []

    def work(_: Any) -> None:
        seen.append(os.environ["OMP_NUM_THREADS"])

    run(work, job, reserved)
    assert seen == [used]


def test_rules_reserve_what_their_scripts_use() -> None:
    """Either the configured number of threads or one."""
    project = Path(__file__).parents[2]
    text = "".join(file.read_text() for file in (project / "rules").glob("*.smk"))
    rules = re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(rules) >= 15
    for rule, body in rules:
        script = (project / "workflow_scripts" / f"{rule}.py").read_text()
        reserved = re.findall(r"^    threads: (.*)$", body, re.MULTILINE)
        assert reserved in ([], ['config["threads"]'])
        assert (f"run({rule}, snakemake)" in script) == bool(reserved), rule
        assert (f"run({rule}, snakemake, threads=1)" in script) == (not reserved), rule


def test_no_library_is_loaded_before_the_job_sets_the_threads() -> None:
    libraries = "{'numpy', 'scipy', 'torch'}"
    code = f"import sys; import subspace_match.workflow.job; print({libraries} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
