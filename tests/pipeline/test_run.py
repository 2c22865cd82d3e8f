"""The whole pipeline on a tiny configuration."""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pipeline.forks import forked_environment
from pipeline.planned_jobs import missing_jobs
from pipeline.workspaces import (
    AGGREGATE,
    BARE,
    MATCHED,
    MATCHES,
    PROJECT,
    TABLES,
    Run,
    Workspace,
)

import subspace_match as sm
from subspace_match.matching.validation import FEW_SAMPLES, LARGE_GAP
from subspace_match.results.grounding import grounding_table
from subspace_match.results.wording import layers_in_words
from subspace_match.storage.activations import ActivationStore
from subspace_match.workflow.gpu_lock import VISIBLE, exclusive_gpu

LAYERS = ["conv1", "conv5", "fc1"]


def test_each_job_ran_once(finished: Workspace) -> None:
    run = Run(0, (finished.root / "complete").read_text())
    assert run.jobs == {
        "prepare_data": 1,
        "train": 2,
        "extract": 2,
        "top_images": 2,
        "match": 1,
        "certify": 1,
        "measure": 1,
        "heat_map": 1,
        "minimal_match": 1,
        "null": 1,
        "aggregate": 1,
        "plot": 1,
        "report": 1,
    }


def test_no_progress_bar_is_in_the_log_of_a_batch_job(finished: Workspace) -> None:
    text = (finished.root / "complete").read_text()
    assert "%|" not in text
    assert "\r" not in text


def test_a_second_run_has_nothing_to_do(workspace: Workspace) -> None:
    assert "Nothing to be done" in workspace.snakemake().text


def test_the_tables_agree_with_the_activations(finished: Workspace) -> None:
    paths = finished.paths
    table = pd.read_parquet(paths.experiment("tables/similarity.parquet"))
    neurons = pd.read_parquet(paths.experiment("tables/neurons.parquet"))
    stores = [ActivationStore(paths.activations(finished.key(seed))) for seed in (0, 1)]
    assert list(table["layer"].unique()) == LAYERS
    assert sorted(table["epsilon"].unique()) == [0.15, 0.2, 0.25, 0.3, 0.5]
    for (layer, draw), rows in table.groupby(["layer", "draw"]):
        x, y = (store.activations(layer, draw) for store in stores)
        path = sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")
        for row in rows.itertuples():
            match = path.maximum_match(row.epsilon)
            assert (row.matched_a, row.matched_b) == (len(match.x), len(match.y))
            assert row.similarity == path.similarity(row.epsilon)
            certificate = path.verify(row.epsilon, device="cpu")
            assert row.verified
            assert row.certain
            # The pipeline adds up two halves of the images, so last digits differ.
            assert row.margin == pytest.approx(certificate.margin, rel=1e-9)
            assert (row.neurons_a, row.neurons_b) == (x.shape[1], y.shape[1])
            assert row.samples == x.shape[0]
            assert row.neurons_per_sample == x.shape[1] / x.shape[0]
        own = neurons[(neurons["layer"] == layer) & (neurons["network"] == "b")]
        own = own[own["draw"] == draw]
        np.testing.assert_allclose(
            own["critical_epsilon"], path.critical_epsilon_y, rtol=0, atol=1e-12
        )
        np.testing.assert_allclose(own["norm"], np.linalg.norm(y[:].astype(float), axis=0))
    draws = table.groupby("layer")["draw"].nunique()
    # A fully connected layer or a small map has one draw, which is all of it.
    assert draws.to_dict() == {"conv1": 2, "conv5": 2, "fc1": 1}


def test_the_heat_map_agrees_with_the_activations(finished: Workspace) -> None:
    table = pd.read_parquet(finished.paths.experiment("tables/heat_map.parquet"))
    stores = [
        ActivationStore(finished.paths.heat_map_activations(finished.key(seed))) for seed in (0, 1)
    ]
    assert len(table) == 9 * 9 * 5
    for layer_a, layer_b in (("conv1", "conv1"), ("conv2", "fc1"), ("fc1", "conv8")):
        x, y = (store.activations(n) for store, n in zip(stores, (layer_a, layer_b), strict=True))
        assert x.shape[0] == 300
        pair = sm.reduce(x, y, device="cpu")
        path = sm.match_path(pair, device="cpu")
        rows = table[(table["layer_a"] == layer_a) & (table["layer_b"] == layer_b)]
        np.testing.assert_allclose(rows["similarity"], path.similarity(rows["epsilon"].to_numpy()))
        np.testing.assert_allclose(rows["linear_cka"], sm.linear_cka(pair))


