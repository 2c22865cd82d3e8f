"""Folders that test processes share when pytest runs several."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_by_test_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    # An xdist worker has its own folder below that of the run.
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
