"""Make jobs of chosen rules fail or wait, in whichever process they run."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.workspaces import Workspace

# Python runs this when it starts. A job moves each complete output into place and its record last.
# A fault happens at the first of these moves, a kill at the last, which would report success. A
# training also moves its checkpoint into place after each epoch. There it waits.
SITE = """
import errno, json, os, signal, sys, time

def faults():
    with open(os.path.join(os.path.dirname(__file__), "faults.json")) as file:
        return json.load(file)

script = os.path.basename(sys.orig_argv[-1]).split(".")
fault = faults().get(script[1]) if len(script) == 3 and script[2] == "py" else None
checkpoints = 0

def strike(event, arguments):
    global checkpoints
    if event != "os.rename":
        return
    made = os.fspath(arguments[1])
    last = made.endswith(".provenance.json")
    if isinstance(fault, int):
        checkpoints += made.endswith("resume.safetensors")
        while checkpoints > faults().get(script[1], checkpoints):
            time.sleep(0.1)
    elif fault == "killed" and last:
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "ended":
        os.kill(os.getpid(), signal.SIGTERM)
    elif fault == "disk full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    elif fault == "code edited" and not last:
        with open(os.path.join("workflow_scripts", script[1] + ".py"), "a") as edited:
            edited.write("# edited while it ran\\n")

if fault:
    sys.addaudithook(strike)
"""


def strike(workspace: Workspace, folder: Path, **faults: str | int) -> None:
    """Make jobs fail or wait from now on.

    Args:
        workspace: the workspace of the jobs.
        folder: folder for the module that Python reads.
        faults: by script, "killed", "ended" (SIGTERM), "disk full" or "code edited"; for the script
            train also the number of epochs after whose checkpoints it waits until it may go on.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITE)
    # Replaced as a whole, because jobs that wait read it.
    new = folder / "new.json"
    new.write_text(json.dumps(faults))
    new.replace(folder / "faults.json")
    workspace.python_path = folder


def contents(workspace: Workspace) -> dict[str, bytes]:
    """Bytes of everything that jobs made, without logs, times and locks."""
    results = workspace.root / "results"
    files = (file.relative_to(results) for file in results.rglob("*") if file.is_file())
    return {
        str(file): (results / file).read_bytes()
        for file in files
        if file.parts[0] not in ("logs", "benchmarks", "contents")
        and file.name != ".snakemake_timestamp"
        and file.suffix not in (".lock", ".partial")
    }
