"""After any failure no result is stale and no whole result is lost."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pipeline.faults import contents, strike
from pipeline.workspaces import TABLES, Workspace
from safetensors.torch import load_file

from subspace_match.experiment.comparisons import Network
from subspace_match.storage.files import read_signed, sha256
from subspace_match.storage.job_records import SUFFIX

# The faults of successive runs, by rule.
RUNS = (
    {"prepare_data": "disk full"},
    {"train": "ended"},
    {"extract": "disk full"},
    {"match": "killed", "heat_map": "ended", "top_images": "disk full"},
    {"certify": "ended", "measure": "killed", "minimal_match": "disk full", "null": "killed"},
    {"aggregate": "killed"},
    {"plot": "ended", "report": "disk full"},
)

NAMING = {"networks.csv", "top_images.parquet"}
ALL_LAYERS: dict[str, Any] = {
    section: {"layers": ["*"]} for section in ("matching", "minimal_matches")
}


def assert_all_stands(before: dict[str, bytes], workspace: Workspace) -> None:
    after = contents(workspace)
    assert [name for name in before if after.get(name) != before[name]] == []


def test_every_rule_is_edited_and_fails_and_the_tables_are_those_of_the_new_code(
    workspace: Workspace, tmp_path: Path
) -> None:
    before, tables = contents(workspace), workspace.tables()
    old = Path(workspace.paths.experiment(""))
    scripts = [Path(f"workflow_scripts/{script}.py") for faults in RUNS for script in faults]
    for script in scripts:
        with (workspace.root / script).open("a") as stream:
            stream.write("# edited\n")
    new = Path(workspace.paths.experiment(""))
    assert new != old
    failed: set[str] = set()
    for faults in RUNS:
        if "extract" in faults and not torch.cuda.is_available():
            strike(workspace, tmp_path / "faults")
            text = workspace.snakemake("--config", "device=cuda", fails=True).text
            assert "device: expected a CUDA device for 'cuda', found none" in text
            assert_all_stands(before, workspace)
        strike(workspace, tmp_path / "faults", **faults)
        run = workspace.snakemake(fails=True)
        assert_all_stands(before, workspace)
        # What failed before runs now, whatever it left.
        assert failed <= run.jobs.keys()
        assert not faults.keys() & run.jobs.keys()
        assert not (new / "report.html").exists()
        failed = {*faults}
    strike(workspace, tmp_path / "faults")
    assert failed <= workspace.snakemake().jobs.keys()
    assert_all_stands(before, workspace)
    made = workspace.tables()
    # Network names carry a digest of the code.
    assert {name for name in tables if made[name] != tables[name]} == NAMING
    code = read_signed(new / f"report{SUFFIX}")["code"]
    assert {code[str(script)] for script in scripts if str(script) in code} == {
        sha256(workspace.root / script) for script in scripts if str(script) in code
    }
    assert len({*map(str, scripts)} & code.keys()) > 10
    assert "Nothing to be done" in workspace.snakemake("-n").text


def test_a_forced_run_that_fails_or_is_killed_loses_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    before = contents(workspace)
    strike(workspace, tmp_path / "faults", prepare_data="disk full")
    workspace.snakemake("--forceall", fails=True)
    assert_all_stands(before, workspace)
    workspace.python_path = None
    logs = [*(workspace.root / "results" / "logs" / "networks").rglob("train.log")]
    assert len(logs) == 2
    for log in logs:
        log.unlink()
    process = workspace.start("--forcerun", "train")
    while not any(log.exists() and "training on" in log.read_text() for log in logs):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert_all_stands(before, workspace)
    workspace.snakemake("--unlock")
    # The interrupted job finds its whole output and keeps it.
    run = workspace.snakemake()
    assert run.jobs.keys() <= {"train"}
    assert_all_stands(before, workspace)
    assert "Nothing to be done" in workspace.snakemake("-n").text


@pytest.mark.parametrize("arguments", [(), ("--rerun-incomplete",)])
def test_a_whole_output_of_a_killed_job_does_not_hide_missing_results(
    workspace: Workspace, arguments: tuple[str, ...]
) -> None:
    """Snakemake would make only that output again, and then say that all is done."""
    paths = workspace.paths
    network = paths.network(paths.networks[workspace.key(0)], ".safetensors")
    assert Path(network).exists()
    marks = workspace.root / ".snakemake" / "incomplete"
    marks.mkdir(parents=True, exist_ok=True)
    name = os.path.relpath(network, workspace.root)
    (marks / base64.b64encode(name.encode()).decode()).write_text('{"external_jobid": null}')
    shutil.rmtree(Path(paths.experiment("")))
    assert workspace.snakemake("-n", *arguments).planned == TABLES


def test_results_without_their_record_are_made_again(workspace: Workspace) -> None:
    """As when Snakemake and a job are killed between the job's outputs and its record."""
    paths, tables = workspace.paths, workspace.tables()
    shutil.rmtree(paths.experiment(""))
    assert workspace.snakemake("-n").planned == TABLES
    found = sorted((workspace.root / "results").rglob(f"*{SUFFIX}"))
    records = {read_signed(record)["rule"]: record for record in found}
    for record in records.values():
        record.unlink()
    # One job of each rule; the other seed's network, activations and images are kept.
    again = dict.fromkeys(records, 1) | TABLES
    assert workspace.snakemake("-n").planned == again
    assert workspace.make_tables().jobs.keys() == again.keys() - {"plot", "report"}
    assert workspace.tables() == tables
    assert all(record.exists() for record in records.values())


