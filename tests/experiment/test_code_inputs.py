"""The files that decide a rule's result: its script, the modules it reaches, its rule file."""

import ast
import os
import shutil
import sys
from pathlib import Path

import pytest
from pipeline import forks

from subspace_match.experiment.code_inputs import (
    LISTING,
    PROJECT,
    Code,
    module_digest,
    module_files,
)

PACKAGE = PROJECT / "subspace_match"
CODE = Code()
PARTS = ("publish", "restore", "contents")  # scripts that no rule runs
SCRIPTS = {file.stem for file in (PROJECT / "workflow_scripts").glob("*.py")} - {*PARTS}
ALL = SCRIPTS | {LISTING}
PATHS = {"match", "null", "heat_map", "within_network", "consensus", "aggregate"}
MATCHES = PATHS | {"certify", "measure", "minimal_match"}
NETWORKS = {"initialise", "load_pretrained", "train", "extract"}
# The rules that each room decides, and those of modules that fewer rules reach than their room.
RULES_OF = {
    "": ALL,
    "matching": MATCHES | {"train", "extract", "plot", "report", LISTING},
    "matching/backends": MATCHES | {"plot", "report"},
    "matching/device_names.py": MATCHES | {"train", "extract", "plot", "report"},
    "matching/layer_pairs.py": {"heat_map"},
    "matching/measures": {"heat_map", "within_network", "measure"},
    "matching/minimal/search.py": {"minimal_match"},
    "matching/null.py": {"null"},
    "matching/path.py": MATCHES,
    "networks": NETWORKS | {"null", "plot", "report", LISTING},
    "networks/architectures.py": NETWORKS | {LISTING},
    "networks/extraction.py": {"extract"},
    "networks/layer_graph.py": {"extract", LISTING},
    "networks/sampling.py": {"extract", "null"},
    "networks/training.py": {"train"},
    "data": {"train", "extract", "plot", "report", "prepare_data", LISTING},
    "storage": ALL,
    "storage/activations.py": (PATHS | {"extract", "top_images"}) - {"aggregate"},
    "storage/job_records.py": {"report"},
    "storage/match_files.py": MATCHES - {"within_network"},
    "experiment": {"report", LISTING},
    "experiment/planned_layers.py": {LISTING},
    "results": PATHS | {"top_images", "plot", "report"},
    "results/tables.py": {"aggregate"},
    "figures": {"plot"},
    "report": {"report"},
    "workflow": set(),
}
# Modules of other rooms than these decide what runs, not what comes out.
ROOMS = ("matching", "networks", "data", "storage", "results", "figures", "report")
# Only the command line and users call these.
UNREACHED = {
    "figures/of_folder.py",
    "matching/minimal/exact.py",
    "matching/reduction/streaming.py",
    "results/findings.py",
    "results/grounding.py",
    "storage/arrays.py",
    "storage/outputs.py",
}


def names(script: str) -> set[str]:
    return {str(file.relative_to(PROJECT)) for file in CODE.files(script)}


def test_every_rule_has_code() -> None:
    assert set(CODE.names) == ALL


@pytest.mark.parametrize("place", RULES_OF)
def test_a_room_decides_the_results_of_these_rules(place: str) -> None:
    path = PACKAGE / place
    files = {path} if path.suffix else {*path.glob("*.py" if not place else "**/*.py")}
    assert files
    assert {name for name in ALL if files & set(CODE.files(name))} == RULES_OF[place]


def test_every_other_module_decides_some_rule() -> None:
    """The import graph would miss a module that is imported by its name as a string."""
    modules = {file for room in ROOMS for file in (PACKAGE / room).rglob("*.py")}
    reached = {file for script in ALL for file in CODE.files(script)}
    assert {str(file.relative_to(PACKAGE)) for file in modules - reached} == UNREACHED


@pytest.mark.parametrize("script", ["measure", "report"])
def test_python_loads_no_other_module(script: str) -> None:
    code = {name for name in names(script) if name.endswith(".py")}
    paths = [Path(name).with_suffix("") for name in code if name.startswith("subspace_match")]
    modules = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    loading = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    loading += "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('subspace_m')))"
    answer = forks.run("python", "-c", loading, *modules, cwd=PROJECT)
    assert answer.returncode == 0, answer.stderr
    loaded = {str(Path(file).relative_to(PROJECT)) for file in answer.stdout.split()}
    assert len(loaded) > 10
    assert loaded <= code


def test_code_imports_from_modules_and_not_by_the_lazy_names() -> None:
    """The import graph does not know where ``subspace_match.reduce`` is defined."""
    known = {path.stem for path in PACKAGE.iterdir()} | {"__version__"}
    files = {file for name in ALL for file in CODE.files(name) if file.suffix == ".py"}
    for file in files - {PACKAGE / "__init__.py"}:
        depth = len(file.parts) - len(PACKAGE.parts)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert "subspace_match" not in [alias.name for alias in node.names], file
            elif isinstance(node, ast.ImportFrom) and (
                node.module == "subspace_match" or (node.level == depth and not node.module)
            ):
                assert {alias.name for alias in node.names} <= known, file


