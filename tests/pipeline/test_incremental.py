"""A change re-runs exactly what depends on it: the rows of the table in docs/changes.md."""

import os
import shutil
from pathlib import Path

import pandas as pd
import PIL.Image
import pytest
import torch
from pipeline.faults import contents
from pipeline.planned_jobs import missing_jobs
from pipeline.workspaces import (
    AGGREGATE,
    BARE,
    FASHION_MNIST,
    MATCHED,
    MATCHES,
    TABLES,
    Workspace,
    idx_files,
)
from safetensors.torch import load_file

from subspace_match.experiment.comparisons import Network
from subspace_match.storage.activations import ActivationStore

BELOW_MATCHING = MATCHES | {"heat_map": 1} | TABLES
ONE_NETWORK = {"train": 1, "extract": 1, "top_images": 1}
BELOW_NETWORKS = {"extract": 2, "top_images": 2} | BELOW_MATCHING


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_a_changed_epsilon_grid_matches_nothing_again(workspace: Workspace) -> None:
    workspace.configure(matching={"epsilons": [0.1, 0.4]})
    assert workspace.make_tables().jobs == {"certify": 1} | AGGREGATE
    table = pd.read_parquet(workspace.paths.experiment("tables/similarity.parquet"))
    assert sorted(table["epsilon"].unique()) == [0.1, 0.4]


def test_a_changed_seed_retrains_that_seed_and_what_is_below_it(workspace: Workspace) -> None:
    workspace.configure(seeds=[0, 2])
    assert missing_jobs(workspace) == ONE_NETWORK | BELOW_MATCHING


def test_an_added_seed_trains_one_network_and_matches_it_with_the_others(
    workspace: Workspace,
) -> None:
    workspace.configure(seeds=[0, 1, 2])
    two_pairs = dict.fromkeys([*MATCHES, "heat_map"], 2)
    assert missing_jobs(workspace) == ONE_NETWORK | two_pairs | {"consensus": 1} | TABLES


def test_another_architecture_or_data_set_is_an_experiment_beside_the_first(
    workspace: Workspace, tmp_path: Path
) -> None:
    all_networks = {"train": 2} | BELOW_NETWORKS
    workspace.configure(network={"name": "vgg13_bn"})
    assert missing_jobs(workspace) == all_networks
    idx_files(tmp_path / "data", fill=1)
    workspace.configure(data=FASHION_MNIST | {"root": str(tmp_path / "data")})
    assert missing_jobs(workspace) == {"prepare_data": 1} | all_networks
    workspace.configure()
    assert missing_jobs(workspace) == {}


def test_another_version_of_torch_reruns_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """The version is in each result's provenance; --forceall makes everything again."""
    record = tmp_path / "newer" / "torch-99.0.dist-info" / "METADATA"
    record.parent.mkdir(parents=True)
    record.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 99.0\n")
    workspace.python_path = record.parents[1]
    assert "Nothing to be done" in workspace.snakemake().text


def test_an_added_layer_is_matched_with_the_layers_of_its_job(workspace: Workspace) -> None:
    workspace.configure(matching={"layers": ["conv1", "conv5", "fc1", "conv3"]})
    assert workspace.make_tables().jobs == MATCHES | AGGREGATE
    table = pd.read_parquet(workspace.paths.experiment("tables/similarity.parquet"))
    assert list(table["layer"].unique()) == ["conv1", "conv3", "conv5", "fc1"]
    workspace.configure()
    assert missing_jobs(workspace) == {}


def test_a_changed_training_parameter_retrains(workspace: Workspace) -> None:
    workspace.configure(training={"learning_rate": 0.01})
    assert missing_jobs(workspace) == {"train": 2, **BELOW_NETWORKS}


def test_changed_positions_are_extracted_from_the_same_networks(workspace: Workspace) -> None:
    extracted = {"extract": 2, "top_images": 2, **MATCHES, **TABLES}
    workspace.configure(extraction={"positions": 400})
    assert missing_jobs(workspace) == extracted
    workspace.configure(extraction={"draws": 1}, **BARE)
    assert workspace.make_tables().jobs == {"extract": 2, "top_images": 2, **MATCHED, **AGGREGATE}
    table = pd.read_parquet(workspace.paths.experiment("tables/similarity.parquet"))
    assert set(table["draw"]) == {0}


