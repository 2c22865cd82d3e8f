"""The pipeline's jobs on a real Slurm: what they ask for, and what faults do to them."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workflow.slurm import Cluster, missing_programs, wait_until
from workflow.workspaces import Workspace

SUBMITTED = re.compile(r"Job (\d+) has been submitted with SLURM jobid")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if (missing := missing_programs()) or os.geteuid() != 0:
        reason = (
            f"not installed: {', '.join(missing)} (Debian: slurm-wlm, munge)"
            if missing
            else "Slurm's daemons and device files need root"
        )
        if os.environ.get("SUBSPACE_MATCH_TESTS_NEED_SLURM"):
            pytest.fail(reason)
        pytest.skip(reason)
    root = Path(tempfile.mkdtemp(prefix="slurm-"))
    running = Cluster(root)
    yield running
    running.stop()
    shutil.rmtree(root)


def trained_long(workspace: Workspace) -> tuple[str, Path]:
    """Configure a training that takes seconds.

    Returns:
        The file that it makes, relative to the workspace, and its checkpoint, which is there from
        the first epoch on.
    """
    workspace.configure(device="cpu", training={"epochs": 40})
    network = workspace.network(0)
    return os.path.relpath(network, workspace.root), network.with_name("resume.safetensors")


def training_log(workspace: Workspace, network: str) -> str:
    log = workspace.root / "results" / "logs" / Path(network).relative_to("results")
    return log.with_name("train.log").read_text()


def test_the_tables_are_those_of_a_local_run_bit_for_bit(
    cluster: Cluster, empty_workspace: Callable[..., Workspace], finished: Workspace
) -> None:
    workspace = empty_workspace()
    workspace.configure(device="cpu")
    before = len(cluster.jobs())
    run = cluster.snakemake(workspace)
    assert workspace.tables() == finished.tables()
    on_cluster = {"train": 2, "extract": 2, "extract_places": 2, "match": 3, "minimal_match": 1}
    on_cluster |= {"null": 3, "heat_map": 1}
    here = {"prepare_data": 1, "initialise": 2, "top_images": 2, "aggregate": 1, "plot": 1}
    assert run.jobs == on_cluster | here
    assert len(SUBMITTED.findall(run.text)) == sum(on_cluster.values())
    # The configuration says cpu.
    asked = cluster.gpus()[before:]
    assert len(asked) == sum(on_cluster.values())
    assert set(asked) == {"N/A"}
    assert "Nothing to be done" in cluster.snakemake(workspace).text
    assert "Nothing to be done" in workspace.snakemake().text


def test_jobs_get_gpus_of_their_own_and_fail_where_there_is_none(
    cluster: Cluster, workspace: Workspace
) -> None:
    """The GPUs are as good as none, so each job says which it was promised."""
    workspace.configure(training={"epochs": 1, "warmup_epochs": 0})
    before = len(cluster.jobs())
    targets = [os.path.relpath(workspace.network(seed), workspace.root) for seed in (0, 1)]
    cluster.snakemake(workspace, *targets, "--retries", "0", fails=True)
    promise = r"ERROR device: expected the GPU of CUDA_VISIBLE_DEVICES=(\d), found no CUDA device"
    promised = [re.findall(promise, training_log(workspace, target)) for target in targets]
    assert sorted(promised) == [["0"], ["1"]]
    assert cluster.gpus()[before:] == ["gres:gpu:1", "gres:gpu:1"]


def test_a_cancelled_job_ends_in_a_clear_failure_and_the_next_call_heals(
    cluster: Cluster, workspace: Workspace
) -> None:
    target, checkpoint = trained_long(workspace)
    process = cluster.start(workspace, target, "--retries", "0")
    wait_until(checkpoint.exists, "a checkpoint", 120)
    (job,) = cluster.jobs("running")
    cluster.command("scancel", job)
    run = cluster.finish(process, fails=True)
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in run.text
    assert not (workspace.root / target).exists()

    assert cluster.snakemake(workspace, target).jobs == {"train": 1}
    assert "resuming from" in training_log(workspace, target)
    record = workspace.network(0, ".json")
    resumed = json.loads(record.read_text())["sha256"]
    (workspace.root / target).unlink()
    assert workspace.snakemake(target).jobs == {"train": 1}
    assert json.loads(record.read_text())["sha256"] == resumed


def test_a_lost_node_ends_in_a_retry_that_asks_for_more(
    cluster: Cluster, workspace: Workspace
) -> None:
    target, checkpoint = trained_long(workspace)
    process = cluster.start(workspace, target, "--retries", "1")
    wait_until(checkpoint.exists, "a checkpoint", 120)
    (job,) = cluster.jobs("running")
    try:
        cluster.set_node("down")
        wait_until(lambda: len(cluster.jobs("pending")) == 1, "a retry")
    finally:
        cluster.set_node("resume")
    run = cluster.finish(process)
    assert f"SLURM-job '{job}' failed due to a node failure" in run.text
    assert run.jobs == {"train": 1}
    assert "resuming from" in training_log(workspace, target)
    first, again = cluster.jobs(of="%m %l")[-2:]
    assert (first, again) == ("2500M 4:00:00", "5000M 8:00:00")
    assert "Nothing to be done" in cluster.snakemake(workspace, target).text


def test_a_second_invocation_is_refused_and_loses_nothing(
    cluster: Cluster, workspace: Workspace
) -> None:
    workspace.configure(device="cpu")
    tables = workspace.tables()
    null = Path(workspace.layout.null(workspace.key(0), workspace.key(1), "conv1"))
    null.unlink()
    Path(workspace.layout.experiment("tables/null.parquet")).unlink()
    try:
        cluster.set_node("drain")
        process = cluster.start(workspace)
        wait_until(lambda: len(cluster.jobs("pending")) == 1, "a job")
        second = cluster.snakemake(workspace, fails=True)
    finally:
        cluster.set_node("resume")
    assert "Directory cannot be locked" in second.text
    assert cluster.finish(process).jobs == {"null": 1, "aggregate": 1, "plot": 1}
    assert workspace.tables() == tables
    assert "Nothing to be done" in cluster.snakemake(workspace).text


def test_a_wide_layer_asks_for_more_memory(workspace: Workspace) -> None:
    """Without a cluster: what each job would ask for."""
    workspace.configure(network={"width": 1, "hidden": [4096]})
    text = workspace.snakemake("-n", "--profile", "profiles/slurm").text
    jobs = re.findall(r"layer=(\w+).*\n +resources: (.*)", text)
    asked: dict[str, list[int]] = {}
    for layer, resources in jobs:
        assert "gpu=1" in resources
        (mem_mb,) = re.findall(r"mem_mb=(\d+)", resources)
        asked.setdefault(layer, []).append(int(mem_mb))
    assert max(asked["conv1"]) <= max(asked["conv5"]) < min(asked["fc1"])
    # Two networks' moments of 4,096 neurons each are half a gigabyte.
    assert min(asked["fc1"]) > 2000 + 12 * 512
