"""The script that checks and measures a GPU runs, here on the CPU and at small sizes."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline import forks

ROOT = Path(__file__).parents[1]


def test_the_gpu_script_runs_on_a_cpu() -> None:
    """All of it but the tests, which the test run has anyway."""
    parts = ["pairs", "extraction", "training", "times"]
    ended = forks.run("python", "benchmarks/gpu.py", "--cpu", *parts, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^[1-9]\d* passed, 0 failed$", ended.stdout, re.MULTILINE), ended.stdout
    for row in ("reduce 32 + 32", "path 64 + 64", "null 32 + 32", "extraction, ResNet-18"):
        assert re.search(rf"^{re.escape(row)}.* x ", ended.stdout, re.MULTILINE), ended.stdout
