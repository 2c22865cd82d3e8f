"""Publish results as a few large files, to be versioned and transferred, and restore them.

The outputs of jobs are published with their records (``job_records``). A store, a folder of many
files, becomes one uncompressed zip file, which Zarr can read directly.
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
_TIMESTAMP = ".snakemake_timestamp"  # Snakemake adds it to folders


def lineage(jobs: Iterable[Job], results: str | Path) -> Iterator[Job]:
    """Yield all other jobs whose outputs these jobs used, directly or through other jobs.

    Raises:
        ValueError: if a file or its record does not exist.
    """
    records = Records(results)
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
    """Copy a job's outputs and record to a folder; return False if an output no longer exists.

    Raises:
        ValueError: if an output was changed since the job made it.
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
    """The outcome by job: restored, already present, or skipped with a reason."""

    restored: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def restore(published: str | Path, results: str | Path) -> Restored:
    """Copy published results back to the folder of results, if their code is unchanged.

    Existing files are never replaced. If some of a job's outputs exist and are unchanged, only the
    missing ones are restored.

    Raises:
        ValueError: if a published file is damaged.
    """
    outcome = Restored()
    files = sorted(Path(published).rglob(f"*{SUFFIX}"))
    jobs = [Job(file, read_signed(file)) for file in files]
    modules = {Path(module) for job in jobs for module in job.record["code"]}
    checksums = {str(module): sha256(module) for module in modules if module.is_file()}
    for job in jobs:
        target = Path(results, job.record["folder"])
        name = f"{target / job.file.name.removesuffix(SUFFIX)}"
        outputs = [target / output for output in job.record["outputs"]]
        present = [output for output in outputs if output.exists()]
        if present == outputs and (target / job.file.name).exists():
            outcome.present.append(name)
            continue
        code = job.record["code"].items()
        if changed := [module for module, checksum in code if checksums.get(module) != checksum]:
            outcome.skipped[name] = f"made by other code: {', '.join(changed)}"
        elif missing := [file for file in map(_published, job.outputs) if not file.exists()]:
            outcome.skipped[name] = f"not published: {', '.join(map(str, missing))}"
        elif others := _changed(present, Job(target / job.file.name, job.record)):
            outcome.skipped[name] = (
                f"differs from what is published: {', '.join(others)}; remove it"
            )
        else:
            _restore(job, target)
            outcome.restored.append(name)
    return outcome


def _changed(files: Iterable[Path], job: Job) -> list[str]:
    """Return those of a job's files that were changed since it made them."""
    changed = []
    for file in files:
        try:
            check(file, job)
        except ValueError:
            changed.append(str(file))
    return changed


def _restore(job: Job, target: Path) -> None:
    """Copy the missing outputs of a job to its folder of results."""
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
            f"{error}; DVC would take it from its cache again, so remove {cached} too; if the"
            " remote's copy is damaged too, remove it and run `dvc push` where the file is whole"
        ) from error


def _in_dvc_cache(file: Path) -> list[Path]:
    """Return the copies of a file in DVC's cache, whatever their names."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:  # not a DVC repository
        return []
    size = file.stat().st_size
    files = (path for path in Path(answer.stdout.strip()).rglob("*") if path.is_file())
    same_size = (path for path in files if path.stat().st_size == size)
    return [path for path in same_size if filecmp.cmp(path, file, shallow=False)]


def _published(output: Path) -> Path:
    """Return the published file of an output."""
    packed = output.with_name(f"{output.name}{PACKED}")
    return packed if packed.exists() else output


def _copy(source: Path, target: Path) -> None:
    # A copy, not a link: changes in the working tree must not change DVC's cache.
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def _pack(folder: Path, path: Path) -> None:
    """Write a folder's files to a zip file; the same files give the same bytes."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            if file.name != _TIMESTAMP:
                # ZipInfo sets a fixed date.
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())
                with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as to:
                    shutil.copyfileobj(source, to)


def _unpack(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive, atomic_write(folder) as temporary:
        # Members are not compressed, so together they are not larger than the file.
        check_members(archive, most=path.stat().st_size)
        archive.extractall(temporary)
