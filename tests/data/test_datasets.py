"""Real digits, and tiny files in the real formats of the data sets that are not here."""

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

from subspace_match.data import datasets


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
    debian = "apt-get install dataset-fashion-mnist (data.root: /usr/share/datasets/fashion-mnist)"
    assert (debian in str(error.value)) == (name == "fashion_mnist")


def test_a_data_set_of_files_needs_its_folder() -> None:
    with pytest.raises(ValueError, match=r"data\.root: expected the folder that holds cifar10's"):
        datasets.prepare("cifar10", None, 32, 0.2, 0)


def idx_files(folder: Path, *, plain: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Six training and four test images in IDX files, compressed and perhaps plain too."""
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
    """As Debian's package lays them out, and as torchvision does."""
    reader = str(datasets.SOURCES[name].torchvision)
    expected = idx_files(tmp_path if flat else tmp_path / reader / "raw", plain=not flat)
    data = datasets.prepare(name, str(tmp_path), 28, 0.2, 0)
    assert np.array_equal(data.train.images[:, 0], expected["train"])
    assert np.array_equal(data.test.images[:, 0], expected["t10k"])
    assert data.train.labels.tolist() == list(range(6))


def test_a_data_sets_own_folder_goes_before_files_that_could_be_anothers(tmp_path: Path) -> None:
    idx_files(tmp_path, plain=False)
    own = idx_files(tmp_path / "FashionMNIST" / "raw", plain=True, seed=1)
    data = datasets.prepare("fashion_mnist", str(tmp_path), 28, 0.2, 0)
    assert np.array_equal(data.test.images[:, 0], own["t10k"])
    with pytest.raises(ValueError, match="expected CIFAR10's files"):
        datasets.prepare("cifar10", str(tmp_path), 32, 0.2, 0)


def test_a_plain_idx_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    idx_files(tmp_path / "MNIST" / "raw", plain=True)
    images = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"found none that are whole .*; fetch them with"):
        datasets.prepare("mnist", str(tmp_path), 28, 0.2, 0)


