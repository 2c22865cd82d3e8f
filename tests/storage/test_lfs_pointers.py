from contextlib import nullcontext
from pathlib import Path

import pytest

from subspace_match.storage.lfs_pointers import check_no_lfs_pointer

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
def test_a_pointer_is_an_error_and_other_files_are_not(
    tmp_path: Path, content: bytes, pointer: bool
) -> None:
    (tmp_path / "file").write_bytes(content)
    error = pytest.raises(ValueError, match="found a Git LFS pointer to it; run 'git lfs pull'")
    with error if pointer else nullcontext():
        check_no_lfs_pointer(tmp_path / "file")
