import errno
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from subspace_match.storage.files import (
    atomic_write,
    read_arrays,
    read_record,
    read_signed,
    remove_abandoned,
    write_arrays,
    write_record,
    write_signed,
)


def test_a_failed_writer_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_record(target, {"good": 1})

    def fail() -> None:
        with atomic_write(target) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert read_record(target) == {"good": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_writers_with_equal_host_name_and_process_number_do_not_collide(tmp_path: Path) -> None:
    """Two containers can share a folder."""
    target = tmp_path / "store"
    with atomic_write(target) as first:
        first.mkdir()
        (first / "first").touch()
        with atomic_write(target) as second:
            second.mkdir()
            (second / "second").touch()
        assert list(target.iterdir()) == [target / "second"]
        assert list(first.iterdir()) == [first / "first"]
    assert list(target.iterdir()) == [target / "first"]
    assert list(tmp_path.iterdir()) == [target]


def test_temporary_files_of_killed_writers_are_removed_and_others_stay(tmp_path: Path) -> None:
    target, other = tmp_path / "store", tmp_path / ".story.0123.partial"
    for left in (tmp_path / ".store.0123.partial", tmp_path / ".store.0123.replaced", other):
        (left / "deep").mkdir(parents=True)
    (tmp_path / ".store.4567.partial").touch()
    target.mkdir()
    remove_abandoned(target)
    assert set(tmp_path.iterdir()) == {target, other}


def test_a_failed_writer_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "store"
    target.mkdir()
    (target / "old").touch()

    def fail() -> None:
        with atomic_write(target) as temporary:
            temporary.mkdir()
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        fail()
    assert list(target.iterdir()) == [target / "old"]
    assert list(tmp_path.iterdir()) == [target]


def test_only_a_signed_record_is_read_as_signed(tmp_path: Path) -> None:
    record = {"b": [1, 2.5, None], "a": {"é": "ü"}}
    write_signed(tmp_path / "signed.json", record)
    assert read_signed(tmp_path / "signed.json") == record
    write_record(tmp_path / "plain.json", record)
    with pytest.raises(ValueError, match=r"plain\.json: expected a whole file.*\(no checksum\)"):
        read_signed(tmp_path / "plain.json")
    write_record(tmp_path / "edited.json", read_record(tmp_path / "signed.json") | {"b": [1]})
    with pytest.raises(ValueError, match=r"edited\.json: .*checksum \w+ instead of \w+\); remove"):
        read_signed(tmp_path / "edited.json")


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"a": NaN, "checksum": "0"}', "[" * 100_000]
)
def test_a_file_without_a_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json: expected a whole file"):
        read_signed(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("cause", "number", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC, "free some"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), errno.ENOSPC, "free some"),
        (SafetensorError("No space left on device (os error 28)"), errno.ENOSPC, "free some"),
        (OSError(errno.EFBIG, "File too large"), errno.EFBIG, "ulimit -f"),
        (SafetensorError("File too large (os error 27)"), errno.EFBIG, "ulimit -f"),
    ],
)
def test_the_error_of_a_full_disk_or_a_limit_names_the_file(
    cause: Exception, number: int, message: str, tmp_path: Path
) -> None:
    def fail() -> None:
        # An extraction writes two stores side by side.
        with atomic_write(tmp_path / "one"), atomic_write(tmp_path / "store") as temporary:
            temporary.mkdir()
            raise cause

    with pytest.raises(OSError, match=f"{message}.*; finished files are kept: '/") as error:
        fail()
    assert error.value.errno == number
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_replaces_the_old_one(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with atomic_write(tmp_path / "store") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert list((tmp_path / "store").iterdir()) == [tmp_path / "store" / "new"]


def test_arrays_are_read_with_their_record(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"x": np.arange(3)}, {"seed": 1})
    arrays, about = read_arrays(tmp_path / "a.npz")
    assert arrays["x"].tolist() == [0, 1, 2]
    assert about == {"seed": 1}


@pytest.mark.parametrize("name", ["a.npz", "a.json"])
@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    if name == "a.npz":
        write_arrays(path, {"x": np.arange(1000)}, {})
    else:
        write_record(path, {"long": list(range(1000))})
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[900:1000] = b"\xff" * 100
    path.write_bytes(content)
    read = read_arrays if name == "a.npz" else read_record
    with pytest.raises(ValueError, match=f"{name}: expected a whole file.*remove it and run again"):
        read(path)


def test_a_file_with_an_array_of_terabytes_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    write_arrays(path, {"x": np.zeros(3)}, {})
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y.npy", header.getvalue() + bytes(80))
    with pytest.raises(ValueError, match=r"arrays\.npz: expected a whole file"):
        read_arrays(path)


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes").write_text("kept")
    with (
        pytest.raises(IsADirectoryError, match="expected a file to write, found a folder"),
        atomic_write(tmp_path / "mine") as temporary,
    ):
        temporary.write_text("a page")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes"]


def test_a_folder_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with (
        pytest.raises(NotADirectoryError, match=r"a folder to write, found a file; .*mine"),
        atomic_write(tmp_path / "mine") as temporary,
    ):
        temporary.mkdir()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]
