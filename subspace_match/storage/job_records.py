"""The record that each job of the workflow leaves beside its outputs, read and checked.

It holds what the job ran with (configuration, versions, commit, command), the checksums of what it
left, and, gathered from the records of its inputs, all that these were made from in turn. It is a
file of its own, so that the same configuration gives the same tables and figures, byte for byte.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from .archives import stays_inside
from .files import MANIFEST, Record, check_content, damaged, read_manifest, read_signed

SUFFIX = ".provenance.json"
PACKED = ".zip"  # added to the name of a store that is published as one file


@dataclass(frozen=True)
class Job:
    """A job that ran.

    Attributes:
        file: of its record.
        record: what it holds.
    """

    file: Path
    record: Record

    def __post_init__(self) -> None:
        """Refuse a record that names places outside its folder: published ones may be anybody's."""
        try:
            named = [self.record["folder"], *self.record["outputs"], *self.record["inputs"]]
            code = dict(self.record["code"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self.file, f"no {error} that can be read in it") from error
        outside = [name for name in named if not stays_inside(name)]
        # An output is not the folder itself. Modules may lie anywhere: they are only compared.
        outside += [name for name in self.record["outputs"] if name in ("", ".")]
        outside += [name for name in code if not isinstance(name, str)]
        if outside:
            raise ValueError(
                f"{self.file}: expected names of files in the folder of results, found"
                f" {outside[0]!r}; do not use this record, and what came with it"
            )

    @property
    def outputs(self) -> list[Path]:
        """What it left, beside its record or below."""
        return [self.file.parent / name for name in self.record["outputs"]]

    @property
    def checksums(self) -> dict[Path, str]:
        """SHA-256 of each output, also by the name that a published store has."""
        return {
            output.with_name(f"{output.name}{packed}"): checksum
            for output, checksum in zip(self.outputs, self.record["outputs"].values(), strict=True)
            for packed in ("", PACKED)
        }


class Records:
    """The records of jobs, each file of them read once."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._read: dict[Path, tuple[dict[Path, Job], list[ValueError]]] = {}

    def of(self, path: str | Path) -> Job | None:
        """The job that made a file, or the folder in which it is, if there is a record of it.

        Raises:
            ValueError: if no whole record names it, and a damaged one may have done so.
        """
        path = Path(path).absolute()
        all_damaged = []
        for folder in path.parents:
            jobs, damaged = self._of_folder(folder)
            for place in (path, *path.parents):
                if (job := jobs.get(place)) is not None:
                    return job
            all_damaged += damaged
        if all_damaged:
            raise ValueError(
                f"{path}: expected a record of what made it, found a damaged one"
                f" ({all_damaged[0]}); remove {path} too"
            )
        return None

    def required(self, path: str | Path) -> Job:
        """As ``of``.

        Raises:
            ValueError: if there is no such file or no record of it, or one is damaged.
        """
        if not Path(path).exists():
            raise ValueError(f"{path}: expected a result of the workflow, found no such file")
        if (job := self.of(path)) is None:
            raise ValueError(
                f"{path}: expected a result of the workflow, with a file *{SUFFIX} beside it that"
                " says what made it; found none that names it: remove it and run again"
            )
        return job

    def _of_folder(self, folder: Path) -> tuple[dict[Path, Job], list[ValueError]]:
        if folder not in self._read:
            jobs: dict[Path, Job] = {}
            damaged = []
            for file in sorted(folder.glob(f"*{SUFFIX}")):
                try:
                    job = Job(file, read_signed(file))
                except ValueError as error:
                    damaged.append(error)
                else:
                    jobs |= dict.fromkeys(job.checksums, job)
            self._read[folder] = jobs, damaged
        return self._read[folder]


def check(path: Path, job: Job, *, whole: bool = True) -> str:
    """Raise a ValueError unless a file or store is what a job left.

    Args:
        path: of one of its outputs, or of a file in a store.
        job: of its record.
        whole: whether to read every file of a store. Its manifest is read in any case; and who
            opens a store compares with that what is read.

    Returns:
        The output's SHA-256.
    """
    ((output, checksum),) = (
        (output, c) for output, c in job.checksums.items() if path.is_relative_to(output)
    )
    part = path.relative_to(output).as_posix() if whole else None
    try:
        if output.suffix == PACKED:
            _check_store(zipfile.Path(output), checksum, part)
        elif output.is_dir():
            _check_store(output, checksum, part)
        else:
            check_content(output, checksum)
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{output}: expected what the rule {job.record['rule']} made, found that it was changed"
            f" since ({error}); remove it, and run or pull again"
        ) from error
    return checksum


def _check_store(store: Path | zipfile.Path, checksum: str, part: str | None) -> None:
    """Check a store's manifest and, of the files that it lists, one, all ("."), or none."""
    check_content(store / MANIFEST, checksum)
    listed = read_manifest(store)
    for name in listed if part == "." else filter(None, [part]):
        if name != MANIFEST:
            check_content(store / name, listed[name]["sha256"])
