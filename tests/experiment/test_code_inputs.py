"""What a rule depends on: its script, every module that this reaches, its rule file."""

import ast
import fnmatch
import os
import shutil
import sys
from pathlib import Path

import pytest

from subspace_match.experiment.code_inputs import (
    LISTING,
    NEUTRAL,
    PROJECT,
    Code,
    module_digest,
    module_files,
)

PACKAGE = PROJECT / "subspace_match"
CODE = Code()
# Those of rules.
SCRIPTS = {
    script.stem
    for script in (PROJECT / "workflow_scripts").glob("*.py")
    if script.stem not in ("publish", "restore", "contents")
}
ALL = SCRIPTS | {LISTING}
MATCHES = {"match", "certify", "measure", "minimal_match", "null", "heat_map", "aggregate"}
NETWORKS = {"initialise", "load_pretrained", "train", "extract"}
IMAGES = {"initialise", "train", "extract", "plot", "report"}
# Of every module of the package, by patterns, the rules whose results it decides.
RULES_OF = {
    ("__init__.py", "artefacts.py"): ALL,
    ("matching/__init__.py",): MATCHES | {"train", "extract"},
    ("networks/__init__.py",): NETWORKS | IMAGES | {"null", LISTING},
    ("figures/__init__.py",): {"plot"},
    ("report/__init__.py",): {"report"},
    ("jobs.py", "plan.py", "contents.py", "gpus.py", "imports.py", "provenance.py"): set(),
    ("job_record.py", "locks.py"): set(),
    # Names that come from a file are checked wherever one is read.
    ("archives.py",): IMAGES | {"prepare_data", LISTING},
    ("plain_yaml.py",): {LISTING, "report"},
    ("arrays.py", "cli.py", "zarr_arrays.py", "matching/exact.py"): set(),
    ("pointers.py", "networks/weight_files.py"): {"load_pretrained", LISTING},
    ("report/command.py",): set(),
    # They decide which file is asked for, and so its name.
    ("paths.py", "publication.py", "prune.py"): set(),
    ("networks/listing.py",): {LISTING},
    ("comparisons.py", "config.py"): {LISTING, "report"},
    ("report/*.py",): {"report"},
    ("matching/devices.py",): MATCHES | {"train", "extract"},
    ("datasets.py",): IMAGES | {"prepare_data", LISTING},
    ("networks/training.py", "networks/transfer.py"): {"train"},
    ("networks/checkpoint.py", "networks/stages.py"): {"train"},
    ("networks/architectures.py",): NETWORKS | {LISTING},
    ("networks/weights.py",): NETWORKS,
    ("networks/preprocessing.py",): NETWORKS | {"plot", "report", LISTING},
    ("networks/images.py",): IMAGES,
    ("networks/records.py",): {"initialise", "load_pretrained", "train"},
    ("networks/given.py",): {"load_pretrained", LISTING},
    ("networks/extraction.py",): {"extract"},
    ("networks/layer.py",): {"extract", "null", LISTING},
    ("networks/sampling.py",): {"extract", "null"},
    ("networks/layers.py", "networks/axes.py"): {"extract", LISTING},
    ("networks/task.py",): {"extract", LISTING},
    ("networks/memory_order.py",): NETWORKS,
    ("networks/repeatability.py",): {"train", "extract"},
    ("store.py",): {"extract", "match", "null", "heat_map", "top_images"},
    ("top_images.py",): {"top_images"},
    ("matches.py", "matching/[!dehmn]*.py", "matching/minimal_sets.py"): MATCHES,
    ("matching/deviations.py", "matching/moments.py"): MATCHES,
    ("matching/minimal*.py",): {"minimal_match"},
    ("matching/null.py",): {"null", "aggregate"},
    ("matching/heat_map.py",): {"heat_map"},
    ("matching/measures/*.py",): {"heat_map", "measure"},
    ("tables.py",): {"aggregate"},
    ("figures/*.py",): {"plot"},
}


def names(script: str) -> set[str]:
    return {str(file.relative_to(PROJECT)) for file in CODE.files(script)}


def expected(module: str) -> set[str]:
    """Of the first pattern that fits."""
    for patterns, rules in RULES_OF.items():
        if any(fnmatch.fnmatchcase(module, pattern) for pattern in patterns):
            return rules
    raise AssertionError(f"{module}: say in RULES_OF which rules it decides")


