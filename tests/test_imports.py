"""A script's modules are those that it imports, through others too."""

import fnmatch
from pathlib import Path

from subspace_match.imports import modules_of

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "subspace_match"


def modules(script: Path) -> set[str]:
    return {str(module.relative_to(PACKAGE)) for module in modules_of(script)}


MATCHES = {"match", "certify", "measure", "minimal_match", "null", "heat_map", "aggregate"}
NETWORKS = {"initialise", "take_weights", "train", "extract"}
# Of every module of the package, by patterns, the rules whose results it decides.
RULES_OF = {
    ("__init__.py", "*/__init__.py", "artefacts.py", "gpus.py", "jobs.py"): set(),
    ("arrays.py", "cli.py", "imports.py", "matching/exact.py", "report/command.py"): set(),
    ("provenance.py", "publication.py", "whereabouts.py"): set(),
    ("pointers.py", "networks/checkpoints.py"): {"take_weights"},
    # They decide which file is asked for; the page finds its images so.
    ("comparisons.py", "config.py", "layout.py", "report/*.py"): {"report"},
    ("matching/devices.py", "networks/listing.py"): set(),
    ("datasets.py",): {"prepare_data", "initialise", "train", "extract", "plot", "report"},
    ("networks/training.py", "networks/transfer.py"): {"train"},
    ("networks/architectures.py", "networks/weights.py", "networks/memory_order.py"): NETWORKS,
    ("networks/preprocessing.py",): NETWORKS | {"plot", "report"},
    ("networks/images.py",): {"initialise", "train", "extract", "plot", "report"},
    ("networks/records.py",): {"initialise", "take_weights", "train"},
    ("networks/given.py",): {"take_weights"},
    ("networks/extraction.py",): {"extract"},
    ("networks/layer.py", "networks/sampling.py"): {"extract", "null"},
    ("networks/layers.py", "networks/axes.py", "networks/task.py"): {"extract"},
    ("networks/repeatability.py",): {"train", "extract"},
    ("store.py",): {"extract", "match", "null", "heat_map", "top_images"},
    ("top_images.py",): {"top_images"},
    ("matches.py", "matching/[!dehmn]*.py", "matching/minimal_sets.py"): MATCHES,
    ("matching/moments.py",): MATCHES,
    ("matching/minimal*.py",): {"minimal_match"},
    ("matching/null.py",): {"null", "aggregate"},
    ("matching/heat_map.py",): {"heat_map"},
    ("matching/measures/*.py",): {"heat_map", "measure"},
    ("tables.py",): {"aggregate"},
    ("figures/*.py",): {"plot"},
}
# Those of rules.
SCRIPTS = [
    script
    for script in sorted((PROJECT / "workflow_scripts").glob("*.py"))
    if script.stem not in ("publish", "restore")
]


def expected(module: str) -> set[str]:
    """Of the first pattern that fits."""
    for patterns, rules in RULES_OF.items():
        if any(fnmatch.fnmatchcase(module, pattern) for pattern in patterns):
            return rules
    raise AssertionError(f"{module}: say in RULES_OF which rules it decides")


def test_a_rule_depends_on_every_module_that_decides_its_result() -> None:
    reached = {script.stem: modules(script) for script in SCRIPTS}
    for path in PACKAGE.rglob("*.py"):
        module = str(path.relative_to(PACKAGE))
        assert {rule for rule in reached if module in reached[rule]} == expected(module), module


def test_lazy_names_lead_to_their_homes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import subspace_match as sm\n\ndef work():\n    return sm.reduce\n")
    assert "matching/moments.py" in modules(script)
    assert "matching/path.py" not in modules(script)
