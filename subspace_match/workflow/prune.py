"""List, and optionally remove, results that the current configurations and code do not need.

A result is needed if Snakemake plans it. Only outputs in a job's record, the job's log and its
unfinished files are removed. Everything else stays and is listed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ..experiment.origins import config_of, paths_of
from ..experiment.user_files import AREA
from ..storage.files import read_signed, verified
from ..storage.job_records import SUFFIX, Job
from ..storage.minimal_resume import resume_file_of
from .file_lock import lock_file, lock_if_free

LOCK = ".*.lock"
# Unfinished files of jobs: temporary ones, and those from which a training resumes. Their names do
# not say which job of the folder they belong to.
_UNFINISHED = (".*.partial", ".*.replaced", "resume.safetensors*", "stages.partial")


@dataclass
class Found:
    """The files in a folder of results that no plan names."""

    # Files and folders to remove, by the job that made them.
    unnamed: dict[Path, list[Path]] = field(default_factory=dict)
    # Files that stay, with the reason.
    kept: dict[Path, str] = field(default_factory=dict)


def named_files(project: Path, configfile: str | None) -> set[Path]:
    """Return every file that Snakemake plans for a configuration.

    Raises:
        ValueError: if planning fails, with Snakemake's message.
    """
    config = [] if configfile is None else ["--configfile", configfile]
    command = [sys.executable, "-m", "snakemake", "--summary", "--nolock", *config]
    answer = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if answer.returncode:
        lines = (answer.stderr.strip() or answer.stdout.strip() or "nothing").splitlines()
        # Indented lines after the message say where the error was raised.
        messages = [line for line in lines if line.strip() and not line.startswith(" ")]
        raise ValueError(
            f"expected a plan of {configfile or 'config/config.yaml'}: {(messages or lines)[-1]}"
        )
    lines = answer.stdout.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("output_file\t"))
    return {Path(project, line.partition("\t")[0]).absolute() for line in lines[start + 1 :]}


def find(results: Path, named: set[Path]) -> Found:
    """Find the files in a folder of results that no plan names; ``named`` has absolute paths."""
    results, found = results.absolute(), Found()
    seen: set[Path] = set()
    planned_folders = {file.parent for file in named if file.name.endswith(SUFFIX)}
    for base in sorted(set(_jobs(results))):
        record = base.with_name(f"{base.name}{SUFFIX}")
        own = [*_outputs_of(record, found), *_logs_of(base, results)]
        seen.update(own)
        if record not in named:
            own += filter(Path.exists, [resume_file_of(base)])
            if base.parent not in planned_folders:
                own += [path for pattern in _UNFINISHED for path in base.parent.glob(pattern)]
            found.unnamed[base] = [path for path in own if path not in found.kept]
    # Planning writes one file for each listing of layers and each folder of the user's files.
    for area in ("layers", AREA):
        listed = set((results / area).glob("*.json"))
        found.unnamed |= {file: [file] for file in sorted(listed - named)}
    seen |= named | {path for paths in found.unnamed.values() for path in paths}
    for path in _others(results, seen):
        found.kept.setdefault(path, "no record of a job names it")
    return found


def _jobs(results: Path) -> Iterator[Path]:
    """Yield the path of each job's record without its suffix, also for jobs that only started."""
    for record in results.rglob(f"*{SUFFIX}"):
        yield record.with_name(record.name.removesuffix(SUFFIX))
    for lock in results.rglob(LOCK):
        yield lock.with_name(lock.name.removeprefix(".").removesuffix(".lock"))


def _outputs_of(record: Path, found: Found) -> list[Path]:
    """Return a job's record and the outputs that it names, if they exist."""
    if not record.exists():
        return []
    try:
        outputs = Job(record, read_signed(record)).outputs
    except (ValueError, KeyError) as error:
        found.kept[record] = str(error)
        return [record]
    for output in outputs:
        if not Path(os.path.normpath(output)).is_relative_to(record.parent):
            found.kept[record] = f"it names {output}, which is outside its folder"
            return [record]
    return [path for path in (*outputs, record) if path.exists()]


def _logs_of(base: Path, results: Path) -> list[Path]:
    """Return a job's log and benchmark, if they exist."""
    relative = base.relative_to(results)
    areas = (("logs", ".log"), ("benchmarks", ".tsv"))
    logs = [results / area / f"{relative}{suffix}" for area, suffix in areas]
    return [path for path in logs if path.exists()]


