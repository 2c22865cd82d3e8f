"""CPU time that Snakemake needs to plan, which every call of it pays.

    python benchmarks/bench_planning.py

Dry runs without any results, in a copy of the project: a small experiment, one with all 190 pairs
of 20 seeds, and one with 109 layers, 10 seeds and 3 stages that compares all pairs of seeds at each
stage. The first call also lists the layers of the architecture. Seconds of one core, including
Python's start and imports, as in a terminal.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import yaml
from timing import cpu_of_programs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from pipeline.workspaces import PROJECT, Run, Workspace, copy_project

EXPERIMENTS = {
    "20 layers, 2 seeds": {"network": {"name": "resnet20"}},
    "10 layers, 20 seeds": {"seeds": list(range(20))},
    "109 layers, 10 seeds, 3 stages": {
        "network": {"name": "resnet110"},
        "seeds": list(range(10)),
        "stages": ["initial", "best", "last"],
    },
}
REPEATS = 2


def dry_run(workspace: Workspace) -> Run:
    command = ("--dry-run", "--quiet", "rules", "--configfile", "mine.yaml")
    with workspace.start(*command) as process:
        text, _ = process.communicate()
    if process.returncode:
        sys.exit(text)
    return Run(0, text)


def plan(workspace: Workspace) -> tuple[float, int]:
    """Return the CPU seconds and the number of jobs of a dry run."""
    seconds, run = cpu_of_programs(lambda: dry_run(workspace))
    return seconds, sum(run.planned.values())


def main() -> None:
    print(f"{'experiment':>32} {'jobs':>7} {'first, CPU s':>13} {'dry run, CPU s':>15}")
    for name, experiment in EXPERIMENTS.items():
        with tempfile.TemporaryDirectory() as folder:
            workspace = copy_project(Path(folder, "project"))
            shutil.copy2(PROJECT / "config" / "config.yaml", workspace.root / "config")
            (workspace.root / "mine.yaml").write_text(yaml.safe_dump(experiment))
            first, jobs = plan(workspace)
            again = min(plan(workspace)[0] for _ in range(REPEATS))
        print(f"{name:>32} {jobs:7,} {first:13.1f} {again:15.1f}", flush=True)


if __name__ == "__main__":
    main()
