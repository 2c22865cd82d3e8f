"""A layer's activations from a file, by its ending: what the command line reads."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

FORMATS = ".npy, .npz, .pt, .safetensors or a Zarr array"


def open_array(source: str) -> Any:
    """The array of a file, read as it is sliced where its format allows.

    Args:
        source: ``PATH``, or ``PATH:NAME`` for one of several arrays in a file.

    Returns:
        A NumPy array (memory-mapped for .npy), torch tensor or Zarr array.

    Raises:
        ValueError: if there is no such file, format or name, naming what there is.

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
    try:
        arrays = _READERS.get(path.suffix, _zarr)(path)
    except (OSError, RuntimeError, KeyError, EOFError, ValueError, UnpicklingError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path}: expected {FORMATS}, found what cannot be read ({reason})"
        ) from error
    if not isinstance(arrays, dict):
        return arrays
    if name is None and len(arrays) == 1:
        (name,) = arrays
    if name not in arrays:
        raise ValueError(
            f"{path}: expected the name of one of its arrays, as in {path}:NAME, found"
            f" {name or 'none'}; its arrays are {', '.join(arrays) or 'none'}"
        )
    return arrays[name]


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
    return dict(np.load(path, allow_pickle=False))


def _torch(path: Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _zarr(path: Path) -> Any:
    import zarr

    opened = zarr.open(path, mode="r")
    return dict(opened.arrays()) if isinstance(opened, zarr.Group) else opened


_READERS = {".npy": _npy, ".npz": _npz, ".pt": _torch, ".safetensors": _safetensors}
