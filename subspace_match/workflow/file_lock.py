"""One writer for each artefact: who comes second waits.

The lock is the kernel's or, on a shared file system, the server's: it ends with the process however
that ends, and asks neither for a host's name nor for a process number, of which two containers can
have the same. The file that is locked stays; whoever removes it has to hold it, and who waited for
it takes the new one, so that no two writers have locks of their own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

# What file systems say that have no locks, as some clusters' are set up.
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


@contextmanager
def only_writer(artefact: str | Path, say: Callable[[str], object]) -> Iterator[None]:
    """Be the only one who writes an artefact; wait while another is.

    Args:
        artefact: whose lock lies beside it, as a hidden file.
        say: told whom it waits for, and if the file system has no locks.

    Example:
        >>> import tempfile
        >>> artefact = Path(tempfile.mkdtemp(), "network")
        >>> with only_writer(artefact, print):
        ...     print(sorted(path.name for path in artefact.parent.iterdir()))
        ['.network.lock']
    """
    artefact, path = Path(artefact), lock_of(artefact)
    lock = _opened(path)
    try:
        try:
            _acquire(lock, lambda: say(_waiting(path, artefact)))
            while not _is_still(lock, path):  # who held it has removed it
                os.close(lock)
                lock = _opened(path)
                _acquire(lock, lambda: say(_waiting(path, artefact)))
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            say(
                f"{path}: the file system has no locks ({error.strerror}); start nothing else that"
                " writes the same results"
            )
        _tell(
            lock, f"{platform.node()}, process {os.getpid()}, since {datetime.now(UTC):%F %T} UTC"
        )
        try:
            yield
        finally:
            _tell(lock, "")
            # Processes that were forked off have the file open too, and would keep the lock.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
    finally:
        os.close(lock)


@contextmanager
def if_free(artefact: str | Path) -> Iterator[bool]:
    """Whether nobody writes an artefact; if so, nobody begins to before the end.

    Meanwhile its lock (``lock_of``) may be removed.
    """
    path = lock_of(artefact)
    lock = _opened(path)
    try:
        free = True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            free = error.errno in _NO_LOCKS
        yield free and _is_still(lock, path)
    finally:
        os.close(lock)


def lock_of(artefact: str | Path) -> Path:
    """The file whose lock an artefact's writer has."""
    artefact = Path(artefact)
    return artefact.with_name(f".{artefact.name}.lock")


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _is_still(lock: int, path: Path) -> bool:
    """Whether an open file is that of a path, and not one that was removed."""
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _acquire(lock: int, will_wait: Callable[[], object]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        will_wait()
        fcntl.flock(lock, fcntl.LOCK_EX)


def _tell(lock: int, text: str) -> None:
    """Tell those who will wait who writes; nothing is decided by it, and a full disk is no harm."""
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, text.encode(), 0)


def _waiting(path: Path, artefact: Path) -> str:
    holder = path.read_text(encoding="utf-8") or "a process that has just begun or ended"
    return f"waiting for {holder}, which writes {artefact}: it has {path}"
