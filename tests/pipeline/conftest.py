"""Workspaces with and without the results of the tiny configuration."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from parallel import make_once, shared_by_test_processes
from pipeline.workspaces import SECONDS, Workspace, copy_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the tiny configuration has run. Copy it; do not change it."""
    root = shared_by_test_processes(tmp_path_factory) / "finished"

    def make(root: Path) -> None:
        # In fresh processes, as a user runs it; nearly all other runs of the tests are forks.
        run = copy_project(root).start()
        text, _ = run.communicate(timeout=SECONDS)
        assert run.returncode == 0, text
        (root / "complete").write_text(text)

    make_once(root, make)
    return Workspace(root)


@pytest.fixture(scope="session")
def finished_with_seed_2(finished: Workspace) -> Workspace:
    """The finished workspace, with a third network trained. Copy it; do not change it."""
    root = finished.root.with_name("finished_with_seed_2")

    def make(root: Path) -> None:
        shutil.copytree(finished.root, root, symlinks=True)
        Workspace(root).snakemake("--config", "seeds=[0,2]", "--until", "train")

    make_once(root, make)
    return Workspace(root)


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace, with its modification times and Snakemake's records."""
    shutil.copytree(finished.root, tmp_path / "workspace", symlinks=True)
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def workspace_with_seed_2(finished_with_seed_2: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace in which the network of seed 2 is trained too."""
    shutil.copytree(finished_with_seed_2.root, tmp_path / "workspace", symlinks=True)
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def empty_workspace(tmp_path: Path) -> Callable[..., Workspace]:
    """Return a function that copies the project, without results."""
    return lambda *more: copy_project(tmp_path / "empty", *more)
