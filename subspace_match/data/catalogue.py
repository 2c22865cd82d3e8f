"""The catalogue of data sets: classes, channels, and where the files lie below ``data.root``.

Planning and checks of the configuration use it, so it reads neither images nor texts.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .tokens import tokens_of

# As torchvision recognises images.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Source:
    """What is known about a data set before its files are read.

    Attributes:
        channels: channels of an image, 0 for texts.
        classes: number of classes of images, or of different tokens of texts; 0 if the folders of
            training images, or the tokenizer, decide.
        test_images: size of the published test split, 0 if there is none.
        torchvision: class of ``torchvision.datasets`` that reads or unpacks the files, if any.
        patterns: glob patterns of small files; the first pattern with a match is used.
        folders: folders of image files, see ``image_folders``.
        own_root: whether the files' folder is known, so that the user names none.
    """

    channels: int
    classes: int
    test_images: int = 0
    torchvision: str | None = None
    patterns: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    own_root: bool = False

    @property
    def text(self) -> bool:
        """Whether it consists of texts instead of images."""
        return not self.channels

    @property
    def files(self) -> bool:
        """Whether the images stay in their own files instead of one array."""
        return bool(self.folders)

    @property
    def bundled(self) -> bool:
        """Whether a Python package contains the data, so that the user needs no files."""
        return not (self.patterns or self.folders or self.text)


# The keys are the values of ``data.name``. "[!z]" skips .gz files in folders of unpacked files.
SOURCES = {
    "mnist_5k": Source(1, 10, own_root=True),
    "mnist": Source(1, 10, 10_000, "MNIST", ("MNIST/*/*[!z]", "*-ubyte.gz")),
    "fashion_mnist": Source(1, 10, 10_000, "FashionMNIST", ("FashionMNIST/*/*[!z]", "*-ubyte.gz")),
    "cifar10": Source(3, 10, 10_000, "CIFAR10", ("cifar-10-batches-py/*",)),
    "cifar100": Source(3, 100, 10_000, "CIFAR100", ("cifar-100-python/*",)),
    "imagenet": Source(3, 1000, 50_000, "ImageNet", folders=("val", "train")),
    "image_folder": Source(3, 0, folders=("train", "test", "val")),
    "text_folder": Source(0, 0),
    "python_library": Source(0, 0, own_root=True),
}
# Folders in that of the standard library with other packages, or with tests, which some systems
# leave out.
_NOT_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def source_of(data: Mapping[str, Any]) -> Source:
    """Return what is known about a data set, given by its section of the configuration.

    Only an image folder is looked at, to count its classes, and a tokenizer's file.

    Raises:
        ValueError: if an image folder has no class folders, or if there is no such tokenizer.
    """
    name, root = data["name"], data["root"]
    source = SOURCES[name]
    if source.classes:
        return source
    if source.text:
        return replace(source, classes=tokens_of(data["tokenizer"]).vocabulary)
    folder = folder_of(name, root)
    part = image_folders(name, folder)[0]
    if not (classes := subfolders(folder / part)):
        raise files_are_missing(name, root, f"no class folders in {part}" if part else None)
    return replace(source, classes=len(classes))


def known_test_inputs(data: Mapping[str, Any]) -> int | None:
    """Return the number of images in the test split, or None if it depends on the user's files."""
    if (wanted := data.get("test_images")) is not None:
        return int(wanted)
    source, fraction = SOURCES[data["name"]], float(data["test_fraction"])
    if source.bundled:
        return round(5000 * fraction)  # mnist_5k
    return source.test_images or None


