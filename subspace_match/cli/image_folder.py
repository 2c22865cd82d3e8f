"""The images in a folder of ``subspace-match compare``, and their classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.catalogue import IMAGE_SUFFIXES, SOURCES
from ..networks.wording import first_few


def image_files(folder: Path) -> list[str]:
    """Return all images in a folder and its subfolders, in the order of their names.

    Raises:
        ValueError: if there is none.
    """
    files = []
    # Hidden folders belong to other programs. Links to folders are followed, as in the pipeline,
    # unless they lead back to a folder above.
    for parent, folders, names in os.walk(folder, followlinks=True):
        own = Path(parent)
        folders[:] = [
            name for name in folders if not name.startswith(".") and not is_inside(own, own / name)
        ]
        files += [
            str((own / name).relative_to(folder))
            for name in names
            if name.lower().endswith(IMAGE_SUFFIXES)
            and not name.startswith(".")
            and (own / name).is_file()
        ]
    if not files:
        found = "a folder without any" if folder.is_dir() else "no folder"
        raise ValueError(
            f"--data: expected a folder with image files ({', '.join(IMAGE_SUFFIXES)}), found"
            f" {found}: {folder}"
        )
    return sorted(files)


def classes_of(files: Sequence[str]) -> tuple[np.ndarray | None, str]:
    """Return the number of each image's class, by its folder, and what the classes are.

    Without classes, the words say why.

    Example:
        >>> labels, words = classes_of(["cat/1.png", "cat/more/2.png", "dog/1.png"])
        >>> labels.tolist(), words
        ([0, 0, 1], '2 classes, the folders cat, dog')
        >>> classes_of(["test/cat/1.png", "test/dog/1.png", "test/dog/2.png"])[0].tolist()
        [0, 1, 1]
        >>> classes_of(["cat/1.png", "dog/1.png", "2.png"])
        (None, 'none: 1 of 3 images in no folder of a class (2.png)')
    """
    folders = [Path(file).parts[:-1] for file in files]
    splits = SOURCES["image_folder"].folders
    if all(parts and parts[0] in splits for parts in folders):
        folders = [parts[1:] for parts in folders]
    outside = [file for file, parts in zip(files, folders, strict=True) if not parts]
    if outside:
        if len(outside) == len(files):
            return None, "none: no image is in a folder of a class"
        where = f"{len(outside)} of {len(files)} images in no folder of a class"
        return None, f"none: {where} ({first_few(outside)})"
    names, classes = np.unique([parts[0] for parts in folders], return_inverse=True)
    if len(names) == 1:
        return None, f"none: all images are in one folder, {names[0]}"
    if len(names) == len(files):
        return None, "none: each image is in a folder of its own"
    words = f"{len(names)} classes, the folders {first_few(names.tolist())}"
    return np.asarray(classes, dtype=np.int64), words


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder or inside it."""
    return path.resolve().is_relative_to(folder.resolve())
