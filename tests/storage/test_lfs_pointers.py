"""Git LFS pointers are recognised."""

from pathlib import Path

import pytest

from subspace_match.storage.lfs_pointers import is_lfs_pointer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (POINTER, True),
        (b"", False),
        (POINTER[:20], False),
        (b"\x93NUMPY" + POINTER, False),
        (b"version 2 of my weights", False),
    ],
)
def test_the_first_line_identifies_a_pointer(tmp_path: Path, content: bytes, pointer: bool) -> None:
    (tmp_path / "file").write_bytes(content)
    assert is_lfs_pointer(tmp_path / "file") is pointer
