"""Real digits, and tiny files in the real formats of the data sets that are not here."""

import gzip
import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision

from subspace_match import datasets


@pytest.fixture(scope="module")
def digits() -> datasets.DataSet:
    return datasets.prepare("mnist_5k", None, 32, 0.2, 0)


def test_the_digits_are_split_evenly_and_without_overlap(digits: datasets.DataSet) -> None:
    assert digits.train.images.shape == (4000, 1, 32, 32)
    assert digits.test.images.shape == (1000, 1, 32, 32)
    assert np.bincount(digits.test.labels).tolist() == [100] * 10
    assert sorted([*digits.train.index, *digits.test.index]) == list(range(5000))


def test_the_split_is_the_seeds(digits: datasets.DataSet) -> None:
    again = datasets.prepare("mnist_5k", None, 32, 0.2, 0)
    other = datasets.prepare("mnist_5k", None, 32, 0.2, 1)
    assert np.array_equal(again.test.index, digits.test.index)
    assert not np.array_equal(other.test.index, digits.test.index)


def test_padding_is_of_zeros_all_around(digits: datasets.DataSet) -> None:
    images = digits.train.images
    assert images[:, :, 2:-2, 2:-2].sum() == images.sum() > 0


def test_the_mean_and_deviation_are_the_training_images(digits: datasets.DataSet) -> None:
    scaled = digits.train.images / 255
    assert digits.about["mean"] == pytest.approx([scaled.mean()])
    assert digits.about["std"] == pytest.approx([scaled.std()])


def test_a_saved_data_set_comes_back(digits: datasets.DataSet, tmp_path: Path) -> None:
    datasets.save(tmp_path / "data.safetensors", digits)
    loaded = datasets.load(tmp_path / "data.safetensors")
    assert loaded.about == digits.about
    for part in ("train", "test"):
        for field in ("images", "labels", "index"):
            expected = getattr(getattr(digits, part), field)
            assert np.array_equal(getattr(getattr(loaded, part), field), expected)


def test_a_damaged_file_is_named(digits: datasets.DataSet, tmp_path: Path) -> None:
    path = tmp_path / "data.safetensors"
    datasets.save(path, digits)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"data\.safetensors: expected a whole file"):
        datasets.load(path)


def test_images_larger_than_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.image_size: expected at least .* found 20"):
        datasets.prepare("mnist_5k", None, 20, 0.2, 0)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_missing_files_are_said_with_the_command_that_fetches_them(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="fetch them with: python -c") as error:
        datasets.prepare(name, str(tmp_path), 32, 0.2, 0)
    assert str(tmp_path) in str(error.value)
    assert "download=True" in str(error.value)


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]
)
def test_idx_files_are_read(name: str, folder: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    expected = {}
    for part, count in (("train", 6), ("t10k", 4)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8)
        idx_images = struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes()
        idx_labels = struct.pack(">II", 0x801, count) + labels.tobytes()
        for kind, content in (("images-idx3", idx_images), ("labels-idx1", idx_labels)):
            (raw / f"{part}-{kind}-ubyte").write_bytes(content)
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
        expected[part] = images
    data = datasets.prepare(name, str(tmp_path), 28, 0.2, 0)
    assert np.array_equal(data.train.images[:, 0], expected["train"])
    assert np.array_equal(data.test.images[:, 0], expected["t10k"])
    assert data.train.labels.tolist() == list(range(6))


@pytest.mark.parametrize(
    ("name", "reader"),
    [("cifar10", torchvision.datasets.CIFAR10), ("cifar100", torchvision.datasets.CIFAR100)],
)
def test_cifar_batches_are_read_through_the_checked_path(
    name: str, reader: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / reader.base_folder
    folder.mkdir()
    key = reader.meta["key"]
    label_key = "labels" if name == "cifar10" else "fine_labels"
    pixels = {}

    def write(file: str, content: object) -> list[str]:
        (folder / file).write_bytes(pickle.dumps(content))
        return [file, hashlib.md5((folder / file).read_bytes()).hexdigest()]

    def batch(file: str) -> list[str]:
        pixels[file] = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
        return write(file, {"data": pixels[file], label_key: [1, 0]})

    train = [batch(file) for file, _ in reader.train_list]
    test = [batch(file) for file, _ in reader.test_list]
    meta = write(reader.meta["filename"], {key: ["a", "b"]})
    monkeypatch.setattr(reader, "train_list", train)
    monkeypatch.setattr(reader, "test_list", test)
    monkeypatch.setattr(reader, "meta", {"filename": meta[0], "key": key, "md5": meta[1]})

    data = datasets.prepare(name, str(tmp_path), 32, 0.2, 0)
    assert data.train.images.shape == (2 * len(train), 3, 32, 32)
    assert np.array_equal(data.test.images.reshape(2, -1), pixels[test[0][0]])
    assert data.test.labels.tolist() == [1, 0]

    (folder / test[0][0]).write_bytes(b"not what was published")
    with pytest.raises(ValueError, match="found none that are whole"):
        datasets.prepare(name, str(tmp_path), 32, 0.2, 0)
