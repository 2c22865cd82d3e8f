"""What made a result: a record beside the outputs of every job of the workflow.

It holds what the job ran with (configuration, versions, commit, command), the checksums of what it
left, and, gathered from the records of its inputs, all that these were made from in turn. It is a
file of its own, so that the same configuration gives the same tables and figures, byte for byte.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__
from .artefacts import Record, read_record, sha256, write_record

SUFFIX = ".provenance.json"
PACKED = ".zip"  # added to the name of a store that is published as one file
# Packages whose version can decide a result.
PACKAGES = ("numpy", "scipy", "torch", "zarr")
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


def record_job(snakemake: Any, code: Iterable[str | Path]) -> None:
    """Write the record of a job that has done its work.

    Args:
        snakemake: the object that Snakemake gives to a script.
        code: all files of it that decided the result.
    """
    started = json.loads(os.environ[INVOCATION])
    results = Path(snakemake.config["results"])
    log = Path(snakemake.log[0])
    path = results / log.relative_to(results / "logs").with_suffix(SUFFIX)
    folder = path.relative_to(results).parent
    # Others are the user's own, such as given weights.
    inputs = [Path(file) for file in snakemake.input if Path(file).is_relative_to(results)]
    outputs = {
        str(output.relative_to(path.parent)): None if output.is_dir() else sha256(output)
        for output in map(Path, snakemake.output)
        if output != path
    }
    run = {key: started[key] for key in ("command", "commit", "changed")} | _versions()
    record: Record = {
        "rule": snakemake.rule,
        "wildcards": dict(snakemake.wildcards),
        "folder": str(folder),
        "outputs": outputs,
        "inputs": [str(file.relative_to(results)) for file in inputs],
        "differs": started["differs"],
        "config": snakemake.config,
        # From here on also of all that the inputs were made from.
        "weights_and_images": {
            str(folder / name): checksum
            for name, checksum in outputs.items()
            if name.endswith(".safetensors")
        },
        "digests": {folder.parts[0]: [folder.parts[1]]},
        "runs": [{"rules": [snakemake.rule], **run}],
        "code": {os.path.relpath(file): sha256(file) for file in code},
    }
    records = Records()
    for file in inputs:
        if (job := records.of(file)) is not None:
            _gather(record, job.record, str(file.relative_to(results)))
    write_record(path, record)


def _versions() -> dict[str, Any]:
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        "packages": {"subspace-match": __version__, **packages},
    }


def _gather(record: Record, source: Record, file: str) -> None:
    """Add to a record what one of its inputs, a file of the source's job, was made from."""
    siblings = {str(Path(source["folder"], name)) for name in source["outputs"]} - {file}
    for name, checksum in source["weights_and_images"].items():
        if name not in siblings:
            record["weights_and_images"][name] = checksum
    for area, digests in source["digests"].items():
        _add(record["digests"].setdefault(area, []), digests)
    for run in source["runs"]:
        same = (r for r in record["runs"] if r | {"rules": None} == run | {"rules": None})
        if (known := next(same, None)) is None:
            record["runs"].append(run | {"rules": list(run["rules"])})
        else:
            _add(known["rules"], run["rules"])
    record["code"] = source["code"] | record["code"]


def _add(known: list[str], more: Sequence[str]) -> None:
    known += [one for one in more if one not in known]


@dataclass(frozen=True)
class Job:
    """A job that ran.

    Attributes:
        file: of its record.
        record: what it holds.
    """

    file: Path
    record: Record

    @property
    def outputs(self) -> list[Path]:
        """What it left, beside its record or below."""
        return [self.file.parent / name for name in self.record["outputs"]]


class Records:
    """The records of jobs, each file of them read once."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._read: dict[Path, dict[Path, Job]] = {}

    def of(self, path: str | Path) -> Job | None:
        """The job that made a file, or the folder in which it is, if there is a record of it.

        Raises:
            ValueError: if a record is damaged.
        """
        path = Path(path).absolute()
        for folder in path.parents:
            jobs = self._of_folder(folder)
            for place in (path, *path.parents):
                if (job := jobs.get(place)) is not None:
                    return job
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
                " says what made it; found none that names it (version 0.1.0 left none: remove what"
                " it made and run again)"
            )
        return job

    def _of_folder(self, folder: Path) -> dict[Path, Job]:
        if folder not in self._read:
            jobs = [Job(file, read_record(file)) for file in folder.glob(f"*{SUFFIX}")]
            self._read[folder] = {
                output.with_name(f"{output.name}{packed}"): job
                for job in jobs
                for output in job.outputs
                for packed in ("", PACKED)
            }
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


def check(file: Path, job: Job) -> None:
    """Raise a ValueError unless a file is what the job left."""
    checksum = dict(zip(job.outputs, job.record["outputs"].values(), strict=True)).get(file)
    # Stores are folders; they check their files themselves.
    if checksum is not None and (found := sha256(file)) != checksum:
        raise ValueError(
            f"{file}: expected what the rule {job.record['rule']} made (SHA-256 {checksum}), found"
            f" {found}: it was changed since; remove it, and run or pull again"
        )


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