def test_another_heat_map_extracts_only_its_own_samples(workspace: Workspace) -> None:
    before = contents(workspace)
    workspace.configure(heat_map={"positions": 200})
    assert missing_jobs(workspace) == {"extract": 2, "heat_map": 1, **TABLES}
    assert workspace.snakemake("--until", "extract").jobs == {"extract": 2}
    store = ActivationStore(workspace.paths.heat_map_activations(workspace.key(0)))
    assert {store.activations(name).shape[0] for name in store.layers} == {200}
    # Nothing that was there is another file now, so nothing else runs again.
    after = contents(workspace)
    assert {file: after[file] for file in before} == before
    assert missing_jobs(workspace) == {"heat_map": 1, **TABLES}
    workspace.configure(heat_map={"positions": 0})
    assert workspace.make_tables().jobs == AGGREGATE


def test_a_stage_that_is_always_kept_is_extracted_without_training(workspace: Workspace) -> None:
    workspace.configure(stages=["best", "last"], **BARE)
    assert workspace.make_tables().jobs == {"extract": 2, "top_images": 2} | MATCHED | AGGREGATE
    table = pd.read_csv(workspace.paths.experiment("tables/networks.csv"))
    assert table["stage"].tolist() == ["best", "best", "last", "last"]
    summary = pd.read_csv(workspace.paths.experiment("tables/summary.csv"))
    assert summary["comparison"].unique().tolist() == ["best", "last"]


def test_untrained_networks_need_no_training(workspace: Workspace) -> None:
    workspace.configure(stages=["initial"], seeds=[0, 1], training={"epochs": 5})
    assert missing_jobs(workspace) == {"initialise": 2} | BELOW_NETWORKS


def test_a_training_starts_from_the_untrained_network_of_its_seed(workspace: Workspace) -> None:
    """A learning rate of next to nothing leaves the weights that the seed draws."""
    training = {"learning_rate": 1e-30, "epochs": 1, "warmup_epochs": 0}
    workspace.configure(stages=["initial", "last"], training=training)
    files = [
        workspace.paths.network(Network("base", 1, stage), ".safetensors")
        for stage in ("initial", "last")
    ]
    targets = [os.path.relpath(file, workspace.root) for file in files]
    assert workspace.snakemake(*targets).jobs == {"initialise": 1, "train": 1}
    untrained, trained = map(load_file, files)
    weights = [name for name in untrained if name.endswith("weight")]
    assert len(weights) > 8
    for name in weights:
        assert torch.equal(untrained[name], trained[name])


def test_an_edited_matching_module_matches_again(workspace: Workspace) -> None:
    before = workspace.tables()
    append(workspace.root / "subspace_match" / "matching" / "path.py", "\n# edited\n")
    assert missing_jobs(workspace) == BELOW_MATCHING
    assert workspace.make_tables().jobs == MATCHES | {"heat_map": 1} | AGGREGATE
    assert workspace.tables() == before


def test_an_edited_module_reruns_the_rules_that_reach_it(workspace: Workspace) -> None:
    """tests/experiment/test_code_inputs.py covers every rule and module."""
    for file, expected in (
        ("subspace_match/figures/__init__.py", TABLES),
        ("subspace_match/report/page/page.css", TABLES),
        ("subspace_match/matching/measures/__init__.py", {"measure": 1, "heat_map": 1} | TABLES),
        ("subspace_match/networks/training.py", {"train": 2} | BELOW_NETWORKS),
        ("rules/null.smk", {"null": 1} | TABLES),
        ("workflow_scripts/top_images.py", {"top_images": 2} | TABLES),
        ("subspace_match/workflow/job.py", {}),
        ("subspace_match/experiment/paths.py", {}),
    ):
        path = workspace.root / file
        original = path.read_bytes()
        append(path, "\n\n")
        assert missing_jobs(workspace) == expected, file
        path.write_bytes(original)
    # The original code again.
    assert missing_jobs(workspace) == {}


