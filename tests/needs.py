"""What a test needs: without it the test is skipped, or fails where no test may be skipped."""

import importlib
import os
from typing import Any, NoReturn

import pytest


def needed(package: str) -> Any:
    """Import a package that the test needs."""
    if not os.environ.get("SUBSPACE_MATCH_TESTS_NEED_ALL"):
        pytest.importorskip(package)
    return importlib.import_module(package)


def without(what: str) -> NoReturn:
    """End a test that lacks something else."""
    if os.environ.get("SUBSPACE_MATCH_TESTS_NEED_ALL"):
        pytest.fail(what)
    pytest.skip(what)
