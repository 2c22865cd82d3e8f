"""The code that decides a result: its script, the modules that the script reaches, its rule.

A result's path contains a digest of that code (``paths``), so a result of other code never has the
requested name. Only the content of files counts, never their modification times.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..networks.source_names import is_user_code
from ..networks.user_code import LIBRARIES, broken

if TYPE_CHECKING:
    from grimp import ImportGraph

PROJECT = Path(__file__).parents[2]
PACKAGE = "subspace_match"
# What surrounds a job's work: locks, logs, records. No array passes through it (.importlinter), so
# it decides no result.
NEUTRAL = f"{PACKAGE}.workflow"
# The code that lists the layers of each architecture. Planning runs it, no script does.
LISTING = "listing"


class Code:
    """The code of a project, by script.

    Args:
        project: folder with the package, ``workflow_scripts`` and ``rules``.
    """

    def __init__(self, project: str | Path = PROJECT) -> None:
        self.project = Path(project).absolute()
        self._files: dict[str, list[Path]] = {}
        self._sha256 = cache(_sha256)  # many scripts reach the same files

    @property
    def names(self) -> list[str]:
        """The scripts that rules run, and ``LISTING``."""
        scripts = sorted((self.project / "workflow_scripts").glob("*.py"))
        return [script.stem for script in scripts if self._rule_files(script.stem)] + [LISTING]

    def files(self, script: str) -> list[Path]:
        """Return all files that decide what a script (or ``LISTING``) makes, sorted."""
        if script not in self._files:
            if script == LISTING:
                modules, own = {f"{PACKAGE}.experiment.planned_layers"}, []
            else:
                file = self.project / "workflow_scripts" / f"{script}.py"
                modules, own = set(_imported_names(file)), [file, *self._rule_files(script)]
            modules &= self._graph.modules
            reached = modules.union(*map(self._graph.find_upstream_modules, modules))
            sources = {self._sources[module] for module in reached}
            data = (file for folder in {s.parent for s in sources} for file in self._data[folder])
            self._files[script] = sorted({*own, *sources, *data})
        return self._files[script]

    def digest(self, script: str) -> str:
        """Return ten hexadecimal digits: a digest of the names and contents of ``files``."""
        return code_digest(self.project, self.files(script), self._sha256)

    def _rule_files(self, script: str) -> list[Path]:
        return [file for file, text in self._rules.items() if f"/{script}.py" in text]

    @cached_property
    def _rules(self) -> dict[Path, str]:
        """The text of each file of rules."""
        files = (self.project / "rules").glob("*.smk")
        return {file: file.read_text(encoding="utf-8") for file in files}

    @cached_property
    def _sources(self) -> dict[str, Path]:
        """The file of each module of the package."""
        files = (self.project / PACKAGE).rglob("*.py")
        return {_module_in(file.relative_to(self.project)): file for file in files}

    @cached_property
    def _data(self) -> dict[Path, list[Path]]:
        """The files that the modules in each folder may read."""
        folders = {source.parent for source in self._sources.values()}
        return {folder: [*_data_files(folder)] for folder in folders}

    @cached_property
    def _graph(self) -> ImportGraph:
        """Imports between the package's modules, also inside functions, without neutral ones."""
        import grimp

        # Read this project's package, even if another copy of it is imported.
        loaded = sys.modules.pop(PACKAGE, None)
        sys.path.insert(0, str(self.project))
        try:
            graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
        finally:
            sys.path.remove(str(self.project))
            if loaded is not None:
                sys.modules[PACKAGE] = loaded
        for module in {NEUTRAL, *graph.find_descendants(NEUTRAL)}:
            graph.remove_module(module)
        for module in graph.modules - {PACKAGE}:  # importing a module runs its package's __init__
            graph.add_import(importer=module, imported=module.rpartition(".")[0])
        return graph


def _module_in(file: Path) -> str:
    *packages, name = file.parts
    return ".".join([*packages, *([] if name == "__init__.py" else [name.removesuffix(".py")])])


def _data_files(package: Path) -> Iterator[Path]:
    """Yield the files that a package's modules may read: all below it that are no code."""
    for path in package.iterdir():
        if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_files(path)
        elif path.is_file() and path.suffix not in (".py", ".pyi", ".typed"):
            yield path


def module_files(name: str) -> tuple[Path, list[Path]]:
    """Return the code of a user's own network: its module and the user's modules that it imports.

    These are modules in the same package or beside it. Of an installed library only the module
    itself counts.

    Args:
        name: from the configuration, such as "package.module:Network".

    Returns:
        The folder that contains the package or module, and the files, sorted. No files if the
        network is not a user's own.

    Raises:
        ValueError: if there is no such module.
    """
    if not is_user_code(name):
        return Path(), []
    module = name.partition(":")[0]
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
    except Exception as error:  # from a parent package, which find_spec imports
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
        return folder, _reached_below(folder, file)
    except SyntaxError as error:
        raise broken(name, error) from error


def module_digest(name: str) -> str:
    """Return ten hexadecimal digits: a digest of the code of a user's own network."""
    return code_digest(*module_files(name))


def _sha256(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def code_digest(
    folder: Path, files: Iterable[Path], sha256: Callable[[Path], bytes] = _sha256
) -> str:
    """Return ten hexadecimal digits: a digest of files' contents and names below a folder."""
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        content.update(sha256(file))
    return content.hexdigest()[:10]


def _reached_below(folder: Path, start: Path) -> list[Path]:
    """Return a module's file and all files below a folder that it imports, directly or not."""
    reached: set[Path] = set()
    waiting = {start}
    while waiting:
        file = waiting.pop()
        reached.add(file)
        if file.suffix == ".py":
            names = _imported_names(file, file.relative_to(folder).parts[:-1])
            waiting |= {found for name in names for found in _files_of(folder, name)} - reached
    return sorted(reached)


def _imported_names(file: Path, package: Sequence[str] = ()) -> Iterator[str]:
    """Yield the dotted names that a file imports; relative ones start from its package."""
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*parents, *filter(None, [node.module])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _files_of(folder: Path, module: str) -> list[Path]:
    """Return the files that Python runs to import a module: its own and its packages'."""
    parts = module.split(".")
    paths = (folder.joinpath(*parts[:n]) for n in range(1, len(parts) + 1))
    files = (file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py"))
    return [file for file in files if file.is_file()]
