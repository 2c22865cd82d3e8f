"""Prepare a data set once: bring it into one form, and measure its mean and deviation.

The images of a small data set are copied into one uint8 array. Image files stay where they are:
the prepared data set lists them. Texts are cut into windows of tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .catalogue import SOURCES, resize_and_crop, source_of
from .conditions import Conditions
from .image_files import list_image_folder, list_imagenet, read_histograms
from .prepared import DataSet, FileSplit, Split
from .readers import read_bundled_digits, read_torchvision
from .texts import read_texts
from .tokens import BYTES, tokens_of

# ImageNet's training images; the values that everybody uses.
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
MOMENT_FILES = 10_000  # the mean and deviation of a folder come from at most this many files


def prepare(
    name: str,
    root: str | None,
    image_size: int,
    test_fraction: float,
    split_seed: int,
    tokens: int = 128,
    tokenizer: str = BYTES,
    **conditions: Any,
) -> DataSet:
    """Read a data set from its own files and bring it into one form.

    Args:
        name: a key of ``catalogue.SOURCES``.
        root: folder of its files, unused for mnist_5k. Small data sets: as torchvision lays them
            out, or, for the two MNISTs, the four ``.gz`` files themselves. imagenet: as
            ``torchvision.datasets.ImageNet`` unpacks it, ``train`` and ``val`` with one folder per
            WordNet id, classes in the order of the ids; ``train`` may be missing. image_folder:
            ``train`` and ``test`` (or ``val``) with one folder per class, classes in the order of
            their names; without ``test`` and ``val`` the images of ``train`` are split, and without
            all three those of ``root``, which then has one folder per class. Files and folders
            whose names begin with a dot are ignored. text_folder: files of UTF-8, in it and in
            folders below it.
        image_size: height and width in pixels to which small images are padded with zeros, and to
            which image files are cropped.
        test_fraction: fraction of test images, stratified, for data sets without a test split
            (mnist_5k, some image folders), or of windows of text (``read_texts``).
        split_seed: seed of that split, of the conditions, and of the choice of files for an image
            folder's mean and deviation: at most 10,000 training files, each with the same weight.
        tokens: number of tokens in a window of text.
        tokenizer: "bytes", or the path of a ``tokenizer.json``, for texts.
        conditions: fields of ``Conditions``, for images.

    Raises:
        ValueError: if files are missing (the message has the command that fetches them), if any is
            unreadable (it names up to 20), or if a small image is larger than image_size.
    """
    if SOURCES[name].text:
        cut = tokens_of(tokenizer)
        *texts, files = read_texts(name, root, cut, tokens, test_fraction, split_seed)
        known = {"name": name, "classes": cut.vocabulary, "tokens": tokens, "mean": [], "std": []}
        counts = {"train_images": len(texts[0]), "test_images": len(texts[1])}
        return DataSet(texts[0], texts[1], known | files | counts)
    train: Split | FileSplit
    test: Split | FileSplit
    classes = source_of({"name": name, "root": root}).classes
    about = {"name": name, "classes": classes}
    under = Conditions(**conditions)
    if name == "imagenet":
        train, test = under.apply(*list_imagenet(root), classes, split_seed)
        read_histograms([train, test], frozenset())
        about |= _IMAGENET
    elif name == "image_folder":
        both = list_image_folder(root, test_fraction, split_seed)
        train, test = under.apply(*both, classes, split_seed)
        chosen = np.random.default_rng(split_seed).permutation(len(train.files))[:MOMENT_FILES]
        histograms = read_histograms([train, test], {train.files[i] for i in chosen})
        about |= _moments(sum(histograms, np.zeros((3, 256)))) | {"moment_files": len(chosen)}
    else:
        parts = (
            read_bundled_digits(test_fraction, split_seed)
            if name == "mnist_5k"
            else read_torchvision(name, root)
        )
        train, test = (_padded(part, image_size) for part in parts)
        train, test = under.apply(train, test, classes, split_seed)
        channels = train.images.swapaxes(0, 1)
        about |= _moments(np.array([np.bincount(c.ravel(), minlength=256) for c in channels]))
    about |= resize_and_crop(image_size, files=isinstance(train, FileSplit))
    about |= {"train_images": len(train), "test_images": len(test)}
    return DataSet(train, test, about)


def _moments(histogram: np.ndarray) -> dict[str, list[float]]:
    """Return mean and deviation on a scale of 0 to 1, from (channels, 256) counts of values."""
    values = np.arange(256) / 255
    frequencies = histogram / histogram.sum(1, keepdims=True)
    mean = frequencies @ values
    deviation = np.sqrt((frequencies * (values - mean[:, None]) ** 2).sum(1))
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
