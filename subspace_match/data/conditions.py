"""Conditions of an experiment: fewer images, random labels, a shortcut.

They are those by which the ReSi benchmark (Klabunde et al. 2024, arXiv 2408.00531) makes networks
differ in a known way. A fixed seed decides each of them, so every network of a condition sees the
same images and labels, and a larger share contains a smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from .prepared import FileSplit, Split

Images = TypeVar("Images", Split, FileSplit)
# Each draw has a generator of its own, so that one condition does not change another.
_TRAIN, _TEST, _LABELS, _SHORTCUT, _TEST_SHORTCUT = range(5)


@dataclass(frozen=True)
class Conditions:
    """Keys of the section ``data`` that change the images; the defaults change nothing.

    Attributes:
        train_images, test_images: number of images of each split, drawn at random; None for all.
        random_labels: share of the training images that get a random label.
        shortcut: share of the training images in which a square shows the label; None for images
            without squares. In test images the squares show random classes.
    """

    train_images: int | None = None
    test_images: int | None = None
    random_labels: float = 0.0
    shortcut: float | None = None

    def apply(self, train: Images, test: Images, classes: int, seed: int) -> tuple[Images, Images]:
        """Return both splits under these conditions.

        Raises:
            ValueError: if there are fewer images than asked for, or a shortcut has no room.
        """
        train = subset(train, "data.train_images", self.train_images, [seed, _TRAIN])
        test = subset(test, "data.test_images", self.test_images, [seed, _TEST])
        if self.random_labels:
            train = with_random_labels(train, self.random_labels, classes, [seed, _LABELS])
        if self.shortcut is not None:
            train = with_shortcut(train, self.shortcut, classes, [seed, _SHORTCUT])
            test = with_shortcut(test, 0.0, classes, [seed, _TEST_SHORTCUT])
        return train, test


def subset(split: Images, name: str, count: int | None, seed: list[int]) -> Images:
    """Return ``count`` random images of a split, in their order; all for None.

    Raises:
        ValueError: if there are fewer, with the ``name`` of the key.
    """
    if count is None:
        return split
    if count > len(split):
        raise ValueError(
            f"{name}: expected at most the {len(split)} images of the split, found {count}"
        )
    kept = np.sort(np.random.default_rng(seed).permutation(len(split))[:count])
    own: dict[str, Any] = {"labels": split.labels[kept], "index": split.index[kept]}
    if isinstance(split, FileSplit):
        own["files"] = tuple(split.files[position] for position in kept)
    else:
        own["images"] = split.images[kept]
    return replace(split, **own)


def with_random_labels(split: Images, share: float, classes: int, seed: list[int]) -> Images:
    """Replace the labels of a share of the images, each by any class with equal probability.

    Example:
        >>> split = Split(np.zeros((4, 1, 2, 2), np.uint8), np.full(4, 7), np.arange(4))
        >>> (with_random_labels(split, 0.5, 1000, [0]).labels == 7).sum()
        np.int64(2)
    """
    return replace(split, labels=_shown_classes(split.labels, 1 - share, classes, seed))


def with_shortcut(split: Images, share: float, classes: int, seed: list[int]) -> Images:
    """Put a checkered square into each image, at a place that stands for a class.

    In a share of the images that is the image's own class, in the others any class with equal
    probability. The images are divided into a square of cells, one per class, row by row; the
    square has half the width of a cell and lies in its middle.

    Raises:
        ValueError: if there are more classes than pixels, or the images stay in their files.
    """
    if isinstance(split, FileSplit):
        raise ValueError("data.shortcut: expected null for images that stay in their files")
    shown = _shown_classes(split.labels, share, classes, seed)
    cells = int(np.ceil(np.sqrt(classes)))
    cell = min(split.images.shape[2:]) // cells
    if not cell:
        raise ValueError(
            f"data.shortcut: expected at least {cells} x {cells} pixels for the places of {classes}"
            f" classes, found {' x '.join(map(str, split.images.shape[2:]))}; use a larger"
            " data.image_size"
        )
    side = max(1, cell // 2)
    top, left = (place * cell + (cell - side) // 2 for place in np.divmod(shown, cells))
    inside = np.arange(side)
    rows, columns = (top[:, None] + inside)[:, :, None], (left[:, None] + inside)[:, None, :]
    images = split.images.copy()
    checkered = np.where(np.add.outer(inside, inside) % 2, 0, 255).astype(np.uint8)
    each = np.arange(len(images))[:, None, None]
    images[each, :, rows, columns] = checkered[:, :, None]
    return replace(split, images=images)


def _shown_classes(labels: np.ndarray, share: float, classes: int, seed: list[int]) -> np.ndarray:
    """Keep the labels of a share of the images; return random classes for the others."""
    rng = np.random.default_rng(seed)
    order, drawn = rng.permutation(len(labels)), rng.integers(classes, size=len(labels))
    kept = order[: round(share * len(labels))]
    drawn[kept] = labels[kept]
    return np.asarray(drawn)
