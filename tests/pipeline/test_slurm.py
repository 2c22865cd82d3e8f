"""The pipeline's jobs on a real Slurm: what they ask for, and how they survive faults."""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from needs import without
from parallel import make_once, shared_by_test_processes
from pipeline.faults import contents, strike
from pipeline.slurm import MESSAGE_TIMEOUT, Cluster, missing_programs, wait_until
from pipeline.workspaces import TINY, Workspace

SUBMITTED = re.compile(r"Job (\d+) has been submitted with SLURM jobid")


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    if missing := missing_programs():
        without(f"not installed: {', '.join(missing)} (Debian: slurm-wlm, munge)")
    if os.geteuid() != 0:
        without("Slurm's daemons and device files need root")
    root = Path(tempfile.mkdtemp(prefix="slurm-"))
    running = Cluster(root)
    yield running
    running.stop()
    shutil.rmtree(root)


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with an empty queue, whatever earlier tests left."""
    yield running_cluster
    running_cluster.clear()


@dataclass
class Training:
    """A training that has not run yet. It waits after its first epoch, however long Slurm takes.

    Attributes:
        workspace: the project.
        faults: folder for ``strike``.
        target: the network that the training makes, relative to the workspace.
        checkpoint: the resume file, which exists from the first epoch on.
        sha256: checksum of the network of an uninterrupted training.
    """

    workspace: Workspace
    faults: Path
    target: str
    checkpoint: Path
    sha256: str

    @property
    def log(self) -> str:
        return training_log(self.workspace, self.target)

    @property
    def found(self) -> str:
        """SHA-256 of the network."""
        return str(json.loads(self.workspace.network(0, ".json").read_text())["sha256"])

    def begun(self, cluster: Cluster) -> str:
        """Wait until the running job has written a checkpoint; return its id."""
        wait_until(self.checkpoint.exists, "a checkpoint")
        (job,) = cluster.jobs("running")
        return job

    def wait_after(self, epochs: int) -> None:
        """Let the training run until the checkpoint of this epoch is written."""
        strike(self.workspace, self.faults, train=epochs)

    def go_on(self) -> None:
        """Let the training run to its end."""
        strike(self.workspace, self.faults)


@pytest.fixture
def training(
    finished: Workspace,
    workspace: Workspace,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Training:
    def configured(workspace: Workspace) -> Training:
        workspace.configure(device="cpu", training={"epochs": 3})
        network = workspace.network(0)
        checkpoint = network.with_name("resume.safetensors")
        target = os.path.relpath(network, workspace.root)
        return Training(workspace, tmp_path / "faults", target, checkpoint, "")

    folder = shared_by_test_processes(tmp_path_factory) / "uninterrupted"

    def make(folder: Path) -> None:
        shutil.copytree(finished.root, folder)
        whole = configured(Workspace(folder))
        whole.workspace.snakemake(whole.target)
        (folder / "sha256").write_text(whole.found)

    make_once(folder, make)
    made = replace(configured(workspace), sha256=(folder / "sha256").read_text())
    made.wait_after(1)
    return made


def training_log(workspace: Workspace, network: str) -> str:
    log = workspace.root / "results" / "logs" / Path(network).relative_to("results")
    return log.with_name("train.log").read_text()


def test_the_tables_equal_those_of_a_local_run_bit_for_bit(
    cluster: Cluster, workspace: Workspace, finished: Workspace
) -> None:
    """Every rule runs on the cluster; the first network is already there."""
    results = workspace.root / "results"
    for made in results.iterdir():
        if made.name not in ("data", "networks", "activations", "layers", "contents", "top_images"):
            shutil.rmtree(made)
    for network in ("networks/*/seed_1", "activations/*/*.seed_1.*", "top_images/*/*.seed_1.*"):
        for made in results.glob(network):
            shutil.rmtree(made) if made.is_dir() else made.unlink()
    workspace.configure(device="cpu")
    before = len(cluster.jobs())
    run = cluster.snakemake(workspace)
    assert workspace.tables() == finished.tables()
    on_cluster = {"train": 1, "extract": 1, "match": 1, "minimal_match": 1}
    on_cluster |= {"certify": 1, "measure": 1, "null": 1, "heat_map": 1, "top_images": 1}
    here = {"aggregate": 1, "plot": 1, "report": 1}
    assert run.jobs == on_cluster | here
    log = max((workspace.root / ".snakemake" / "log").iterdir())
    assert len(SUBMITTED.findall(log.read_text())) == sum(on_cluster.values())
    # The configuration says cpu.
    asked = cluster.gpus()[before:]
    assert len(asked) == sum(on_cluster.values())
    assert set(asked) == {"N/A"}
    assert "Nothing to be done" in cluster.snakemake(workspace).text


def test_jobs_get_gpus_of_their_own_and_fail_where_there_is_none(
    cluster: Cluster, workspace: Workspace
) -> None:
    """The GPUs are not real, so each job fails and names the one it was given."""
    workspace.configure(training={"epochs": 1, "warmup_epochs": 0})
    before = len(cluster.jobs())
    targets = [os.path.relpath(workspace.network(seed), workspace.root) for seed in (0, 1)]
    try:
        # Both jobs start together, or the second could get the first one's GPU.
        cluster.set_node("drain")
        process = cluster.start(workspace, *targets, "--retries", "0", forked=True)
        wait_until(lambda: len(cluster.jobs("pending")) == 2, "both jobs")
    finally:
        cluster.set_node("resume")
    cluster.finish(process, fails=True)
    promise = r"ERROR device: expected the GPU of CUDA_VISIBLE_DEVICES=(\d), found no CUDA device"
    promised = [re.findall(promise, training_log(workspace, target)) for target in targets]
    assert sorted(promised) == [["0"], ["1"]]
    assert cluster.gpus()[before:] == ["gres:gpu:1", "gres:gpu:1"]


def test_a_cancelled_job_ends_in_a_clear_failure_and_the_next_call_heals(
    cluster: Cluster, training: Training
) -> None:
    process = cluster.start(training.workspace, training.target, "--retries", "0", forked=True)
    job = training.begun(cluster)
    cluster.command("scancel", job)
    run = cluster.finish(process, fails=True)
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in run.text
    assert not (training.workspace.root / training.target).exists()

    training.go_on()
    assert cluster.snakemake(training.workspace, training.target).jobs == {"train": 1}
    assert "interrupted training" in training.log
    assert training.found == training.sha256


def test_a_job_at_its_time_limit_is_retried_with_more_and_resumes(
    cluster: Cluster, training: Training
) -> None:
    """In fresh processes, as a user runs it."""
    process = cluster.start(training.workspace, training.target, "--retries", "1")
    job = training.begun(cluster)
    cluster.command("scontrol", "update", f"jobid={job}", "endtime=now")
    # Slurm checks time limits every half minute.
    wait_until(lambda: "ERROR ended by the signal Terminated" in training.log, "the end")
    training.go_on()
    run = cluster.finish(process)
    assert f"SLURM-job '{job}' failed, SLURM status is: 'TIMEOUT'" in run.text
    assert run.jobs == {"train": 1}
    assert "interrupted training" in training.log
    assert training.found == training.sha256
    assert [asked.split()[0] for asked in cluster.jobs(of="%m %l")[-2:]] == ["2500M", "5000M"]
    assert cluster.jobs(of="%l")[-1] == "8:00:00"


def test_a_lost_node_ends_in_a_retry_that_asks_for_more(
    cluster: Cluster, training: Training
) -> None:
    process = cluster.start(training.workspace, training.target, "--retries", "1", forked=True)
    job = training.begun(cluster)
    try:
        cluster.set_node("down")
        wait_until(lambda: len(cluster.jobs("pending")) == 1, "a retry")
    finally:
        training.go_on()
        cluster.set_node("resume")
    run = cluster.finish(process)
    assert f"SLURM-job '{job}' failed due to a node failure" in run.text
    assert run.jobs == {"train": 1}
    assert "interrupted training" in training.log
    assert training.found == training.sha256
    assert cluster.jobs(of="%m %l")[-2:] == ["2500M 4:00:00", "5000M 8:00:00"]


def test_a_restarted_node_daemon_loses_no_job_and_a_restarted_node_ends_in_a_retry(
    cluster: Cluster, training: Training
) -> None:
    process = cluster.start(training.workspace, training.target, "--retries", "1", forked=True)
    job = training.begun(cluster)
    cluster.kill_node_daemon()
    cluster.start_node_daemon()
    told = time.monotonic()
    assert cluster.jobs("running") == [job]
    before = len(training.log)
    training.wait_after(2)
    wait_until(lambda: "Epoch" in training.log[before:], "an epoch after that")

    cluster.kill_node_daemon()
    try:
        cluster.kill_processes(job)
        training.go_on()
        # Slurm only misses a job after MessageTimeout and BatchStartTimeout.
        time.sleep(max(0, told + MESSAGE_TIMEOUT + 3 - time.monotonic()))
    finally:
        cluster.start_node_daemon()
    run = cluster.finish(process)
    assert f"SLURM-job '{job}' failed due to a node failure" in run.text
    assert run.jobs == {"train": 1}
    assert "interrupted training" in training.log
    assert training.found == training.sha256


def test_a_second_invocation_is_refused_and_loses_nothing(
    cluster: Cluster, workspace: Workspace
) -> None:
    workspace.configure(device="cpu")
    tables = workspace.tables()
    layers = TINY["matching"]["layers"]
    group = workspace.paths.group(layers, of=layers)
    null = Path(workspace.paths.null(workspace.key(0), workspace.key(1), group))
    null.unlink()
    Path(workspace.paths.experiment("tables/null.parquet")).unlink()
    try:
        cluster.set_node("drain")
        process = cluster.start(workspace, forked=True)
        wait_until(lambda: len(cluster.jobs("pending")) == 1, "a job")
        second = cluster.snakemake(workspace, fails=True)
    finally:
        cluster.set_node("resume")
    assert "Directory cannot be locked" in second.text
    # The figures' tables are still there.
    assert cluster.finish(process).jobs == {"null": 1, "aggregate": 1, "report": 1}
    assert workspace.tables() == tables


def test_every_job_cancelled_after_an_edit_leaves_nothing_stale(
    cluster: Cluster, workspace: Workspace
) -> None:
    bare = {"chance": {"permutations": 0}, "heat_map": {"positions": 0}}
    workspace.configure(device="cpu", minimal_matches={"epsilons": []}, **bare)
    before = contents(workspace)
    with (workspace.root / "subspace_match" / "networks" / "extraction.py").open("a") as module:
        module.write("# edited\n")
    new = Path(workspace.paths.experiment("tables"))
    try:
        cluster.set_node("drain")
        process = cluster.start(workspace, "--retries", "0", forked=True)
        wait_until(lambda: len(cluster.jobs("pending")) == 2, "both extractions")
        cluster.command("scancel", *cluster.jobs("pending"))
        cluster.finish(process, fails=True)
    finally:
        cluster.set_node("resume")
    assert not new.exists()
    run = workspace.make_tables()
    assert {"extract": 2, "match": 1, "aggregate": 1}.items() <= run.jobs.items()
    assert new.exists()
    after = contents(workspace)
    assert [name for name in before if after.get(name) != before[name]] == []
