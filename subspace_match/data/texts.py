"""Read data sets of text: files of UTF-8, cut into windows of equally many tokens.

A window never crosses the end of a file, so windows are never padded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import text_files, text_folder
from .prepared import TextSplit
from .tokens import Tokens


def read_texts(
    name: str, root: str | None, cut: Tokens, tokens: int, test_fraction: float, split_seed: int
) -> tuple[TextSplit, TextSplit, dict[str, Any]]:
    """Cut a data set of text into windows, and divide these into a training and a test split.

    Args:
        name: a data set of text in ``catalogue.SOURCES``.
        root: folder of its files; not used for Python's standard library.
        cut: makes tokens of a text.
        tokens: length of a window.
        test_fraction: share of the windows in the test split. They are those of the first files in
            an order that ``split_seed`` decides, so at most one file has windows in both splits.
        split_seed: decides the order of the files.

    Returns:
        The training split, the test split, and numbers of files: "files" in all, and "short_files",
        which have no whole window.

    Raises:
        ValueError: if a file is not UTF-8, or if a split would have no window.
    """
    files = text_files(name, root)
    per_file = [cut.windows(_read(file), tokens) for file in files]
    lengths = np.array(list(map(len, per_file)), dtype=np.int64)
    count = int(lengths.sum())
    test_count = round(test_fraction * count)
    if not 0 < test_count < count:
        raise ValueError(
            f"data.root: expected text for windows of {tokens} tokens in both splits, found {count}"
            f" windows in the {len(files)} files of {text_folder(name, root)}; add text, or change"
            f" data.tokens or data.test_fraction ({test_fraction})"
        )
    windows = np.concatenate(per_file)
    place = np.argsort(np.random.default_rng(split_seed).permutation(len(files)))
    order = np.argsort(np.repeat(place, lengths), kind="stable")
    train, test = (
        TextSplit(windows[index], index)
        for index in map(np.sort, (order[test_count:], order[:test_count]))
    )
    return train, test, {"files": len(files), "short_files": int((lengths == 0).sum())}


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{file}: expected a readable file of text in UTF-8, found another one ({error});"
            " convert it, or put a dot before its name to leave it out"
        ) from error
