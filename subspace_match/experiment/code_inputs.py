"""Which code makes a result: its script, the modules that the script reaches, its rule.

A result's path carries a digest of that code (``paths``), so that a result of other code never has
the name that is asked for. What counts is what the files hold, never their times.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from ..networks.user_code import LIBRARIES, broken

PROJECT = Path(__file__).parents[2]
_NAME = "subspace_match"
# They stand around a job's work, and no array and no table passes through them: which GPU a job
# takes, its lock, its log, the record of what made a result, whether the code is as planned. None
# imports a library of arrays; a test holds that.
NEUTRAL = {
    f"{_NAME}.experiment.code_inputs",
    f"{_NAME}.experiment.origins",
    f"{_NAME}.experiment.user_files",
    f"{_NAME}.storage.job_records",
    f"{_NAME}.workflow.file_lock",
    f"{_NAME}.workflow.gpu_lock",
    f"{_NAME}.workflow.invocation",
    f"{_NAME}.workflow.job",
    f"{_NAME}.workflow.provenance",
    f"{_NAME}.workflow.record_writer",
}
# What the plan reads instead of a script's result: the layers of each architecture.
LISTING = "listing"


class Code:
    """The code of a project, by script.

    Args:
        project: folder that holds the package, ``workflow_scripts`` and ``rules``.
    """

    def __init__(self, project: str | Path = PROJECT) -> None:
        """Read nothing yet."""
        self.project = Path(project).absolute()
        self._tree = _Tree(self.project, [_NAME])
        self._files: dict[str, list[Path]] = {}

    def files(self, script: str) -> list[Path]:
        """All files that decide what a script makes, sorted.

        Args:
            script: its name without ".py", or ``LISTING``.
        """
        if script not in self._files:
            named = f"workflow_scripts/{script}.py"
            rules = [path for path, text in self._rules.items() if named in text]
            if script == LISTING:
                named = f"{_NAME}/experiment/planned_layers.py"
            self._files[script] = sorted([*self._reached(self.project / named), *rules])
        return self._files[script]

    @cached_property
    def _rules(self) -> dict[Path, str]:
        files = (self.project / "rules").glob("*.smk")
        return {file: file.read_text(encoding="utf-8") for file in files}

    def _reached(self, script: Path) -> list[Path]:
        neutral = {file for name in NEUTRAL for file in self._tree.files_of(name)}
        # The package's own __init__ stands for itself.
        neutral -= set(self._tree.files_of(_NAME))
        return self._tree.reached(script, neutral)

    def digest(self, script: str) -> str:
        """Ten hexadecimal digits that stand for the names and contents of a script's files."""
        return code_digest(self.project, self.files(script))

    @property
    def names(self) -> list[str]:
        """Every rule's script, and the listing of layers."""
        scripts = sorted((self.project / "workflow_scripts").glob("*.py"))
        named = (f"workflow_scripts/{script.name}" for script in scripts)
        rules = "".join(self._rules.values())
        return [Path(name).stem for name in named if name in rules] + [LISTING]


def module_files(name: str) -> tuple[Path, list[Path]]:
    """The code of a user's own network: its module, and what that imports of its own.

    Its own is what lies in its package or beside it; what is installed is a library, of which only
    the module itself counts.

    Args:
        name: of the configuration, such as "package.module:Network".

    Returns:
        The folder that holds the package or module, and the files, sorted. No files for a network
        that is not a user's own.

    Raises:
        ValueError: if there is no such module.

    Example:
        >>> module_files("resnet20")[1], module_files("torchvision:vgg16")[1]
        ([], [])
    """
    module, colon, _ = name.partition(":")
    if not colon or module == "torchvision":
        return Path(), []
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError(
            f"network.name: expected a module of your own before the colon, found {name!r}, a"
            " name of Python's standard library; rename the module if it is yours"
        )
    if "/" in module or module.endswith(".py"):
        raise ValueError(
            "network.name: expected a module with dots before the colon, such as"
            f" 'package.module:Network', found {name!r}, the name of a file"
        )
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    except Exception as error:  # of a package above the module, which is loaded to look into it
        raise broken(name, error) from error
    if found is None or found.origin is None or not Path(found.origin).is_file():
        raise ValueError(
            f"network.name: expected a module that can be imported before the colon, found {name!r}"
            f"; run where {module.partition('.')[0]} is, or put its folder on PYTHONPATH"
        )
    file = Path(found.origin).absolute()
    depth = module.count(".") + (file.name == "__init__.py")
    folder = file.parents[depth]
    if LIBRARIES & set(file.parts) or file.suffix != ".py":
        return folder, [file]
    try:
        return folder, _Tree(folder).reached(file)
    except SyntaxError as error:
        raise broken(name, error) from error


