"""The mathematics imports nothing else of the package, and no reader, workflow or data set."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import subspace_match.matching

FOLDER = Path(subspace_match.matching.__file__).parent
ALLOWED = {"numpy", "scipy", "torch", "numba", "threadpoolctl"}
STANDARD = {"__future__", "abc", "collections", "concurrent", "dataclasses", "functools"}
STANDARD |= {"itertools", "math", "os", "pathlib", "platform", "sys", "typing", "warnings"}


def imported(module: Path) -> set[str]:
    """First names of what a module imports; relative ones begin with a dot for every level."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("module", sorted(FOLDER.rglob("*.py")), ids=lambda module: module.stem)
def test_imports_run_one_way(module):
    own = {"." + path.stem for path in FOLDER.rglob("*.py")}
    assert imported(module) <= ALLOWED | STANDARD | own | {"."}
