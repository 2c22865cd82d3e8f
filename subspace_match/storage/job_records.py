"""The provenance record that each job of the workflow writes beside its outputs.

It contains the job's settings (configuration, versions, commit, command), the checksums of its
outputs, and the provenance of its inputs, collected from their records. It is a separate file, so
that the same configuration gives the same tables and figures, byte for byte.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from .archives import stays_inside
from .files import MANIFEST, Record, check_content, damaged, read_manifest, read_signed

SUFFIX = ".provenance.json"
PACKED = ".zip"  # suffix of a store that is published as one file


@dataclass(frozen=True)
class Job:
    """A finished job: its record and the record's file.

    Raises:
        ValueError: if the record is incomplete, or a name in it is outside its folder. Published
            records can come from anyone.
    """

    file: Path
    record: Record

    def __post_init__(self) -> None:
        try:
            named = [self.record["folder"], *self.record["outputs"], *self.record["inputs"]]
            code = dict(self.record["code"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self.file, f"no readable {error}") from error
        outside = [name for name in named if not stays_inside(name)]
        # An output cannot be the folder itself. Modules can lie anywhere: they are only compared.
        outside += [name for name in self.record["outputs"] if name in ("", ".")]
        outside += [name for name in code if not isinstance(name, str)]
        if outside:
            raise ValueError(
                f"{self.file}: expected names of files in the folder of results, found"
                f" {outside[0]!r}; do not use this record or the files that came with it"
            )

    @property
    def outputs(self) -> list[Path]:
        """The job's outputs, in the folder of its record or below."""
        return [self.file.parent / name for name in self.record["outputs"]]

    def is_in_place(self, results: Path) -> bool:
        """Return whether the record lies in the folder of results that it names."""
        return self.file.parent == Path(results.absolute(), self.record["folder"])

    @property
    def checksums(self) -> dict[Path, str]:
        """SHA-256 of each output, also by the name of its published store."""
        return {
            output.with_name(f"{output.name}{packed}"): checksum
            for output, checksum in zip(self.outputs, self.record["outputs"].values(), strict=True)
            for packed in ("", PACKED)
        }


class Records:
    """The records of jobs; each file is read once.

    Args:
        results: folder of results, for files in it. A folder that was copied to another result's
            name is whole, but its records name the folder that they were made in.
    """

    def __init__(self, results: str | Path | None = None) -> None:
        self._results = None if results is None else Path(results).absolute()
        self._read: dict[Path, tuple[dict[Path, Job], list[ValueError]]] = {}

    def find(self, path: str | Path) -> Job | None:
        """Return the job that made a file or the store that contains it, None without a record.

        Raises:
            ValueError: if no readable record names the file, and a damaged one might, or if the
                file was copied from another result.
        """
        path = Path(path).absolute()
        errors = []
        for folder in path.parents:
            jobs, unreadable = self._read_folder(folder)
            for output in (path, *path.parents):
                if (job := jobs.get(output)) is not None:
                    if self._results is not None:
                        self._check_place(path, job, self._results)
                    return job
            errors += unreadable
        if errors:
            raise ValueError(
                f"{path}: expected the record of its job, found a damaged one ({errors[0]});"
                f" if that job made {path}, remove this too"
            )
        return None

    def required(self, path: str | Path) -> Job:
        """Return the job that made a file or the store that contains it.

        Raises:
            ValueError: if the file or its record does not exist, the record is damaged, or the
                file was copied from another result.
        """
        if not Path(path).exists():
            raise ValueError(
                f"{path}: expected a result of the workflow, found no such file; run"
                " snakemake to make it"
            )
        if (job := self.find(path)) is None:
            raise ValueError(
                f"{path}: expected a result of the workflow, with its record in a file *{SUFFIX},"
                " found no record that names it; remove it and run again"
            )
        return job

    def _check_place(self, path: Path, job: Job, results: Path) -> None:
        if job.is_in_place(results):
            return
        raise ValueError(
            f"{path}: expected a result that was made in its folder, found one that was made in"
            f" {results / job.record['folder']} and copied; remove {job.file.parent} and run again"
        )

    def _read_folder(self, folder: Path) -> tuple[dict[Path, Job], list[ValueError]]:
        """Return the jobs of a folder's records by output, and the errors of damaged records."""
        if folder not in self._read:
            jobs, errors = self._read[folder] = {}, []
            for file in sorted(folder.glob(f"*{SUFFIX}")):
                try:
                    job = Job(file, read_signed(file))
                    jobs |= dict.fromkeys(job.checksums, job)
                except ValueError as error:
                    errors.append(error)
        return self._read[folder]


def check(path: Path, job: Job, *, whole: bool = True) -> str:
    """Return the SHA-256 of a job's output; raise a ValueError if it has changed since then.

    Args:
        path: the output: a file, a store, or a file in a store.
        job: the job that made it.
        whole: read every file of a store. Otherwise read only its manifest; ``ActivationStore``
            compares files with the manifest when it reads them.
    """
    ((output, checksum),) = (
        (output, c) for output, c in job.checksums.items() if path.is_relative_to(output)
    )
    part = path.relative_to(output).as_posix()
    try:
        store = zipfile.Path(output) if output.suffix == PACKED else output
        if not store.is_dir():
            check_content(store, checksum)
            return checksum
        check_content(store / MANIFEST, checksum)
        if whole and part != MANIFEST:
            listed = read_manifest(store)
            for name in listed if part == "." else [part]:
                check_content(store / name, listed[name]["sha256"])
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{output}: expected what the rule {job.record['rule']} made, found a later change"
            f" ({error}); remove it, and run or pull again"
        ) from error
    return checksum
