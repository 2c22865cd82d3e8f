"""Digests of the user's files depend on their content, not on location or time."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from subspace_match.experiment import user_files
from subspace_match.experiment.user_files import (
    content_digest,
    data_source,
    network_sources,
)

SMALL = {
    "mnist": "MNIST/raw/train-images-idx3-ubyte",
    "fashion_mnist": "FashionMNIST/raw/t10k-labels-idx1-ubyte",
    "cifar10": "cifar-10-batches-py/data_batch_3",
    "cifar100": "cifar-100-python/train",
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def replace_unseen(file: Path, text: str) -> None:
    """Replace a file, keeping name, size and time, as ``mv``, ``cp -p`` and ``rsync -a`` do."""
    status = file.stat()
    assert len(text) == status.st_size
    other = write(file.with_name("other"), text)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for name in ("train/cat/1.png", "train/dog/deep/2.JPEG", "test/cat/3.jpg", "val/cat/4.jpg"):
        write(root / name, name)
    return root


@pytest.mark.parametrize("name", SMALL)
def test_a_replaced_file_of_the_same_name_size_and_time_is_noticed(
    name: str, tmp_path: Path, cache: Path
) -> None:
    file = write(tmp_path / "root" / SMALL[name], "abc")
    source = f"data {name} {tmp_path / 'root'}"
    before = content_digest(source, cache)
    replace_unseen(file, "abd")
    changed = content_digest(source, cache)
    assert changed != before
    replace_unseen(file, "abc")
    assert content_digest(source, cache) == before


def test_a_named_folder_takes_precedence_over_loose_idx_files(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "t10k-images-idx3-ubyte.gz", "a")
    source = f"data mnist {tmp_path}"
    flat = content_digest(source, cache)
    write(tmp_path / "MNIST/raw/t10k-images-idx3-ubyte", "b")
    own = content_digest(source, cache)
    write(tmp_path / "MNIST/raw/t10k-images-idx3-ubyte.gz", "c")
    write(tmp_path / "t10k-images-idx3-ubyte.gz", "d")
    assert content_digest(source, cache) == own != flat


def test_added_replaced_renamed_and_removed_images_are_noticed(images: Path, cache: Path) -> None:
    source = f"data image_folder {images}"
    seen = [content_digest(source, cache)]
    added = write(images / "train/cat/9.webp", "9")
    seen.append(content_digest(source, cache))
    replace_unseen(added, "8")
    seen.append(content_digest(source, cache))
    added.rename(added.with_name("8.webp"))
    seen.append(content_digest(source, cache))
    assert len(set(seen)) == 4
    added.with_name("8.webp").unlink()
    assert content_digest(source, cache) == seen[0]
    write(images / "train/mouse/5.png", "5")
    assert content_digest(source, cache) not in seen


def test_files_that_are_not_read_do_not_count(images: Path, cache: Path) -> None:
    source = f"data image_folder {images}"
    before = content_digest(source, cache)
    for name in ("README", "train/cat/._1.png", "train/.hidden/1.png", "val/cat/5.png", "x/1.png"):
        write(images / name, "other")
    assert content_digest(source, cache) == before
    assert content_digest(f"data imagenet {images}", cache) != before


def test_moved_folders_and_touched_files_keep_their_digest(
    images: Path, tmp_path: Path, cache: Path
) -> None:
    before = content_digest(f"data image_folder {images}", cache)
    for file in images.rglob("*.png"):
        os.utime(file)
    assert content_digest(f"data image_folder {images}", cache) == before
    images.rename(tmp_path / "moved")
    assert content_digest(f"data image_folder {tmp_path / 'moved'}", cache) == before
    shutil.copytree(tmp_path / "moved", tmp_path / "copied")
    assert content_digest(f"data image_folder {tmp_path / 'copied'}", cache) == before


def test_only_the_bytes_of_weights_count(tmp_path: Path, cache: Path) -> None:
    file = write(tmp_path / "a.pt", "abc")
    before = content_digest(f"weights {file}", cache)
    file = file.rename(tmp_path / "b.pt")
    assert content_digest(f"weights {file}", cache) == before
    replace_unseen(file, "abd")
    assert content_digest(f"weights {file}", cache) != before


def test_each_file_is_read_once(images: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in images.rglob("*.*"):
        os.utime(file, (0, 0))
    read: list[str] = []
    original = user_files.sha256

    def counted(file: Path) -> str:
        read.append(file.name)
        return original(file)

    monkeypatch.setattr(user_files, "sha256", counted)
    # Otherwise files written a moment ago are read again.
    monkeypatch.setattr(user_files, "_YOUNG", -1)
    source = f"data image_folder {images}"
    before = content_digest(source, cache)
    assert sorted(read) == ["1.png", "2.JPEG", "3.jpg"]
    assert content_digest(source, cache) == before
    write(images / "train/cat/9.png", "9")
    content_digest(source, cache)
    assert read[3:] == ["9.png"]
    # A damaged cache is ignored.
    for kept in cache.iterdir():
        kept.write_text(kept.read_text()[:-30])
        kept.write_text(kept.read_text().replace('"signature": "', '"signature": "0'))
    (images / "train/cat/9.png").unlink()
    assert content_digest(source, cache) == before


def test_a_file_written_just_now_is_read_again(tmp_path: Path, cache: Path) -> None:
    file = write(tmp_path / "a.pt", "abc")
    before = content_digest(f"weights {file}", cache)
    status = file.stat()
    while content_digest(f"weights {file}", cache) == before:
        file.write_text("abd")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size


def test_planning_again_reads_one_file_per_folder_and_no_image(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set can have a million images."""
    for number in range(5):
        folder = tmp_path / "images" / "train" / f"n{number}"
        folder.mkdir(parents=True)
        for image in range(4):
            (folder / f"{image}.JPEG").write_bytes(b"image")
    monkeypatch.setattr(user_files, "_YOUNG", 0)
    source = f"data image_folder {tmp_path / 'images'}"
    contents_of_all = content_digest(source, cache)
    opened: list[Path] = []
    open_file = Path.open

    def recorded(path: Path, *how: Any, **options: Any) -> Any:
        opened.append(path)
        return open_file(path, *how, **options)

    monkeypatch.setattr(Path, "open", recorded)
    monkeypatch.setattr(user_files, "sha256", lambda path: pytest.fail(f"{path} is read again"))
    assert content_digest(source, cache) == contents_of_all
    assert len(opened) == len(set(opened)) == 6  # train and its folders
    assert all(path.is_relative_to(cache) for path in opened)


