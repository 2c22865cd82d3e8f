"""What the user's own files hold: data sets, given weights, the modules of own networks.

A result's path carries a digest of their contents (``paths``), not of their places: a file that
was replaced under its name makes other results, a folder that was moved makes none anew. A source
is named by a text, such as "data cifar10 /data/cifar", which the plan hands to jobs.

The SHA-256 of a file is taken once. What was found is kept beside the results, one file for each
folder, and holds as long as the folder has the same files of the same sizes and times.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..storage.files import atomic_write, sha256, signed, verified
from .code_inputs import module_digest

AREA = "contents"  # below the results
# Files of small data sets as their readers look for them: of the first pattern that fits any.
_FILES = {
    "mnist": ("MNIST/*/*[!z]", "*-ubyte.gz"),
    "fashion_mnist": ("FashionMNIST/*/*[!z]", "*-ubyte.gz"),
    "cifar10": ("cifar-10-batches-py/*",),
    "cifar100": ("cifar-100-python/*",),
}
# The folders of image files: the first one, and of the others the first that is there.
_FOLDERS = {"image_folder": ("train", "test", "val"), "imagenet": ("val", "train")}
IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# A file that was written less than so many nanoseconds ago could be written again unseen.
_YOUNG = 2_000_000_000

Say = Callable[[str], object]


def data_source(section: Mapping[str, Any]) -> list[str]:
    """The source that a section ``data`` names; none for a data set that a package carries.

    Example:
        >>> data_source({"name": "cifar10", "root": "/data"}), data_source({"name": "mnist_5k"})
        (['data cifar10 /data'], [])
    """
    bundled = section["name"] == "mnist_5k"
    return [] if bundled else [f"data {section['name']} {section['root']}"]


def network_sources(section: Mapping[str, Any]) -> list[str]:
    """The sources that a section ``network`` names: a module of the user's own, a weights' file."""
    module, weights = section["name"].partition(":"), section.get("weights")
    sources = []
    if module[1] and module[0] != "torchvision":
        sources.append(f"module {section['name']}")
    # Published weights have but a name.
    if weights is not None and Path(weights).suffix:
        sources.append(f"weights {weights}")
    return sources


def content_digest(source: str, cache: str | Path, say: Say = lambda _: None) -> str:
    """Ten hexadecimal digits that stand for what a source holds.

    Args:
        source: as ``data_source`` and ``network_sources`` name it.
        cache: folder of what is kept from call to call.
        say: told of work that takes long.

    Raises:
        FileNotFoundError: if there are no such files.
        ValueError: if there is no such module.
    """
    kind, _, name = source.partition(" ")
    if kind == "module":
        return module_digest(name)
    cached = _Cache(Path(cache), say)
    if kind == "weights":
        file = Path(name).expanduser()
        # A folder of one file without a name: what it is called is no content.
        return cached.digest(file, {"": _state(file.stat())})[:10]
    data, _, place = name.partition(" ")
    root = Path(place).expanduser()
    content, files = hashlib.sha256(), 0
    for folder, states in _image_files(data, root) if data in _FOLDERS else _small(data, root):
        content.update(f"{folder.relative_to(root)}\0{cached.digest(folder, states)}\n".encode())
        files += len(states)
    if not files:
        raise FileNotFoundError(f"data.root: expected the files of {data} in {root}, found none")
    return content.hexdigest()[:10]


# Size, and the times of the last change of content and of anything at all. The latter cannot be
# set, so a file that took another's place is seen even if it has the other's size and time.
State = tuple[int, int, int]


def _state(status: os.stat_result) -> State:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _small(data: str, root: Path) -> Iterator[tuple[Path, dict[str, State]]]:
    for pattern in _FILES[data]:
        found = [file for file in root.glob(pattern) if file.is_file()]
        for folder in sorted({file.parent for file in found}):
            own = (file for file in found if file.parent == folder)
            yield folder, {file.name: _state(file.stat()) for file in own}
        if found:
            return


def _image_files(data: str, root: Path) -> Iterator[tuple[Path, dict[str, State]]]:
    needed, *others = _FOLDERS[data]
    for part in [needed, *[part for part in others if (root / part).is_dir()][:1]]:
        if (root / part).is_dir():
            yield from _images_below(root / part)


def _images_below(folder: Path) -> Iterator[tuple[Path, dict[str, State]]]:
    """Every folder that images are read from, with their states; what is hidden is not read."""
    states, folders = {}, []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(name)
            elif name.lower().endswith(IMAGES):
                states[name] = _state(entry.stat())
    yield folder, states
    for name in sorted(folders):
        yield from _images_below(folder / name)


class _Cache:
    """Digests of folders' files, kept from call to call: a file of two lines for each folder.

    The first line says when the folder's digest holds. The second has the SHA-256 of each file; it
    is read only if the first does not hold.
    """

    def __init__(self, area: Path, say: Say) -> None:
        self._area, self._say = area, say
        self._until_said = 5.0  # seconds of reading after which it is said

    def digest(self, folder: Path, states: Mapping[str, State]) -> str:
        """Of the names, sizes and contents of some files in a folder."""
        place = str(folder.absolute())
        listed = sorted((name, *state) for name, state in states.items())
        signature = hashlib.sha256(repr(listed).encode()).hexdigest()
        file = self._area / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:20]}.json"
        known: dict[str, list[Any]] = {}
        try:
            with file.open(encoding="ascii") as lines:
                held = verified(json.loads(lines.readline()))
                if held["signature"] == signature:
                    return str(held["digest"])
                known = verified(json.loads(lines.readline()))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            pass  # none yet, or not whole: all is read
        hashes = self._hashes(folder, states, known)
        named = [[name, states[name][0], hashes[name]] for name in sorted(hashes)]
        digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()
        now = time.time_ns()
        settled = {
            name: [*state, hashes[name]]
            for name, state in states.items()
            if all(abs(now - moment) > _YOUNG for moment in state[1:])
        }
        head = {
            "folder": place,
            "digest": digest,
            "signature": signature if len(settled) == len(states) else None,
        }
        with atomic_write(file) as temporary:
            text = (json.dumps(signed(line)) for line in (head, settled))
            temporary.write_text("".join(f"{line}\n" for line in text), encoding="ascii")
        return digest

    def _hashes(
        self, folder: Path, states: Mapping[str, State], known: Mapping[str, list[Any]]
    ) -> dict[str, str]:
        """SHA-256 of each file, read unless it is known of a file of the same size and times."""
        unread = [name for name, state in states.items() if known.get(name, [])[:3] != [*state]]
        start = time.monotonic()
        with ThreadPoolExecutor() as pool:
            read = dict(zip(unread, pool.map(sha256, [folder / n for n in unread]), strict=True))
        if self._until_said > 0:
            self._until_said -= time.monotonic() - start
            if self._until_said <= 0:
                self._say(f"reading {folder.parent} and what is beside it, once, for its checksums")
        return {name: read[name] if name in read else known[name][3] for name in states}
