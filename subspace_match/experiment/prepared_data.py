"""Data sets that were prepared from files that are gone now: deleted, or on a disk not mounted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..data.catalogue import files_are_missing
from ..storage.files import read_record
from ..storage.job_records import Records, check


def prepared_content(
    section: Mapping[str, Any],
    results: str | Path,
    key_of: Callable[[str], str],
    say: Callable[[str], object],
) -> str:
    """Return the digest of the files that a data set without files was prepared from.

    Only a data set counts that was prepared from the folder that the configuration names. The
    files of another folder may be other data: the name may be mistyped.

    Args:
        section: section ``data`` whose ``root`` does not exist or has no files of the data set.
        results: folder of results.
        key_of: returns the key of the data set for a digest of its files.
        say: called with a message that names the prepared data set.

    Raises:
        ValueError: if none was prepared from this folder, or several with different files. Names
            the folder of a prepared data set that differs only by its folder.
    """
    root, records = section["root"], Records(results)
    found = []  # the prepared data set, the folder of its files, and the digest of these
    for file in sorted(Path(results).glob("data/*/data.json")):
        if (job := records.find(file)) is None:
            continue
        check(file.absolute(), job)
        content, locations = read_record(file).get("content"), job.record.get("locations")
        if content and locations and key_of(content) == file.parent.name:
            found.append((file.parent, locations["root"], content))
    own = [(folder, content) for folder, place, content in found if _is_same(place, root)]
    if len(own) == 1:
        ((folder, digest),) = own
        say(
            f"data.root: found no files of {section['name']} in {root}; using the data set that was"
            f" prepared from this folder before, {folder}"
        )
        return str(digest)
    advice = ""
    if own:
        folders = ", ".join(str(folder) for folder, _ in own)
        advice = (
            "data sets were prepared from this folder when it held different files, and which of"
            f" them is meant is not certain: bring the files back, or keep only one of {folders}"
        )
    elif found:
        places = " or ".join(sorted({place for _, place, _ in found}))
        advice = (
            f"a data set with the same settings was prepared from {places}; if that is meant, set"
            " data.root to it"
        )
    raise files_are_missing(section["name"], root, advice=advice)


def _is_same(place: str | None, other: str | None) -> bool:
    if place is None or other is None:  # the source of Python's library needs no folder
        return place is other
    return Path(place).resolve() == Path(other).resolve()