def test_a_forced_rule_runs_again_with_everything_below(workspace: Workspace) -> None:
    """Times decide nothing, even if the clock was fast when the files were made or copied."""
    for number, file in enumerate(sorted((workspace.root / "results").rglob("*"))):
        os.utime(file, (4e9 + number % 999, 4e9 + number % 999))
    assert not workspace.snakemake("-n", "--rerun-triggers", "code").planned
    paths = workspace.paths
    experiment = [paths.experiment(name) for name in ("plot", "report")]
    made = [*experiment, paths.top_images(workspace.key(0))]
    records = [Path(paths.record(artefact)) for artefact in made]
    before = [record.stat().st_mtime_ns for record in records]
    run = workspace.snakemake("--forcerun", "aggregate")
    assert run.jobs == TABLES
    after = [record.stat().st_mtime_ns for record in records]
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, True, False]


def test_code_that_changes_during_a_job_is_an_error_and_leaves_nothing_stale(
    workspace: Workspace, tmp_path: Path
) -> None:
    script = workspace.root / "workflow_scripts" / "match.py"
    script.write_text(script.read_text() + "# edited\n")
    planned = script.read_bytes()
    matches = workspace.root / "results" / "matches"
    made = {*matches.rglob("*.npz")}
    strike(workspace, tmp_path / "faults", match="code edited")
    text = workspace.snakemake("--until", "match", fails=True).text
    assert "ERROR: match: expected the code of match as when the run was planned" in text
    assert "run snakemake again" in text
    assert {*matches.rglob("*.npz")} == made
    # The planned code again: what the job left is not taken for its result.
    script.write_bytes(planned)
    strike(workspace, tmp_path / "faults")
    assert workspace.snakemake("--until", "match").jobs == {"match": 1}


