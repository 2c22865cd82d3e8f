"""One writer at a time, even where processes and machines have equal names."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs import line_of

from subspace_match.workflow.file_lock import exclusive_writer

# Two containers can share a host name and a process number.
HOLDER = """
import os, platform, sys
platform.node, os.getpid = lambda: "container", lambda: 1
from subspace_match.workflow.file_lock import exclusive_writer
with exclusive_writer(sys.argv[1], lambda text: print(text, flush=True)):
    print("locked", flush=True)
    sys.stdin.read()
"""


def start(artefact: Path) -> subprocess.Popen[str]:
    """Start a process that holds an artefact's lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(artefact)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_second_writer_waits_and_names_the_first_in_one_line(tmp_path: Path) -> None:
    artefact = tmp_path / "network"
    first = start(artefact)
    assert line_of(first) == "locked"
    second = start(artefact)
    waiting = line_of(second)
    assert waiting.startswith("waiting for container, process 1, since 20")
    assert waiting.endswith(f"which writes {artefact}: it holds {tmp_path / '.network.lock'}")
    first.communicate("")
    assert line_of(second) == "locked"
    second.communicate("")
    assert (first.returncode, second.returncode) == (0, 0)
    assert (tmp_path / ".network.lock").read_text() == ""


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    first = start(tmp_path / "network")
    line_of(first)
    first.kill()
    first.communicate()
    messages: list[str] = []
    with exclusive_writer(tmp_path / "network", messages.append):
        assert messages == []


def test_different_artefacts_have_different_locks(tmp_path: Path) -> None:
    messages: list[str] = []
    with (
        exclusive_writer(tmp_path / "a", messages.append),
        exclusive_writer(tmp_path / "b", messages.append),
    ):
        assert messages == []


def test_a_forked_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    with exclusive_writer(tmp_path / "network", print):
        child = os.fork()
        if child == 0:
            time.sleep(600)
    try:
        messages: list[str] = []
        with exclusive_writer(tmp_path / "network", messages.append):
            assert messages == []
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_an_error_releases_the_lock_and_an_interrupted_wait_does_not(tmp_path: Path) -> None:
    def fail() -> None:
        with exclusive_writer(tmp_path / "network", print):
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        fail()
    with exclusive_writer(tmp_path / "network", print):
        text = (tmp_path / ".network.lock").read_text()

        def interrupt(_: str) -> None:
            raise SystemExit

        with pytest.raises(SystemExit), exclusive_writer(tmp_path / "network", interrupt):
            pytest.fail("two writers hold the lock")
        assert (tmp_path / ".network.lock").read_text() == text != ""


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_gives_a_warning(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fail)
    messages: list[str] = []
    with exclusive_writer(tmp_path / "network", messages.append):
        pass
    (text,) = messages
    assert ".network.lock: the file system has no locks" in text
    assert "start nothing else that writes the same results" in text
