"""Killed, damaged, failed: nothing wrong is ever reported, nothing computed is lost."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from workflow.workspaces import TINY, Workspace, environment


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill Snakemake and its jobs, as a machine's end would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_killed_training_resumes_and_is_the_uninterrupted_one(
    empty_workspace: Callable[..., Workspace],
) -> None:
    workspace = empty_workspace()
    workspace.configure(training={"epochs": 6}, stages=["last", 2])
    target = workspace.network(0)
    relative = os.path.relpath(target, workspace.root)
    checkpoint = target.with_name("resume.safetensors")
    process = workspace.start(relative)
    wait_for(checkpoint, process)
    kill(process)
    assert not target.exists()

    assert "lock" in workspace.snakemake(relative, fails=True).text.lower()
    workspace.snakemake("--unlock")
    run = workspace.snakemake(relative, "--rerun-incomplete")
    assert run.jobs == {"train": 1}
    log = Path(
        workspace.root, "results", "logs", os.path.relpath(target, workspace.root / "results")
    )
    assert "resuming from" in log.with_name("train.log").read_text()
    assert not checkpoint.exists()
    assert not target.with_name("stages.partial").exists()
    assert target.with_name("epoch_2.safetensors").exists()
    record = workspace.network(0, ".json")
    resumed = json.loads(record.read_text())["sha256"]
    history = pd.read_csv(target.with_name("history.csv"))
    assert list(history["epoch"]) == [1, 2, 3, 4, 5, 6]

    target.unlink()
    assert workspace.snakemake(relative).jobs == {"train": 1}
    assert json.loads(record.read_text())["sha256"] == resumed


@pytest.mark.parametrize("damage", ["deleted", "truncated", "changed"])
def test_a_damaged_shard_is_noticed_and_healed(workspace: Workspace, damage: str) -> None:
    store = Path(workspace.layout.activations(workspace.key(1)))
    shard = store / "activations" / "conv3" / "draw_1" / "c" / "0" / "0"
    content = bytearray(shard.read_bytes())
    if damage == "deleted":
        shard.unlink()
        complaint = "seed_1.last.zarr/activations/conv3/draw_1/c/0/0 is missing"
    elif damage == "truncated":
        shard.write_bytes(content[:-7])
        complaint = f"conv3/draw_1/c/0/0 has {len(content) - 7} bytes instead of {len(content)}"
    else:
        content[50] ^= 1
        shard.write_bytes(content)
        complaint = "seed_1.last.zarr: expected a whole file, found a damaged one (activations/"
    workspace.configure(matching={"layers": ["conv1", "conv3"]})
    text = workspace.snakemake(fails=True).text
    assert complaint in text
    assert "remove it and run again" in text
    assert not Path(workspace.layout.experiment("tables")).exists()

    shutil.rmtree(store)
    run = workspace.snakemake()
    assert run.jobs == {
        "extract": 1,
        "top_images": 1,
        "match": 1,
        "minimal_match": 1,
        "null": 1,
        "aggregate": 1,
        "plot": 1,
        "report": 1,
    }
    table = pd.read_parquet(workspace.layout.experiment("tables/similarity.parquet"))
    assert list(table["layer"].unique()) == ["conv1", "conv3"]


def test_a_damaged_network_is_noticed_and_healed(workspace: Workspace) -> None:
    before = workspace.tables()
    network = workspace.network(0)
    content = bytearray(network.read_bytes())
    content[-100] ^= 1
    network.write_bytes(content)
    text = workspace.snakemake(fails=True).text
    assert "seed_0/last.safetensors: expected a whole file" in text
    network.unlink()
    workspace.snakemake()
    assert workspace.tables() == before


def test_a_failed_upstream_job_never_leaves_a_mixed_table(workspace: Workspace) -> None:
    """H1: the seed is changed and the extraction of one network fails."""
    workspace.snakemake("--config", "seeds=[0,2]", "--until", "train")
    workspace.configure(seeds=[0, 2])
    network = workspace.network(2)
    whole = network.read_bytes()
    network.write_bytes(whole[:-1000])
    workspace.snakemake(fails=True)
    assert not Path(workspace.layout.experiment("tables")).exists()
    workspace.snakemake(fails=True)  # nor by running again
    assert not Path(workspace.layout.experiment("tables")).exists()

    network.write_bytes(whole)
    workspace.snakemake()
    table = pd.read_parquet(workspace.layout.experiment("tables/similarity.parquet"))
    assert set(zip(table["seed_a"], table["seed_b"], strict=True)) == {(0, 2)}
    first = workspace.tables()
    workspace.configure()
    assert "Nothing to be done" in workspace.snakemake().text
    assert workspace.tables() != first


def test_a_match_of_another_network_is_refused(workspace: Workspace) -> None:
    """Even if a stale match has the right name and Snakemake takes it for current."""
    workspace.configure(seeds=[0, 2])
    workspace.snakemake()
    group = workspace.layout.group(TINY["matching"]["layers"]), "path.npz"
    stale = Path(workspace.layout.match(workspace.key(0), workspace.key(2), *group))
    workspace.configure()
    right = Path(workspace.layout.match(workspace.key(0), workspace.key(1), *group))
    times = right.stat().st_atime_ns, right.stat().st_mtime_ns
    right.write_bytes(stale.read_bytes())
    os.utime(right, ns=times)
    text = workspace.snakemake("--forcerun", "aggregate", fails=True).text
    assert f"{right.name}: expected a result of" in text
    right.unlink()
    workspace.snakemake()


def dvc(workspace: Workspace, *arguments: str) -> str:
    result = subprocess.run(
        ["dvc", *arguments],
        cwd=workspace.root,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def git(workspace: Workspace, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=workspace.root, check=True)


def published(workspace: Workspace) -> bytes:
    return (workspace.root / "published" / "tables" / "similarity.csv").read_bytes()


@pytest.fixture
def versioned(empty_workspace: Callable[..., Workspace]) -> Workspace:
    """A workspace under Git and DVC, in which nothing has run."""
    workspace = empty_workspace("dvc.yaml", ".dvc", ".dvcignore", ".gitignore")
    git(workspace, "init", "--quiet")
    git(workspace, "add", "--all")
    git(workspace, "commit", "--quiet", "--message", "Project")
    return workspace


def test_a_checkout_of_other_results_is_never_taken_for_this_run_s(versioned: Workspace) -> None:
    """H3: run one seed, check out another's results, run the first again."""
    layers = {"layers": ["conv1", "conv5"]}
    versioned.configure(matching=layers)
    dvc(versioned, "repro")
    first = published(versioned)
    assert "Data and pipelines are up to date" in dvc(versioned, "repro")
    git(versioned, "add", "--all")
    git(versioned, "commit", "--quiet", "--message", "Seeds 0 and 1")

    versioned.configure(matching=layers, seeds=[0, 2])
    dvc(versioned, "repro")
    second = published(versioned)
    assert second != first

    git(versioned, "checkout", "--quiet", "--", ".")
    dvc(versioned, "checkout")
    assert published(versioned) == first

    versioned.configure(matching=layers, seeds=[0, 2])
    # Without DVC's record of earlier runs, so that the pipeline itself has to tell.
    dvc(versioned, "repro", "--no-run-cache")
    assert published(versioned) == second
    folder = Path(versioned.layout.experiment("tables"))
    assert (folder / "similarity.csv").read_bytes() == second
