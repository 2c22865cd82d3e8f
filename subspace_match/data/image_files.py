"""Data sets of image files: list them by class, and decode one image."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .catalogue import (
    IMAGE_SUFFIXES,
    SOURCES,
    files_are_missing,
    folder_of,
    image_folders,
    subfolders,
)
from .prepared import FileSplit, stratified_split

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)


def list_imagenet(root: str | None) -> tuple[FileSplit, FileSplit]:
    """Return ImageNet's splits; the training split is empty without the folder ``train``."""
    folder, known = folder_of("imagenet", root), SOURCES["imagenet"].classes
    classes = subfolders(folder / "val")
    if len(classes) != known:
        raise files_are_missing("imagenet", root, f"{len(classes)} of {known} classes in val")
    test = _list("imagenet", folder, "val", classes)
    if "train" in image_folders("imagenet", folder):
        return _list("imagenet", folder, "train", classes), test
    return FileSplit((), np.empty(0, np.int64), np.empty(0, np.int64), folder), test


def list_image_folder(
    root: str | None, test_fraction: float, split_seed: int
) -> tuple[FileSplit, FileSplit]:
    """Return both splits; without a test folder, divide the training images."""
    folder = folder_of("image_folder", root)
    required, *test_folders = image_folders("image_folder", folder)
    classes = subfolders(folder / required)
    train = _list("image_folder", folder, required, classes)
    if test_folders:
        return train, _list("image_folder", folder, test_folders[0], classes)
    try:
        parts = stratified_split(train.labels, test_fraction, split_seed)
    except ValueError as error:
        raise ValueError(
            "data.test_fraction: expected a fraction that leaves images of each class in both"
            f" splits, found {test_fraction} for {len(train.files)} images of"
            f" {len(classes)} classes in {folder / required} ({error}); change it, or put training"
            f" images into {folder / 'train'} and test images into {folder / 'test'}"
        ) from error
    log.info(
        "%s has no test split: of its %d images %d are for training and %d for the test, at random"
        " within each class (data.test_fraction %g, data.split_seed %d)",
        *(folder / required, len(train.files), *map(len, parts), test_fraction, split_seed),
    )
    kept, test = (
        FileSplit(tuple(train.files[i] for i in index), train.labels[index], index, folder)
        for index in parts
    )
    return kept, test


def _list(name: str, root: Path, part: str, classes: Sequence[str]) -> FileSplit:
    """List the images of a folder by class; no class may lack training images."""
    from torchvision.datasets.folder import make_dataset

    folder = root / part
    if unknown := sorted(set(subfolders(folder)) - set(classes)):
        found = f"other classes in {part}: {', '.join(unknown[:5])}"
        raise files_are_missing(name, str(root), found)

    def is_image(path: str) -> bool:
        hidden = any(name[0] == "." for name in Path(path).relative_to(folder).parts)
        return path.lower().endswith(IMAGE_SUFFIXES) and not hidden

    numbers = {label: number for number, label in enumerate(classes)}
    images = make_dataset(folder, numbers, is_valid_file=is_image, allow_empty=True)
    labels = np.array([number for _, number in images], dtype=np.int64)
    present = set(labels.tolist())
    empty = [label for label, number in numbers.items() if number not in present]
    if not images or (part in ("train", "") and empty):
        found = f"no images of {', '.join(empty[:5])} in {folder}"
        raise files_are_missing(name, str(root), found)
    files = tuple(path.removeprefix(f"{root}{os.sep}") for path, _ in images)
    return FileSplit(files, labels, np.arange(len(files)), root)


def read_image(path: str | Path) -> Image:
    """Decode an image file as upright 8-bit RGB, without alpha channel.

    Cameras store their orientation (EXIF). It is applied here, as viewers do; torchvision's reader
    ignores it.

    Raises:
        ValueError: if the file cannot be read or has more than 8 bits per channel.
    """
    import PIL.Image
    import PIL.ImageOps

    # Pillow raises any of these, depending on the format, for damaged or far too large files.
    faults = OSError, ValueError, SyntaxError, EOFError, zlib.error, struct.error
    try:
        with PIL.Image.open(path) as image:
            # Pillow would clip these values to 8 bits without a warning.
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"more than 8 bits per channel (mode {image.mode})")
            PIL.ImageOps.exif_transpose(image, in_place=True)
            return image.convert("RGB")
    except (*faults, PIL.Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path}: expected a readable image with 8 bits per channel, found an unreadable one"
            f" ({error}); restore or remove it, then prepare the data again"
        ) from error


def read_histograms(parts: Sequence[FileSplit], wanted: Collection[str]) -> list[np.ndarray]:
    """Read all images to check them; return the wanted ones' (channels, 256) value frequencies.

    Raises:
        ValueError: if any image is unreadable; the message names up to 20.
    """
    paths = [(file, part.root / file) for part in parts for file in part.files]

    def read(item: tuple[str, Path]) -> np.ndarray | ValueError | None:
        try:
            image = read_image(item[1])
        except ValueError as error:
            return error
        if item[0] not in wanted:
            return None
        counts = np.reshape(image.histogram(), (3, 256))
        return np.asarray(counts / counts[0].sum())

    found: list[np.ndarray | ValueError | None] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), 1000):  # a queue of all files would take much memory
            found += pool.map(read, paths[start : start + 1000])
    faults = {
        str(path): result
        for (_, path), result in zip(paths, found, strict=True)
        if isinstance(result, ValueError)
    }
    if len(faults) == 1:
        raise next(iter(faults.values()))
    if faults:
        more = f" and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise ValueError(
            f"{parts[0].root}: expected readable images with 8 bits per channel, found"
            f" {len(faults)} unreadable ones: {', '.join(list(faults)[:20])}{more}; restore or"
            " remove them, then prepare the data again"
        )
    return [result for result in found if isinstance(result, np.ndarray)]
