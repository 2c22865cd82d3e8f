"""The code that decides a result: its script, the modules that the script reaches, its rule.

A result's path contains a digest of that code (``paths``), so a result of other code never has the
requested name. Only the content of files counts, never their modification times.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
# No version of a library is part of a path, also where a library is installed from its sources.
_NOT_OF_USERS = {*sys.stdlib_module_names, "numpy", "torch", "torchvision", "timm", "transformers"}


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


def module_files(name: str) -> dict[str, Path]:
    """Return the code of a user's own network: its module and the user's modules that it imports.

    Of an installed library only the module itself counts.

    Args:
        name: from the configuration, such as "package.module:Network".

    Returns:
        The files by their paths below the folder from which Python imports them, sorted; empty if
        the network is not a user's own.

    Raises:
        ValueError: if there is no such module.
    """
    if not is_user_code(name):
        return {}
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
        return {file.relative_to(folder).as_posix(): file}
    try:
        return _reached_from(folder, file)
    except SyntaxError as error:
        raise broken(name, error) from error


def module_digest(name: str) -> str:
    """Return ten hexadecimal digits: a digest of the code of a user's own network."""
    return _digest(module_files(name))


def _sha256(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def code_digest(
    folder: Path, files: Iterable[Path], sha256: Callable[[Path], bytes] = _sha256
) -> str:
    """Return ten hexadecimal digits: a digest of files' contents and names below a folder."""
    return _digest({file.relative_to(folder).as_posix(): file for file in files}, sha256)


def _digest(files: Mapping[str, Path], sha256: Callable[[Path], bytes] = _sha256) -> str:
    content = hashlib.sha256()
    for name, file in files.items():
        content.update(f"{name}\0".encode())
        content.update(sha256(file))
    return content.hexdigest()[:10]


def _reached_from(folder: Path, start: Path) -> dict[str, Path]:
    """Return a module's file and all of the user's files that it imports, directly or not.

    Args:
        folder: from which the module is imported.
        start: the module's file.
    """
    reached: set[tuple[Path, Path]] = set()
    waiting = {(folder, start)}
    folders_of = cache(_user_folders)
    while waiting:
        root, file = waiting.pop()
        reached.add((root, file))
        if file.suffix == ".py":
            for name in _imported_names(file, file.relative_to(root).parts[:-1]):
                for other in folders_of(name.partition(".")[0]) or (folder,):
                    waiting |= {(other, found) for found in _files_of(other, name)} - reached
    # In an order that does not depend on where the folders are.
    named = sorted((file.relative_to(root), file) for root, file in reached)
    return {name.as_posix(): file for name, file in named}


def _user_folders(name: str) -> tuple[Path, ...]:
    """Return the folders from which Python imports a top-level name, if it is the user's code.

    These are also folders on PYTHONPATH and of packages that are installed to be edited.
    """
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return ()
    if found is None or name in _NOT_OF_USERS:
        return ()
    modules = found.submodule_search_locations or filter(None, [found.origin])
    folders = [Path(module).absolute().parent for module in modules]
    return tuple(folder for folder in folders if not LIBRARIES & set(folder.parts))


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