def test_layers_of_each_network_are_compared_if_asked_for(workspace: Workspace) -> None:
    workspace.configure(heat_map={"within_networks": True})
    assert missing_jobs(workspace) == {"within_network": 2} | TABLES
    assert workspace.snakemake("--until", "aggregate").jobs == {"within_network": 2} | AGGREGATE
    table = pd.read_parquet(workspace.paths.experiment("tables/within_networks.parquet"))
    store = ActivationStore(workspace.paths.heat_map_activations(workspace.key(1)))
    x, y = store.activations("conv2"), store.activations("fc1")
    own = table[(table["seed"] == 1) & (table["layer_a"] == "conv2") & (table["layer_b"] == "fc1")]
    pair = sm.reduce(x, y, device="cpu")
    values = own.set_index("measure")["value"]
    assert values["linear_cka"] == pytest.approx(sm.linear_cka(pair))
    assert values["area"] == pytest.approx(sm.match_path(pair, device="cpu").area)
    # Two networks allow no correlation, but layers of one network have an order.
    found = grounding_table([Path(workspace.paths.experiment(""))])
    of_layers = found[found["test"] == "monotonicity"]
    assert of_layers["value"].between(0, 1).all()
    assert set(of_layers["count"]) == {2}


def test_top_images_activate_the_neuron_most(finished: Workspace) -> None:
    table = pd.read_parquet(finished.paths.experiment("tables/top_images.parquet"))
    store = ActivationStore(finished.paths.activations(finished.key(1)))
    own = table[(table["key"] == finished.key(1)) & (table["layer"] == "fc1")]
    activations = store.activations("fc1")[:]
    for neuron, rows in own.groupby("neuron"):
        assert rows["rank"].tolist() == list(range(9))
        strongest = np.argsort(-activations[:, neuron], kind="stable")[:9]
        assert rows["image"].tolist() == strongest.tolist()
        assert rows["activation"].tolist() == activations[strongest, neuron].tolist()


def test_csv_and_parquet_hold_the_same(finished: Workspace) -> None:
    for name in ("similarity", "neurons"):
        path = Path(finished.paths.experiment(f"tables/{name}.parquet"))
        parquet, csv = pd.read_parquet(path), pd.read_csv(path.with_suffix(".csv"))
        # An empty text reads as missing.
        text = [column for column in parquet if pd.api.types.is_string_dtype(parquet[column])]
        csv[text] = csv[text].astype(object).fillna("")
        pd.testing.assert_frame_equal(parquet, csv, check_dtype=False, check_exact=True)


def test_the_metrics_are_accuracies_and_similarities(finished: Workspace) -> None:
    metrics = json.loads(Path(finished.paths.experiment("metrics.json")).read_text())
    assert set(metrics["accuracy"]) == {"seed_0", "seed_1"}
    record = json.loads(finished.network(0, ".json").read_text())
    # Networks are compared on the test images of the training.
    assert metrics["accuracy"]["seed_0"] == record["test_accuracy"]
    assert list(metrics["similarity"]) == LAYERS
    assert list(metrics["similarity"]["fc1"]) == ["0.15", "0.2", "0.25", "0.3", "0.5"]


def test_both_networks_are_extracted_at_the_same_samples(finished: Workspace) -> None:
    stores = [ActivationStore(finished.paths.activations(finished.key(seed))) for seed in (0, 1)]
    for layer in stores[0].layers:
        for draw in range(stores[0].layers[layer]["draws"]):
            one, other = (store.samples(layer, draw) for store in stores)
            assert np.array_equal(one, other)
    samples = {name: entry["samples"] for name, entry in stores[0].layers.items()}
    assert samples["conv1"] == 500
    assert samples["fc1"] == 1000


def test_few_samples_are_flagged_with_a_warning(workspace: Workspace) -> None:
    layers = {"layers": ["conv1", "conv5"]}
    workspace.configure(extraction={"positions": 50}, matching=layers, **BARE)
    run = workspace.make_tables()
    table = pd.read_csv(workspace.paths.experiment("tables/similarity.csv"))
    large_gap = table["area"] - table["cross_fitted_area"] > LARGE_GAP
    expected = (table["neurons_per_image"] > FEW_SAMPLES) | large_gap
    assert table["few_samples"].tolist() == expected.tolist()
    assert expected[table["layer"] == "conv5"].all()
    (line,) = re.findall(r"WARNING: (.*): some of the match is chance", run.text)
    crowded, wide = (
        layers_in_words(table.loc[rows, "layer"].unique().tolist(), layers["layers"])
        for rows in (table["neurons_per_image"] > FEW_SAMPLES, large_gap)
    )
    assert line.startswith(f"{crowded}: up to ")
    assert f"; {wide}: an area up to " in line
    assert "FewSamplesWarning" not in run.text  # not repeated by every job that reads activations


