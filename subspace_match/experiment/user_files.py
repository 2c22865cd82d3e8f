"""Digests of the user's own files: data sets, tokenizers, weights, modules of custom networks.

The path of a result contains a digest of these contents (``paths``), not of their location. A file
replaced under the same name therefore leads to new results, and a moved folder does not. A source
is named by a text such as "data cifar10 /data/cifar", which the plan passes to jobs.

Each file is hashed once. The hashes are kept beside the results, one file per folder, and are valid
while the folder has the same files with the same sizes and times.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..data.catalogue import (
    IMAGE_SUFFIXES,
    SOURCES,
    image_folders,
    small_files,
    text_files,
    text_folder,
)
from ..data.tokens import BYTES
from ..networks.source_names import TIMM, TRANSFORMERS, is_user_code, model_files
from ..storage.files import atomic_write, sha256, signed, verified
from .code_inputs import module_digest

AREA = "contents"  # folder below the results
# A file may change again within this many nanoseconds without a new time stamp.
_YOUNG = 2_000_000_000

Say = Callable[[str], object]
# Size, modification time and change time. A program cannot set the change time, so it reveals a
# file that replaced another one of the same size and modification time.
State = tuple[int, int, int]


class NoFilesError(FileNotFoundError):
    """The folder of a data set does not exist, or has none of its files."""


def data_source(section: Mapping[str, Any]) -> list[str]:
    """Return the sources named by a ``data`` section.

    They are its files, unless a package contains them, and the file of a tokenizer.
    """
    name, tokenizer = section["name"], section["tokenizer"]
    sources = [] if SOURCES[name].bundled else [f"data {name} {section['root']}"]
    return sources + ([] if tokenizer == BYTES else [f"tokenizer {tokenizer}"])


def network_sources(section: Mapping[str, Any]) -> list[str]:
    """Return the sources named by a ``network`` section.

    They are a custom module, a file of weights, and files of Hugging Face.
    """
    name, weights = section["name"], section.get("weights")
    sources = [f"module {name}"] if is_user_code(name) else []
    # A file has a suffix; the names of published weights have none.
    if weights is not None and Path(weights).suffix:
        return [*sources, f"weights {weights}"]
    if name.startswith(TRANSFORMERS) and "/" in name:
        sources.append(f"model {name} {weights or ''}")
    if name.startswith(TIMM) and weights is not None:
        sources.append(f"model {name} {weights}")
    return sources


def content_digest(source: str, cache: str | Path, say: Say = lambda _: None) -> str:
    """Return ten hexadecimal digits that identify the contents of a source.

    Args:
        source: as named by ``data_source`` and ``network_sources``.
        cache: folder of the hashes kept between calls.
        say: called with a message when reading takes long.

    Raises:
        NoFilesError: if a data set has no files at all.
        OSError: if a file cannot be read, such as a link to nothing.
        ValueError: if the module does not exist.
    """
    kind, _, name = source.partition(" ")
    if kind == "module":
        return module_digest(name)
    cached = _Cache(Path(cache), say)
    if kind in ("weights", "tokenizer"):
        return _file_digest(Path(name).expanduser(), cached)[:10]
    if kind == "model":
        network, _, weights = name.rpartition(" ")
        digests = [_file_digest(file, cached) for file in model_files(network, weights or None)]
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:10]
    data, _, location = name.partition(" ")
    text = SOURCES[data].text
    root = text_folder(data, location) if text else Path(location).expanduser()
    content, files = hashlib.sha256(), 0
    # One folder at a time, because a large data set has millions of files.
    for folder, states in _folders(data, root):
        content.update(f"{folder.relative_to(root)}\0{cached.digest(folder, states)}\n".encode())
        files += len(states)
    if not files:
        raise NoFilesError(f"data.root: expected the files of {data} in {root}, found none")
    return content.hexdigest()[:10]


def _file_digest(file: Path, cached: _Cache) -> str:
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    # The file gets an empty name, because its name is not part of its content.
    return cached.digest(file, {"": _state(file.stat())})


def _folders(data: str, root: Path) -> Iterator[tuple[Path, dict[str, State]]]:
    """Yield every folder of a data set, with the states of its files."""
    if SOURCES[data].files:
        for part in image_folders(data, root):
            if (root / part).is_dir():
                yield from _images_below(root / part)
    else:
        text = SOURCES[data].text
        files = text_files(data, str(root)) if text else small_files(data, root)
        for folder in sorted({file.parent for file in files}):
            yield folder, {f.name: _state(f.stat()) for f in files if f.parent == folder}


def _state(status: os.stat_result) -> State:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _images_below(folder: Path) -> Iterator[tuple[Path, dict[str, State]]]:
    """Yield a folder and all below it, with the states of their images; skip hidden ones."""
    states, folders = {}, []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == ".":
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                states[entry.name] = _state(entry.stat())
    yield folder, states
    for name in sorted(folders):
        yield from _images_below(folder / name)


class _Cache:
    """Digests of folders, kept between calls in one file of two lines per folder.

    The first line contains the folder's digest and the file states for which it is valid. The
    second contains the SHA-256 of each file; it is read only if the first is no longer valid.
    """

    def __init__(self, area: Path, say: Say) -> None:
        self._area, self._say = area, say
        self._quiet_seconds = 5.0  # seconds of reading before a message

    def digest(self, folder: Path, states: Mapping[str, State]) -> str:
        """Return the digest of the names, sizes and contents of some files in a folder."""
        location = str(folder.absolute())
        listed = sorted((name, *state) for name, state in states.items())
        signature = hashlib.sha256(repr(listed).encode()).hexdigest()
        file = self._area / f"{hashlib.sha256(os.fsencode(location)).hexdigest()[:20]}.json"
        known: dict[str, list[Any]] = {}
        try:
            with file.open(encoding="ascii") as lines:
                cached = verified(json.loads(lines.readline()))
                if cached["signature"] == signature:
                    return str(cached["digest"])
                known = verified(json.loads(lines.readline()))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            pass  # missing or incomplete: hash all files
        hashes = self._hashes(folder, states, known)
        named = [[name, states[name][0], hashes[name]] for name in sorted(hashes)]
        digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()
        now = time.time_ns()
        settled = {
            name: [*state, hashes[name]]
            for name, state in states.items()
            if all(abs(now - moment) > _YOUNG for moment in state[1:])
        }
        valid_for = signature if len(settled) == len(states) else None
        head = {"folder": location, "digest": digest, "signature": valid_for}
        with atomic_write(file) as temporary:
            text = (json.dumps(signed(line)) for line in (head, settled))
            temporary.write_text("".join(f"{line}\n" for line in text), encoding="ascii")
        return digest

    def _hashes(
        self, folder: Path, states: Mapping[str, State], known: Mapping[str, list[Any]]
    ) -> dict[str, str]:
        """Return the SHA-256 of each file; read a file only if its size or a time changed."""
        unread = [name for name, state in states.items() if known.get(name, [])[:3] != [*state]]
        start = time.monotonic()
        with ThreadPoolExecutor() as pool:
            read = dict(zip(unread, pool.map(sha256, [folder / n for n in unread]), strict=True))
        if self._quiet_seconds > 0:
            self._quiet_seconds -= time.monotonic() - start
            if self._quiet_seconds <= 0:
                self._say(f"hashing the files in {folder.parent} and beside it, once")
        return {name: read[name] if name in read else known[name][3] for name in states}
