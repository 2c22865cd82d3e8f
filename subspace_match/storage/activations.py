"""Activation stores: a Zarr v3 group per network, an array (samples, neurons) per layer and draw.

Each array is split along its samples into chunks, and a file (a shard) contains several chunks. The
group's attributes describe the extraction. A manifest lists each file's size and SHA-256. Opening a
layer detects missing or truncated files and damaged metadata. Reading it detects damaged chunks, by
the checksum (CRC-32C) of each chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.sync import sync

from .files import MANIFEST, atomic_write, check_content, damaged, read_manifest, write_manifest

CHUNK_BYTES = 4 * 2**20
SHARD_CHUNKS = 16
_METADATA = "zarr.json"


class StoreWriter:
    """A store that is being written; use ``new_store``."""

    def __init__(self, path: Path, about: Mapping[str, Any], layers: list[dict[str, Any]]) -> None:
        self._path, self._closed = path, False
        self._group = zarr.create_group(path, zarr_format=3, attributes={**about, "layers": layers})
        self._arrays = {
            (layer["name"], draw): self._new_activations(layer, draw)
            for layer in layers
            for draw in range(layer["draws"])
        }
        self._pending: dict[tuple[str, int], list[np.ndarray]] = {key: [] for key in self._arrays}
        self._written = dict.fromkeys(self._arrays, 0)

    def _new_activations(self, layer: Mapping[str, Any], draw: int) -> zarr.Array[Any]:
        samples, neurons = layer["samples"], layer["neurons"]
        rows = max(1, min(samples, CHUNK_BYTES // (4 * neurons)))
        # A shard is a whole number of chunks, and never more chunks than the layer has.
        shard = rows * min(SHARD_CHUNKS, -(-samples // rows))
        name, shape = f"activations/{layer['name']}/draw_{draw}", (samples, neurons)
        return self._new(name, "float32", shape, chunks=(rows, neurons), shards=(shard, neurons))

    def _new(self, name: str, dtype: str, shape: tuple[int, ...], **parts: Any) -> zarr.Array[Any]:
        return self._group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            compressors=[ZstdCodec(level=1), Crc32cCodec()],
            # By default a chunk of zeros gets no file, so a lost file would read as zeros.
            config={"write_empty_chunks": True},
            **parts,
        )

    def samples(self, name: str, draw: int, index: np.ndarray) -> None:
        """Write the sample indices of a layer's rows."""
        array = self._new(f"samples/{name}/draw_{draw}", "int64", index.shape, chunks=index.shape)
        array[:] = index

    def labels(self, labels: np.ndarray) -> None:
        """Write the class of each image."""
        self._new("labels", "int64", labels.shape, chunks=labels.shape)[:] = labels

    def predictions(self, predictions: np.ndarray) -> None:
        """Write the class that the network chooses for each image."""
        new = self._new("predictions", "int64", predictions.shape, chunks=predictions.shape)
        new[:] = predictions

    def append(self, name: str, draw: int, rows: np.ndarray) -> None:
        """Add rows to a layer; write each shard once, when it is complete."""
        key = name, draw
        self._pending[key].append(rows)
        shard = (self._arrays[key].shards or (1,))[0]
        if sum(map(len, self._pending[key])) >= shard:
            self._flush(key, shard)

    def add_attributes(self, **attributes: Any) -> None:
        """Add attributes that are known only after the extraction."""
        self._group.update_attributes(attributes)

    def close(self) -> None:
        """Write the remaining rows and the manifest, unless this is done.

        Raises:
            RuntimeError: if a layer did not get the declared number of rows.
        """
        if self._closed:
            return
        for (name, draw), array in self._arrays.items():
            self._flush((name, draw), 1)
            found = self._written[name, draw]
            if found != array.shape[0]:
                raise RuntimeError(
                    f"{name}, draw {draw}: expected {array.shape[0]} samples, found {found}"
                )
        write_manifest(self._path)
        self._closed = True

    def _flush(self, key: tuple[str, int], multiple: int) -> None:
        if not self._pending[key]:
            return
        rows = np.concatenate(self._pending[key])
        whole = len(rows) // multiple * multiple
        start = self._written[key]
        self._arrays[key][start : start + whole] = rows[:whole]
        self._written[key] += whole
        self._pending[key] = [rows[whole:]]


