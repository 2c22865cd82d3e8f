"""Workspaces in which the tiny configuration has run, or nothing has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from pipeline.workspaces import Workspace, copy_project


def shared_by_test_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests, the same for those that run side by side."""
    base = tmp_path_factory.getbasetemp()
    # One of several has its folder below the run's; else the one above is all runs', of other code.
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the tiny configuration has run; to be copied, not changed."""
    root = shared_by_test_processes(tmp_path_factory) / "finished"
    with FileLock(f"{root}.lock"):
        if not (root / "complete").exists():
            shutil.rmtree(root, ignore_errors=True)
            run = copy_project(root).snakemake()
            (root / "complete").write_text(run.text)
    return Workspace(root)


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace, modification times and Snakemake's records included."""
    shutil.copytree(finished.root, tmp_path / "workspace", symlinks=True)
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def empty_workspace(tmp_path: Path) -> Callable[..., Workspace]:
    """A copy of the project in which nothing has run."""
    return lambda *more: copy_project(tmp_path / "empty", *more)
