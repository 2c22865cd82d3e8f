"""CPU time of matching all pairs of many networks in the pipeline, from extracted activations.

    python benchmarks/bench_many_pairs.py [networks]

Networks of the default plan as they are before training: ten layers, most in four draws. Seconds of
all processes of a run of Snakemake that has only the matches to do, less those of one that has
nothing to do, by pair; and minutes of all 190 pairs of 20 networks on two cores.
``bench_pair_match`` shows where the time within a job goes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from pipeline.workspaces import PROJECT, Workspace, copy_project
from timing import cpu_of_programs

PAIRS, CORES = 190, 2


def run(workspace: Workspace, *arguments: str) -> float:
    """Return the CPU seconds of a run of Snakemake."""

    def programs() -> None:
        with workspace.start(*arguments) as process:
            text, _ = process.communicate()
        if process.returncode:
            sys.exit(text)

    return cpu_of_programs(programs)[0]


def main() -> None:
    networks = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    pairs = networks * (networks - 1) // 2
    with tempfile.TemporaryDirectory() as folder:
        workspace = copy_project(Path(folder, "project"))
        default = (PROJECT / "config" / "config.yaml").read_text()
        (workspace.root / "config" / "config.yaml").write_text(default)
        mine = f"seeds: {list(range(networks))}\nstages: [initial]\n"
        (workspace.root / "mine.yaml").write_text(mine)
        run(workspace, "--configfile", "mine.yaml", "--until", "extract")
        matches = ("--configfile", "mine.yaml", "--until", "match")
        seconds = (run(workspace, *matches) - run(workspace, *matches)) / pairs
    minutes = seconds * PAIRS / CORES / 60
    print(f"{pairs} pairs of {networks} networks: {seconds:.2f} CPU s a pair")
    print(f"{PAIRS} pairs on {CORES} cores: {minutes:.1f} min")


if __name__ == "__main__":
    main()