def test_the_script_its_rule_file_and_the_data_files_of_its_modules_belong_to_its_code() -> None:
    assert {"workflow_scripts/extract.py", "rules/extract.smk"} <= names("extract")
    assert "workflow_scripts/match.py" not in names("minimal_match")
    assert "subspace_match/experiment/schema.yaml" in names(LISTING)
    parts = [file.name for file in (PACKAGE / "report" / "page").iterdir()]
    assert {f"subspace_match/report/page/{part}" for part in parts} <= names("report")
    assert len(parts) > 5


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("subspace_match", "workflow_scripts", "rules"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    return tmp_path


def test_only_content_matters_not_folders_or_times(project: Path) -> None:
    before = {name: CODE.digest(name) for name in CODE.names}
    for file in project.rglob("*.py"):
        os.utime(file, (0, 0))
    copied = Code(project)
    assert {name: copied.digest(name) for name in copied.names} == before
    # One of many files named __init__.py.
    registry = project / "subspace_match" / "matching" / "measures" / "__init__.py"
    registry.write_text(registry.read_text() + "\n")
    edited = Code(project)
    changed = {name for name in before if edited.digest(name) != before[name]}
    assert changed == {"heat_map", "within_network", "measure"}


def test_imports_count_unless_only_a_type_checker_reads_them(project: Path) -> None:
    module = project / "subspace_match" / "storage" / "files.py"
    text = module.read_text()
    for line, reached in (
        ("import subspace_match.results.tables", True),
        ("def late():\n    from ..results import tables", True),
        ("if TYPE_CHECKING:\n    from ..results import tables", False),
    ):
        module.write_text(f"{text}\n{line}\n")
        files = {file.name for file in Code(project).files("prepare_data")}
        assert ("tables.py" in files) == reached, line


USER_MODULES = {
    "bundle/__init__.py": "",
    "bundle/deep/__init__.py": "from ..constants import SIZE\n",
    "bundle/deep/net.py": "import beside\nfrom . import parts\n\ndef Net():\n    import late\n",
    "bundle/deep/parts.py": "import torch\nfrom bundle import more\n",
    "bundle/constants.py": "SIZE = 1\n",
    "bundle/more.py": "",
    "beside.py": "",
    "late.py": "",
    "bundle/unused.py": "",
    "unused.py": "",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in USER_MODULES.items():
        file = tmp_path / "own" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "bundle"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path / "own"


def test_a_users_network_counts_with_the_users_modules_that_it_imports(
    own: Path,
) -> None:
    name = "bundle.deep.net:Net"
    files = module_files(name)
    assert files == {n: own / n for n in sorted(USER_MODULES) if "unused" not in n}
    before = module_digest(name)
    for file in USER_MODULES:
        (own / file).write_text(USER_MODULES[file] + "# edited\n")
        assert (module_digest(name) != before) == ("unused" not in file), file
        (own / file).write_text(USER_MODULES[file])
    assert module_digest(name) == before
    assert [*module_files("beside:Net")] == ["beside.py"]


ELSEWHERE = {
    "shared/__init__.py": "import beside\n",
    "shared/blocks.py": "import alone, stale, scipy, timm\n",
    "shared/unused.py": "",
    "spread/first.py": "",
    "alone.py": "",
    "beside.py": "",
    "timm.py": "",
}
HIDDEN = {"stale.py": "", "spread/second.py": "", "scipy/__init__.py": "import unused\n"}


def test_modules_elsewhere_on_the_path_count_too(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modules are found as Python finds them; a library's own checkout does not count."""
    (own / "bundle/more.py").write_text("import shared.blocks, spread.first, spread.second\n")
    for folder, files in (("elsewhere", ELSEWHERE), ("site-packages", HIDDEN)):
        for name, text in files.items():
            file = tmp_path / folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    elsewhere = tmp_path / "elsewhere"
    counting = {*ELSEWHERE} - {"shared/unused.py", "timm.py"}
    found = module_files("bundle.deep.net:Net")
    assert {n: f for n, f in found.items() if elsewhere in f.parents} == {
        name: elsewhere / name for name in sorted(counting)
    }
    assert {*found} - counting == {n for n in USER_MODULES if "unused" not in n} - {"beside.py"}
    before = module_digest("bundle.deep.net:Net")
    for name, text in ELSEWHERE.items():
        (elsewhere / name).write_text(f"{text}# edited\n")
        assert (module_digest("bundle.deep.net:Net") != before) == (name in counting), name
        (elsewhere / name).write_text(text)
    monkeypatch.syspath_prepend(str(elsewhere.rename(tmp_path / "a")))
    assert module_digest("bundle.deep.net:Net") == before


def test_only_the_named_module_of_an_installed_library_counts(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = own.with_name("site-packages")
    own.rename(installed)
    monkeypatch.syspath_prepend(str(installed))
    assert [*module_files("bundle.deep.net:Net")] == ["bundle/deep/net.py"]


def test_a_missing_module_is_named() -> None:
    with pytest.raises(ValueError, match=r"network.name: expected a module.*'no_such.module:Net'"):
        module_files("no_such.module:Net")


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("bundle/deep/net.py", "def Net(:", "SyntaxError: "),
        ("bundle/deep/parts.py", "caf\xe9 = 1", "SyntaxError: "),
        ("bundle/__init__.py", "SIZE = 1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_the_error_of_failing_user_code_names_the_line(
    own: Path, file: str, text: str, line: str
) -> None:
    (own / file).write_text(f"{text}\n", encoding="latin-1")
    with pytest.raises(ValueError, match="expected code that makes a network") as caught:
        module_files("bundle.deep.net:Net")
    assert f"{own / file}, line 1 ({line}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./bundle/net.py:Net", "bundle/net:Net", "net.py:Net"])
def test_a_file_name_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="expected a module with dots before the colon"):
        module_files(name)
