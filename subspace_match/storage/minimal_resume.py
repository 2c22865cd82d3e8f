"""The file from which a killed job of minimal matches goes on."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from ..matching.minimal.partial import PartialMatches
from .files import read_arrays, write_arrays

INTERVAL = 60.0  # seconds between two writes: what a kill can lose

log = logging.getLogger("subspace_match")


def resume_file_of(minimal: Path) -> Path:
    """Return the file from which the job that makes a file of minimal matches goes on."""
    return minimal.with_suffix(".resume.npz")


class MinimalResume:
    """Matches found so far by each search of a job: a context that writes them to a file.

    It writes once a minute and when it ends by an exception. The file stays until ``remove``. A
    file that is damaged, or was made from other inputs, is not used, and the log says so.

    Args:
        path: the file; it is replaced by each write.
        identity: what determines the matches: epsilon and the checksums of the inputs.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity
        self._written = time.monotonic()
        self._searches: dict[str, PartialMatches] = {}
        try:
            arrays, about = read_arrays(path)
        except FileNotFoundError:
            return
        except ValueError as error:
            log.warning("%s; beginning anew", error)
            return
        if about.get("identity") != identity:
            log.warning("%s: made from other inputs; beginning anew", path)
            return
        for place, search in enumerate(about["searches"]):
            prefix = f"{place}/"
            own = {
                name.removeprefix(prefix): array
                for name, array in arrays.items()
                if name.startswith(prefix)
            }
            self._searches[search] = PartialMatches.from_arrays(own)
        log.info("going on from %s", path)

    def search(self, name: str, neurons: int) -> PartialMatches:
        """Return what a search has found so far, in a layer of this many neurons on both sides."""
        return self._searches.setdefault(name, PartialMatches(neurons))

    def write_if_due(self) -> None:
        """Write the file if the last one is a minute old."""
        if time.monotonic() - self._written >= INTERVAL:
            self._write()

    def _write(self) -> None:
        arrays = {
            f"{place}/{name}": array
            for place, partial in enumerate(self._searches.values())
            for name, array in partial.arrays().items()
        }
        write_arrays(
            self._path, arrays, {"identity": self._identity, "searches": [*self._searches]}
        )
        self._written = time.monotonic()

    def __enter__(self) -> MinimalResume:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._write()

    def remove(self) -> None:
        """Remove the file, if there is one; call it when the result counts as finished."""
        self._path.unlink(missing_ok=True)
