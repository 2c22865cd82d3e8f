"""Files that are whole or absent, and say what made them.

Every output is written under a temporary name beside its own and moved into place, so that a killed
job leaves nothing that looks complete. Records are JSON; arrays are ``.npz`` with a JSON record
beside the arrays, never a pickle; tables are Parquet or CSV.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import platform
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_RECORD = "about.json"
_PARTIAL = ".partial"
Record = dict[str, Any]


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """A temporary path to write a file or folder to, moved to ``path`` if all went well.

    Raises:
        OSError: of errno ENOSPC if the disk, or one's share of it, is full, naming the file.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp(), "notes.txt")
        >>> with written(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process number keeps two writers apart, which a batch system's requeue can bring about.
    prefix = f".{path.name}.{platform.node()}."
    temporary = path.with_name(f"{prefix}{os.getpid()}{_PARTIAL}")
    _remove(temporary)
    _remove_abandoned(path.parent, prefix)
    try:
        yield temporary
        if temporary.is_dir():
            _remove(path)
        temporary.replace(path)
    except Exception as error:
        if _is_of_a_full_disk(error):
            what = "no space left on the disk; free some and run again, what is finished is kept"
            raise OSError(errno.ENOSPC, what, str(path)) from error
        raise
    finally:
        _remove(temporary)


def _remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove what processes of this machine left that were killed while they wrote."""
    for left in folder.glob(f"{glob.escape(prefix)}*{_PARTIAL}"):
        try:
            os.kill(int(left.name[len(prefix) : -len(_PARTIAL)]), 0)
        except ProcessLookupError:
            _remove(left)
        except PermissionError:  # there is such a process, somebody else's
            pass


def _is_of_a_full_disk(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # safetensors wraps it in an error of its own.
    return os.strerror(errno.ENOSPC) in str(error)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_record(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file, keys in the order given."""
    with written(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_record(path: str | Path) -> Record:
    """Read a JSON file.

    Raises:
        ValueError: if it is damaged, naming the file and what heals it.
    """
    try:
        record: Record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error
    return record


def write_arrays(path: str | Path, arrays: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write arrays and the record of what made them to one ``.npz`` file."""
    import numpy as np

    text = np.frombuffer(json.dumps(about, allow_nan=False).encode(), dtype=np.uint8)
    with written(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **{**arrays, _RECORD: text})


def read_arrays(path: str | Path, prefix: str = "") -> tuple[dict[str, np.ndarray], Record]:
    """Read what ``write_arrays`` wrote: the arrays, and the record of what made them.

    Args:
        path: of the file.
        prefix: of the names of the arrays that are wanted; the others are not read.

    Raises:
        ValueError: if the file is damaged (the format checks every array that is read), naming it.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            wanted = [name for name in archive if name == _RECORD or name.startswith(prefix)]
            arrays = {name: archive[name] for name in wanted}
        about: Record = json.loads(arrays.pop(_RECORD).tobytes())
    # A damaged header may claim any size.
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, MemoryError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise damaged(path, error) from error
    return arrays, about


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet or CSV, as the path's ending says."""
    with written(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def damaged(path: str | Path, cause: object) -> ValueError:
    """The error for a file that is there but cannot be read."""
    return ValueError(
        f"{path}: expected a whole file, found a damaged one ({cause}); remove it and run again, so"
        " that it is made anew"
    )


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