def test_damaged_idx_files_are_named(tmp_path: Path) -> None:
    idx_files(tmp_path, plain=False)
    images, labels = (tmp_path / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    whole = labels.read_bytes()
    for content in (whole[:-4], b"no gzip", gzip.compress(b"\0\0\x08\x01\0\0\0\7\1")):
        labels.write_bytes(content)
        with pytest.raises(ValueError, match=r"none that are whole \(t10k-labels-idx1-ubyte\.gz: "):
            datasets.prepare("mnist", str(tmp_path), 28, 0.2, 0)
    labels.write_bytes(images.read_bytes())
    with pytest.raises(ValueError, match=r"idx1-ubyte\.gz: 3 dimensions of type 0x8"):
        datasets.prepare("mnist", str(tmp_path), 28, 0.2, 0)
    labels.write_bytes(gzip.compress(struct.pack(">II", 0x801, 3) + b"123"))
    with pytest.raises(ValueError, match="4 images and 3 labels in t10k"):
        datasets.prepare("mnist", str(tmp_path), 28, 0.2, 0)


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


# Image files


def picture(path: Path, mode: str = "RGB", colour: tuple[int, ...] = (200, 100, 50)) -> None:
    """A picture of one colour, the right half black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.new("RGB", (20, 12), colour)
    image.paste((0, 0, 0), (10, 0, 20, 12))
    image.convert(mode).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, with six and four images for training and three to test on."""
    for label, count in (("cat", 6), ("dög", 4)):
        for number in range(count):
            picture(tmp_path / "train" / label / f"{number}.png")
    for name in ("cat/x.png", "cat/deeper/y.PNG", "dög/z.jpg"):
        picture(tmp_path / "test" / name)
    (tmp_path / "train" / "cat" / "notes.txt").touch()
    return tmp_path


def test_an_image_folder_is_listed_and_not_copied(folder: Path) -> None:
    data = datasets.prepare("image_folder", str(folder), 56, 0.2, 0)
    assert isinstance(data.test, datasets.FileSplit)
    assert data.test.files == ("test/cat/x.png", "test/cat/deeper/y.PNG", "test/dög/z.jpg")
    assert data.test.labels.tolist() == [0, 0, 1]
    assert data.train.labels.tolist() == [0] * 6 + [1] * 4
    assert data.about["classes"] == datasets.source_of("image_folder", str(folder)).classes == 2
    assert (data.about["resize"], data.about["crop"]) == (64, 56)
    assert (data.about["train_images"], data.about["test_images"]) == (10, 3)

    datasets.save(folder / "data.safetensors", data)
    (folder / "moved").mkdir()
    loaded = datasets.load(folder / "data.safetensors", str(folder / "moved"))
    assert isinstance(loaded.train, datasets.FileSplit)
    assert loaded.about == data.about
    assert loaded.train.files == data.train.files
    assert loaded.train.root == folder / "moved"
    assert np.array_equal(loaded.test.index, data.test.index)
    with pytest.raises(ValueError, match=r"data\.root: expected the folder that holds image_f"):
        datasets.load(folder / "data.safetensors")


@pytest.mark.parametrize("name", ["../../outside.png", "/tmp/outside.png", "cat/../../x.png"])
def test_a_listing_that_leads_out_of_the_folder_is_refused(name: str, folder: Path) -> None:
    """The page shows images: a prepared data set may be anybody's, and shows none but its own."""
    data = datasets.prepare("image_folder", str(folder), 56, 0.2, 0)
    hostile = replace(data, test=replace(data.test, files=(name, *data.test.files[1:])))
    datasets.save(folder / "data.safetensors", hostile)
    with pytest.raises(ValueError, match=r"data\.safetensors: .* is no file of the data set's own"):
        datasets.load(folder / "data.safetensors", str(folder))


def test_test_images_are_counted_before_they_are_read(folder: Path) -> None:
    data = datasets.prepare("image_folder", str(folder), 56, 0.2, 0)
    found = datasets.count_test_images("image_folder", str(folder), 0.2)
    assert found == len(data.test.labels) == 3
    shutil.rmtree(folder / "test")
    # Of 10 images and a file of another kind: an estimate.
    assert datasets.count_test_images("image_folder", str(folder), 0.2) == 2


def test_a_folders_mean_and_deviation_count_each_file_alike(folder: Path) -> None:
    data = datasets.prepare("image_folder", str(folder), 32, 0.2, 0)
    # Half of each picture is of the colour, half is black.
    half = np.array([200, 100, 50]) / 255 / 2
    assert data.about["mean"] == pytest.approx(half)
    assert data.about["std"] == pytest.approx(half)
    assert data.about["moment_files"] == 10


def test_the_files_for_the_mean_are_chosen_by_the_seed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(folder / "train" / "cat" / "0.png", colour=(0, 0, 0))
    monkeypatch.setattr(datasets, "MOMENT_FILES", 3)
    means = [
        datasets.prepare("image_folder", str(folder), 32, 0.2, seed).about["mean"]
        for seed in [0, 0, *range(1, 9)]
    ]
    assert means[0] == means[1]
    assert len({tuple(mean) for mean in means}) == 2


def test_a_folder_without_a_test_part_is_split_by_class(folder: Path) -> None:
    (folder / "test").rename(folder / "val")
    assert datasets.prepare("image_folder", str(folder), 32, 0.2, 0).about["test_images"] == 3
    (folder / "val").rename(folder / "elsewhere")
    first, same, other = (
        datasets.prepare("image_folder", str(folder), 32, 0.5, seed) for seed in (0, 0, 1)
    )
    assert np.bincount(first.test.labels).tolist() == [3, 2]
    assert first.test.files == same.test.files != other.test.files
    assert sorted([*first.train.index, *first.test.index]) == list(range(10))
    with pytest.raises(ValueError, match=r"data\.test_fraction: .* found 0\.05 for 10 images of 2"):
        datasets.prepare("image_folder", str(folder), 32, 0.05, 0)


def test_what_is_hidden_is_neither_a_class_nor_an_image(folder: Path) -> None:
    """As notebooks, macOS and file managers leave it."""
    plain = datasets.prepare("image_folder", str(folder), 32, 0.2, 0)
    for part in ("train", "test"):
        picture(folder / part / ".ipynb_checkpoints" / "x-checkpoint.png", colour=(1, 2, 3))
        picture(folder / part / "cat" / ".thumbnails" / "deeper" / "x.png", colour=(1, 2, 3))
        (folder / part / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
        (folder / part / ".DS_Store").touch()
    data = datasets.prepare("image_folder", str(folder), 32, 0.2, 0)
    assert datasets.source_of("image_folder", str(folder)).classes == 2
    assert data.about == plain.about
    for found, expected in ((data.train, plain.train), (data.test, plain.test)):
        assert isinstance(found, datasets.FileSplit)
        assert isinstance(expected, datasets.FileSplit)
        assert found.files == expected.files


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_read_as_a_viewer_shows_it(orientation: int, kind: str, tmp_path: Path) -> None:
    """The orientation that a camera notes is applied: EXIF's table of how to turn and mirror."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = 200  # the first quarter
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
    found = np.asarray(datasets.read_image(tmp_path / f"x.{kind}")).astype(int)
    assert found.shape == turned.shape
    assert np.abs(found - turned).max() < 60  # a JPEG is not exact
    assert (np.abs(found - turned) < 10).mean() > 0.9


def test_looking_at_a_folder_loads_no_torch(folder: Path) -> None:
    """It is done whenever a configuration is checked."""
    look = (
        "import sys; from subspace_match.data.datasets import source_of;"
        f"assert source_of('image_folder', {str(folder)!r}).classes == 2;"
        "assert not {'torch', 'torchvision', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", look], check=True)


def test_a_folder_that_is_no_data_set_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected images in .*/train/CLASS/.* no folder of a"):
        datasets.source_of("image_folder", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"data\.root: expected the folder that holds image_f"):
        datasets.source_of("image_folder", None)
    (folder / "train" / "empty").mkdir()
    with pytest.raises(ValueError, match="found no images in train of empty; put them there"):
        datasets.prepare("image_folder", str(folder), 32, 0.2, 0)
    (folder / "train" / "empty").rename(folder / "test" / "horse")
    with pytest.raises(ValueError, match="found other classes in test: horse"):
        datasets.prepare("image_folder", str(folder), 32, 0.2, 0)


@pytest.mark.parametrize("part", ["train", "val"])
def test_imagenet_is_read_as_torchvision_unpacks_it(part: str, tmp_path: Path) -> None:
    wnids = [f"n{number:08}" for number in range(0, 2000, 2)]
    for wnid in reversed(wnids):
        (tmp_path / "val" / wnid).mkdir(parents=True)
    for number in (0, 7, 999):
        picture(tmp_path / "val" / wnids[number] / f"ILSVRC2012_val_{number:08}.JPEG")
    if part == "train":
        picture(tmp_path / "train" / wnids[0] / "0.JPEG")
        shutil.copytree(tmp_path / "train" / wnids[0], tmp_path / "template")
        for wnid in wnids[1:]:
            shutil.copytree(tmp_path / "template", tmp_path / "train" / wnid)
    data = datasets.prepare("imagenet", str(tmp_path), 224, 0.2, 0)
    assert data.test.labels.tolist() == [0, 7, 999]
    assert data.train.labels.tolist() == (list(range(1000)) if part == "train" else [])
    about = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "classes": 1000}
    assert data.about | about | {"resize": 256, "crop": 224} == data.about
    datasets.save(tmp_path / "data.safetensors", data)
    loaded = datasets.load(tmp_path / "data.safetensors", str(tmp_path))
    assert loaded.train.files == data.train.files


def test_a_part_of_imagenet_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "val" / "n01440764").mkdir(parents=True)
    with pytest.raises(ValueError, match="found 1 of 1000 classes in val") as error:
        datasets.prepare("imagenet", str(tmp_path), 224, 0.2, 0)
    for advice in ("ILSVRC2012_img_val.tar", "https://image-net.org", "is an image_folder"):
        assert advice in str(error.value)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("RGBA", "png"), ("P", "png"), ("CMYK", "jpg"), ("1", "png")]
)
def test_images_of_every_kind_are_read_as_rgb(mode: str, suffix: str, tmp_path: Path) -> None:
    picture(tmp_path / f"image.{suffix}", mode)
    image = datasets.read_image(tmp_path / f"image.{suffix}")
    assert (image.mode, image.size) == ("RGB", (20, 12))


def test_an_unreadable_image_is_named(folder: Path) -> None:
    path = folder / "train" / "cat" / "3.png"
    whole = path.read_bytes()
    deep = io.BytesIO()
    PIL.Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(deep, "PNG")
    broken = [whole[:60], whole[:-30], b"", b"text", whole[:45] + b"?" * 20, deep.getvalue()]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cat/3\.png: expected an image of eight bits"):
            datasets.prepare("image_folder", str(folder), 32, 0.2, 0)


def test_all_images_are_looked_at_when_data_is_prepared(folder: Path) -> None:
    """Those of the test part too, which no mean is taken of; up to twenty are named."""
    unreadable = [folder / "test" / "cat" / "x.png"]
    unreadable[0].write_bytes(b"text")
    with pytest.raises(ValueError, match=r"test/cat/x\.png: expected an image of eight bits"):
        datasets.prepare("image_folder", str(folder), 32, 0.2, 0)
    for number in range(22):
        unreadable.append(folder / "train" / "cat" / f"bad_{number}.png")
        unreadable[-1].write_bytes(b"text")
    with pytest.raises(
        ValueError, match=r"found 23 that cannot be read: .* and 3 more; re"
    ) as error:
        datasets.prepare("image_folder", str(folder), 32, 0.2, 0)
    assert str(error.value).count(".png") == 20
    assert len(str(error.value).splitlines()) == 1
    for path in unreadable[:1] + unreadable[3:]:
        path.unlink()
    with pytest.raises(ValueError, match="found 2 that cannot be read: ") as error:
        datasets.prepare("image_folder", str(folder), 32, 0.2, 0)
    assert "bad_0.png" in str(error.value)
    assert "bad_1.png" in str(error.value)


def test_unreadable_images_of_imagenet_are_named_too(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / "val" / f"n{number:08}").mkdir(parents=True)
    for number in (3, 5):
        (tmp_path / "val" / f"n{number:08}" / "x.JPEG").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"found 2 that cannot be read: .*n00000003/x\.JPEG"):
        datasets.prepare("imagenet", str(tmp_path), 224, 0.2, 0)


def test_no_temporary_file_is_needed_for_idx_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full TMPDIR said that the data set's files were not whole."""
    idx_files(tmp_path, plain=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))
    assert len(datasets.prepare("mnist", str(tmp_path), 28, 0.2, 0).train.labels) == 6
