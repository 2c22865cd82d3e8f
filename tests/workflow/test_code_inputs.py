"""Every module that can change a rule's result is an input of that rule.

Snakemake does not see that an imported module has changed, so the rules list them. This follows
the imports of each script through the package and compares.
"""

import ast
import re
from pathlib import Path

import pytest
from workflow.workspaces import PROJECT

PACKAGE = PROJECT / "subspace_match"
# What these do cannot change a result's numbers: they carry it, or plan the work.
NEUTRAL = {"__init__", "artefacts", "config", "jobs", "layout", "networks/__init__"}
NEUTRAL |= {"matching/__init__", "matching/devices", "networks/listing", "networks/weights"}


def module_file(dotted: str) -> str | None:
    """A module's or package's file, relative to the package and without its ending."""
    relative = "/".join(dotted.split(".")[1:])
    for candidate in (relative, f"{relative}/__init__".lstrip("/")):
        if (PACKAGE / f"{candidate}.py").exists():
            return candidate
    return None


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, at its top or inside a function."""
    inside = path.is_relative_to(PACKAGE)
    package = ["subspace_match", *path.relative_to(PACKAGE).parts[:-1]] if inside else []
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            home = ".".join([*base, *filter(None, [node.module])])
            names = [home, *(f"{home}.{alias.name}" for alias in node.names)]
        else:
            continue
        own = [name for name in names if name.split(".")[0] == "subspace_match"]
        found |= {file for name in own if (file := module_file(name)) is not None}
    return found


def closure(path: Path) -> set[str]:
    """Modules that a script reaches, through others too; the package's lazy names included."""
    reached: set[str] = set()
    waiting = imports(path)
    if "import subspace_match as sm" in path.read_text():
        waiting |= {"matching/moments", "matching/path"}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        if module != "__init__":  # it loads nothing until a name is asked for
            waiting |= imports(PACKAGE / f"{module}.py") - reached
    return reached


def inputs(rule: str) -> set[str]:
    """Modules that a rule, or a rule whose product it reads, lists."""
    listed = {}
    for file in (PROJECT / "rules").glob("*.smk"):
        text = file.read_text()
        for name in re.findall(r"^rule (\w+):", text, re.MULTILINE):
            call = re.search(r"code=code\((.*?)\)", text, re.DOTALL)
            listed[name] = set(re.findall(r'"([\w/]+)"', call.group(1))) if call else set()
    order = ["prepare_data", "train", "extract", "match", "aggregate", "plot"]
    upstream = order[: order.index(rule) + 1]
    return set().union(*(listed[name] for name in upstream))


@pytest.mark.parametrize("rule", ["prepare_data", "train", "extract", "match", "aggregate", "plot"])
def test_each_script_s_modules_are_inputs(rule: str) -> None:
    missing = closure(PROJECT / "workflow_scripts" / f"{rule}.py") - NEUTRAL - inputs(rule)
    assert missing == set()