def test_many_layers_are_matched_by_several_jobs(workspace: Workspace) -> None:
    """The layers matched before keep their numbers; rows follow the order of layers."""
    few = pd.read_parquet(workspace.paths.experiment("tables/similarity.parquet"))
    plan = workspace.root / "subspace_match" / "experiment" / "plan.py"
    plan.write_text(plan.read_text().replace("LAYERS_PER_JOB = 12", "LAYERS_PER_JOB = 5"))
    minimal_matches = {"layers": ["conv[12]"], "epsilons": [0.9]}
    workspace.configure(matching={"layers": ["*"]}, minimal_matches=minimal_matches)
    run = workspace.make_tables()
    assert {rule: run.jobs[rule] for rule in MATCHES} == dict.fromkeys(MATCHES, 2)
    table = pd.read_parquet(workspace.paths.experiment("tables/similarity.parquet"))
    assert list(table["layer"].unique()) == [*(f"conv{i}" for i in range(1, 9)), "fc1"]
    shared = table[table["layer"].isin(few["layer"].unique())].reset_index(drop=True)
    pd.testing.assert_frame_equal(shared, few)
    minimal = pd.read_parquet(workspace.paths.experiment("tables/minimal_matches.parquet"))
    assert list(minimal["layer"].unique()) == ["conv1", "conv2"]


def test_several_pairs_are_all_matched(workspace_with_seed_2: Workspace) -> None:
    workspace = workspace_with_seed_2
    workspace.configure(seeds=[0, 1, 2], **BARE)
    run = workspace.make_tables()
    extracted = {"extract": 1, "top_images": 1}
    assert run.jobs == extracted | dict.fromkeys(MATCHED, 2) | {"consensus": 1} | AGGREGATE
    table = pd.read_csv(workspace.paths.experiment("tables/similarity.csv"))
    pairs = set(zip(table["seed_a"], table["seed_b"], strict=True))
    assert pairs == {(0, 1), (0, 2), (1, 2)}
    neurons = pd.read_parquet(workspace.paths.experiment("tables/universality.parquet"))
    others = neurons.groupby("seed")["others"].unique().map(list).to_dict()
    assert others == {0: [2], 1: [2], 2: [2]}
    # A consensus is a match in every pair, so it needs at least as large an epsilon in every draw.
    pair = pd.read_parquet(workspace.paths.experiment("tables/neurons.parquet"))
    keys = ["layer", "seed_a", "seed_b", "network", "neuron"]
    over_draws = pair.fillna({"critical_epsilon": 1.0}).groupby(keys)["critical_epsilon"].mean()
    alive = neurons[~neurons["dead"]].set_index(["layer", "seed", "neuron"])["consensus_epsilon"]
    for (layer, seed_a, seed_b, side, neuron), critical in over_draws.items():
        seed = seed_a if side == "a" else seed_b
        if (layer, seed, neuron) in alive.index:
            assert alive[layer, seed, neuron] >= critical - 1e-8


def test_a_missing_gpu_is_an_error(workspace: Workspace) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    workspace.configure(seeds=[0, 5], device="cuda")
    text = workspace.snakemake("--until", "train", fails=True).text
    assert "ERROR: device: expected a CUDA device for 'cuda', found none" in text


def test_jobs_get_a_gpu_that_no_other_process_uses(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPUs are only names, so each job fails and names the one it was given."""
    if torch.cuda.is_available():
        pytest.skip("there is one")
    visible = "4,7"
    monkeypatch.setenv(VISIBLE, visible)
    workspace.configure(training={"epochs": 1, "warmup_epochs": 0})
    with exclusive_gpu(print):
        assert os.environ[VISIBLE] == "4"
        monkeypatch.setenv(VISIBLE, visible)
        text = workspace.snakemake("--until", "train", fails=True).text
    promise = r"ERROR: device: expected the GPU of CUDA_VISIBLE_DEVICES=(\d), found no CUDA device"
    assert re.findall(promise, text) == ["7", "7"]


def test_an_experiment_holds_only_what_differs(workspace: Workspace) -> None:
    (workspace.root / "mine.yaml").write_text("matching: {epsilons: [0.4]}\n")
    assert missing_jobs(workspace, "mine.yaml") == {"certify": 1} | TABLES
    assert "Nothing to be done" in workspace.snakemake("--config", "seeds=[1,0]").text


def test_the_graph_can_be_drawn(workspace: Workspace) -> None:
    graph = workspace.snakemake("--dag").text
    assert "digraph snakemake_dag" in graph
    assert "group: conv1-fc1-" in graph


def test_snakemakes_lint_finds_nothing_else() -> None:
    """One finding is accepted: no rule names a conda environment or a container.

    pyproject.toml and constraints.txt describe one environment for the whole project; nobody would
    test a second description.
    """
    result = subprocess.run(
        ["snakemake", "--lint"],
        cwd=PROJECT,
        env=forked_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    findings = re.findall(r"^    \* (.*):$", result.stdout + result.stderr, re.MULTILINE)
    assert set(findings) == {"Specify a conda environment or container for each rule."}
