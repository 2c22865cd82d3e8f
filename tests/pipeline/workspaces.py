"""Copies of the project in which tests run the real Snakemake on a tiny configuration."""

from __future__ import annotations

import collections
import contextlib
import gzip
import math
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pipeline import forks
from pipeline.forks import environment

from subspace_match.experiment.comparisons import Network
from subspace_match.experiment.config import Config, validated
from subspace_match.experiment.origins import paths_of
from subspace_match.experiment.paths import Paths

PROJECT = Path(__file__).parents[2]
SECONDS = 1200
TARGETS = ("all", "data_sets", "figures")
PARTS = ("Snakefile", "rules", "workflow_scripts", "subspace_match", "config", "profiles")
TINY: Config = {
    "seeds": [0, 1],
    "data": {"test_fraction": 0.8, "test_images": 1000},
    "network": {"width": 0.04, "hidden": [8]},
    "training": {"epochs": 2, "warmup_epochs": 1, "batch_size": 100},
    "extraction": {"positions": 500, "draws": 2},
    "matching": {"layers": ["conv1", "conv5", "fc1"]},
    "minimal_matches": {"layers": ["conv1"], "epsilons": [0.5]},
    "chance": {"permutations": 19},
    "heat_map": {"positions": 300},
    "figures": {"formats": ["svg"]},
}
# Without the optional parts of an experiment, for tests that do not look at them.
BARE: Config = {
    "minimal_matches": {"epsilons": []},
    "chance": {"permutations": 0},
    "heat_map": {"positions": 0},
}
# The data set of ``idx_files``, which has few images.
FASHION_MNIST = {"name": "fashion_mnist", "test_images": None}
# Jobs of the tiny configuration, whose three layers are one group: matching without and with the
# optional parts, and the jobs at the end of every experiment.
MATCHED = {"match": 1, "certify": 1, "measure": 1}
MATCHES = MATCHED | {"minimal_match": 1, "null": 1}
AGGREGATE = {"aggregate": 1}
TABLES = AGGREGATE | {"plot": 1, "report": 1}


@dataclass
class Run:
    """A finished Snakemake."""

    returncode: int
    text: str

    @property
    def jobs(self) -> dict[str, int]:
        """Number of finished jobs of each rule, without the target rules."""
        finished = re.findall(r"^\[ *\d+/\d+\] (\w+)", self.text, re.MULTILINE)
        return dict(collections.Counter(rule for rule in finished if rule not in TARGETS))

    @property
    def planned(self) -> dict[str, int]:
        """Number of jobs of each rule in a dry run."""
        table = self.text.rpartition("Job stats:")[2].partition("\n\n")[0]
        counts = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
        return {rule: n for rule, n in counts.items() if rule not in (*TARGETS, "total")}


class Workspace:
    """A copy of the project with its own configuration."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python_path: Path | None = None

    def configure(self, **changes: Any) -> None:
        """Write the tiny configuration with these changes, section by section."""
        config = {
            key: value | changes.get(key, {}) if isinstance(value, dict) else value
            for key, value in TINY.items()
        }
        config |= {
            key: value
            for key, value in changes.items()
            if key not in TINY or not isinstance(value, dict)
        }
        with contextlib.suppress(ValueError):  # an invalid configuration is written unchanged
            config = validated(config)
        (self.root / "config" / "config.yaml").write_text(yaml.safe_dump(config))

    @property
    def paths(self) -> Paths:
        """Paths of the current configuration, below the workspace."""
        with contextlib.chdir(self.root):  # the configuration may name files in this folder
            paths = paths_of(self.root)
        return replace(paths, config=paths.config | {"results": str(self.root / "results")})

    def key(self, seed: int, stage: str = "last", model: str = "base") -> str:
        """Key of a network in paths."""
        return self.paths.key(Network(model, seed, stage))

    def network(self, seed: int, suffix: str = ".safetensors") -> Path:
        """A file of a trained network."""
        return Path(self.paths.network(Network("base", seed, "last"), suffix))

    def start(self, *arguments: str, forked: bool = False) -> subprocess.Popen[str]:
        """Start Snakemake as a user does, in its own process group, or with all as forks."""
        python = str(forks.folder() / "python") if forked else sys.executable
        own = forks.forked_environment() if forked else environment()
        return subprocess.Popen(
            [python, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=self.root,
            env=self.with_python_path(own),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def snakemake(self, *arguments: str, fails: bool = False) -> Run:
        """Run Snakemake to its end, with all processes as forks."""
        with self.start(*arguments, forked=True) as process:
            try:
                text, _ = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert (process.returncode != 0) == fails, text
        return Run(process.returncode, text)

    def with_python_path(self, environment: dict[str, str]) -> dict[str, str]:
        """Return an environment in which Python searches ``python_path`` first."""
        return environment | ({"PYTHONPATH": str(self.python_path)} if self.python_path else {})

    def make_tables(self, *arguments: str) -> Run:
        """Run Snakemake to the tables, without figures and page."""
        return self.snakemake("--until", "aggregate", *arguments)

    def tables(self) -> dict[str, bytes]:
        """Bytes of every table of the current configuration."""
        folder = Path(self.paths.experiment("tables"))
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def copy_project(root: Path, *more: str) -> Workspace:
    """Return a workspace with the tiny configuration and no results."""
    root.mkdir(parents=True)
    for name in (*PARTS, *more):
        source = PROJECT / name
        if source.is_dir():
            # With the caches of Python and Numba, which take long to make, but without temporary
            # files of a process that writes to them now.
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy2(source, root / name)
    workspace = Workspace(root)
    workspace.configure()
    return workspace


def idx_files(folder: Path, fill: int) -> None:
    """Write the four files of Fashion-MNIST's format, with a few images of one grey value."""
    folder.mkdir(exist_ok=True)
    for part in ("train", "t10k"):
        for kind, shape in (("images-idx3", (20, 28, 28)), ("labels-idx1", (20,))):
            head = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
            values = bytes([fill]) * math.prod(shape) if kind.startswith("images") else bytes(20)
            file = folder / f"{part}-{kind}-ubyte.gz"
            file.write_bytes(gzip.compress(head + values, compresslevel=0, mtime=0))
