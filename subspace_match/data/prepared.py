"""The prepared form of a data set: training and test splits, and the file that stores them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..storage.archives import stays_inside
from ..storage.files import atomic_write, damaged
from .catalogue import folder_of


@dataclass(frozen=True)
class Split:
    """A training or test split whose images all have one size.

    Attributes:
        images: (images, channels, height, width) uint8.
        labels: (images,) int64.
        index: (images,) int64, position of each image in its source.
    """

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class FileSplit:
    """A training or test split whose images stay in their own files.

    Attributes:
        files: paths relative to ``root``.
        labels: (images,) int64.
        index: (images,) int64, position of each image among the files of its folder.
        root: folder of the data set; not saved, because users move data sets.
        channels: 3 to read the images in colour, 1 in grey; not saved, data sets are in colour.
    """

    files: tuple[str, ...]
    labels: np.ndarray
    index: np.ndarray
    root: Path
    channels: int = 3

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class TextSplit:
    """A training or test split of windows of text.

    Attributes:
        tokens: (windows, tokens) uint8 or int32.
        index: (windows,) int64, position of each window in the data set, file by file.
        labels: None, as windows have no classes.
    """

    tokens: np.ndarray
    index: np.ndarray
    labels: None = None

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.tokens)


AnySplit = Split | FileSplit | TextSplit


@dataclass(frozen=True)
class DataSet:
    """A prepared data set.

    Attributes:
        train: the training split. ImageNet's may be empty: pretrained networks need none.
        test: the split on which networks are evaluated and compared.
        about: name, digest, classes, and the ``mean`` and ``std`` of each channel of the training
            images on a scale of 0 to 1, which standardise the input of networks trained on them.
            For image files also ``resize`` and ``crop`` in pixels. For texts the classes are the
            tokens, ``mean`` and ``std`` are empty, and windows are counted as images are.
    """

    train: AnySplit
    test: AnySplit
    about: dict[str, Any]


def stratified_split(labels: np.ndarray, test_fraction: float, seed: int) -> list[np.ndarray]:
    """Return the sorted positions of the training and of the test images."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(
        np.arange(len(labels)), test_size=test_fraction, random_state=seed, stratify=labels
    )
    return [np.sort(part) for part in parts]


def save(path: str | Path, data: DataSet) -> None:
    """Write a prepared data set to one safetensors file."""
    from safetensors.numpy import save_file

    arrays = {
        f"{name}_{field}": np.ascontiguousarray(array)
        for name, part in (("train", data.train), ("test", data.test))
        for field, array in _arrays(part).items()
    }
    with atomic_write(path) as temporary:
        save_file(arrays, temporary, metadata={"about": json.dumps(data.about)})


def _arrays(part: AnySplit) -> dict[str, np.ndarray]:
    if isinstance(part, TextSplit):
        return {"tokens": part.tokens, "index": part.index}
    if isinstance(part, Split):
        return {"images": part.images, "labels": part.labels, "index": part.index}
    # A zero byte cannot occur in a path, so it separates them.
    names = np.frombuffer(os.fsencode("\0".join(part.files)), dtype=np.uint8)
    return {"files": names, "labels": part.labels, "index": part.index}


def load(path: str | Path, root: str | None = None) -> DataSet:
    """Read a file written by ``save``.

    Raises:
        ValueError: if the file is damaged (the message names it), or if the images stayed in their
            own files and ``root``, the folder of these, is None.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["about"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        train, test = (
            _split(path, arrays, part, about["name"], root) for part in ("train", "test")
        )
    except (SafetensorError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    return DataSet(train, test, about)


def _split(
    path: str | Path, arrays: dict[str, np.ndarray], part: str, name: str, root: str | None
) -> AnySplit:
    if f"{part}_tokens" in arrays:
        return TextSplit(arrays[f"{part}_tokens"], arrays[f"{part}_index"])
    if f"{part}_files" in arrays:
        return _file_split(path, arrays, part, folder_of(name, root))
    return Split(*(arrays[f"{part}_{field}"] for field in ("images", "labels", "index")))


def _file_split(
    path: str | Path, arrays: dict[str, np.ndarray], part: str, root: Path
) -> FileSplit:
    names = os.fsdecode(arrays[f"{part}_files"].tobytes())
    files = tuple(names.split("\0")) if names else ()
    if outside := [file for file in files if not stays_inside(file)]:
        raise damaged(path, f"{outside[0]!r} is outside the data set's folder")
    return FileSplit(files, arrays[f"{part}_labels"], arrays[f"{part}_index"], root)
