"""One writer at a time, whatever processes and machines are called."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from subspace_match.workflow.file_lock import exclusive_writer

# Two containers can share a host name and a process number.
HOLDER = """
import os, platform, sys, time
platform.node, os.getpid = lambda: "container", lambda: 1
from subspace_match.workflow.file_lock import exclusive_writer
with exclusive_writer(sys.argv[1], lambda text: print(text, flush=True)):
    print("has it", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start(artefact: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(artefact), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_who_comes_second_waits_and_says_in_one_line_for_whom(tmp_path: Path) -> None:
    artefact = tmp_path / "network"
    first = start(artefact, 1)
    assert line(first) == "has it"
    second = start(artefact, 0)
    waiting = line(second)
    assert waiting.startswith("waiting for container, process 1, since 20")
    assert waiting.endswith(f"which writes {artefact}: it holds {tmp_path / '.network.lock'}")
    assert line(second) == "has it"
    assert (first.wait(), second.wait()) == (0, 0)
    assert (tmp_path / ".network.lock").read_text() == ""


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    first = start(tmp_path / "network", 600)
    line(first)
    first.kill()
    first.wait()
    said: list[str] = []
    with exclusive_writer(tmp_path / "network", said.append):
        assert said == []


def test_other_artefacts_do_not_wait(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        exclusive_writer(tmp_path / "a", said.append),
        exclusive_writer(tmp_path / "b", said.append),
    ):
        assert said == []


def test_a_process_that_was_forked_off_does_not_keep_it(tmp_path: Path) -> None:
    with exclusive_writer(tmp_path / "network", print):
        child = os.fork()
        if child == 0:
            time.sleep(600)
    try:
        said: list[str] = []
        with exclusive_writer(tmp_path / "network", said.append):
            assert said == []
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_it_is_free_after_an_error_and_who_gives_up_waiting_leaves_it_alone(tmp_path: Path) -> None:
    def fail() -> None:
        with exclusive_writer(tmp_path / "network", print):
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        fail()
    with exclusive_writer(tmp_path / "network", print):
        text = (tmp_path / ".network.lock").read_text()

        def ended(_: str) -> None:
            raise SystemExit

        with pytest.raises(SystemExit), exclusive_writer(tmp_path / "network", ended):
            pytest.fail("two have it")
        assert (tmp_path / ".network.lock").read_text() == text != ""


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", none)
    said: list[str] = []
    with exclusive_writer(tmp_path / "network", said.append):
        pass
    (text,) = said
    assert ".network.lock: the file system has no locks" in text
    assert "start nothing else that writes the same results" in text