def test_a_rule_depends_on_every_module_that_decides_its_result() -> None:
    reached = {script: names(script) for script in CODE.names}
    assert set(reached) == ALL
    for path in PACKAGE.rglob("*.py"):
        module = str(path.relative_to(PACKAGE))
        found = {rule for rule in reached if f"subspace_match/{module}" in reached[rule]}
        assert found == expected(module), module


def test_modules_that_carry_no_numbers_are_named_in_full_and_load_no_arrays() -> None:
    arrays = {"numpy", "pandas", "scipy", "sklearn", "torch", "torchvision", "zarr", "safetensors"}
    for name in NEUTRAL:
        file = PROJECT.joinpath(*name.split(".")).with_suffix(".py")
        imported = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).partition(".")[0])
        assert not imported & arrays, name


def test_the_script_its_rule_file_and_the_files_of_a_module_belong_to_its_code() -> None:
    assert {"workflow_scripts/extract.py", "rules/extract.smk"} <= names("extract")
    assert "workflow_scripts/match.py" not in names("minimal_match")
    parts = [file.name for file in (PACKAGE / "report" / "page").iterdir()]
    assert {f"subspace_match/report/page/{part}" for part in parts} <= names("report")
    assert len(parts) > 5


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("subspace_match", "workflow_scripts", "rules"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    return tmp_path


def test_content_decides_and_neither_place_nor_time(project: Path) -> None:
    before = {name: CODE.digest(name) for name in CODE.names}
    for file in project.rglob("*.py"):
        os.utime(file, (0, 0))
    copied = Code(project)
    assert {name: copied.digest(name) for name in copied.names} == before
    # What a base name would hide.
    registry = project / "subspace_match" / "matching" / "measures" / "__init__.py"
    registry.write_text(registry.read_text() + "\n")
    edited = Code(project)
    changed = {name for name in before if edited.digest(name) != before[name]}
    assert changed == {"heat_map", "measure"}


def test_lazy_names_lead_to_their_homes(project: Path) -> None:
    script = project / "workflow_scripts" / "match.py"
    reduction = "subspace_match/matching/reduction/moments.py", "subspace_match/matching/path.py"
    for text in ("import subspace_match as sm\nsm.reduce\n", "from subspace_match import reduce\n"):
        script.write_text(f"def work():\n    {text.strip().replace(chr(10), '; ')}\n")
        files = {str(file.relative_to(project)) for file in Code(project).files("match")}
        assert [module in files for module in reduction] == [True, False], text


def test_what_only_a_type_checker_reads_decides_nothing(project: Path) -> None:
    script = project / "workflow_scripts" / "match.py"
    for guard, reached in (("TYPE_CHECKING", False), ("True", True)):
        script.write_text(f"if {guard}:\n    import subspace_match.results.tables\n")
        files = {file.name for file in Code(project).files("match")}
        assert ("tables.py" in files) == reached


OWN = {
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
    for name, text in OWN.items():
        file = tmp_path / "own" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "bundle"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path / "own"


def test_a_network_of_ones_own_counts_with_what_it_imports_in_its_package_and_beside_it(
    own: Path,
) -> None:
    name = "bundle.deep.net:Net"
    folder, files = module_files(name)
    assert folder == own
    assert {str(file.relative_to(own)) for file in files} == {n for n in OWN if "unused" not in n}
    before = module_digest(name)
    for file in OWN:
        (own / file).write_text(OWN[file] + "# edited\n")
        assert (module_digest(name) != before) == ("unused" not in file), file
        (own / file).write_text(OWN[file])
    assert module_digest(name) == before
    assert [file.name for file in module_files("beside:Net")[1]] == ["beside.py"]


def test_what_is_installed_is_a_library(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = own.with_name("site-packages")
    own.rename(installed)
    monkeypatch.syspath_prepend(str(installed))
    assert [file.name for file in module_files("bundle.deep.net:Net")[1]] == ["net.py"]


def test_a_module_that_is_not_there_is_named() -> None:
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
def test_code_of_ones_own_that_fails_is_named_with_its_line(
    own: Path, file: str, text: str, line: str
) -> None:
    (own / file).write_text(f"{text}\n", encoding="latin-1")
    with pytest.raises(ValueError, match="expected code that makes a network") as caught:
        module_files("bundle.deep.net:Net")
    assert f"{own / file}, line 1 ({line}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./bundle/net.py:Net", "bundle/net:Net", "net.py:Net"])
def test_a_files_name_is_no_modules(name: str) -> None:
    with pytest.raises(ValueError, match="expected a module with dots before the colon"):
        module_files(name)