def test_missing_files_are_an_error(tmp_path: Path, cache: Path) -> None:
    for name in [*SMALL, "image_folder", "imagenet"]:
        with pytest.raises(FileNotFoundError, match=name):
            content_digest(f"data {name} {tmp_path}", cache)
    with pytest.raises(FileNotFoundError):
        content_digest(f"weights {tmp_path / 'a.pt'}", cache)


def test_sources_are_taken_from_the_configuration() -> None:
    section = {"name": "mnist_5k", "root": None, "tokenizer": "bytes"}
    assert data_source(section) == []
    cifar = section | {"name": "cifar10", "root": "/a b"}
    assert data_source(cifar) == ["data cifar10 /a b"]
    text = section | {"name": "text_folder", "root": "/t", "tokenizer": "/m n/tokenizer.json"}
    assert data_source(text) == ["data text_folder /t", "tokenizer /m n/tokenizer.json"]
    assert network_sources({"name": "torchvision:vgg11", "weights": "IMAGENET1K_V1"}) == []
    assert network_sources({"name": "my.net:Net", "weights": "w.pt"}) == [
        "module my.net:Net",
        "weights w.pt",
    ]


def test_every_file_of_a_text_counts_and_hidden_ones_do_not(tmp_path: Path) -> None:
    root = tmp_path / "texts"
    (root / "deeper").mkdir(parents=True)
    (root / "deeper" / "a").write_text("one")
    source = f"data text_folder {root}"
    first = content_digest(source, tmp_path / "cache")
    (root / ".hidden").write_text("two")
    assert content_digest(source, tmp_path / "cache") == first
    (root / "deeper" / "a").write_text("two")
    assert content_digest(source, tmp_path / "cache") != first
    assert content_digest("data python_library None", tmp_path / "cache") != first


def test_a_folder_of_texts_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its texts would be missing without a word."""
    for name in ("a/1.txt", "b/1.txt"):
        write(tmp_path / "texts" / name, "text")
    scandir = os.scandir

    def guarded(folder: Any = ".") -> Any:
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(PermissionError):
        content_digest(f"data text_folder {tmp_path / 'texts'}", tmp_path / "cache")


def test_a_tokenizer_and_a_folder_of_transformers_count_by_content(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_text("weights")

    def digest(source: str) -> str:
        return content_digest(source, tmp_path / "cache")

    def model(name: str, weights: str) -> str:
        section = {"name": f"transformers:{tmp_path / name}", "weights": weights or None}
        (source,) = network_sources(section)
        return digest(source)

    tokenizers = [f"tokenizer {tmp_path / name / 'config.json'}" for name in ("one", "two")]
    assert len(set(map(digest, tokenizers))) == 1
    assert model("one", "") == model("two", "")
    assert model("one", "published") == model("two", "published") != model("one", "")
    (tmp_path / "two" / "model.safetensors").write_text("others")
    assert model("one", "") == model("two", "")
    assert model("one", "published") != model("two", "published")
    (tmp_path / "two" / "config.json").write_text("{ }")
    assert model("one", "") != model("two", "")
    assert network_sources({"name": "transformers:GPT2Model", "weights": None}) == []
    assert network_sources({"name": "timm:resnet18", "weights": None}) == []
