"""What a match job costs beside its arithmetic, and what it saves to do several layers in one.

    python benchmarks/bench_jobs.py

Three networks of 109 layers as they are before training, 16 to 64 neurons wide, 10,000 samples in
four draws. First one job of one layer of 64 neurons: what a run of Snakemake that has only it to do
takes longer than one that has nothing to do, against the same reductions and match paths in this
process. Then the matches of all layers of all three pairs, a job a layer and several in one.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from pipeline.workspaces import Run, Workspace, copy_project

import subspace_match as sm
from subspace_match.storage.activations import ActivationStore

LAYERS = 109
EXPERIMENT = {
    "network": {"name": "resnet110", "width": 1.0},
    "seeds": [0, 1, 2],
    "stages": ["initial"],
    "threads": 1,
    "extraction": {"positions": 10_000, "draws": 4},
    "minimal_matches": {"layers": [f"conv{LAYERS}"]},
}
REPEATS = 3


def seconds(workspace: Workspace, *arguments: str) -> tuple[float, int]:
    """Of a run of Snakemake, and how many jobs it ran."""
    start = time.perf_counter()
    # Not forked, as jobs of tests are, which start faster than a user's.
    with workspace.start(*arguments) as process:
        text, _ = process.communicate()
    assert process.returncode == 0, text
    return time.perf_counter() - start, sum(Run(process.returncode, text).jobs.values())


def fastest(workspace: Workspace, *arguments: str) -> float:
    return min(seconds(workspace, *arguments)[0] for _ in range(REPEATS))


def arithmetic(stores: list[ActivationStore], layer: str) -> float:
    """Seconds of the reductions and match paths of a layer's draws, in memory."""
    draws = [
        [store.activations(layer, draw)[:] for store in stores]
        for draw in range(stores[0].layers[layer]["draws"])
    ]
    start = time.perf_counter()
    for x, y in draws:
        sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")
    return time.perf_counter() - start


def one_layer(workspace: Workspace, layer: str) -> None:
    """Print what a job of one layer costs."""
    networks = [workspace.key(seed, "initial") for seed in EXPERIMENT["seeds"][:2]]
    paths = workspace.paths
    target = os.path.relpath(
        paths.match(*networks, paths.group([layer]), "path.npz"), workspace.root
    )
    seconds(workspace, target)
    job = fastest(workspace, "--force", target) - fastest(workspace, target)
    stores = [ActivationStore(paths.activations(network)) for network in networks]
    least = min(arithmetic(stores, layer) for _ in range(REPEATS))
    entry = stores[0].layers[layer]
    print(f"a match job of one layer of {entry['neurons']} neurons, {entry['draws']} draws:")
    print(f"  {job:.2f} s, of which arithmetic {least:.2f} s, all else {job - least:.2f} s\n")


def all_layers(workspace: Workspace) -> None:
    """Print what all matches take, by the number of layers a job."""
    plan = workspace.root / "subspace_match" / "experiment" / "plan.py"
    text = plan.read_text()
    as_it_is = int(re.search(r"^LAYERS_PER_JOB = (\d+)$", text, re.MULTILINE)[1])
    print(f"{LAYERS} layers of 3 pairs, two jobs at a time:")
    print(f"{'layers a job':>14} {'jobs':>6} {'s':>7} {'s a layer':>10}")
    for layers in (as_it_is, 1):
        plan.write_text(text.replace(f"LAYERS_PER_JOB = {as_it_is}", f"LAYERS_PER_JOB = {layers}"))
        shutil.rmtree(workspace.root / "results" / "matches")
        taken, jobs = seconds(workspace, "--until", "match")
        print(f"{layers:14} {jobs:6} {taken:7.1f} {taken / LAYERS / 3:10.2f}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = copy_project(Path(folder, "project"))
        every = [f"conv{number}" for number in range(1, LAYERS + 1)]
        workspace.configure(**EXPERIMENT, matching={"layers": every})
        seconds(workspace, "--until", "extract")
        workspace.configure(**EXPERIMENT, matching={"layers": every[-1:]})
        one_layer(workspace, every[-1])
        workspace.configure(**EXPERIMENT, matching={"layers": every})
        all_layers(workspace)


if __name__ == "__main__":
    main()
