"""Git LFS pointers: small text files that a clone without Git LFS has instead of large files."""

from __future__ import annotations

from pathlib import Path

_BEGINNING = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(path: str | Path) -> bool:
    r"""Return whether a file is a Git LFS pointer instead of the file itself.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "weights.pt")
        >>> _ = file.write_text("version https://git-lfs.github.com/spec/v1\nsize 12345\n")
        >>> is_lfs_pointer(file)
        True
    """
    with Path(path).open("rb") as stream:
        return stream.read(len(_BEGINNING)) == _BEGINNING


def lfs_pointer_error(path: str | Path) -> ValueError:
    """Return the error for a file that is only a pointer."""
    return ValueError(
        f"{path}: expected the file itself, found a Git LFS pointer to it; run 'git lfs pull' in"
        " its repository"
    )
