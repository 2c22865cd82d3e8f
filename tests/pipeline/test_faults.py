"""After a kill, damage or failure no wrong result is reported and nothing computed is lost."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from needs import without
from pipeline.faults import strike
from pipeline.workspaces import (
    AGGREGATE,
    BARE,
    MATCHED,
    MATCHES,
    TINY,
    Workspace,
    copy_project,
)

from subspace_match.results.findings import read_closing_lines
from subspace_match.storage.files import read_signed


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.01)


def files_of(store: Path) -> list[Path]:
    return [file for file in store.rglob("*") if file.is_file()]


def kill(process: subprocess.Popen[str]) -> None:
    """Kill Snakemake and its jobs, as when the machine goes down."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_killed_training_resumes_and_equals_the_uninterrupted_one(workspace: Workspace) -> None:
    workspace.configure(training={"epochs": 6}, stages=["last", 2])
    target = workspace.network(0)
    relative = os.path.relpath(target, workspace.root)
    checkpoint = target.with_name("resume.safetensors")
    process = workspace.start(relative)
    wait_until(checkpoint.exists, process)
    kill(process)
    assert not target.exists()

    assert "lock" in workspace.snakemake(relative, fails=True).text.lower()
    workspace.snakemake("--unlock")
    other = workspace.network(1)
    shutil.copytree(target.parent, other.parent)
    both = relative, os.path.relpath(other, workspace.root)
    assert workspace.snakemake(*both, "--rerun-incomplete").jobs == {"train": 2}
    log, log_of_other = (
        Path(workspace.root, "results", "logs", os.path.relpath(file, workspace.root / "results"))
        .with_name("train.log")
        .read_text()
        for file in (target, other)
    )
    assert "interrupted training" in log
    assert "belongs to another" not in log
    # The file of one seed is not another's.
    assert "belongs to another configuration, code, seed, data set or network" in log_of_other
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


def test_a_job_killed_before_its_record_goes_on_from_its_last_step(
    workspace: Workspace, tmp_path: Path
) -> None:
    """All its outputs are written, but none counts."""
    module = workspace.root / "subspace_match" / "storage" / "minimal_resume.py"
    module.write_text(module.read_text().replace("INTERVAL = 60.0", "INTERVAL = 0.0"))
    results, patterns = workspace.root / "results", ("resume.safetensors", "*.resume.npz")
    short = {"training": {"epochs": 1, "warmup_epochs": 0}}
    for rule, changes in (("train", short), ("minimal_match", {})):
        workspace.configure(**changes)
        before = {*results.rglob("*.log")}
        strike(workspace, tmp_path / "faults", **{rule: "killed"})
        workspace.snakemake("--until", rule, fails=True)
        left = [file for pattern in patterns for file in results.rglob(pattern)]
        assert len(left) == {"train": 2, "minimal_match": 1}[rule]
        workspace.python_path = None
        assert workspace.snakemake("--until", rule).jobs[rule] == len(left)
        logs = [log.read_text() for log in {*results.rglob("*.log")} - before]
        words = {"train": "interrupted training", "minimal_match": "going on after"}[rule]
        assert sum(words in log for log in logs) == len(left)
        assert not any(file.exists() for file in left)


def test_a_job_that_outlives_its_snakemake_is_waited_for(workspace: Workspace) -> None:
    workspace.configure(training={"epochs": 4})
    network = workspace.network(0)
    target = os.path.relpath(network, workspace.root)
    checkpoint = network.with_name("resume.safetensors")
    alone = workspace.start(target)
    wait_until(checkpoint.exists, alone)
    os.killpg(alone.pid, signal.SIGSTOP)  # so that it does not end before another waits for it
    alone.kill()
    alone.wait()
    try:
        workspace.snakemake("--unlock")
        process = workspace.start(target, forked=True)
        assert process.stdout is not None
        text = ""
        waiting = r"waiting for .*, process \d+, since .*, which writes results/networks/"
        while not re.search(waiting, text):
            line = process.stdout.readline()
            assert line, text
            text += line
        os.killpg(alone.pid, signal.SIGCONT)
        text += process.stdout.read()
        assert process.wait() == 0, text
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(alone.pid, signal.SIGKILL)
    assert alone.stdout is not None
    alone.stdout.close()
    process.stdout.close()
    folder = workspace.root / "results" / "logs" / Path(target).parent.relative_to("results")
    log = (folder / "train.log").read_text()
    # Snakemake removed the first job's log when it started the second.
    trained, taken = log.index("Epoch(epoch=4,"), log.index("exists and is up to date: reused")
    assert trained < taken
    assert "Epoch(" not in log[taken:]
    (record,) = network.parent.glob("train*.provenance.json")
    assert read_signed(record)["rule"] == "train"
    assert workspace.snakemake(target).jobs == {}


