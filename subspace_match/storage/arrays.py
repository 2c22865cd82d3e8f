"""Activations from a user's file; its suffix selects the format.

Zarr reads a missing chunk as zeros. A lost chunk looks like one that was not written because it
contains only zeros. So every missing chunk is an error.
"""

from __future__ import annotations

import itertools
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import MissingExtraError, needs
from .archives import check_fits
from .lfs_pointers import check_no_lfs_pointer

FORMATS = ".npy, .npz, .pt, .safetensors or a Zarr array"
_SUFFIXES = (".npy", ".npz", ".pt", ".safetensors")
_ZARR_METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}


def open_array(source: str) -> Any:
    """Open the array in a file; where the format allows, slices are read on demand.

    Args:
        source: ``PATH``, or ``PATH:NAME`` for one of several arrays in a file.

    Returns:
        A NumPy array (memory-mapped for .npy), torch tensor or ``WholeZarrArray``.

    Raises:
        ValueError: if the file, its format or the name is unknown, or the array cannot be read, is
            larger than memory, or lacks a chunk.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "layers.npz")
        >>> np.savez(path, conv1=np.ones((4, 2)), fc1=np.zeros((4, 3)))
        >>> open_array(f"{path}:fc1").shape
        (4, 3)
    """
    path, name = _split(source)
    if path.suffix not in _SUFFIXES and not path.is_dir():
        raise ValueError(
            f"{path}: expected {FORMATS}, found a file ending in {path.suffix!r}; numpy.save"
            " writes an array as .npy"
        )
    if path.is_file():
        check_no_lfs_pointer(path)
    with _readable(path):
        size = _unpacked_size(path, name)
    check_fits(path, size)
    with _readable(path):
        array = _read(path)
    folder = path
    if isinstance(array, Mapping):
        if name is None and len(array) == 1:
            (name,) = array
        if name is None or name not in array:
            raise ValueError(
                f"{path}: expected the name of one of its arrays, as in {path}:NAME, found"
                f" {name or 'none'}; its arrays are {', '.join(array) or 'none'}"
            )
        folder = path / name
        with _readable(f"{path}:{name}"):
            array = array[name]
            if isinstance(array, bytes):  # a member of an .npz file without an array header
                raise TypeError("not an array")
    elif name is not None:
        raise ValueError(
            f"{path}: expected no name for a file of one array, found {name!r}; give {path}"
        )
    return WholeZarrArray(array, folder) if path.is_dir() else array


def _split(source: str) -> tuple[Path, str | None]:
    """Return the path, and the name after it if there is one."""
    if Path(source).exists():
        return Path(source), None
    # Both may contain colons.
    for place in range(len(source) - 1, 0, -1):
        if source[place] == ":" and Path(source[:place]).exists():
            return Path(source[:place]), source[place + 1 :]
    raise ValueError(f"{source}: expected a file ({FORMATS}), found no such file")


@contextmanager
def _readable(what: str | Path) -> Iterator[None]:
    """Convert every error to a ValueError that names the file: readers raise errors of any kind."""
    try:
        yield
    except MissingExtraError:
        raise
    except Exception as error:
        raise ValueError(
            f"{what}: expected {FORMATS}, found an unreadable one ({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    """Return the first line of an error's text."""
    return str(error).partition("\n")[0] or type(error).__name__


def _unpacked_size(path: Path, name: str | None) -> int:
    """Return the bytes that a zip file takes in memory: those of the named array, or of all."""
    if path.is_dir() or not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    return sizes.get(f"{name}.npy", sum(sizes.values()))


def _read(path: Path) -> Any:
    """Return the file's only array, or its arrays by name."""
    if path.suffix in (".npy", ".npz"):
        # Arrays of an .npz file are read on access, so an array of objects does not block others.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    if path.suffix == ".pt":
        with needs("torch", str(path)):
            import torch
        return torch.load(path, map_location="cpu", weights_only=True)
    if path.suffix == ".safetensors":
        with needs("torch", str(path)):
            from safetensors.torch import load_file
        return load_file(path)
    with needs("zarr", str(path)):
        import zarr
    opened = zarr.open(path, mode="r")
    return dict(opened.arrays()) if isinstance(opened, zarr.Group) else opened


class WholeZarrArray:
    """A Zarr array in a folder, open for reading; its errors name the damaged file.

    Raises:
        ValueError: if a file is missing; in ``[rows]``, if a file cannot be read.
    """

    def __init__(self, array: Any, folder: Path) -> None:
        self._array, self._folder = array, folder
        self.shape: tuple[int, ...] = array.shape
        self.dtype: Any = array.dtype
        self.chunks: tuple[int, ...] = array.chunks
        # The shape of the part in one file: a shard contains several chunks.
        self._block: tuple[int, ...] = array.shards or array.chunks
        # The indices of the files along each axis.
        self._grid = [range(-(-n // of)) for n, of in zip(self.shape, self._block, strict=True)]
        files = {
            file.relative_to(folder).as_posix()
            for file in folder.rglob("*")
            # Zarr reads an empty file as zeros too.
            if file.name not in _ZARR_METADATA and file.is_file() and file.stat().st_size
        }
        keys = map(array.metadata.encode_chunk_key, itertools.product(*self._grid))
        if first := next((key for key in keys if key not in files), None):
            expected = math.prod(map(len, self._grid))
            raise ValueError(
                f"{folder}: expected all {expected} files of a Zarr array, found"
                f" {max(1, expected - len(files))} missing, such as {first}, which Zarr would read"
                f" as {array.fill_value}; copy the array again, or, if that is its content, write"
                " it with config={'write_empty_chunks': True}"
            )

    def __getitem__(self, rows: slice) -> np.ndarray:
        try:
            return np.asarray(self._array[rows])
        except Exception as error:  # codecs raise errors of any kind
            file = self._folder / self._first_damaged(*rows.indices(self.shape[0])[:2])
            raise ValueError(
                f"{file}: expected a whole chunk of a Zarr array, found a damaged one"
                f" ({_reason(error)}); copy the array again"
            ) from error

    def _first_damaged(self, start: int, stop: int) -> str:
        """Return the first unreadable file with rows from start to stop."""
        height = self._block[0]
        first, *others = self._grid
        rows = range(start // height, min(-(-stop // height), len(first)))
        for place in itertools.product(rows, *others):
            edges = zip(place, self._block, strict=True)
            try:
                self._array[tuple(slice(at * size, (at + 1) * size) for at, size in edges)]
            except Exception:
                return str(self._array.metadata.encode_chunk_key(place))
        return ""