def module_digest(name: str) -> str:
    """Ten hexadecimal digits that stand for the code of a user's own network."""
    return code_digest(*module_files(name))


def code_digest(folder: Path, files: Iterable[Path]) -> str:
    """Ten hexadecimal digits that stand for the names and contents of files below a folder."""
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        content.update(hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()[:10]


class _Tree:
    """Modules below a folder, and what they import of one another.

    Args:
        folder: that holds the top-level modules and packages.
        names: of those of them that count; None for all.
    """

    def __init__(self, folder: Path, names: Iterable[str] | None = None) -> None:
        self._folder = folder
        self._names = None if names is None else set(names)
        self._imported: dict[Path, set[Path]] = {}

    def reached(self, start: Path, without: Iterable[Path] = ()) -> list[Path]:
        """The files that a file reaches, at its top or inside functions, itself included.

        Args:
            start: a Python file.
            without: files that are left out, and what only they reach.
        """
        neutral, reached, waiting = set(without), set(), {start}
        while waiting:
            file = waiting.pop()
            reached.add(file)
            waiting |= self._imports(file) - reached - neutral
        return sorted(reached | {data for file in reached for data in _data_of(file)})

    def files_of(self, dotted: str) -> Iterator[Path]:
        """The file of a module, and those of the packages in which it is, which are loaded too."""
        first, *rest = dotted.split(".")
        if self._names is not None and first not in self._names:
            return
        path = self._folder / first
        for name in [None, *rest]:
            path = path / name if name else path
            for candidate in (path.with_suffix(".py"), path / "__init__.py"):
                if candidate.is_file():
                    yield candidate

    def _imports(self, file: Path) -> set[Path]:
        if file not in self._imported:
            names = set(self._names_in(file)) if file.suffix == ".py" else set()
            self._imported[file] = {found for name in names for found in self.files_of(name)}
        return self._imported[file]

    def _names_in(self, file: Path) -> Iterator[str]:
        inside = file.is_relative_to(self._folder)
        home = list(file.relative_to(self._folder).parts[:-1]) if inside else []
        nodes = list(_executed(ast.parse(file.read_bytes(), str(file))))
        imported = [alias for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        package_names = {alias.asname or _NAME for alias in imported if alias.name == _NAME}
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                package = home[: len(home) - node.level + 1] if node.level else []
                base = ".".join([*package, *filter(None, [node.module])])
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
                if base == _NAME:
                    yield from (self._home_of(alias.name) for alias in node.names)
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in package_names
            ):
                yield self._home_of(node.attr)

    def _home_of(self, name: str) -> str:
        """The module that a lazy name of the package (``subspace_match.reduce``) leads to."""
        return _NAME + self._homes.get(name, "")

    @cached_property
    def _homes(self) -> dict[str, str]:
        tree = ast.parse((self._folder / _NAME / "__init__.py").read_bytes())
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
                homes: dict[str, str] = ast.literal_eval(node.value)
                return homes
        return {}


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """A syntax tree's nodes, but for those that only a type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _executed(other)
        else:
            yield from _executed(child)


def _data_of(module: Path) -> list[Path]:
    """The files that a module reads as its own: those in a folder of its name beside it."""
    folder = module.with_suffix("")
    if module.name == "__init__.py" or not folder.is_dir():
        return []
    files = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return [file for file in files if file.suffix != ".py"]
