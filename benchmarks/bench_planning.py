"""How long Snakemake plans, which every call of it pays.

    python benchmarks/bench_planning.py

A dry run with nothing computed yet, in a copy of the project: of a small experiment, and of one
with 109 layers, 10 seeds and 3 stages, all pairs of seeds compared at each. The layers are listed
before, as in any second call. Seconds, as there is nothing else to compare with.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[1]
PARTS = ("Snakefile", "rules", "workflow_scripts", "subspace_match", "config", "profiles")
EXPERIMENTS = {
    "20 layers, 2 seeds": {"network": {"name": "resnet20"}},
    "109 layers, 10 seeds, 3 stages": {
        "network": {"name": "resnet110"},
        "seeds": list(range(10)),
        "stages": ["initial", "best", "last"],
    },
}
REPEATS = 2


def plan(root: Path) -> tuple[float, int]:
    """Seconds and jobs of a dry run of the experiment in a folder."""
    quiet = ["--dry-run", "--quiet", "rules"]
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", *quiet, "--configfile", "mine.yaml"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    # The table of jobs is before the plan and after it.
    jobs = re.findall(r"^total +(\d+)$", result.stdout + result.stderr, re.MULTILINE)
    return seconds, int(jobs[-1])


def main() -> None:
    print(f"{'experiment':>32} {'jobs':>7} {'first, s':>9} {'dry run, s':>11}")
    for name, experiment in EXPERIMENTS.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for part in PARTS:
                copy = shutil.copytree if (PROJECT / part).is_dir() else shutil.copy2
                copy(PROJECT / part, root / part)
            (root / "mine.yaml").write_text(yaml.safe_dump(experiment))
            first, jobs = plan(root)
            again = min(plan(root)[0] for _ in range(REPEATS))
        print(f"{name:>32} {jobs:7,} {first:9.1f} {again:11.1f}", flush=True)


if __name__ == "__main__":
    main()
