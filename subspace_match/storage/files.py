"""Files that are whole or absent, and say what made them.

Every output is written under a temporary name beside its own and moved into place, so that a killed
job leaves nothing that looks complete. Records are JSON; arrays are ``.npz`` with a JSON record
beside the arrays, never a pickle; tables are Parquet or CSV.

Every file has a checksum that was written with it. What a job leaves has it in the job's record
(``provenance``), and the files of a folder in the folder's manifest. The records themselves, the
manifests and what no job leaves are signed: they hold a checksum of all else that is in them.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MANIFEST = "manifest.json"
_RECORD = "about.json"
_CHECKSUM = "checksum"
_PARTIAL = ".partial"
Record = dict[str, Any]
Readable = str | Path | zipfile.Path  # a file, or one in a zip


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary path to write a file or folder to, moved to ``path`` if all went well.

    Raises:
        OSError: of errno ENOSPC if the disk, or one's share of it, is full, naming the file.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp(), "notes.txt")
        >>> with atomic_write(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Random, since two containers can share a host name and a process number.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_PARTIAL}")
    replaced = temporary.with_suffix(".replaced")
    try:
        yield temporary
        if path.is_dir():  # which no rename replaces: out of the way at once, removed at leisure
            path.rename(replaced)
        temporary.replace(path)
    except Exception as error:
        if _is_of_a_full_disk(error):
            what = "no space left on the disk; free some and run again, what is finished is kept"
            raise OSError(errno.ENOSPC, what, str(path)) from error
        raise
    finally:
        _remove(temporary)
        _remove(replaced)


def remove_abandoned(path: str | Path) -> None:
    """Remove what writers of a file or folder left that were killed while they wrote.

    A living writer's would go too, so only who holds the lock of all writers of ``path`` may call.
    """
    path = Path(path)
    for suffix in (_PARTIAL, ".replaced"):
        for left in path.parent.glob(f".{glob.escape(path.name)}.*{suffix}"):
            _remove(left)


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
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_record(path: Readable) -> Record:
    """Read a JSON file.

    Raises:
        ValueError: if it is damaged, naming the file and what heals it.
    """
    try:
        record = json.loads(_opened(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(record, dict):
        raise damaged(path, f"no JSON object but a {type(record).__name__}")
    return record


def write_signed(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file that holds a checksum of itself, under a key that the record has not."""
    write_record(path, signed(record))


def read_signed(path: Readable) -> Record:
    """Read what ``write_signed`` wrote.

    Raises:
        ValueError: if it is damaged, naming the file and what heals it.
    """
    try:
        return verified(read_record(path))
    except BrokenSignatureError as error:
        raise damaged(path, error) from error


class BrokenSignatureError(ValueError):
    """A record is not the one that was signed."""


def signed(record: Mapping[str, Any]) -> Record:
    """A record with its checksum in it."""
    return {**record, _CHECKSUM: checksum_of(record)}


def verified(record: Mapping[str, Any]) -> Record:
    """The record that ``signed`` was given.

    Raises:
        BrokenSignatureError: if it is another.

    Example:
        >>> verified(signed({"a": 1}))
        {'a': 1}
    """
    plain = {key: value for key, value in record.items() if key != _CHECKSUM}
    if _CHECKSUM not in record:
        raise BrokenSignatureError(f"no {_CHECKSUM}")
    if (found := checksum_of(plain)) != record[_CHECKSUM]:
        raise BrokenSignatureError(f"{_CHECKSUM} {found} instead of {record[_CHECKSUM]}")
    return plain


def checksum_of(record: Mapping[str, Any]) -> str:
    """SHA-256 of plain JSON values, the same for any order of keys.

    Example:
        >>> checksum_of({"a": 1, "b": [2.5]}) == checksum_of({"b": [2.5], "a": 1})
        True
    """
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_arrays(path: str | Path, arrays: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write arrays and the record of what made them to one ``.npz`` file."""
    import numpy as np

    text = np.frombuffer(json.dumps(about, allow_nan=False).encode(), dtype=np.uint8)
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
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
    with atomic_write(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def damaged(path: Readable, cause: object) -> ValueError:
    """The error for a file that is there but cannot be read."""
    return ValueError(
        f"{path}: expected a whole file, found a damaged one ({cause}); remove it and run again, so"
        " that it is made anew"
    )


def sha256(path: Readable) -> str:
    """SHA-256 of a file's bytes; of a folder, those of its manifest, which holds its files'."""
    file = _opened(path)
    with (file / MANIFEST if file.is_dir() else file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def write_manifest(folder: Path) -> None:
    """List a folder's files, with their sizes and checksums, in a signed file of its own."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    listed = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in files
    }
    write_signed(folder / MANIFEST, {"files": listed})


def read_manifest(folder: Path | zipfile.Path) -> dict[str, dict[str, Any]]:
    """What a folder's manifest says of its files, by their paths in it.

    Raises:
        ValueError: if the manifest is damaged, naming it.
    """
    listed: dict[str, dict[str, Any]] = read_signed(folder / MANIFEST)["files"]
    return listed


def check_content(file: Path | zipfile.Path, expected: str) -> None:
    """Raise a ValueError, in words to be put into brackets, unless a file has a SHA-256."""
    if not file.exists():
        raise ValueError(f"{file} is missing")
    if (found := sha256(file)) != expected:
        raise ValueError(f"{file} has the SHA-256 {found} instead of {expected}")


def _opened(path: Readable) -> Path | zipfile.Path:
    return path if isinstance(path, zipfile.Path) else Path(path)
