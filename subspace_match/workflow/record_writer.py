"""Write a job's provenance records; check its inputs, and which of its results are up to date.

A job's outputs depend on its parameters and on the content of its inputs and code. A result with
the same ones is reused, no matter who made it and when.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import __version__
from ..storage.files import Record, checksum_of, read_signed, sha256, write_signed
from ..storage.job_records import SUFFIX, Job, Records, check
from .invocation import INVOCATION

# Packages whose version can change a result.
PACKAGES = ("numpy", "scipy", "torch", "zarr")
OPTIONAL_PACKAGES = ("timm", "transformers")


@dataclass(frozen=True)
class Result:
    """What a job makes under one record.

    Attributes:
        file: the record's path.
        outputs: what the record names.
        params: what decides the result, besides code and inputs, in the order of the job's names.
    """

    file: Path
    outputs: list[Path]
    params: list[Any]


class JobRecord:
    """The records of a running job.

    Most jobs have one result: all outputs together. A job with the parameter ``each``, a list, has
    one result for each entry: an output with a record of its own, which the other entries do not
    decide.

    Args:
        snakemake: the object that Snakemake gives to a script.
        code: all code files that decide the results.

    Attributes:
        several: whether the job has the parameter ``each``.
        results: what the job makes. Without ``each``, the record lies beside the outputs, with the
            name of the job's log.
        forced: whether to run the job even if its results are up to date.
    """

    def __init__(self, snakemake: Any, code: Iterable[str | Path]) -> None:
        self._job = snakemake
        self._invocation: Record = json.loads(os.environ[INVOCATION])
        self.forced = bool(self._invocation.get("forced", False))
        self._results = Path(snakemake.config["results"])
        self._code = list(map(Path, code))
        self._inputs = [Path(f) for f in snakemake.input if Path(f).is_relative_to(self._results)]
        self._each = snakemake.params.get("each")
        self.several = self._each is not None
        self.results = list(self._split())

    def _split(self) -> Iterator[Result]:
        job = self._job
        if not self.several:
            log = Path(job.log[0])
            file = self._results / log.relative_to(self._results / "logs").with_suffix(SUFFIX)
            # For Snakemake the record is one of the job's outputs.
            yield Result(file, [o for o in map(Path, job.output) if o != file], list(job.params))
            return
        for own, record in zip(self._each, job.output.provenance, strict=True):
            params = [own if value is self._each else value for value in job.params]
            yield Result(Path(record), [Path(record.removesuffix(SUFFIX))], params)

    @cached_property
    def made_from(self) -> dict[str, tuple[Job, str]]:
        """For each result that the job reads, the job that made it and the SHA-256.

        Raises:
            ValueError: if one has no record, does not match it, or was copied from elsewhere.
        """
        records = Records(self._results)
        found = {}
        for file in self._inputs:
            job = records.required(file)
            checksum = check(file.absolute(), job, whole=False)
            found[str(file.relative_to(self._results))] = job, checksum
        return found

    def missing(self) -> list[int]:
        """Return the numbers of the results to make: those not up to date; all if forced."""
        return [
            number
            for number, result in enumerate(self.results)
            if self.forced or not self._is_up_to_date(result)
        ]

    def _is_up_to_date(self, result: Result) -> bool:
        """Return whether all outputs exist, are undamaged, and were made from the same inputs."""
        try:
            job = Job(result.file.absolute(), read_signed(result.file))
            # A wildcard may be all that tells two results apart, such as the seed of a training.
            if not job.is_in_place(self._results):
                return False
            if job.record.get("decided_by") != self._decided_by(result):
                return False
            for output in job.outputs:
                check(output, job)
        except (OSError, ValueError):
            return False
        return True

    def _decided_by(self, result: Result) -> str:
        job = self._job
        params = [list(job.params.keys()), result.params]
        decisive = {
            "rule": job.rule,
            "params": json.loads(json.dumps(params, default=str)),
            "inputs": {name: checksum for name, (_, checksum) in self.made_from.items()},
            "others": self._others,
            "outputs": [os.path.relpath(output, result.file.parent) for output in result.outputs],
        }
        return checksum_of(decisive)

    @cached_property
    def _others(self) -> list[str]:
        """Files that are not results count by their content alone, not by their paths."""
        files = {Path(file) for file in [*self._job.input, *self._code]} - set(self._inputs)
        return sorted(map(sha256, files))

    def write(self, number: int = 0) -> None:
        """Write the record of a finished result."""
        result = self.results[number]
        outputs = {
            str(output.relative_to(result.file.parent)): sha256(output) for output in result.outputs
        }
        folder = result.file.relative_to(self._results).parent
        run: Record = {"rules": [self._job.rule]}
        run |= {key: self._invocation[key] for key in ("command", "commit", "changed")}
        versions = dict(_versions())
        revision = self._job.params.get("revision")
        run["python"] = platform.python_version()
        run["packages"] = {"subspace-match": __version__, **versions}
        record: Record = {
            "rule": self._job.rule,
            "wildcards": dict(self._job.wildcards),
            "folder": str(folder),
            "decided_by": self._decided_by(result),
            "outputs": outputs,
            "inputs": {name: checksum for name, (_, checksum) in self.made_from.items()},
            "differs": self._invocation["differs"],
            # Where the user's own files were, if the job prepared a data set from them.
            "locations": self._job.params.get("locations"),
            "config": self._job.config,
            # The following entries also cover everything that the inputs were made from.
            "weights_and_images": {
                str(folder / name): checksum
                for name, checksum in outputs.items()
                if name.endswith(".safetensors")
            },
            # The commit of published weights in the user's Hugging Face cache.
            "revisions": {str(folder): revision} if revision else {},
            "digests": {folder.parts[0]: [folder.parts[1]]},
            "runs": [run],
            "code": {os.path.relpath(file): sha256(file) for file in self._code},
        }
        for name, (job, _) in self.made_from.items():
            _add_provenance(record, job.record, name)
        write_signed(result.file, record)


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        yield name, importlib.metadata.version(name)
    for name in OPTIONAL_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)


def _add_provenance(record: Record, source: Record, file: str) -> None:
    """Add to a record the provenance of one of its inputs; source is the record of its job."""
    siblings = {str(Path(source["folder"], name)) for name in source["outputs"]} - {file}
    for name, checksum in source["weights_and_images"].items():
        if name not in siblings:
            record["weights_and_images"][name] = checksum
    record["revisions"] |= source.get("revisions", {})
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
