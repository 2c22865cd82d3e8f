"""Jobs as Snakemake hands them to a script, that leave small files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from subspace_match.storage.files import write_manifest
from subspace_match.workflow.record_writer import JobRecord


class Params(list[Any]):
    """A job's parameters, by name."""

    def __init__(self, **named: Any) -> None:
        super().__init__(named.values())
        self._named = named

    def keys(self) -> list[str]:
        return list(self._named)


def leave(
    rule: str,
    folder: str,
    outputs: Sequence[str],
    config: dict[str, Any],
    inputs: Sequence[str] = (),
    **wildcards: str,
) -> None:
    """Make a job's outputs and its record, as ``subspace_match.workflow.job.run`` does.

    Args:
        rule: its name, and that of its script and of its one module, which are made if need be.
        folder: of the outputs, relative to the results.
        outputs: relative to the folder; a folder's name ends with "/".
        config: complete.
        inputs: relative to the results.
        wildcards: of the job.
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
    record_of(job(rule, folder, outputs, config, inputs, **wildcards)).write()


def record_of(job: SimpleNamespace) -> JobRecord:
    """The record of a job, of such code."""
    return JobRecord(job, [f"{job.rule}.py", f"module_of_{job.rule}.py"])


def job(
    rule: str,
    folder: str,
    outputs: Sequence[str],
    config: dict[str, Any],
    inputs: Sequence[str] = (),
    **wildcards: str,
) -> SimpleNamespace:
    """What Snakemake gives to the script of such a job."""
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
