"""What a change re-runs: exactly what depends on it."""

import os
from pathlib import Path

import pandas as pd
from workflow.workspaces import Workspace

# Of the tiny configuration's three layers one has minimal matches.
BELOW_STORES = {"match": 3, "minimal_match": 1, "null": 3, "aggregate": 1, "plot": 1}


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_a_changed_epsilon_grid_matches_nothing_again(workspace: Workspace) -> None:
    workspace.configure(matching={"epsilons": [0.1, 0.4]})
    assert workspace.snakemake().jobs == {"aggregate": 1, "plot": 1}
    table = pd.read_parquet(workspace.layout.experiment("tables/similarity.parquet"))
    assert sorted(table["epsilon"].unique()) == [0.1, 0.4]


def test_a_changed_seed_retrains_that_seed_and_what_is_below_it(workspace: Workspace) -> None:
    workspace.configure(seeds=[0, 2])
    run = workspace.snakemake()
    assert run.jobs == {"train": 1, "extract": 1, **BELOW_STORES}
    workspace.configure(seeds=[0, 1])
    assert "Nothing to be done" in workspace.snakemake().text


def test_an_added_layer_is_matched_and_nothing_else(workspace: Workspace) -> None:
    workspace.configure(matching={"layers": ["conv1", "conv5", "fc1", "conv3"]})
    assert workspace.snakemake().jobs == {"match": 1, "null": 1, "aggregate": 1, "plot": 1}
    table = pd.read_parquet(workspace.layout.experiment("tables/similarity.parquet"))
    assert list(table["layer"].unique()) == ["conv1", "conv3", "conv5", "fc1"]


def test_a_changed_training_parameter_retrains(workspace: Workspace) -> None:
    workspace.configure(training={"learning_rate": 0.01})
    run = workspace.snakemake()
    assert run.jobs == {"train": 2, "extract": 2, **BELOW_STORES}


def test_changed_positions_are_extracted_from_the_same_networks(workspace: Workspace) -> None:
    workspace.configure(extraction={"positions": 400})
    run = workspace.snakemake()
    assert run.jobs == {"extract": 2, **BELOW_STORES}


def test_an_edited_matching_module_matches_again(workspace: Workspace) -> None:
    before = workspace.tables()
    append(workspace.root / "subspace_match" / "matching" / "path.py", "\n# edited\n")
    assert workspace.snakemake().jobs == BELOW_STORES
    assert workspace.tables() == before


def test_other_edited_modules_rerun_what_reads_them(workspace: Workspace) -> None:
    package = workspace.root / "subspace_match"
    for module, expected in (
        ("figures.py", {"plot": 1}),
        ("matching/minimal_tree.py", {"minimal_match": 1, "aggregate": 1, "plot": 1}),
        ("tables.py", {"aggregate": 1, "plot": 1}),
        ("matches.py", BELOW_STORES),
        ("matching/peeling.py", BELOW_STORES),
        ("store.py", {"extract": 2} | BELOW_STORES),
        ("networks/training.py", {"train": 2, "extract": 2} | BELOW_STORES),
        ("datasets.py", {"prepare_data": 1, "train": 2, "extract": 2} | BELOW_STORES),
        ("config.py", {}),
    ):
        original = (package / module).read_bytes()
        append(package / module, "\n# edited\n")
        assert workspace.snakemake("-n").planned == expected, module
        (package / module).write_bytes(original)


def test_another_number_of_permutations_matches_nothing_again(workspace: Workspace) -> None:
    workspace.configure(chance={"permutations": 3})
    assert workspace.snakemake("-n").planned == {"null": 3, "aggregate": 1, "plot": 1}
    workspace.configure(chance={"permutations": 0})
    assert workspace.snakemake().jobs == {"aggregate": 1, "plot": 1}
    table = pd.read_parquet(workspace.layout.experiment("tables/similarity.parquet"))
    assert table["p_value"].isna().all()


def test_another_epsilon_of_minimal_matches_finds_those_alone(workspace: Workspace) -> None:
    workspace.configure(minimal_matches={"epsilons": [0.5, 0.4]})
    assert workspace.snakemake().jobs == {"minimal_match": 1, "aggregate": 1, "plot": 1}
    table = pd.read_parquet(workspace.layout.experiment("tables/minimal_matches.parquet"))
    assert set(table["layer"]) == {"conv1"}


def test_an_edited_script_reruns_its_rule(workspace: Workspace) -> None:
    append(workspace.root / "workflow_scripts" / "plot.py", "\n# edited\n")
    assert workspace.snakemake("-n").planned == {"plot": 1}


def test_a_touched_module_reruns_nothing(workspace: Workspace) -> None:
    for module in (workspace.root / "subspace_match").rglob("*.py"):
        os.utime(module)
    assert "Nothing to be done" in workspace.snakemake().text
