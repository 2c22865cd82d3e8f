"""Open activations from a user's file; its suffix selects the format."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import MissingExtraError, needs
from .archives import check_fits
from .lfs_pointers import is_lfs_pointer, lfs_pointer_error

FORMATS = ".npy, .npz, .pt, .safetensors or a Zarr array"


def open_array(source: str) -> Any:
    """Open the array in a file; where the format allows, slices are read on demand.

    Args:
        source: ``PATH``, or ``PATH:NAME`` for one of several arrays in a file.

    Returns:
        A NumPy array (memory-mapped for .npy), torch tensor or Zarr array.

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
    if path.suffix not in _READERS and not path.is_dir():
        raise ValueError(f"{path}: expected {FORMATS}, found a file ending in {path.suffix!r}")
    if path.is_file() and is_lfs_pointer(path):
        raise lfs_pointer_error(path)
    with _readable(path):
        size = _unpacked(path, name)
    check_fits(path, size)
    with _readable(path):
        arrays = _READERS.get(path.suffix, _zarr)(path)
    if not isinstance(arrays, Mapping):
        return _checked(arrays, path)
    if name is None and len(arrays) == 1:
        (name,) = arrays
    if name is None or name not in arrays:
        raise ValueError(
            f"{path}: expected the name of one of its arrays, as in {path}:NAME, found"
            f" {name or 'none'}; its arrays are {', '.join(arrays) or 'none'}"
        )
    with _readable(f"{path}:{name}"):
        array = arrays[name]
        if isinstance(array, bytes):  # NumPy returns a member without an array header as bytes
            raise TypeError("not an array")
    return _checked(array, path / name)


@contextmanager
def _readable(what: str | Path) -> Iterator[None]:
    """Convert every error to a ValueError that names the file: readers raise errors of any kind."""
    try:
        yield
    except MissingExtraError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{what}: expected {FORMATS}, found what cannot be read ({reason})"
        ) from error


def _unpacked(path: Path, name: str | None) -> int:
    """Return the bytes that a zip file takes in memory: those of the named array, or of all."""
    if path.is_dir() or not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    return sizes.get(f"{name}.npy", sum(sizes.values()))


def _checked(array: Any, path: Path) -> Any:
    """Return the array; check that a Zarr array has all its files."""
    if not path.is_dir():
        return array
    from .zarr_arrays import WholeArray

    return WholeArray(array, path)


def _split(source: str) -> tuple[Path, str | None]:
    if Path(source).exists():
        return Path(source), None
    path, _, name = source.rpartition(":")
    if path and Path(path).exists():
        return Path(path), name
    raise ValueError(f"{source}: expected a file ({FORMATS}), found no such file")


def _npy(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: Path) -> Any:
    # Arrays are read on access, so an array of objects does not block the others.
    return np.load(path, allow_pickle=False)


def _torch(path: Path) -> Any:
    with needs("torch", str(path)):
        import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors(path: Path) -> Any:
    with needs("torch", str(path)):
        from safetensors.torch import load_file

    return load_file(path)


def _zarr(path: Path) -> Any:
    with needs("zarr", str(path)):
        import zarr

    opened = zarr.open(path, mode="r")
    return dict(opened.arrays()) if isinstance(opened, zarr.Group) else opened


_READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".pt": _torch,
    ".safetensors": _safetensors,
}
