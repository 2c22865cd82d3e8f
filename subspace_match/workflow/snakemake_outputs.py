"""How the workflow's rules treat files: ages decide nothing, and old outputs stay until replaced.

A path names what made its content, so modification times carry no information: rules wrap inputs in
``any_age``. A new output replaces the old one in one step (``storage.files``), so the old one must
stay until then, however the job ends: rules wrap outputs in Snakemake's ``update``, and
``keep_outputs`` stops Snakemake from copying or deleting them. Outputs count with the record of
their job alone (``require_records``), which is written last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

# First, because modules of Snakemake import each other in a circle.
import snakemake.api  # type: ignore[import-untyped]
import snakemake.persistence  # type: ignore[import-untyped]
from snakemake.dag import DAG  # type: ignore[import-untyped]
from snakemake.io import _IOFile, ancient  # type: ignore[import-untyped]
from snakemake.jobs import Job  # type: ignore[import-untyped]

from ..storage.job_records import SUFFIX, Records, check

Found = str | list[str]


def any_age(workflow: Any, path: Found | Callable[[Any], Found]) -> Callable[[Any], Any]:
    """Return an input function whose files do not make a job run because they are made again.

    In a forced run they do, so that Snakemake also forces the jobs that read forced outputs.
    ``path`` is a path with wildcards, a list of paths without, or a function of the wildcards.
    """

    def found(wildcards: Any) -> Any:
        if callable(path):
            named = path(wildcards)
        elif isinstance(path, str):
            named = path.format(**dict(wildcards.items()))
        else:
            named = list(path)
        return named if is_forced(workflow) else ancient(named)

    return found


def is_forced(workflow: Any) -> bool:
    """Return whether finished results are made again (--force, --forceall, --forcerun)."""
    settings = workflow.dag_settings
    return bool(settings.forceall or settings.forcetargets or settings.forcerun)


def keep_outputs() -> None:
    """Stop Snakemake from copying outputs before a job and deleting complete ones after it."""
    for storage in vars(snakemake.persistence).values():
        if "backup_output" in getattr(storage, "__dict__", {}):
            # A job never leaves half an output, so there is nothing to copy.
            storage.backup_output = storage.cleanup_backup = lambda *_: None
            storage.restore_output = _is_complete


def require_records() -> None:
    """Let Snakemake count an output as missing while the record of its job is missing.

    A job can be killed, with Snakemake, between its outputs and its record. Only the outputs are
    inputs of other jobs, so Snakemake would not look for the record.
    """
    missing_output = Job.missing_output

    async def with_records(job: Any, requested: Iterable[Any]) -> AsyncIterator[Any]:
        files = list(requested)
        async for file in missing_output(job, files):
            yield file
        for record in _records_of(job, files):
            if not await record.exists():
                yield record

    Job.missing_output = with_records


def _records_of(job: Any, files: Iterable[Any]) -> list[Any]:
    """Return the records of some outputs of a job that are not among them."""
    records = {str(file): file for file in job.output if str(file).endswith(SUFFIX)}
    named = {str(file) for file in files}
    own = {f"{file}{SUFFIX}" for file in named} & records.keys()
    # Either an output has a record of its own, or there is one for all.
    return [records[name] for name in sorted((own or {*records}) - named)]


def ignore_times() -> None:
    """Stop Snakemake from comparing times of inputs, outputs and scripts.

    ``ancient`` does not hold in forced runs, nor for the check that ends a job, which fails after a
    whole job if an input comes from a machine whose clock is fast.
    """

    async def never(_file: object, _time: float) -> bool:
        return False

    async def unchecked(*_: object) -> None:
        pass

    async def none(_job: object) -> AsyncIterator[Any]:
        nothing: list[Any] = []
        for file in nothing:
            yield file

    _IOFile.is_newer = never
    # It calls outputs older that are not newer than the script.
    Job.outputs_older_than_script_or_notebook = none
    DAG.check_output_mtime = unchecked


def _is_complete(_persistence: object, path: Path) -> bool:
    """Return whether a failed job left an earlier job's output; if not, Snakemake deletes it."""
    try:
        if path.name.endswith(SUFFIX):
            return path.exists()
        check(path.absolute(), Records().required(path))
    except ValueError:  # no output, no record, or one of them is damaged
        return False
    except OSError:  # one that may not be read can be whole, so it stays
        return True
    return True