@contextmanager
def new_store(
    path: str | Path, about: Mapping[str, Any], layers: list[dict[str, Any]]
) -> Iterator[StoreWriter]:
    """Write a store; it appears under its path when it is complete.

    Args:
        path: folder of the store.
        about: attributes, as JSON.
        layers: name, draws, samples per draw and neurons of each layer, and any other keys.
    """
    with atomic_write(path) as temporary:
        try:
            writer = StoreWriter(temporary, about, layers)
            yield writer
            writer.close()
        except BaseException:
            sync(_other_writes())
            raise


async def _other_writes() -> None:
    """Wait for what Zarr still writes after an error, or it would write to a removed folder.

    Zarr writes several files at once; one that fails does not stop the others.
    """
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


class ActivationStore:
    """A complete store, open for reading.

    Attributes:
        path: its folder.
        about: attributes of the group.
        layers: each layer's entry by its name, in order of computation.

    Raises:
        ValueError: if ``path`` is not a store, or its manifest or metadata is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._files = read_manifest(self.path)
            self._check(_METADATA)
        except FileNotFoundError as error:
            raise damaged(self.path, f"no {MANIFEST}") from error
        self._group = zarr.open_group(self.path, mode="r", zarr_format=3)
        self.about: dict[str, Any] = dict(self._group.attrs)
        self.layers: dict[str, dict[str, Any]] = {
            entry["name"]: entry for entry in self.about.pop("layers")
        }

    def activations(self, name: str, draw: int = 0) -> CheckedArray:
        """Return a layer's activations (samples, neurons) float32; slices are read on demand.

        Raises:
            ValueError: if there is no such layer, or one of its files is missing or truncated.
        """
        if name not in self.layers:
            raise ValueError(f"{self.path}: expected one of {list(self.layers)}, found {name!r}")
        return self._open(f"activations/{name}/draw_{draw}")

    def samples(self, name: str, draw: int = 0) -> np.ndarray:
        """Return the flat indices of a layer's samples, (samples,) int64."""
        return self._open(f"samples/{name}/draw_{draw}")[:]

    def images_of(self, name: str, samples: np.ndarray) -> np.ndarray:
        """Return the image of each sample of a layer, (samples,) int64."""
        layer = self.layers[name]
        frames = layer.get("frames", 1)  # older stores have maps only
        images: np.ndarray = samples // (frames * layer["height"] * layer["width"])
        return images

    def labels(self) -> np.ndarray | None:
        """Return the class of each image, (images,) int64; None if images have no classes."""
        return self._if_known("labels")

    def predictions(self) -> np.ndarray | None:
        """Return the class chosen for each image, (images,) int64; None without such a choice."""
        return self._if_known("predictions")

    def _if_known(self, name: str) -> np.ndarray | None:
        return self._open(name)[:] if name in self._group else None

    def _open(self, name: str) -> CheckedArray:
        for file in self._files:
            if file.startswith(f"{name}/"):
                self._check(file)
        return CheckedArray(self._group[name], self.path)

    def _check(self, file: str) -> None:
        """Raise a ValueError unless a file has its size and, for metadata, its SHA-256."""
        path, listed = self.path / file, self._files[file]
        try:
            if path.name == _METADATA or not path.exists():
                check_content(path, listed["sha256"])
            elif (size := path.stat().st_size) != listed["bytes"]:
                raise ValueError(f"{path} has {size} bytes instead of {listed['bytes']}")
        except ValueError as error:
            raise damaged(self.path, error) from error


class CheckedArray:
    """A Zarr array; its reading errors name the store and say what to do."""

    def __init__(self, array: Any, store: Path) -> None:
        self._array = array
        self._store = store
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self.chunks: tuple[int, ...] = array.chunks

    def __getitem__(self, rows: slice) -> np.ndarray:
        try:
            return np.asarray(self._array[rows])
        except (ValueError, RuntimeError, OSError) as error:
            raise damaged(self._store, f"{self._array.path}: {error}") from error
