"""Experiments, comparisons and published results, with real DVC and Git."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
import zarr
from parallel import make_once
from pipeline.forks import environment, forked_environment
from pipeline.workspaces import (
    AGGREGATE,
    BARE,
    FASHION_MNIST,
    MATCHED,
    PROJECT,
    TABLES,
    Run,
    Workspace,
    idx_files,
)

from subspace_match.cli import main
from subspace_match.experiment.code_inputs import Code
from subspace_match.storage.activations import ActivationStore
from subspace_match.storage.files import sha256

# Changes that make a run short.
SHORT = {f"{section}.{key}": v for section, keys in BARE.items() for key, v in keys.items()}
ONE_LAYER = SHORT | {"matching.layers": ["conv1"]}
ONE_NETWORK = {"extract": 1, "top_images": 1}


class Versioned(Workspace):
    """A workspace under Git and DVC."""

    def call(self, *command: str, fails: bool = False, **variables: str) -> str:
        """What a command says; Python, Snakemake and DVC run as forks."""
        result = subprocess.run(
            command,
            cwd=self.root,
            env=forked_environment() | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        text = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, text
        return result.stdout if "--json" in command else text

    def dvc(self, *arguments: str, fails: bool = False, **variables: str) -> str:
        return self.call("dvc", *arguments, fails=fails, **variables)

    def commit(self, message: str) -> None:
        self.call("git", "add", "--all")
        self.call("git", "commit", "--quiet", "--message", message)

    def forget(self) -> None:
        """Go back to the configuration that is committed."""
        self.call("git", "checkout", "--quiet", "--", ".")

    def experiment(self, *options: str, fails: bool = False, **changes: Any) -> Run:
        """An experiment that differs in keys of the configuration."""
        settings = [f"config/config.yaml:{key}={json.dumps(v)}" for key, v in changes.items()]
        flags = [word for setting in settings for word in ("--set-param", setting)]
        return Run(int(fails), self.dvc("exp", "run", *options, *flags, fails=fails))

    def similarity(self) -> pd.DataFrame:
        return pd.read_parquet(self.root / "published" / "tables" / "similarity.parquet")

    def networks(self) -> dict[int, str]:
        """Checksums of the published tables' networks, by seed."""
        table = pd.read_csv(self.root / "published" / "tables" / "networks.csv")
        return dict(zip(table["seed"], table["checkpoint"], strict=True))


@pytest.fixture(scope="session")
def versioned_once(finished_with_seed_2: Workspace) -> Versioned:
    """The finished workspace, versioned and published. Copy it; do not change it."""
    finished = finished_with_seed_2
    root = finished.root.with_name("versioned")
    workspace = Versioned(root)

    def make(root: Path) -> None:
        shutil.copytree(finished.root, root, symlinks=True)
        (root / ".dvc").mkdir()
        shutil.copytree(PROJECT / ".dvc" / "plots", root / ".dvc" / "plots")
        for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore"):
            shutil.copy2(PROJECT / name, root / name)
        workspace.call("git", "init", "--quiet", "--initial-branch", "main")
        workspace.call("git", "config", "user.name", "test")
        workspace.call("git", "config", "user.email", "test@example.org")
        workspace.commit("Project")
        assert Run(0, workspace.dvc("repro")).jobs == {}
        workspace.commit("Seeds 0 and 1")

    make_once(root, make)
    return workspace


@pytest.fixture
def versioned(versioned_once: Versioned, tmp_path: Path) -> Versioned:
    """A copy of the versioned workspace, with its modification times and records."""
    shutil.copytree(versioned_once.root, tmp_path / "versioned", symlinks=True)
    return Versioned(tmp_path / "versioned")


def up_to_date(versioned: Versioned) -> bool:
    """Whether DVC's only stage to run is the one that always runs."""
    return re.findall(r"^(\w+):$", versioned.dvc("status"), re.MULTILINE) == ["contents"]


def test_data_are_published_again_when_code_that_decides_their_key_changes() -> None:
    """Otherwise published/ would hold the tables of one key and the data of another."""
    stage = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]["data"]
    dependencies = [PROJECT / name for name in stage["deps"]]
    files = Code(PROJECT).files("prepare_data")
    files += [PROJECT / "subspace_match" / "experiment" / name for name in ("keys.py", "paths.py")]
    assert [
        file for file in files if not any(file.is_relative_to(each) for each in dependencies)
    ] == []


def test_a_second_repro_runs_nothing(versioned: Versioned) -> None:
    text = versioned.dvc("repro")
    for stage in ("data", "pipeline", "publish"):
        assert f"Stage '{stage}' didn't change, skipping" in text
    assert up_to_date(versioned)
    assert versioned.call("git", "status", "--porcelain") == ""


