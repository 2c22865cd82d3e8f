import errno
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import _local

import subspace_match as sm
from subspace_match.storage import activations as store
from subspace_match.storage.activations import ActivationStore, new_store

RNG = np.random.default_rng(0)
LAYERS = {"conv1": RNG.random((2, 2500, 40), np.float32), "fc1": np.zeros((1, 30, 8), np.float32)}

SHARD = "activations/conv1/draw_0/c/3/0"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Small values: conv1 has several chunks in several shards.
    monkeypatch.setattr(store, "CHUNK_BYTES", 40 * 4 * 100)
    monkeypatch.setattr(store, "SHARD_CHUNKS", 4)
    entries = [
        {"name": name} | dict(zip(("draws", "samples", "neurons"), rows.shape, strict=True))
        for name, rows in LAYERS.items()
    ]
    with new_store(tmp_path / "seed_0.zarr", {"seed": 0}, entries) as writer:
        for name, draws in LAYERS.items():
            for draw, rows in enumerate(draws):
                writer.samples(name, draw, np.arange(len(rows)) + draw)
                for start in range(0, len(rows), 333):
                    writer.append(name, draw, rows[start : start + 333])
    return tmp_path / "seed_0.zarr"


def test_a_store_returns_what_was_written(path: Path) -> None:
    opened = ActivationStore(path)
    assert opened.about == {"seed": 0}
    assert list(opened.layers) == ["conv1", "fc1"]
    for name, draws in LAYERS.items():
        for draw, rows in enumerate(draws):
            assert np.array_equal(opened.activations(name, draw)[:], rows)
            assert np.array_equal(opened.activations(name, draw)[7:19], rows[7:19])
            assert np.array_equal(opened.samples(name, draw), np.arange(len(rows)) + draw)


def test_samples_of_volumes_and_of_older_stores_belong_to_images(tmp_path: Path) -> None:
    entry = {"draws": 1, "samples": 3, "neurons": 1, "height": 2, "width": 3}
    entries = [{"name": "conv1", "frames": 4} | entry, {"name": "conv2"} | entry]
    samples = np.array([5, 23, 24])
    with new_store(tmp_path / "seed_1.zarr", {}, entries) as writer:
        for name in ("conv1", "conv2"):
            writer.samples(name, 0, samples)
            writer.append(name, 0, np.ones((3, 1), np.float32))
    opened = ActivationStore(tmp_path / "seed_1.zarr")
    assert opened.images_of("conv1", samples).tolist() == [0, 0, 1]
    assert opened.images_of("conv2", samples).tolist() == [0, 3, 4]


def test_labels_and_predictions_are_kept_if_they_are_known(tmp_path: Path, path: Path) -> None:
    assert ActivationStore(path).labels() is ActivationStore(path).predictions() is None
    with new_store(tmp_path / "seed_1.zarr", {}, []) as writer:
        writer.labels(np.array([3, 1]))
        writer.predictions(np.array([3, 0]))
    opened = ActivationStore(tmp_path / "seed_1.zarr")
    np.testing.assert_array_equal(opened.labels(), [3, 1])
    np.testing.assert_array_equal(opened.predictions(), [3, 0])


def test_a_store_is_a_plain_zarr_v3_group_with_few_files(path: Path) -> None:
    group = zarr.open_group(path, mode="r", zarr_format=3)
    assert np.array_equal(group["activations/conv1/draw_0"][:], LAYERS["conv1"][0])
    shards = (path / SHARD).parents[1]
    assert len([file for file in shards.rglob("*") if file.is_file()]) == 7


def test_a_layer_of_zeros_has_files(path: Path) -> None:
    assert (path / "activations/fc1/draw_0/c/0/0").exists()


def test_a_deleted_shard_is_named(path: Path) -> None:
    (path / SHARD).unlink()
    with pytest.raises(ValueError, match=r"seed_0\.zarr.*conv1/draw_0/c/3/0 is missing.*remove it"):
        ActivationStore(path).activations("conv1")
    ActivationStore(path).activations("fc1")


def test_a_truncated_shard_is_named(path: Path) -> None:
    (path / SHARD).write_bytes((path / SHARD).read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"conv1/draw_0/c/3/0 has \d+ bytes instead of \d+"):
        ActivationStore(path).activations("conv1")


def test_reading_detects_changed_bytes(path: Path) -> None:
    content = bytearray((path / SHARD).read_bytes())
    content[100] ^= 1
    (path / SHARD).write_bytes(content)
    activations = ActivationStore(path).activations("conv1")
    with pytest.raises(ValueError, match=r"seed_0\.zarr: expected a whole file.*conv1"):
        sm.reduce(activations, activations)


@pytest.mark.parametrize("file", ["zarr.json", "activations/conv1/draw_0/zarr.json"])
@pytest.mark.parametrize("damage", ["changed", "deleted"])
def test_damaged_metadata_is_named(path: Path, file: str, damage: str) -> None:
    content = (path / file).read_text()
    (path / file).unlink()
    if damage == "changed":
        (path / file).write_text(content.replace("2", "3", 1))
    message = rf"seed_0\.zarr: expected a whole file.*seed_0\.zarr/{file} (is missing|has the SHA)"
    with pytest.raises(ValueError, match=message):
        ActivationStore(path).activations("conv1")


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing: expected a whole file"):
        ActivationStore(tmp_path / "nothing")


def test_the_error_for_an_unknown_layer_lists_the_layers(path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected one of \['conv1', 'fc1'\], found 'conv9'"):
        ActivationStore(path).activations("conv9")


def test_a_failed_writer_leaves_no_store(tmp_path: Path) -> None:
    entries = [{"name": "fc1", "draws": 1, "samples": 10, "neurons": 2}]
    with (
        pytest.raises(RuntimeError, match=r"fc1, draw 0: expected 10 samples, found 4"),
        new_store(tmp_path / "seed_1.zarr", {}, entries) as writer,
    ):
        writer.append("fc1", 0, np.zeros((4, 2), np.float32))
    assert list(tmp_path.iterdir()) == []


def test_an_error_waits_for_other_writes_before_it_removes_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zarr writes the metadata of a new array and of the groups above it at once."""
    put, late = _local._put, []

    def full_disk(path: Path, *arguments: Any, **options: Any) -> int:
        if path.parent.name == "draw_0":
            raise OSError(errno.ENOSPC, "full", str(path))
        if path.parent.name == "fc1":
            time.sleep(0.2)
            late.append(path)
        return put(path, *arguments, **options)

    monkeypatch.setattr(_local, "_put", full_disk)
    entries = [{"name": "fc1", "draws": 1, "samples": 10, "neurons": 2}]
    with (
        pytest.raises(OSError, match="no space left on the disk"),
        new_store(tmp_path / "seed_1.zarr", {}, entries) as writer,
    ):
        writer.append("fc1", 0, np.zeros((10, 2), np.float32))
    time.sleep(0.3)
    assert late
    assert list(tmp_path.iterdir()) == []
