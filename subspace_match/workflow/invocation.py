"""What a run of Snakemake tells its jobs, and the check that code and data are still as planned.

The paths of a run contain digests of the code and of the user's own files. If these changed after
planning, a job would write results of other code or data under the planned paths. So each job
checks them before and after its work.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..experiment.code_inputs import Code, code_digest
from ..experiment.config import differences
from ..experiment.keys import Origins
from ..experiment.user_files import AREA, NoFilesError, content_digest

# Environment variable with the JSON text of ``invocation``; jobs inherit it.
INVOCATION = "SUBSPACE_MATCH_INVOCATION"


def invocation(
    project: str | Path, config: Mapping[str, Any], default: Mapping[str, Any], **more: Any
) -> str:
    """Return what a run of Snakemake tells its jobs, as JSON.

    Args:
        project: folder of the workflow.
        config: complete configuration.
        default: complete default configuration.
        more: ``forced``, whether to make existing results again, and ``plan_for_jobs``.
    """
    changes = _git(project, "diff", "--name-only", "HEAD")
    known = {
        "command": shlex.join(["snakemake", *sys.argv[1:]]),
        "commit": _git(project, "rev-parse", "HEAD"),
        "changed": None if changes is None else changes.splitlines(),
        "differs": differences(config, default),
    }
    return json.dumps(known | more)


def _git(folder: str | Path, *arguments: str) -> str | None:
    """Return Git's output, None without Git or outside a repository."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def plan_for_jobs(origins: Origins, code: Code) -> dict[str, Any]:
    """Return the digests and code files of a plan as plain JSON values, for ``invocation``."""
    root, names = code.project, code.names
    files = {name: [str(file.relative_to(root)) for file in code.files(name)] for name in names}
    return {"origins": asdict(origins), "files": files}


def planned_origins() -> Origins:
    """Return the digests of code and data that this run was planned with.

    Raises:
        ValueError: outside a run of the workflow.
    """
    return Origins(**_known()["origins"])


def code_files(script: str, snakemake: Any) -> list[Path]:
    """Return the planned code files of a job's script."""
    project = Path(snakemake.scriptdir).parent
    return [project / file for file in _known()["files"][script]]


def check_as_planned(script: str, snakemake: Any) -> None:
    """Check that a job's code and the user's files that it reads are unchanged since planning.

    Args:
        script: its name without ".py".
        snakemake: the object that Snakemake gives to a script; its optional parameter ``reads``
            lists the sources (``user_files``) that the job reads.

    Raises:
        ValueError: if any of them changed.
    """
    planned, files, changed = planned_origins(), code_files(script, snakemake), []
    if not all(file.is_file() for file in files) or (
        code_digest(Path(snakemake.scriptdir).parent, files) != planned.code[script]
    ):
        changed.append(f"the code of {script}")
    cache = Path(snakemake.config["results"], AREA)
    for source in snakemake.params.get("reads", []):
        try:
            found = content_digest(source, cache)
        except FileNotFoundError as error:
            lost = "none" if isinstance(error, NoFilesError) else f"no {error.filename}"
            raise ValueError(
                f"{snakemake.rule}: expected the files of {source!r}, which this job reads, found"
                f" {lost}; bring them back and run snakemake again, finished results are kept"
            ) from error
        if found != planned.contents[source]:
            changed.append(f"what is named by {source!r}")
    if changed:
        raise ValueError(
            f"{snakemake.rule}: expected {' and '.join(changed)} as when the run was planned, found"
            " other content; run snakemake again, finished results are kept"
        )


def _known() -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(os.environ[INVOCATION])
    except KeyError as error:
        raise ValueError(f"{INVOCATION}: expected a job of the workflow, found none") from error
    return known
