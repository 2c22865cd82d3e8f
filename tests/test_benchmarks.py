"""Benchmarks that write settings and tables themselves follow those of the package."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from pipeline import forks

ROOT = Path(__file__).parents[1]


def test_the_benchmark_of_training_trains() -> None:
    ended = forks.run("python", "benchmarks/bench_training.py", "0.02", "1", "1", cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^from the device .* images/s", ended.stdout, re.MULTILINE), ended.stdout


@pytest.mark.parametrize("images", [0, 20])
def test_the_runs_of_the_benchmark_of_pages_have_a_page(
    images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The benchmark's program runs as a fork."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(sys, "executable", str(forks.folder() / "python"))
    benchmark = importlib.import_module("bench_report")
    run = benchmark.run_of(benchmark.Size([3, 4], draws=2, images=images), tmp_path)
    page = tmp_path / "report.html"
    benchmark.made(run, page)
    assert page.stat().st_size > 100_000
