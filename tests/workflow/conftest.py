"""Workspaces in which the tiny configuration has run, or nothing has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from workflow.workspaces import Workspace, copy_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the tiny configuration has run; to be copied, not changed."""
    # Test processes that run side by side share it; other calls of pytest, of other code, do not.
    own = tmp_path_factory.getbasetemp()
    root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "finished"
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
