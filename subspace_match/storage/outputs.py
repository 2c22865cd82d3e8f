"""Checks, before the work, that its outputs can be written."""

from __future__ import annotations

import os
from pathlib import Path


def check_folder(where: str, folder: Path) -> None:
    """Raise a ValueError unless files can be written to a folder, which need not exist yet.

    Args:
        where: the option or argument that names it, the start of the message.
        folder: the folder.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        found = "a folder without write permission" if existing.is_dir() else "a file"
        raise ValueError(
            f"{where}: expected a folder to write to, found {found}: {existing}; name another one"
        )


def check_file(where: str, file: Path) -> None:
    """Raise a ValueError unless a file can be written, or replaced, at a path.

    Args:
        where: the option or argument that names it, the start of the message.
        file: the path.
    """
    if file.is_dir():
        raise ValueError(
            f"{where}: expected the name of a file to write, found a folder: {file}; add a name"
        )
    check_folder(where, file.parent)
