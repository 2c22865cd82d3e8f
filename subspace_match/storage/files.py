"""Files that are complete or absent, with checksums that reveal damage.

Every output is written under a temporary name in the same folder and then renamed, so a killed job
leaves no file that looks complete. Records are JSON. Arrays are ``.npz`` files that contain a JSON
record, never pickles. Tables are Parquet or CSV.

The record of a job (``job_records``) contains the checksums of its outputs. The manifest of a
folder contains the checksums of its files. Records, manifests and files that belong to no job are
signed: they contain a checksum of their own content.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MANIFEST = "manifest.json"
_RECORD = "about.json"
_CHECKSUM = "checksum"
_PARTIAL, _REPLACED = ".partial", ".replaced"  # suffixes of temporary files
# By the system's error number when it cannot store a file: the one to raise, and what to say.
_FULL = errno.ENOSPC, "no space left on the disk; free some"
_NO_ROOM = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: (errno.EFBIG, "no file of this size is allowed here; raise the limit (ulimit -f)"),
}
Record = dict[str, Any]
Readable = str | Path | zipfile.Path  # a file, or a member of a zip archive


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder; rename it to ``path`` if no error occurs.

    A file replaces a file, and a folder a folder.

    Raises:
        OSError: with the file's name and what to do, if the disk or the user's quota is full (errno
            ENOSPC) or a limit does not allow so large a file (EFBIG).
        IsADirectoryError: if a file would replace a folder, which stays.
        NotADirectoryError: if a folder would replace a file, which stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Random, because two containers can share a host name and a process number.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_PARTIAL}")
    replaced = temporary.with_suffix(_REPLACED)
    try:
        yield temporary
        if path.is_dir() and not temporary.is_dir():
            message = "expected a file to write, found a folder; give another name, or remove it"
            raise IsADirectoryError(errno.EISDIR, message, str(path))
        if path.is_file() and temporary.is_dir():
            message = "expected a folder to write, found a file; give another name, or remove it"
            raise NotADirectoryError(errno.ENOTDIR, message, str(path))
        if path.is_dir():  # a rename cannot replace a folder, and deleting it takes time
            path.rename(replaced)
        temporary.replace(path)
    except Exception as error:
        for number, (told, cause) in _NO_ROOM.items():
            # safetensors raises its own class of error.
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                message = f"{cause} and run again; finished files are kept"
                raise OSError(told, message, str(path)) from error
        raise
    finally:
        _remove(temporary)
        _remove(replaced)


def remove_abandoned(path: str | Path) -> None:
    """Remove the temporary files of killed writers of a file or folder.

    Call it only while holding the lock of the path's writers, as it also removes the temporary
    files of a running writer.
    """
    path = Path(path)
    for suffix in (_PARTIAL, _REPLACED):
        for abandoned in path.parent.glob(f".{glob.escape(path.name)}.*{suffix}"):
            _remove(abandoned)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_record(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file; keys keep their order."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_record(path: Readable) -> Record:
    """Read a JSON file.

    Raises:
        ValueError: if it is damaged, with the file's name and what to do.
    """
    try:
        record = json.loads(_as_path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise damaged(path, error) from error
    if not isinstance(record, dict):
        raise damaged(path, f"a {type(record).__name__} instead of a JSON object")
    return record


def write_signed(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file with an additional key: the checksum of all others."""
    write_record(path, signed(record))


def read_signed(path: Readable) -> Record:
    """Read a file from ``write_signed``, without the checksum.

    Raises:
        ValueError: if it is damaged, with the file's name and what to do.
    """
    record = read_record(path)
    try:
        return verified(record)
    except ValueError as error:
        raise damaged(path, error) from error


def signed(record: Mapping[str, Any]) -> Record:
    """Return a record with its checksum added."""
    return {**record, _CHECKSUM: checksum_of(record)}


def verified(record: Mapping[str, Any]) -> Record:
    """Return a signed record without its checksum.

    Raises:
        ValueError: if the checksum is missing or does not match.
    """
    plain = {key: value for key, value in record.items() if key != _CHECKSUM}
    if _CHECKSUM not in record:
        raise ValueError(f"no {_CHECKSUM}")
    if (found := checksum_of(plain)) != record[_CHECKSUM]:
        raise ValueError(f"{_CHECKSUM} {found} instead of {record[_CHECKSUM]}")
    return plain


def checksum_of(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain JSON values, independent of the order of keys."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def new_arrays(path: str | Path, about: Mapping[str, Any]) -> Iterator[Callable[[str, Any], None]]:
    """Write arrays, one at a time, and a record that describes them to one ``.npz`` file.

    Args:
        path: of the file.
        about: the record; it is written last, so it may be completed while arrays are written.

    Yields:
        A function that writes an array under a name.
    """
    import numpy as np

    def write(name: str, array: Any) -> None:
        # As np.savez does: an array may exceed the 2 GiB that an entry has without force_zip64.
        with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
            np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)

    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        yield write
        text = json.dumps(about, allow_nan=False)
        write(_RECORD, np.frombuffer(text.encode(), dtype=np.uint8))


def write_arrays(path: str | Path, arrays: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write arrays and a record that describes them to one ``.npz`` file."""
    with new_arrays(path, about) as write:
        for name, array in arrays.items():
            write(name, array)


def read_arrays(path: str | Path, prefix: str = "") -> tuple[dict[str, np.ndarray], Record]:
    """Return the arrays whose names begin with a prefix, and the record, from ``new_arrays``.

    Raises:
        ValueError: if the file is damaged; the format has a checksum for each array.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            wanted = [name for name in archive if name == _RECORD or name.startswith(prefix)]
            arrays = {name: archive[name] for name in wanted}
        about: Record = json.loads(arrays.pop(_RECORD).tobytes())
    except FileNotFoundError:
        raise
    # MemoryError: a damaged header can claim any size.
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, MemoryError) as error:
        raise damaged(path, error) from error
    return arrays, about


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet or CSV, as the path's suffix says."""
    with atomic_write(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n")


def damaged(path: Readable, cause: object) -> ValueError:
    """Return the error for a file that exists but cannot be read."""
    return ValueError(
        f"{path}: expected a whole file, found a damaged one ({cause}); remove it and run again"
        " to make a new one"
    )


def sha256(path: Readable) -> str:
    """Return the SHA-256 of a file, or of a folder's manifest, which lists its files' SHA-256."""
    file = _as_path(path)
    with (file / MANIFEST if file.is_dir() else file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def write_manifest(folder: Path) -> None:
    """Write a signed list of a folder's files with their sizes and checksums."""
    listed = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    write_signed(folder / MANIFEST, {"files": listed})


def read_manifest(folder: Path | zipfile.Path) -> dict[str, dict[str, Any]]:
    """Return the size and checksum of each of a folder's files; see ``read_signed`` for errors."""
    listed: dict[str, dict[str, Any]] = read_signed(folder / MANIFEST)["files"]
    return listed


def check_content(file: Path | zipfile.Path, expected: str) -> None:
    """Raise a ValueError unless a file has this SHA-256; its text is a cause for ``damaged``."""
    if not file.is_file():
        raise ValueError(f"{file} is {'a folder' if file.exists() else 'missing'}")
    if (found := sha256(file)) != expected:
        raise ValueError(f"{file} has the SHA-256 {found} instead of {expected}")


def _as_path(path: Readable) -> Path | zipfile.Path:
    return path if isinstance(path, zipfile.Path) else Path(path)
