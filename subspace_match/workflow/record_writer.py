"""Write a job's provenance record; check its inputs, and whether its result is up to date.

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


class JobRecord:
    """The record of a running job.

    Args:
        snakemake: the object that Snakemake gives to a script.
        code: all code files that decide the result.

    Attributes:
        file: the record's path: beside the job's outputs, with the name of its log.
        forced: whether to run the job even if its result is up to date.
    """

    def __init__(self, snakemake: Any, code: Iterable[str | Path]) -> None:
        self._job = snakemake
        self._invocation: Record = json.loads(os.environ[INVOCATION])
        self.forced = bool(self._invocation.get("forced", False))
        self._results = Path(snakemake.config["results"])
        log = Path(snakemake.log[0])
        self.file = self._results / log.relative_to(self._results / "logs").with_suffix(SUFFIX)
        self._code = list(map(Path, code))
        self._inputs = [Path(f) for f in snakemake.input if Path(f).is_relative_to(self._results)]
        # For Snakemake the record is one of the job's outputs.
        self._outputs = [file for file in map(Path, snakemake.output) if file != self.file]

    @cached_property
    def made_from(self) -> dict[str, tuple[Job, str]]:
        """For each result that the job reads, the job that made it and the SHA-256.

        Raises:
            ValueError: if one has no record or does not match it.
        """
        records = Records()
        found = {}
        for file in self._inputs:
            job = records.required(file)
            checksum = check(file.absolute(), job, whole=False)
            found[str(file.relative_to(self._results))] = job, checksum
        return found

    def is_up_to_date(self) -> bool:
        """Return whether all outputs exist, are undamaged, and were made from the same inputs."""
        try:
            job = Job(self.file.absolute(), read_signed(self.file))
            if job.record.get("decided_by") != self._decided_by:
                return False
            for output in job.outputs:
                check(output, job)
        except (OSError, ValueError):
            return False
        return True

    @cached_property
    def _decided_by(self) -> str:
        job = self._job
        # Files that are not results count by their content alone, not by their paths.
        others = {Path(file) for file in [*job.input, *self._code]} - set(self._inputs)
        params = [list(job.params.keys()), list(job.params)]
        decisive = {
            "rule": job.rule,
            "params": json.loads(json.dumps(params, default=str)),
            "inputs": {name: checksum for name, (_, checksum) in self.made_from.items()},
            "others": sorted(map(sha256, others)),
            "outputs": [os.path.relpath(output, self.file.parent) for output in self._outputs],
        }
        return checksum_of(decisive)

    def write(self) -> None:
        """Write the record of the finished job."""
        outputs = {
            str(output.relative_to(self.file.parent)): sha256(output) for output in self._outputs
        }
        folder = self.file.relative_to(self._results).parent
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
            "decided_by": self._decided_by,
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
        write_signed(self.file, record)


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
