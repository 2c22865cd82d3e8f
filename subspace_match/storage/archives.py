"""Checks of files from others, for example from ``dvc pull``, before anything is read or unpacked.

Names in them must stay in the project's own folder. Zip files and arrays must not be too large.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any


def stays_inside(name: Any) -> bool:
    """Return whether a name, joined to a folder, stays in that folder.

    Example:
        >>> [stays_inside(name) for name in ("a/b.csv", ".", "../b.csv", "a/../../b", "/etc/b", 3)]
        [True, True, False, False, False, False]
    """
    if not isinstance(name, str) or "\0" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def check_members(archive: zipfile.ZipFile, most: int) -> None:
    """Raise a ValueError if a member leaves the folder or all take more than ``most`` bytes."""
    members = archive.infolist()
    if outside := [member.filename for member in members if not stays_inside(member.filename)]:
        raise ValueError(
            f"{archive.filename}: expected members that stay in the folder of the archive,"
            f" found {outside[0]!r}; do not use this file"
        )
    if (size := sum(member.file_size for member in members)) > most:
        raise ValueError(
            f"{archive.filename}: expected at most {_gigabytes(most)} unpacked, found"
            f" {_gigabytes(size)}; do not unpack this file"
        )


def check_fits(path: str | Path, size: int) -> None:
    """Raise a ValueError if ``size`` bytes of a file exceed the machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise ValueError(
            f"{path}: expected an array that fits in memory ({_gigabytes(memory)}), found"
            f" {_gigabytes(size)}; a Zarr array is read piece by piece"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
