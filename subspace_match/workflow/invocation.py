"""What a run of Snakemake hands over to its jobs, and whether a job finds all as planned.

The paths of a run are planned from the code and from the contents of the user's own files. A job
that starts later, perhaps on another machine, would record the results of other code or other data
under these paths if either was changed meanwhile; so it looks before its work, and again after it.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..experiment.code_inputs import Code, code_digest
from ..experiment.config import differences
from ..experiment.keys import Origins
from ..experiment.user_files import AREA, content_digest

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


def for_jobs(origins: Origins, code: Code) -> dict[str, Any]:
    """What jobs are handed over of a plan, as plain JSON values (``provenance.invocation``)."""
    files = {
        name: [str(file.relative_to(code.project)) for file in code.files(name)]
        for name in code.names
    }
    return {"origins": asdict(origins), "files": files}


def handed_over() -> Origins:
    """What the plan of this run rests on, where it was handed over.

    Raises:
        ValueError: outside of a run of the workflow.
    """
    return Origins(**_known()["origins"])


def code_files(script: str, snakemake: Any) -> list[Path]:
    """The files that decide what a job's script makes, as they were planned."""
    project = Path(snakemake.scriptdir).parent
    return [project / file for file in _known()["files"][script]]


def check_as_planned(script: str, snakemake: Any) -> None:
    """See that a job's code and the files that it reads are still those of the plan.

    Args:
        script: its name, without ".py".
        snakemake: the object that Snakemake gives to a script; its parameter ``reads``, if there is
            one, names the sources.

    Raises:
        ValueError: if one has changed.
    """
    if changed := list(_changed(handed_over(), script, snakemake)):
        raise ValueError(
            f"{snakemake.rule}: expected {' and '.join(changed)} as when the run was planned, found"
            " other content; run snakemake again, what is finished is kept"
        )


def _changed(planned: Origins, script: str, snakemake: Any) -> Iterator[str]:
    files = code_files(script, snakemake)
    project = Path(snakemake.scriptdir).parent
    if not all(file.is_file() for file in files) or (
        code_digest(project, files) != planned.code[script]
    ):
        yield f"the code of {script}"
    cache = Path(snakemake.config["results"], AREA)
    for source in snakemake.params.get("reads", []):
        try:
            held = content_digest(source, cache)
        except FileNotFoundError:
            held = "no such files"
        if held != planned.contents[source]:
            yield f"what is named by {source!r}"


def _known() -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(os.environ[INVOCATION])
    except KeyError as error:
        raise ValueError(f"{INVOCATION}: expected a job of the workflow, found none") from error
    return known