def test_data_that_was_replaced_under_its_name_is_noticed(
    versioned: Versioned, tmp_path: Path
) -> None:
    idx_files(tmp_path / "data", fill=1)
    versioned.configure(data=FASHION_MNIST | {"root": str(tmp_path / "data")})
    assert Run(0, versioned.dvc("repro", "data")).jobs == {"prepare_data": 1}
    assert "Stage 'data' didn't change, skipping" in versioned.dvc("repro", "data")
    idx_files(tmp_path / "data", fill=2)
    assert Run(0, versioned.dvc("repro", "data")).jobs == {"prepare_data": 1}
    # Without the files, the published data set is used, and that is logged.
    shutil.rmtree(tmp_path / "data")
    text = versioned.dvc("repro", "data")
    assert "found no such folder" in text
    assert "Stage 'data' didn't change, skipping" in text


def test_every_kind_of_result_has_its_provenance(
    versioned_once: Versioned, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, rule in (
        ("results/experiments/*/tables/similarity.parquet", "aggregate"),
        ("results/experiments/*/figures/heat_map.svg", "plot"),
        ("results/matches/*/*/*.path.npz", "match"),
        ("results/nulls/*/*/*.npz", "null"),
        ("results/heat_maps/*/*.npz", "heat_map"),
        ("results/networks/*/seed_1/last.safetensors", "train"),
        ("results/networks/*/seed_1/last.json", "train"),
        ("results/data/*/images.safetensors", "prepare_data"),
        ("results/activations/*/*.seed_1.last.zarr/zarr.json", "extract"),
        ("published/tables/similarity.csv", "aggregate"),
        ("published/figures/heat_map.svg", "plot"),
        ("published/data/*/images.safetensors", "prepare_data"),
        ("published/stores/activations/*/*.seed_1.last.zarr.zip", "extract"),
        ("published/stores/networks/*/seed_1/last.safetensors", "train"),
    ):
        paths = list(versioned_once.root.glob(file))
        assert paths, file
        for path in paths:
            assert main(["provenance", str(path)]) == 0
            found = yaml.safe_load(capsys.readouterr().out)
            assert found["made_by"]["rule"].removesuffix("_heat_map") == rule
            assert found["differs_from_default"]["network"] == {"width": 0.04, "hidden": [8]}
            assert found["config"]["seeds"] == [0, 1]
            assert found["runs"][0]["packages"]["torch"]
    shown = versioned_once.root / "published" / "tables" / "networks.csv"
    assert main(["provenance", str(shown)]) == 0
    of_all = yaml.safe_load(capsys.readouterr().out)["networks_sha256"]
    compared = {name: checksum for name, checksum in of_all.items() if "/last." in name}
    assert set(compared.values()) == set(pd.read_csv(shown)["checkpoint"])


def test_dvc_compares_experiments_by_metrics_and_in_one_plot(versioned: Versioned) -> None:
    run = versioned.experiment("--name=grid", **{"matching.epsilons": [0.1, 0.5]})
    assert run.jobs == {"certify": 1} | TABLES
    assert versioned.networks() == networks_of(versioned, 0, 1)
    command = ("python", "-m", "subspace_match.cli", "provenance", "published/tables/summary.csv")
    own, before = yaml.safe_load(versioned.call(*command))["runs"]
    assert (own["rules"], own["command"]) == (["aggregate", "certify"], "snakemake")
    assert own["commit"] == versioned.call("git", "rev-parse", "main").strip()
    assert "config/config.yaml" in own["changed"]
    # The other jobs ran before there was a repository.
    assert {"train", "match"} < set(before["rules"])
    assert before["commit"] is None

    versioned.forget()
    run = versioned.experiment("--name=seed", seeds=[0, 2], **SHORT)
    assert run.jobs == ONE_NETWORK | MATCHED | TABLES
    assert versioned.networks() == networks_of(versioned, 0, 2)

    shown = json.loads(versioned.dvc("exp", "show", "--json"))
    similarity = {
        name: revision["metrics"]["published/metrics.json"]["data"]["similarity"]
        for name, revision in revisions(shown)
    }
    assert list(similarity["grid"]["conv1"]) == ["0.1", "0.5"]
    assert similarity["grid"]["conv1"]["0.5"] == similarity["main"]["conv1"]["0.5"]
    table = versioned.similarity().groupby(["layer", "epsilon"])["similarity"].mean()
    for layer, by_epsilon in similarity["seed"].items():
        for epsilon, value in by_epsilon.items():
            assert value == pytest.approx(table[layer, float(epsilon)])

    diff = json.loads(versioned.dvc("exp", "diff", "main", "seed", "--all", "--json"))
    metrics = diff["metrics"]["published/metrics.json"]
    assert metrics["accuracy.seed_2"]["new"] > 0
    for layer, by_epsilon in similarity["seed"].items():
        for epsilon, value in by_epsilon.items():
            change = metrics[f"similarity.{layer}.{epsilon}"]
            old = similarity["main"][layer][epsilon]
            assert (change["old"], change["new"]) == (old, value)
            assert change.get("diff", 0) == pytest.approx(value - old)

    plots = json.loads(versioned.dvc("plots", "diff", "main", "seed", "--json"))
    ((name, (plot,)),) = plots["data"].items()
    assert name == "Maximum matching similarity"
    picture = plot["content"]
    assert picture["spec"]["encoding"]["color"]["field"] == "rev"
    assert picture["facet"]["field"] == "epsilon"
    curves = pd.DataFrame(picture["data"]["values"])
    for revision, values in curves.groupby("rev"):
        for row in values.itertuples():
            expected = similarity[str(revision)][row.layer][f"{float(row.epsilon):g}"]
            assert float(row.similarity) == expected
    assert set(curves["rev"]) == {"main", "seed"}


def revisions(shown: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and data of each revision in ``dvc exp show``, except the workspace."""
    for baseline in shown[1:]:
        yield baseline["name"], baseline["data"]
        for experiment in baseline["experiments"] or []:
            (revision,) = experiment["revs"]
            yield experiment["name"], revision["data"]


def networks_of(workspace: Workspace, *seeds: int) -> dict[int, str]:
    """Return the checksums of a workspace's networks, by seed."""
    return {seed: sha256(workspace.network(seed)) for seed in seeds}


def test_experiments_in_their_own_folders_have_their_own_figures(
    versioned: Versioned, workspace_with_seed_2: Workspace
) -> None:
    """With --temp and --queue, each experiment has the network of its own seed."""
    run = versioned.experiment("--temp", "--name=two", seeds=[0, 2], **ONE_LAYER)
    # Published results are restored there.
    assert run.jobs == {"train": 1} | ONE_NETWORK | MATCHED | TABLES
    versioned.experiment("--queue", "--name=three", seeds=[0, 3], **ONE_LAYER)
    versioned.dvc("exp", "run", "--run-all")
    assert versioned.networks() == networks_of(versioned, 0, 1)
    seeds = {"two": 2, "three": 3}

    # The same by Snakemake, without DVC.
    workspace = workspace_with_seed_2
    workspace.configure(seeds=[0, 2, 3])
    workspace.snakemake("--until", "train")
    found = {}
    for name, seed in seeds.items():
        versioned.dvc("exp", "apply", name)
        table = versioned.similarity()
        assert set(zip(table["seed_a"], table["seed_b"], strict=True)) == {(0, seed)}
        assert versioned.networks() == networks_of(workspace, 0, seed)
        figure = versioned.root / "published" / "figures" / "similarity_by_depth.svg"
        found[name] = figure.read_bytes()
    assert len(set(found.values())) == len(seeds)


def test_neither_a_failed_job_nor_a_checkout_mixes_experiments(versioned: Versioned) -> None:
    first = versioned.similarity()
    changes = SHORT | {"seeds": [0, 2]}
    # A job of the new seed fails after others have finished.
    versioned.configure(seeds=[0, 2])
    network = versioned.network(2)
    whole = network.read_bytes()
    network.write_bytes(whole[:-1000])
    versioned.forget()
    assert "expected what the rule train made" in versioned.experiment(fails=True, **changes).text
    assert not (versioned.root / "published" / "tables").exists()
    assert not (versioned.root / "published" / "metrics.json").exists()
    network.write_bytes(whole)
    versioned.experiment(**changes)
    second = versioned.similarity()
    assert set(zip(second["seed_a"], second["seed_b"], strict=True)) == {(0, 2)}
    assert versioned.networks() == networks_of(versioned, 0, 2)

    # The first results are checked out, and the second experiment runs again.
    config = versioned.root / "config" / "config.yaml"
    changed = config.read_bytes()
    versioned.forget()
    versioned.dvc("checkout")
    pd.testing.assert_frame_equal(versioned.similarity(), first)
    config.write_bytes(changed)
    # Without DVC's run cache, so that Snakemake decides.
    assert Run(0, versioned.dvc("repro", "--no-run-cache")).jobs == {}
    pd.testing.assert_frame_equal(versioned.similarity(), second)


def clone(versioned: Versioned, root: Path, **variables: str) -> Versioned:
    """Return a fresh clone into which the pushed files are pulled."""
    versioned.call("git", "clone", "--quiet", str(versioned.root), str(root))
    fresh = Versioned(root)
    fresh.dvc("pull", **variables)
    files = [file for file in (root / "published").rglob("*") if file.is_file()]
    assert len(files) > 60
    for file in files:
        original = versioned.root / file.relative_to(root)
        assert file.read_bytes() == original.read_bytes(), file
    return fresh


def test_a_clone_goes_on_where_published_results_end(versioned: Versioned, tmp_path: Path) -> None:
    versioned.dvc("remote", "add", "--default", "storage", str(tmp_path / "remote"))
    versioned.commit("Remote")
    versioned.dvc("push")
    fresh = clone(versioned, tmp_path / "clone")

    # Results of other code are not restored, nor what was made from them.
    module = fresh.root / "subspace_match" / "matching" / "null.py"
    original = module.read_bytes()
    module.write_bytes(original + b"\n# edited\n")
    text = restore(fresh)
    left_out = re.findall(r"skipped (\S+): made by other code: (\S+)", text)
    assert {Path(name).parts[1] for name, _ in left_out} == {"nulls", "experiments"}
    assert {changed for _, changed in left_out} == {"subspace_match/matching/null.py"}
    assert fresh.snakemake("-n").planned == {"null": 1} | TABLES
    module.write_bytes(original)
    assert "restored the outputs of 4 jobs" in restore(fresh)

    assert "Nothing to be done" in fresh.snakemake("-n").text
    assert up_to_date(fresh)
    assert fresh.tables() == versioned.tables()
    figures = Path(fresh.paths.experiment("figures"))
    drawn = {file.name: file.read_bytes() for file in figures.iterdir()}
    shutil.rmtree(figures)
    assert fresh.snakemake("figures").jobs == {"plot": 1}
    assert {file.name: file.read_bytes() for file in figures.iterdir()} == drawn
    fresh.configure(matching={"layers": ["conv1", "conv3"]}, **BARE)
    assert fresh.make_tables().jobs == MATCHED | AGGREGATE
    # Times of restored files do not matter.
    fresh.configure()
    for module in (fresh.root / "subspace_match").rglob("*.py"):
        module.touch()
    assert "Nothing to be done" in fresh.snakemake("-n").text
    assert "restored the outputs of 0 jobs" in restore(fresh)


def restore(workspace: Versioned) -> str:
    return workspace.call("python", "-m", "workflow_scripts.restore")


def test_a_store_is_published_as_one_file_that_zarr_reads(versioned_once: Versioned) -> None:
    store = Path(versioned_once.paths.activations(versioned_once.key(0)))
    inside = store.relative_to(versioned_once.root / "results")
    packed = versioned_once.root / "published" / "stores" / f"{inside}.zip"
    with zarr.storage.ZipStore(packed, mode="r") as opened:
        group = zarr.open_group(opened, mode="r")
        for layer in ("conv1", "fc1"):
            expected = ActivationStore(store).activations(layer)[:]
            np.testing.assert_array_equal(group[f"activations/{layer}/draw_0"][:], expected)


KEYS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret"}


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Run an S3 server on this machine, whose buckets are the folders in a folder; its address."""
    (folder / "bucket").mkdir(parents=True)
    options = ["--addr", "127.0.0.1:0", "--auth-key", ",".join(KEYS.values())]
    process = subprocess.Popen(
        ["rclone", "serve", "s3", *options, str(folder)],
        env=environment() | {"RCLONE_CONFIG": os.devnull},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        yield next(found[0] for line in lines if (found := re.search(r"http://[\d.:]+", line)))
    finally:
        process.terminate()
        process.communicate()


def test_results_go_to_s3_and_come_back(versioned: Versioned, tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3") as address:
        versioned.dvc("remote", "add", "--default", "storage", "s3://bucket/experiments")
        versioned.dvc("remote", "modify", "storage", "endpointurl", address)
        versioned.commit("Remote")
        wrong = KEYS | {"AWS_SECRET_ACCESS_KEY": "wrong"}
        versioned.dvc("push", fails=True, **wrong)
        versioned.dvc("push", **KEYS)
        assert any((tmp_path / "s3" / "bucket" / "experiments").rglob("*"))
        fresh = clone(versioned, tmp_path / "clone", **KEYS)
    assert "restored the outputs of 18 jobs" in restore(fresh)
    assert "Nothing to be done" in fresh.snakemake("-n").text