def _others(results: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the topmost folders and files that contain nothing of ``seen``, except lock files."""
    above = {parent for path in seen for parent in path.parents}
    waiting = [results] if results.is_dir() else []
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path in seen or path.match(LOCK):
                continue
            if path in above:
                waiting.append(path)
            else:
                yield path


def remove(found: Found, results: Path) -> None:
    """Remove ``found.unnamed``; what a running job writes moves to ``found.kept`` instead."""
    for folder in sorted({base.parent for base in found.unnamed}):
        bases = [base for base in found.unnamed if base.parent == folder]
        with ExitStack() as locks:
            # An unfinished file in the folder can belong to any of its jobs.
            free = [
                locks.enter_context(lock_if_free(lock_file(base)))
                for base in {*bases, *_jobs(folder)}
            ]
            if not all(free):
                found.kept |= dict.fromkeys(bases, "a job is writing there")
                for base in bases:
                    del found.unnamed[base]
                continue
            for path in {path for base in bases for path in found.unnamed[base]}:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            for base in bases:
                lock_file(base).unlink(missing_ok=True)
        for path in (path for base in bases for path in (base, *found.unnamed[base])):
            empty = path.parent
            while empty.is_dir() and empty != results.absolute() and not any(empty.iterdir()):
                empty.rmdir()
                empty = empty.parent


def _small_files(project: Path, configfile: str | None) -> set[Path]:
    """Return the files that planning writes: listings of layers, checksums of the user's files."""
    paths = paths_of(project, [configfile] if configfile else [])
    listings = {Path(project, paths.layers(model)).absolute() for model in paths.models}
    # A source is "data NAME FOLDER", "weights FILE" or "module NAME"; folders can contain spaces.
    sources = paths.origins.contents
    roots = [Path(source.split(" ", n)[-1]).absolute() for source in sources for n in (1, 2)]
    checksums = set()
    for file in Path(project, paths.config["results"], AREA).glob("*.json"):
        try:
            with file.open(encoding="ascii") as lines:
                folder = Path(verified(json.loads(lines.readline()))["folder"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # damaged: not needed, since planning then reads the user's files again
        if any(folder.is_relative_to(root) for root in roots):
            checksums.add(file.absolute())
    return listings | checksums


def prune(project: Path, configfiles: Sequence[str], *, delete: bool) -> None:
    """List or remove the results of a project that no configuration names.

    Args:
        project: folder of the Snakefile.
        configfiles: experiments whose results stay too, beside those of config/config.yaml.
        delete: remove what is listed.

    Raises:
        ValueError: if a configuration is wrong, or the folder is not a project's.
    """
    if not (project / "Snakefile").exists():
        raise ValueError(
            f"prune: expected the project's folder, found no Snakefile in {Path.cwd()}"
        )
    folders: list[Path] = []
    named: set[Path] = set()
    for configfile in (None, *configfiles):
        results = Path(config_of(project, [configfile] if configfile else [])["results"])
        files = named_files(project, configfile) | _small_files(project, configfile)
        # One folder may have several names, and may lie in another.
        folder = results.resolve()
        named |= {folder / os.path.relpath(file, results.absolute()) for file in files}
        folders.append(folder)
    for folder in dict.fromkeys(folders):
        _report(find(folder, named), folder, delete)


def _size_of(path: Path) -> int:
    """Return the size of a file or folder in bytes."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def _report(found: Found, results: Path, delete: bool) -> None:
    sizes = {base: sum(map(_size_of, paths)) for base, paths in found.unnamed.items()}
    if delete:
        remove(found, results)
    for base in found.unnamed:
        sys.stdout.write(f"{_bytes(sizes[base]):>9}  {os.path.relpath(base)}\n")
    if found.unnamed:
        total = _bytes(sum(sizes.values()))
        done = "removed" if delete else "not needed; --delete would remove it"
        sys.stdout.write(f"{total:>9}  in total, from {len(found.unnamed)} jobs: {done}\n")
    else:
        sys.stdout.write(f"nothing to remove in {os.path.relpath(results)}\n")
    for path, reason in found.kept.items():
        sys.stdout.write(f"kept: {os.path.relpath(path)} ({reason})\n")


def _bytes(number: float) -> str:
    """Format a size for people, such as "999 B" and "1.5 MB"."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number /= 1000
        units.pop(0)
    return f"{number:.0f} B" if units[0] == "B" else f"{number:.1f} {units[0]}"
