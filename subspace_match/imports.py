"""Which modules of this package a script's result depends on.

Snakemake re-runs a rule when one of its inputs has changed; it does not see that a module has which
the rule's script imports. So each rule has those modules among its inputs, found by following the
imports through the package.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from . import _HOME as _LAZY

_PACKAGE = Path(__file__).parent
_NAME = _PACKAGE.name
# They carry results, name them or choose where to compute, and change no number.
_NEUTRAL = {
    "__init__.py",
    "artefacts.py",
    "devices.py",
    "gpus.py",
    "job_record.py",
    "jobs.py",
    "locks.py",
    "provenance.py",
    "whereabouts.py",
}


def modules_of(script: str | Path) -> list[Path]:
    """Files of the package's modules that a script reaches, at its top or inside functions.

    Args:
        script: a Python file; the package's lazy names (``subspace_match.reduce``) are followed to
            their homes.

    Returns:
        Sorted paths.
    """
    reached: set[Path] = set()
    waiting = set(_imports(Path(script)))
    while waiting:
        module = waiting.pop()
        reached.add(module)
        # The package's own __init__ loads nothing until a name is asked for.
        if module != _PACKAGE / "__init__.py":
            waiting |= set(_imports(module)) - reached
    return sorted(module for module in reached if module.name not in _NEUTRAL)


def file_of_module(name: str) -> list[str]:
    """The file that defines a user's own network, if the network's name is an import path of one.

    Args:
        name: of the configuration, such as "package.module:Network".

    Returns:
        One path or none.

    Raises:
        ValueError: if there is no such module.

    Example:
        >>> file_of_module("resnet20"), file_of_module("torchvision:vgg16")
        ([], [])
    """
    module, colon, _ = name.partition(":")
    if not colon or module == "torchvision":
        return []
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        found = None
    if found is None or found.origin is None:
        raise ValueError(
            f"network.name: expected a module that can be imported before the colon, found {name!r}"
            f"; run where {module.partition('.')[0]} is, or put its folder on PYTHONPATH"
        )
    return [found.origin]


def _imports(file: Path) -> Iterator[Path]:
    inside = file.is_relative_to(_PACKAGE)
    home = [_NAME, *file.relative_to(_PACKAGE).parts[:-1]] if inside else []
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    imported = [alias for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    package_names = {alias.asname or _NAME for alias in imported if alias.name == _NAME}
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = home[: len(home) - node.level + 1] if node.level else []
            base = ".".join([*package, *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in package_names
        ):
            names = [_NAME + _LAZY.get(node.attr, "")]
        else:
            continue
        for name in names:
            yield from _file_of(name)


def _file_of(dotted: str) -> Iterator[Path]:
    first, *rest = dotted.split(".")
    path = _PACKAGE.joinpath(*rest)
    if first == _NAME:
        candidates = path.with_suffix(".py"), path / "__init__.py"
        yield from (candidate for candidate in candidates if candidate.exists())