def test_two_runs_from_two_clones_that_share_results_both_succeed(
    finished: Workspace, tmp_path: Path
) -> None:
    """They start together. Tables and figures are those of a run by itself, bit for bit."""
    shared = tmp_path / "shared"
    for made in ("data", "networks"):
        shutil.copytree(finished.root / "results" / made, shared / made)
    clones = [copy_project(tmp_path / name) for name in ("one", "two")]
    for clone in clones:
        (clone.root / "results").symlink_to(shared)
    runs = [clone.start(forked=True) for clone in clones]
    texts = [run.communicate(timeout=900)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], texts
    for clone in clones:
        assert clone.tables() == finished.tables()
        assert "Nothing to be done" in clone.snakemake("-n").text
    figures = [Path(w.paths.experiment("figures")) for w in (clones[0], finished)]
    for file in figures[0].iterdir():
        assert file.read_bytes() == (figures[1] / file.name).read_bytes()
    assert not [file for file in shared.rglob(".*") if file.suffix in (".partial", ".replaced")]


def test_an_extraction_killed_halfway_leaves_nothing_that_looks_complete(
    workspace: Workspace,
) -> None:
    store = Path(workspace.paths.activations(workspace.key(1)))
    whole = {file.relative_to(store): file.read_bytes() for file in files_of(store)}
    shutil.rmtree(store)
    target = os.path.relpath(store, workspace.root)
    process = workspace.start(target)
    # Samples are written before the first batch of images, activations with the batches.
    wait_until(lambda: any(store.parent.glob(".*.partial/samples/fc1/*/c/*")), process)
    kill(process)
    assert not store.exists()
    (left,) = store.parent.glob(".*.partial")

    workspace.snakemake("--unlock")
    assert workspace.snakemake(target, "--rerun-incomplete").jobs == {"extract": 1}
    assert not left.exists()
    again = {file.relative_to(store): file.read_bytes() for file in files_of(store)}
    # Snakemake's time stamp decides nothing.
    for files in (whole, again):
        files.pop(Path(".snakemake_timestamp"), None)
    assert again == whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB in memory."""
    if os.geteuid() != 0:
        without("to mount a file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        without(f"no file system can be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_an_error_that_names_the_file_and_loses_nothing(
    finished: Workspace, small_disk: Path
) -> None:
    workspace = Workspace(small_disk / "workspace")
    shutil.copytree(finished.root, workspace.root, symlinks=True)
    tables = workspace.tables()
    stores = [Path(workspace.paths.activations(workspace.key(seed))) for seed in (0, 1)]
    room = sum(file.stat().st_size for file in files_of(stores[0]))
    # Training and the heat map are finished; everything else is still to do.
    made_of_stores = ("matches", "nulls", "minimal_matches", "top_images", "experiments")
    for folder in (*stores, *(workspace.root / "results" / name for name in made_of_stores)):
        shutil.rmtree(folder)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as stream:
        stream.truncate(0)
        os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(small_disk).free - room // 2)

    text = workspace.snakemake(fails=True).text
    assert re.search(r"ERROR: .*no space left on the disk; free some.*: '.*\.zarr'", text)
    assert not any(store.exists() for store in stores)
    assert not list(stores[0].parent.glob(".*.partial"))
    assert not Path(workspace.paths.experiment("tables")).exists()

    ballast.unlink()
    again = {"extract": 2, "top_images": 2} | MATCHES | AGGREGATE
    assert workspace.make_tables().jobs == again
    assert workspace.tables() == tables


@pytest.mark.parametrize("damage", ["deleted", "truncated", "changed"])
def test_a_damaged_shard_is_noticed_and_healed(workspace: Workspace, damage: str) -> None:
    store = Path(workspace.paths.activations(workspace.key(1)))
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
    workspace.configure(matching={"layers": ["conv1", "conv3"]}, **BARE)
    text = workspace.snakemake(fails=True).text
    assert complaint in text
    assert "remove it and run again" in text
    assert not Path(workspace.paths.experiment("tables")).exists()

    shutil.rmtree(store)
    if damage != "changed":  # the same from here on
        return
    run = workspace.make_tables()
    assert run.jobs == {"extract": 1, "top_images": 1} | MATCHED | AGGREGATE
    table = pd.read_parquet(workspace.paths.experiment("tables/similarity.parquet"))
    assert list(table["layer"].unique()) == ["conv1", "conv3"]


def test_a_damaged_network_is_noticed_and_healed(workspace: Workspace) -> None:
    network = workspace.network(0)
    whole = network.read_bytes()
    content = bytearray(whole)
    content[-100] ^= 1
    network.write_bytes(content)
    # The tables were made from the undamaged file; a job that reads it again notices.
    assert "Nothing to be done" in workspace.snakemake("-n").text
    workspace.configure(heat_map={"positions": 200})
    text = workspace.snakemake("--until", "extract", fails=True).text
    assert "seed_0/last.safetensors: expected what the rule train made" in text
    network.unlink()
    workspace.configure()
    assert workspace.snakemake(os.path.relpath(network, workspace.root)).jobs == {"train": 1}
    assert network.read_bytes() == whole


@pytest.mark.parametrize("damage", ["removed", "truncated", "emptied"])
@pytest.mark.parametrize("name", ["summary.parquet", "networks.csv"])
def test_a_run_ends_with_one_line_if_earlier_tables_are_damaged(
    finished: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: str,
) -> None:
    """Such as a run of data_sets alone, which reads and makes no table."""
    made = Path(finished.paths.experiment(""))
    folder = tmp_path / made.relative_to(finished.root)
    shutil.copytree(made, folder)
    results = tmp_path / "results"
    assert len(read_closing_lines(folder, results)) > 3
    table = folder / "tables" / name
    content = table.read_bytes()
    table.unlink()
    if damage != "removed":
        table.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    (line,) = read_closing_lines(folder, results)
    assert f"What the run found is not shown. {table}: expected" in line
    assert "run" in line.partition("found no such file" if damage == "removed" else "remove it")[2]

    def refused(*_: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(table))

    table.write_bytes(content)
    monkeypatch.setattr("subspace_match.storage.job_records.check_content", refused)
    (line,) = read_closing_lines(folder, results)
    assert line == f"What the run found is not shown. [Errno 13] Permission denied: '{table}'"


def test_a_failed_upstream_job_never_leaves_a_mixed_table(workspace_with_seed_2: Workspace) -> None:
    """The seed is changed and the extraction of one network fails."""
    workspace = workspace_with_seed_2
    workspace.configure(seeds=[0, 2], **BARE)
    network = workspace.network(2)
    whole = network.read_bytes()
    network.write_bytes(whole[:-1000])
    workspace.snakemake(fails=True)
    assert not Path(workspace.paths.experiment("tables")).exists()
    workspace.snakemake(fails=True)  # nor by running again
    assert not Path(workspace.paths.experiment("tables")).exists()

    network.write_bytes(whole)
    workspace.make_tables()
    table = pd.read_parquet(workspace.paths.experiment("tables/similarity.parquet"))
    assert set(zip(table["seed_a"], table["seed_b"], strict=True)) == {(0, 2)}
    first = workspace.tables()
    workspace.configure()
    assert "Nothing to be done" in workspace.snakemake("-n").text
    assert workspace.tables() != first


def test_a_match_of_another_network_is_refused(workspace_with_seed_2: Workspace) -> None:
    """A stale match has the right name and Snakemake takes it for current."""
    workspace = workspace_with_seed_2
    workspace.configure(seeds=[0, 2])
    group = workspace.paths.group(TINY["matching"]["layers"]), "path.npz"
    stale = Path(workspace.paths.match(workspace.key(0), workspace.key(2), *group))
    workspace.snakemake(os.path.relpath(stale, workspace.root))
    workspace.configure()
    right = Path(workspace.paths.match(workspace.key(0), workspace.key(1), *group))
    times = right.stat().st_atime_ns, right.stat().st_mtime_ns
    right.write_bytes(stale.read_bytes())
    os.utime(right, ns=times)
    text = workspace.snakemake("--forcerun", "aggregate", fails=True).text
    assert f"{right.name}: expected what the rule match made" in text


def test_a_configuration_that_snakemake_would_misread_is_refused(
    empty_workspace: Callable[..., Workspace],
) -> None:
    """Snakemake reads 010 as 8. Tests of the configuration cover the other errors."""
    workspace = empty_workspace()
    (workspace.root / "mine.yaml").write_text("seeds: [010]")
    run = workspace.snakemake("-n", "--configfile", "mine.yaml", fails=True)
    assert "mine.yaml: line 1: expected a value that YAML 1.1 and 1.2 read" in run.text
    assert "Traceback" not in run.text
    assert not (workspace.root / "results").exists()


def test_the_configuration_files_are_logged(empty_workspace: Callable[..., Workspace]) -> None:
    """With --configfile a --configfile b, Snakemake reads only b."""
    workspace = empty_workspace()
    for name in "ab":
        (workspace.root / f"{name}.yaml").write_text("device: cpu\n")
    text = workspace.snakemake("-n", "--configfile", "a.yaml", "--configfile", "b.yaml").text
    assert "Configuration: config/config.yaml, then b.yaml\n" in text


def test_a_working_folder_without_a_configuration_is_an_error(
    empty_workspace: Callable[..., Workspace], tmp_path: Path
) -> None:
    workspace = empty_workspace()
    text = workspace.snakemake("-n", "--directory", str(tmp_path / "else"), fails=True).text
    assert (
        "config/config.yaml: expected the configuration in the working folder, found none" in text
    )
    assert "run in the project's folder, or name a file with --configfile" in text
