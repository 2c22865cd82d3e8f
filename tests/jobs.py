"""Jobs as Snakemake passes them to a script, with small output files, and their processes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from subspace_match.storage.files import write_manifest
from subspace_match.workflow.record_writer import JobRecord


def line_of(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process writes."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


class Params(list[Any]):
    """A job's parameters by name."""

    def __init__(self, **named: Any) -> None:
        super().__init__(named.values())
        self._named = named

    def keys(self) -> list[str]:
        return list(self._named)

    def get(self, name: str) -> Any:
        return self._named.get(name)


def make_result(
    rule: str,
    folder: str,
    outputs: Sequence[str],
    config: dict[str, Any],
    inputs: Sequence[str] = (),
    **wildcards: str,
) -> None:
    """Make a job's outputs and its record, as ``subspace_match.workflow.job.run`` does.

    Args:
        rule: its name; its script and its only module are named after it, and made if missing.
        folder: folder of the outputs, relative to the results.
        outputs: paths relative to the folder; a folder's name ends with "/".
        config: complete configuration.
        inputs: paths relative to the results.
        wildcards: the job's wildcards.
    """
    results = Path(config["results"])
    for code in (f"{rule}.py", f"module_of_{rule}.py"):
        if not Path(code).exists():
            Path(code).write_text(f"# {code}\n")
    for name in outputs:
        path = results / folder / name
        if name.endswith("/"):
            (path / "deep").mkdir(parents=True)
            for part in ("part", "deep/part"):
                (path / part).write_text(f"{part} of {folder}")
            write_manifest(path)
            (path / ".snakemake_timestamp").touch()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} of {folder}")
    record_for(job(rule, folder, outputs, config, inputs, **wildcards)).write()


def record_for(job: SimpleNamespace) -> JobRecord:
    """Return the record of a job from ``job``."""
    return JobRecord(job, [f"{job.rule}.py", f"module_of_{job.rule}.py"])


def job(
    rule: str,
    folder: str,
    outputs: Sequence[str],
    config: dict[str, Any],
    inputs: Sequence[str] = (),
    **wildcards: str,
) -> SimpleNamespace:
    """Return the object that Snakemake gives to the script of such a job."""
    results = Path(config["results"])
    return SimpleNamespace(
        config=config,
        rule=rule,
        wildcards=wildcards,
        params=Params(wildcards=wildcards),
        input=[str(results / file) for file in inputs],
        output=[str(results / folder / name) for name in outputs],
        log=[str(results / "logs" / folder / f"{rule}.log")],
        resources={},
        scriptdir=".",
    )
