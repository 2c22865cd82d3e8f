import errno
import io
import platform
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from subspace_match.artefacts import (
    read_arrays,
    read_record,
    write_arrays,
    write_record,
    written,
)


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_record(target, {"good": 1})

    def fail() -> None:
        with written(target) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert read_record(target) == {"good": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_writer_left_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    target = tmp_path / "store"
    ended = subprocess.Popen(["true"])
    ended.wait()
    killed, alive = (
        tmp_path / f".store.{platform.node()}.{process}.partial" for process in (ended.pid, 1)
    )
    of_another_machine = tmp_path / f".store.elsewhere.{ended.pid}.partial"
    of_another_file = tmp_path / f".story.{platform.node()}.{ended.pid}.partial"
    for folder in (killed, alive, of_another_machine, of_another_file):
        folder.mkdir()
    with written(target) as temporary:
        temporary.mkdir()
    assert set(tmp_path.iterdir()) == {target, alive, of_another_machine, of_another_file}


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said_with_the_file(cause: Exception, tmp_path: Path) -> None:
    def fail() -> None:
        with written(tmp_path / "store") as temporary:
            temporary.mkdir()
            raise cause

    with pytest.raises(OSError, match=r"no space left on the disk; free some.*/store'$") as error:
        fail()
    assert error.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with written(tmp_path / "store") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert list((tmp_path / "store").iterdir()) == [tmp_path / "store" / "new"]


def test_arrays_come_back_with_their_record(tmp_path: Path) -> None:
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


def test_an_array_that_claims_terabytes_is_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    write_arrays(path, {"x": np.zeros(3)}, {})
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y.npy", header.getvalue() + bytes(80))
    with pytest.raises(ValueError, match=r"arrays\.npz: expected a whole file"):
        read_arrays(path)
