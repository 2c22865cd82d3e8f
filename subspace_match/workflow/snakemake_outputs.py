"""How the workflow's rules treat files: ages decide nothing, and old outputs stay until replaced.

A path names what made its content, so modification times carry no information: rules wrap inputs in
``any_age``. A new output replaces the old one in one step (``storage.files``), so the old one must
stay until then, however the job ends: rules wrap outputs in Snakemake's ``update``, and
``keep_outputs`` stops Snakemake from copying or deleting them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import snakemake.persistence  # type: ignore[import-untyped]
from snakemake.io import ancient  # type: ignore[import-untyped]

from ..storage.job_records import SUFFIX, Records, check

Found = str | list[str]


def any_age(workflow: Any, path: Found | Callable[[Any], Found]) -> Callable[[Any], Any]:
    """Return an input function that ignores modification times.

    In a forced run times count, so that Snakemake also forces the jobs that read forced outputs.
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


def _is_complete(_persistence: object, path: Path) -> bool:
    """Return whether a failed job left an earlier job's output; if not, Snakemake deletes it."""
    if path.name.endswith(SUFFIX):
        return path.exists()
    try:
        check(path.absolute(), Records().required(path))
    except ValueError:  # no output, no record, or one of them is damaged
        return False
    return True
