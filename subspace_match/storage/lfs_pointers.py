"""Git LFS pointers: small text files that a clone without Git LFS has instead of large files."""

from __future__ import annotations

from pathlib import Path

_BEGINNING = b"version https://git-lfs.github.com/spec/"


def check_no_lfs_pointer(path: str | Path) -> None:
    """Raise a ValueError if a file is a Git LFS pointer instead of the file itself."""
    with Path(path).open("rb") as stream:
        if stream.read(len(_BEGINNING)) == _BEGINNING:
            raise ValueError(
                f"{path}: expected the file itself, found a Git LFS pointer to it; run 'git lfs"
                " pull' in its repository"
            )