def count_test_inputs(data: Mapping[str, Any]) -> int:
    """Estimate the number of images or windows of text in the test split without reading them."""
    if (known := known_test_inputs(data)) is not None:
        return known
    name, root = data["name"], data["root"]
    fraction: float = data["test_fraction"]
    if SOURCES[name].text:  # a token has at least one byte
        windows = (file.stat().st_size // data["tokens"] for file in text_files(name, root))
        return int(sum(windows) * fraction)
    folder = folder_of(name, root)
    train, *test = (
        sum(len(files) for *_, files in os.walk(folder / part, followlinks=True))
        for part in image_folders(name, folder)
    )
    return sum(test) or round(train * fraction)


def input_shape(data: Mapping[str, Any], size: int) -> tuple[int, ...]:
    """Return the shape of one input of a network: tokens, or channels, height and width.

    Args:
        data: section of the configuration.
        size: height and width of images.

    Example:
        >>> input_shape({"name": "cifar10"}, 32)
        (3, 32, 32)
        >>> input_shape({"name": "text_folder", "tokens": 8}, 32)
        (8,)
    """
    source = SOURCES[data["name"]]
    return (data["tokens"],) if source.text else (source.channels, size, size)


def resize_and_crop(image_size: int, *, files: bool) -> dict[str, Any]:
    """Return "resize" and "crop" in pixels for networks trained on image files, else nothing.

    Example:
        >>> resize_and_crop(224, files=True), resize_and_crop(32, files=False)
        ({'resize': 256, 'crop': 224}, {})
    """
    # ImageNet networks are evaluated at 256 and 224 pixels; other sizes keep this ratio.
    return {"resize": round(image_size * 256 / 224), "crop": image_size} if files else {}


def small_files(name: str, root: Path) -> list[Path]:
    """Return the files of a small data set: all that match the first pattern with a match."""
    for pattern in SOURCES[name].patterns:
        if found := [file for file in root.glob(pattern) if file.is_file()]:
            return found
    return []


def image_folders(name: str, root: Path) -> list[str]:
    """Return the folders to read: the required one and the first other one that exists.

    An image folder with none of them has its class folders in the root itself, which is "".
    """
    required, *others = SOURCES[name].folders
    if name == "image_folder" and not any((root / part).is_dir() for part in (required, *others)):
        return [""]
    return [required, *[part for part in others if (root / part).is_dir()][:1]]


def subfolders(folder: Path) -> list[str]:
    """Return the names of class folders, sorted as torchvision numbers classes.

    Hidden folders and files, such as .ipynb_checkpoints and ._image.png, belong to other programs.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and e.name[0] != ".")


def text_folder(name: str, root: str | None) -> Path:
    """Return the folder of a data set of text."""
    if name == "python_library":
        return Path(sysconfig.get_paths()["stdlib"])
    return folder_of(name, root)


def text_files(name: str, root: str | None) -> list[Path]:
    """Return the files of a data set of text, sorted by their paths.

    They are all files in and below the folder, except hidden ones; of Python's standard library
    they are its modules, without tests and without packages installed beside it. There are none if
    the folder does not exist.

    Raises:
        OSError: if a folder cannot be read, whose files would be missing in the data set.
    """
    library, folder = name == "python_library", text_folder(name, root)
    found: list[Path] = []
    if not folder.is_dir():
        return found
    for parent, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        skipped = _NOT_THE_LIBRARY if library else ()
        folders[:] = [each for each in folders if each[0] != "." and each not in skipped]
        found += [
            Path(parent, file)
            for file in files
            if file[0] != "." and (file.endswith(".py") or not library)
        ]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def folder_of(name: str, root: str | None) -> Path:
    """Return the folder of a data set's files; raise a ValueError if ``data.root`` is null."""
    if root is None:
        raise ValueError(f"data.root: expected the folder that holds {name}'s files, found null")
    return Path(root).expanduser()


def files_are_missing(
    name: str, root: str | None, found: str | None = None, advice: str = ""
) -> ValueError:
    """Return the error for missing or damaged files, with the commands that fetch them.

    Args:
        name: of the data set.
        root: ``data.root``.
        found: what was found, if not nothing at all.
        advice: replaces the advice to put files there.
    """
    if found is None:
        found = "none" if root is None or Path(root).is_dir() else "no such folder"
    return ValueError(
        f"data.root: expected {_layout(name, root)}, found {found};"
        f" {advice or _how_to_get_files(name, root)}"
    )


def _layout(name: str, root: str | None) -> str:
    """Say which files a data set has, and where."""
    reader = SOURCES[name].torchvision
    if name == "image_folder":
        return (
            f"images in {root}/CLASS/, or in {root}/train/CLASS/ and, if there is a test split,"
            f" {root}/test/CLASS/ or {root}/val/CLASS/"
        )
    if SOURCES[name].text:
        return f"files of text in {root}"
    if name == "imagenet":
        return (
            f"a folder of JPEG files for each of ImageNet's 1,000 WordNet ids in {root}/val (and"
            f" {root}/train to train networks)"
        )
    loose = f"/{reader}/raw or *-ubyte.gz in {root}" if len(SOURCES[name].patterns) > 1 else ""
    return f"{reader}'s files in {root}{loose}"


def _how_to_get_files(name: str, root: str | None) -> str:
    reader = SOURCES[name].torchvision
    fetch = f'python -c "import torchvision; torchvision.datasets.{reader}'
    if name == "image_folder":
        return "put them there, one folder per class, the same classes in each split"
    if SOURCES[name].text:
        return "put them there, or change data.root"
    if name == "imagenet":
        return (
            "fetch ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_val.tar and"
            f" ILSVRC2012_img_train.tar from https://image-net.org into {root}, unpack them with:"
            f" {fetch}({root!r}, 'val')\" (and 'train'); use image_folder for a part of ImageNet"
        )
    advice = f'fetch them with: {fetch}({root!r}, download=True)"'
    if name == "fashion_mnist":
        advice += " or: apt-get install dataset-fashion-mnist"
        advice += " (data.root: /usr/share/datasets/fashion-mnist)"
    return advice