def test_another_number_of_permutations_matches_nothing_again(workspace: Workspace) -> None:
    workspace.configure(chance={"permutations": 39})
    assert missing_jobs(workspace) == {"null": 1, **TABLES}
    workspace.configure(chance={"permutations": 0})
    assert workspace.make_tables().jobs == AGGREGATE
    table = pd.read_parquet(workspace.paths.experiment("tables/similarity.parquet"))
    assert table["p_value"].isna().all()


def test_another_epsilon_of_minimal_matches_finds_those_alone(workspace: Workspace) -> None:
    workspace.configure(minimal_matches={"epsilons": [0.5, 0.4]})
    assert workspace.make_tables().jobs == {"minimal_match": 1, **AGGREGATE}
    table = pd.read_parquet(workspace.paths.experiment("tables/minimal_matches.parquet"))
    assert set(table["layer"]) == {"conv1"}


def test_a_touched_file_reruns_nothing(workspace: Workspace) -> None:
    for folder in ("subspace_match", "workflow_scripts", "rules", "config"):
        for file in (workspace.root / folder).rglob("*.*"):
            os.utime(file)
    assert "Nothing to be done" in workspace.snakemake().text
    # Also without the workflow's profile, where Snakemake's own rules decide what to run again.
    assert "Nothing to be done" in workspace.snakemake("--workflow-profile", "none").text


def test_replaced_and_moved_data_count_by_content(workspace: Workspace, tmp_path: Path) -> None:
    """The new file has the same name, size and time as the old one."""
    root = tmp_path / "data"
    idx_files(root, fill=1)

    def prepared() -> str:
        workspace.configure(data=FASHION_MNIST | {"root": str(root)})
        return os.path.relpath(workspace.paths.data("images.safetensors"), workspace.root)

    first = prepared()
    assert workspace.snakemake("data_sets").jobs == {"prepare_data": 1}
    times = {file: file.stat() for file in root.iterdir()}
    idx_files(root, fill=2)
    for file, status in times.items():
        assert file.stat().st_size == status.st_size
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert prepared() != first
    assert workspace.snakemake("data_sets").jobs == {"prepare_data": 1}
    idx_files(root, fill=1)
    assert prepared() == first
    root = root.rename(tmp_path / "moved")
    assert prepared() == first
    assert (workspace.root / first).exists()
    # Without the files, a data set prepared from that folder is used and that is logged, if it is
    # unique.
    root = root.rename(tmp_path / "data")
    shutil.rmtree(root)
    with pytest.raises(ValueError, match=r"data\.root: expected FashionMNIST's files in"):
        prepared()
    second = {file.name for file in (workspace.root / "results" / "data").iterdir()}
    (other,) = {name for name in second if name.startswith("fashion")} - {Path(first).parent.name}
    shutil.rmtree(workspace.root / "results" / "data" / other)
    text = workspace.snakemake("data_sets").text
    assert "found no files of fashion_mnist" in text
    assert "Nothing to be done" in text


def test_an_image_that_is_added_prepares_the_folder_anew(
    workspace: Workspace, tmp_path: Path
) -> None:
    root = tmp_path / "images"
    for name in ("train/cat/1", "train/dog/1", "test/cat/1", "test/dog/1"):
        image_file(root / f"{name}.png")
    data = {"name": "image_folder", "root": str(root), "image_size": 32, "test_images": None}
    workspace.configure(data=data)
    assert workspace.snakemake("data_sets").jobs == {"prepare_data": 1}
    image_file(root / "test/cat/2.png")
    assert missing_jobs(workspace)["prepare_data"] == 1
    (root / "test/cat/2.png").unlink()
    root.rename(tmp_path / "moved")
    workspace.configure(data=data | {"root": str(tmp_path / "moved")})
    assert "prepare_data" not in missing_jobs(workspace)


def image_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (40, 40), (len(str(path)), 2, 3)).save(path)
