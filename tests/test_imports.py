"""A script's modules are those that it imports, through others too."""

from pathlib import Path

import pytest

from subspace_match.imports import modules_of

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "subspace_match"
MATCHING = {f"matching/{name}.py" for name in ("factor", "moments", "path", "peeling", "spans")}


def modules(script: Path) -> set[str]:
    return {str(module.relative_to(PACKAGE)) for module in modules_of(script)}


@pytest.mark.parametrize(
    ("rule", "needed", "others"),
    [
        ("prepare_data", {"datasets.py"}, {"networks/images.py", "tables.py"}),
        (
            "train",
            {"datasets.py", "networks/training.py", "networks/architectures.py"},
            {"networks/extraction.py", "store.py", "tables.py", *MATCHING},
        ),
        (
            "extract",
            {"networks/extraction.py", "networks/layers.py", "networks/images.py", "store.py"},
            {"networks/training.py", "tables.py", *MATCHING},
        ),
        ("match", {"store.py", "matches.py", *MATCHING}, {"tables.py", "networks/training.py"}),
        ("null", {"matching/null.py", "networks/sampling.py", *MATCHING}, {"tables.py"}),
        ("minimal_match", {"matching/minimal_tree.py", *MATCHING}, {"tables.py", "store.py"}),
        ("aggregate", {"tables.py", "matches.py"}, {"figures/frame.py", "store.py"}),
        ("plot", {"figures/frame.py", "figures/depth.py"}, {"tables.py", *MATCHING}),
    ],
)
def test_each_rule_depends_on_what_its_script_imports(
    rule: str, needed: set[str], others: set[str]
) -> None:
    found = modules(PROJECT / "workflow_scripts" / f"{rule}.py")
    assert needed <= found
    assert not others & found


def test_lazy_names_lead_to_their_homes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import subspace_match as sm\n\ndef work():\n    return sm.reduce\n")
    assert "matching/moments.py" in modules(script)
    assert "matching/path.py" not in modules(script)


def test_planning_modules_are_nobody_s() -> None:
    planning = {"layout.py", "config.py", "comparisons.py", "imports.py", "gpus.py", "jobs.py"}
    for script in (PROJECT / "workflow_scripts").glob("*.py"):
        if script.stem != "publish":
            assert not planning & modules(script)
