"""Lock files: one writer for each artefact, one job for each GPU.

The lock belongs to the kernel or, on a shared file system, to the server. It ends with its process,
however that ends, and depends neither on host names nor on process numbers, which two containers
can share. A lock file stays when its lock is released. Only a process that holds the lock may
delete the file; those that wait for it then lock the new file, so there are never two writers.
"""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.2
# Errors of file systems without locks, as on some clusters.
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


@contextmanager
def exclusive_writer(artefact: str | Path, notify: Callable[[str], object]) -> Iterator[None]:
    """Be the only process that writes an artefact; wait while another one writes it.

    Args:
        artefact: its lock file lies beside it and is hidden.
        notify: called with a message before waiting, and if the file system has no locks.
    """
    path = lock_file(artefact)
    lock = FileLock(path, poll_interval=POLL_SECONDS, fallback_to_soft=False)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            notify(f"waiting for {_holder(path)}, which writes {artefact}: it holds {path}")
            lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        notify(
            f"{path}: the file system has no locks ({error.strerror}); start nothing else that"
            " writes the same results"
        )
    since = f"{datetime.now(UTC):%F %T} UTC"
    _write(path, f"{platform.node()}, process {os.getpid()}, since {since}")
    try:
        yield
    finally:
        _write(path, "")
        lock.release()


@contextmanager
def lock_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock file's lock if no other process holds it; yield whether that succeeded."""
    lock = FileLock(path, fallback_to_soft=False)
    free = True
    try:
        lock.acquire(timeout=0)
    except Timeout:
        free = False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield free
    finally:
        lock.release()


def lock_file(artefact: str | Path) -> Path:
    """Return the file whose lock an artefact's writer holds."""
    artefact = Path(artefact)
    return artefact.with_name(f".{artefact.name}.lock")


def _holder(path: Path) -> str:
    with suppress(FileNotFoundError):
        if holder := path.read_text(encoding="utf-8"):
            return holder
    return "a process that has just started or ended"


def _write(path: Path, text: str) -> None:
    # Only for messages, so a full disk is no error.
    with suppress(OSError):
        path.write_text(text, encoding="utf-8")