def test_replaced_weights_of_the_same_name_are_new_weights(
    workspace: Workspace, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    shutil.copyfile(workspace.network(0), weights)
    taken: dict[str, dict[str, Any]] = {"network": {"mean": [0.1], "std": [0.3]}}

    def configure(file: Path) -> str:
        taken["network"]["weights"] = str(file)
        compare = [{"models": ["taken", "base"], "seeds": "all"}]
        workspace.configure(models={"taken": taken, "base": {}}, compare=compare)
        paths = workspace.paths
        key = paths.model_key(paths.models["taken"])
        return os.path.relpath(paths.training(key, "0", "last.json"), workspace.root)

    def sha256_of(file: str) -> str:
        record = json.loads((workspace.root / file).read_text())
        return str(record["sha256"])

    first = configure(weights)
    strike(workspace, tmp_path / "faults", load_pretrained="killed")
    workspace.snakemake(first, fails=True)
    strike(workspace, tmp_path / "faults")
    assert workspace.snakemake(first).jobs == {"load_pretrained": 1}
    times = weights.stat()
    shutil.copyfile(workspace.network(1), weights)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    second = configure(weights)
    assert second != first
    assert workspace.snakemake(second).jobs == {"load_pretrained": 1}
    assert sha256_of(second) != sha256_of(first)
    moved = weights.rename(tmp_path / "moved.safetensors")
    assert configure(moved) == second
    assert "Nothing to be done" in workspace.snakemake(second, "-n").text
    moved.unlink()
    text = workspace.snakemake("-n", fails=True).text
    assert "network.weights: expected a file of weights, found none at" in text
    assert "Traceback" not in text


def test_an_edit_of_a_module_that_the_users_network_imports_initialises_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(workspace.root))
    parts = workspace.root / "parts.py"
    parts.write_text("WIDTH = 4\n")
    (workspace.root / "net.py").write_text(
        "import torch\nimport parts\n\n"
        "def Net():\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(1, parts.WIDTH, 3), torch.nn.ReLU(),\n"
        "        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),\n"
        "        torch.nn.Linear(parts.WIDTH, 10))\n"
    )
    workspace.configure(network={"name": "net:Net"}, stages=["initial", "last"], **ALL_LAYERS)
    first = initial(workspace)
    assert workspace.snakemake(first).jobs == {"initialise": 1}
    os.utime(parts)
    assert "Nothing to be done" in workspace.snakemake(first, "-n").text
    parts.write_text("WIDTH = 5\n")
    second = initial(workspace)
    assert second != first
    before = contents(workspace)
    strike(workspace, tmp_path / "faults", initialise="killed")
    assert workspace.snakemake(second, fails=True).jobs == {}
    strike(workspace, tmp_path / "faults")
    assert workspace.snakemake(second).jobs == {"initialise": 1}
    assert_all_stands(before, workspace)


def test_a_users_network_that_goes_over_a_set_is_the_same_in_every_process(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python hashes strings in another way in each process, unless it is told not to."""
    monkeypatch.syspath_prepend(str(workspace.root))
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    module = (
        "from torch import nn, tensor\n\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),\n"
        "                         nn.Flatten(), nn.Linear(4, 10))\n"
        "        self.register_buffer('order', tensor([*map(ord, {*'abcdefghijkl'})]))\n"
    )
    (workspace.root / "net_of_set.py").write_text(module)
    workspace.configure(network={"name": "net_of_set:Net"}, stages=["initial"], **ALL_LAYERS)
    made = workspace.root / initial(workspace)
    # A real process: forks would share the way.
    process = workspace.start(os.path.relpath(made, workspace.root))
    text, _ = process.communicate()
    assert process.returncode == 0, text
    order = load_file(made)["order"].tolist()
    for seed, is_equal in (("0", True), ("1", False)):
        printed = subprocess.run(
            [sys.executable, "-c", "print(*map(ord, {*'abcdefghijkl'}))"],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert (order == list(map(int, printed.split()))) == is_equal


def initial(workspace: Workspace) -> str:
    network = workspace.paths.network(Network("base", 0, "initial"), ".safetensors")
    return os.path.relpath(network, workspace.root)


def test_a_copy_needs_no_new_run(
    workspace: Workspace, tmp_path: Path, empty_workspace: Callable[..., Workspace]
) -> None:
    """Whatever the times of its files: a plain copy, and a fresh clone that shares results."""
    for number, file in enumerate(sorted(workspace.root.rglob("*"), key=hash)):
        os.utime(file, (1e9 + number % 999, 1e9 + number % 999))
    assert "Nothing to be done" in workspace.snakemake("-n").text
    shutil.copytree(workspace.root, tmp_path / "copy", copy_function=shutil.copyfile, symlinks=True)
    assert "Nothing to be done" in Workspace(tmp_path / "copy").snakemake("-n").text
    clone = empty_workspace()
    (clone.root / "results").symlink_to(workspace.root / "results")
    assert "Nothing to be done" in clone.snakemake("-n").text


def test_deleted_outputs_take_their_records_with_them(workspace: Workspace) -> None:
    assert any((workspace.root / "results").rglob(f"*{SUFFIX}"))
    workspace.snakemake("--delete-all-output")
    made = {"data", "networks", "activations", "matches", "experiments"}
    left = [
        path
        for folder in made
        for path in (workspace.root / "results" / folder).rglob("*")
        if path.is_file() and path.suffix != ".lock"
    ]
    assert left == []
    assert not list((workspace.root / "results").rglob(f"*{SUFFIX}"))
