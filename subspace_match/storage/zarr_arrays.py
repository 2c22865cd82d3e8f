"""A user's Zarr array, checked for missing files.

Zarr reads a missing chunk as zeros. A chunk that was lost looks like one that was not written
because it contains only zeros. So every missing chunk is an error.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np

_METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}


class WholeArray:
    """A Zarr array in a folder; its errors name the damaged file."""

    def __init__(self, array: Any, folder: Path) -> None:
        """Check that the array has all its files.

        Args:
            array: open for reading.
            folder: the array's own folder.

        Raises:
            ValueError: if a file is missing.
        """
        self._array, self._folder = array, folder
        self.shape: tuple[int, ...] = array.shape
        self.dtype: Any = array.dtype
        self.chunks: tuple[int, ...] = array.chunks
        # The shape of the part in one file: a shard contains several chunks.
        self._block: tuple[int, ...] = array.shards or array.chunks
        self._refuse_missing()

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return rows of the array.

        Raises:
            ValueError: if a file cannot be read.
        """
        try:
            return np.asarray(self._array[rows])
        except Exception as error:  # codecs raise errors of any kind
            file = self._folder / self._first_broken(*rows.indices(self.shape[0])[:2])
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(
                f"{file}: expected a whole chunk of a Zarr array, found a damaged one ({reason});"
                " copy the array again"
            ) from error

    def _grid(self) -> list[range]:
        """Return the indices of the files along each axis."""
        return [range(-(-n // of)) for n, of in zip(self.shape, self._block, strict=True)]

    def _refuse_missing(self) -> None:
        files = {
            file.relative_to(self._folder).as_posix()
            for file in self._folder.rglob("*")
            # An empty file is read as zeros too.
            if file.name not in _METADATA and file.is_file() and file.stat().st_size
        }
        keys = map(self._array.metadata.encode_chunk_key, itertools.product(*self._grid()))
        if (first := next((key for key in keys if key not in files), None)) is None:
            return
        expected = math.prod(map(len, self._grid()))
        missing = max(1, expected - len(files))
        raise ValueError(
            f"{self._folder}: expected all {expected} files of a Zarr array, found that {missing}"
            f" {'is' if missing == 1 else 'are'} missing, {first} for one, which Zarr would read as"
            f" {self._array.fill_value}; copy the array again, or, if that is its content, write it"
            " with config={'write_empty_chunks': True}"
        )

    def _first_broken(self, start: int, stop: int) -> str:
        """Return the first unreadable file with rows from start to stop."""
        height = self._block[0]
        first, *others = self._grid()
        rows = range(start // height, min(-(-stop // height), len(first)))
        for place in itertools.product(rows, *others):
            edges = zip(place, self._block, strict=True)
            try:
                self._array[tuple(slice(at * size, (at + 1) * size) for at, size in edges)]
            except Exception:
                return str(self._array.metadata.encode_chunk_key(place))
        return ""
