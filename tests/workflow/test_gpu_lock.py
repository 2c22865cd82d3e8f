"""Concurrent jobs on one machine use different GPUs; in these tests GPUs are only names."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobs import line_of

from subspace_match.workflow.gpu_lock import visible_gpus

# Prints the messages and the GPU that it sees, and keeps the GPU until its input ends.
JOB = """
import os, sys
from subspace_match.workflow.gpu_lock import exclusive_gpu
with exclusive_gpu(lambda text: print(text, flush=True)):
    print("sees", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.read()
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a job that sees some GPUs, optionally inside a Slurm job."""
    started: list[subprocess.Popen[str]] = []

    def job(visible: str, **environment: str) -> subprocess.Popen[str]:
        own = {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(tmp_path)} | environment
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", JOB],
                env=os.environ | own,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield job
    for process in started:
        process.kill()
        process.communicate()


def test_concurrent_jobs_get_different_gpus_and_a_further_one_waits(start: Start) -> None:
    first, second = start("2,3"), start("2,3")
    assert {line_of(first), line_of(second)} == {"on GPU 2 of 2,3", "on GPU 3 of 2,3"}
    seen = line_of(first)
    assert {seen, line_of(second)} == {"sees 2", "sees 3"}
    third = start("2,3")
    assert line_of(third) == "waiting for one of the GPUs 2,3, which other jobs use"
    first.communicate("")
    line_of(third)
    assert line_of(third) == seen


def test_a_killed_job_releases_its_gpu(start: Start) -> None:
    first = start("GPU-7c3a")
    assert line_of(first) == "on GPU GPU-7c3a of GPU-7c3a"
    second = start("GPU-7c3a")
    assert line_of(second).startswith("waiting")
    first.send_signal(signal.SIGKILL)
    assert line_of(second) == "on GPU GPU-7c3a of GPU-7c3a"


def test_equal_numbers_in_two_slurm_jobs_are_different_gpus(start: Start) -> None:
    assert line_of(start("0", SLURM_JOB_ID="7")) == "on GPU 0 of 0"
    assert line_of(start("0", SLURM_JOB_ID="8")) == "on GPU 0 of 0"
    assert line_of(start("0")) == "on GPU 0 of 0"


def test_without_gpus_nothing_is_locked(start: Start) -> None:
    assert line_of(start("")) == "sees"
    assert line_of(start("-1")) == "sees -1"


@pytest.mark.parametrize(
    ("variable", "seen"),
    [("0", ["0"]), ("1, 0", ["1", "0"]), ("1,-1,0", ["1"]), ("", []), ("NoDevFiles", [])],
)
def test_cuda_visible_devices_lists_the_gpus(
    variable: str, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == seen


@pytest.mark.parametrize(
    ("answer", "seen"),
    [("echo GPU-a1; echo GPU-b2", ["GPU-a1", "GPU-b2"]), ("echo no driver; exit 9", [])],
)
def test_without_cuda_visible_devices_nvidia_smi_lists_the_gpus(
    answer: str, seen: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == seen
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
