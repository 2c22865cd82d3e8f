"""What made a result: a record beside the outputs of every job of the workflow.

It holds what the job ran with (configuration, versions, commit, command), the checksums of what it
left, and, gathered from the records of its inputs, all that these were made from in turn. It is a
file of its own, so that the same configuration gives the same tables and figures, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .archives import stays_inside
from .artefacts import MANIFEST, Record, check_content, damaged, read_manifest, read_signed

SUFFIX = ".provenance.json"
PACKED = ".zip"  # added to the name of a store that is published as one file
# Environment variable by which a run of Snakemake tells its jobs what it is.
INVOCATION = "SUBSPACE_MATCH_INVOCATION"


def invocation(
    project: str | Path, config: Mapping[str, Any], default: Mapping[str, Any], **more: Any
) -> str:
    """What the jobs of a run of Snakemake are to know of it, as JSON.

    Args:
        project: folder of the workflow.
        config: complete.
        default: the complete default configuration.
        more: plain JSON values: ``forced``, whether results are made anew that are there already;
            ``origins`` and ``files``, what the plan rests on (``plan``).
    """
    commit, changes = (
        _git(project, "rev-parse", "HEAD"),
        _git(project, "diff", "--name-only", "HEAD"),
    )
    known = {
        "command": shlex.join(["snakemake", *sys.argv[1:]]),
        "commit": commit,
        "changed": None if changes is None else changes.splitlines(),
        "differs": differences(config, default),
    }
    return json.dumps(known | more)


def _git(folder: str | Path, *arguments: str) -> str | None:
    """What Git answers; nothing without Git or outside a repository."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def differences(config: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that differs from the default.

    Example:
        >>> differences({"seeds": [0, 2], "data": {"name": "mnist", "workers": 2}},
        ...             {"seeds": [0, 1], "data": {"name": "mnist_5k", "workers": 2}})
        {'seeds': [0, 2], 'data': {'name': 'mnist'}}
    """
    differing: dict[str, Any] = {}
    for key, value in config.items():
        other = default.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping) and other:
            if own := differences(value, other):
                differing[key] = own
        elif value != other:
            differing[key] = value
    return differing


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


def command(arguments: Sequence[str]) -> None:
    """``subspace-match provenance FILE``: print what made a result, as YAML.

    Raises:
        ValueError: if there is no such file, no record of it, or it was changed since.
    """
    import yaml

    parser = argparse.ArgumentParser(
        prog="subspace-match provenance",
        description="Say what made a result: configuration, networks, versions, commit, command.",
    )
    parser.add_argument("file", type=Path, help="a table, figure, network, store or other result")
    file = parser.parse_args(arguments).file.absolute()
    job = Records().required(file)
    check(file, job)
    sys.stdout.write(yaml.safe_dump(_described(file, job.record), sort_keys=False, width=100))


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


def _described(file: Path, record: Record) -> dict[str, Any]:
    """A record for people: what differs first."""
    networks = {n: c for n, c in record["weights_and_images"].items() if n.startswith("networks/")}
    data = {n: c for n, c in record["weights_and_images"].items() if n.startswith("data/")}
    return {
        "file": str(file),
        "made_by": {"rule": record["rule"]} | record["wildcards"],
        "differs_from_default": record["differs"],
        "seeds": dict(_seeds(record["config"])),
        "networks_sha256": networks,
        "data_sha256": data,
        "digests": record["digests"],
        "runs": record["runs"],
        "config": record["config"],
    }


def _seeds(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _seeds(value, f"{above}{key}.")
        elif key.endswith(("seed", "seeds")):
            yield f"{above}{key}", value
