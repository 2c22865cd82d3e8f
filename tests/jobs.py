"""Jobs as Snakemake hands them to a script, that leave small files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from subspace_match.artefacts import write_manifest
from subspace_match.job_record import JobRecord


class Params(list[Any]):
    """A job's parameters, by name."""

    def __init__(self, **named: Any) -> None:
        super().__init__(named.values())
        self._named = named

    def keys(self) -> list[str]:
        return list(self._named)


class Inputs(list[str]):
    """All of a job's inputs, of which those named ``code`` can be asked for."""

    def __init__(self, made_from: list[str], code: list[str]) -> None:
        super().__init__([*made_from, *code])
        self._code = code

    def get(self, name: str, default: list[str]) -> list[str]:
        return self._code if name == "code" else default


def leave(
    rule: str,
    folder: str,
    outputs: Sequence[str],
    config: dict[str, Any],
    inputs: Sequence[str] = (),
    **wildcards: str,
) -> None:
    """Make a job's outputs and its record, as ``subspace_match.jobs.run`` does.

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
    JobRecord(job(rule, folder, outputs, config, inputs, **wildcards), f"{rule}.py").write()


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
        input=Inputs([str(results / file) for file in inputs], [f"module_of_{rule}.py"]),
        output=[str(results / folder / name) for name in outputs],
        log=[str(results / "logs" / folder / f"{rule}.log")],
        resources={},
        scriptdir=".",
    )
