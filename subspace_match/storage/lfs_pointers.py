"""Git LFS keeps large files elsewhere; what a clone without it holds is a pointer to each."""

from __future__ import annotations

from pathlib import Path

_BEGINNING = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(path: str | Path) -> bool:
    r"""Whether a file is the pointer that Git LFS leaves in place of a file it has not fetched.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "weights.pt")
        >>> _ = file.write_text("version https://git-lfs.github.com/spec/v1\nsize 12345\n")
        >>> is_lfs_pointer(file)
        True
    """
    with Path(path).open("rb") as stream:
        return stream.read(len(_BEGINNING)) == _BEGINNING


def of_lfs_pointer(path: str | Path) -> ValueError:
    """The error for a file that is a pointer only."""
    return ValueError(
        f"{path}: expected the file itself, found a Git LFS pointer to it; run 'git lfs pull' in"
        " its repository"
    )
