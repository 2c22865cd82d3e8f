"""Results as few large files, to be versioned and sent, and back again.

Published is what jobs left, each job's record beside it (``provenance``); a store, which is a
folder of many files, as one uncompressed zip, which Zarr reads as it is.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..storage.archives import check_members
from ..storage.files import atomic_write, read_signed, remove_abandoned, sha256
from ..storage.job_records import PACKED, SUFFIX, Job, Records, check
from .file_lock import exclusive_writer

PUBLISHED = Path("published")
_TIMESTAMP = ".snakemake_timestamp"  # in a folder that Snakemake made


def lineage(jobs: Iterable[Job], results: str | Path) -> Iterator[Job]:
    """All jobs whose outputs these jobs were made from, at any remove.

    Args:
        jobs: to begin with; they are not among what is given.
        results: folder of all results.

    Raises:
        ValueError: if there is no record of one, or a file is no longer there.
    """
    records = Records()
    waiting = list(jobs)
    known = {job.file.absolute() for job in waiting}
    while waiting:
        for file in waiting.pop().record["inputs"]:
            job = records.required(Path(results, file))
            if job.file.absolute() not in known:
                known.add(job.file.absolute())
                waiting.append(job)
                yield job


def publish(job: Job, folder: str | Path) -> bool:
    """Copy a job's outputs and its record to a folder.

    Returns:
        Whether that could be done: nothing is copied if an output is no longer there.

    Raises:
        ValueError: if an output is not what the job left, naming it.
    """
    if not all(output.exists() for output in job.outputs):
        return False
    for output in job.outputs:
        check(output, job)
    for output, name in zip(job.outputs, job.record["outputs"], strict=True):
        if output.is_dir():
            _pack(output, Path(folder, f"{name}{PACKED}"))
        else:
            _copy(output, Path(folder, name))
    _copy(job.file, Path(folder, job.file.name))
    return True


@dataclass
class Restored:
    """What came of restoring: jobs whose outputs are back, were all there, or are not, and why."""

    back: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def restore(published: str | Path, results: str | Path) -> Restored:
    """Bring published results to where the workflow made them, if the code is as it was.

    What is there already stays as it is; where that is a part of what a job made, and unchanged,
    the rest comes back beside it.

    Args:
        published: folder of jobs' outputs and records.
        results: folder of all results.

    Raises:
        ValueError: if a published file is damaged, naming it.
    """
    found = Restored()
    files = sorted(Path(published).rglob(f"*{SUFFIX}"))
    jobs = [Job(file, read_signed(file)) for file in files]
    modules = {Path(module) for job in jobs for module in job.record["code"]}
    checksums = {str(module): sha256(module) for module in modules if module.is_file()}
    for job in jobs:
        target = Path(results, job.record["folder"])
        name = f"{target / job.file.name.removesuffix(SUFFIX)}"
        there = [target / output for output in job.record["outputs"] if (target / output).exists()]
        if len(there) == len(job.record["outputs"]) and (target / job.file.name).exists():
            found.there.append(name)
            continue
        code = job.record["code"].items()
        if changed := [module for module, checksum in code if checksums.get(module) != checksum]:
            found.left_out[name] = f"other code made it: {', '.join(changed)}"
        elif missing := [file for file in map(_published, job.outputs) if not file.exists()]:
            found.left_out[name] = f"not there: {', '.join(map(str, missing))}"
        elif others := _changed(there, Job(target / job.file.name, job.record)):
            found.left_out[name] = (
                f"there, but other than published: {', '.join(others)}; remove it"
            )
        else:
            _restore(job, target)
            found.back.append(name)
    return found


def _changed(files: Iterable[Path], job: Job) -> list[str]:
    """Those of a job's files that are no longer what it left."""
    changed = []
    for file in files:
        try:
            check(file, job)
        except ValueError:
            changed.append(str(file))
    return changed


def _restore(job: Job, target: Path) -> None:
    """Bring back those of a job's outputs that are not there."""
    for output in job.outputs:
        _check_published(_published(output), job)
    with exclusive_writer(target / job.file.name.removesuffix(SUFFIX), warnings.warn):
        for output, name in zip(job.outputs, job.record["outputs"], strict=True):
            source, place = _published(output), target / name
            if place.exists():
                continue
            remove_abandoned(place)
            if source == output:
                _copy(source, place)
            else:
                _unpack(source, place)
        _copy(job.file, target / job.file.name)


def _check_published(file: Path, job: Job) -> None:
    try:
        check(file, job)
    except ValueError as error:
        cached = " ".join(map(str, _in_dvc_cache(file)))
        if not cached:
            raise
        raise ValueError(
            f"{error}; DVC would take it from its cache again, so remove {cached} too, and if the"
            " remote has it damaged, its copy there, which `dvc push` replaces from where it is"
            " whole"
        ) from error


def _in_dvc_cache(file: Path) -> list[Path]:
    """The copies of a file in DVC's cache, whatever names they have there."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:  # no folder of DVC's
        return []
    size = file.stat().st_size
    files = (path for path in Path(answer.stdout.strip()).rglob("*") if path.is_file())
    alike = (path for path in files if path.stat().st_size == size)
    return [path for path in alike if filecmp.cmp(path, file, shallow=False)]


def _published(output: Path) -> Path:
    """The file that an output was published as."""
    packed = output.with_name(f"{output.name}{PACKED}")
    return packed if packed.exists() else output


def _copy(source: Path, target: Path) -> None:
    # No link: what DVC has in its cache is not to change with what lies in a working tree.
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def _pack(folder: Path, path: Path) -> None:
    """Write a folder's files to a zip: the same files give the same bytes."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            if file.name != _TIMESTAMP:
                # Of a fixed date.
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())
                with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as to:
                    shutil.copyfileobj(source, to)


def _unpack(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive, atomic_write(folder) as temporary:
        # Nothing in it is compressed.
        check_members(archive, most=path.stat().st_size)
        archive.extractall(temporary)
