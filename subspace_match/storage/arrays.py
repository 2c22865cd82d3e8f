"""A layer's activations from a file, by its ending: what the command line reads."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import MissingExtraError, needs
from .archives import check_fits
from .lfs_pointers import is_lfs_pointer, of_lfs_pointer

FORMATS = ".npy, .npz, .pt, .safetensors or a Zarr array"


def open_array(source: str) -> Any:
    """The array of a file, read as it is sliced where its format allows.

    Args:
        source: ``PATH``, or ``PATH:NAME`` for one of several arrays in a file.

    Returns:
        A NumPy array (memory-mapped for .npy), torch tensor or Zarr array.

    Raises:
        ValueError: if there is no such file, format or name, naming what there is; or if the array
            cannot be read, is larger than memory, or a chunk of it is missing.

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
        raise of_lfs_pointer(path)
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
        if isinstance(array, bytes):  # as NumPy gives what has no header of an array
            raise TypeError("no array")
    return _checked(array, path / name)


@contextmanager
def _readable(what: str | Path) -> Iterator[None]:
    """Name what cannot be read: readers of formats raise errors of every kind."""
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
    """Bytes that reading a zip file brings to memory: one of its arrays, or all."""
    if path.is_dir() or not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    return sizes.get(f"{name}.npy", sum(sizes.values()))


def _checked(array: Any, path: Path) -> Any:
    """The array, one of Zarr's with all of its files."""
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
    raise ValueError(f"{source}: expected a file ({FORMATS}), found none of that name")


def _npy(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: Path) -> Any:
    # Each array is read when it is asked for: one of objects does not block the others.
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
