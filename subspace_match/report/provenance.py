"""Where a page comes from: the configuration and its digests, versions, the commit."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from ..config import Config, validated
from ..layout import Layout
from .runs import Run

_PROJECT = Path(__file__).parents[2]
_PACKAGES = (
    "subspace-match",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "numba",
    "zarr",
    "pandas",
    "snakemake",
    "dvc",
    "vl-convert-python",
)


@dataclass(frozen=True)
class Maker:
    """What makes a page.

    Attributes:
        command: that makes it again.
        commit: of the project, with a word on changes that are not committed; None outside git.
        versions: of Python and of packages, by name.
    """

    command: str
    commit: str | None
    versions: dict[str, str]

    @classmethod
    def here(cls, command: str) -> Maker:
        """This project, as it stands, in this environment."""
        return cls(command, _commit(), {"Python": platform.python_version()} | _versions())

    def about(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def provenance(run: Run) -> dict[str, Any]:
    """What a run was made from, as plain JSON values.

    Returns:
        The configuration in two parts, "changed" and "default", a flat mapping of dotted keys each
        (all is "changed" where the project's schema, which has the defaults, is not at hand), and
        "digests" by what they stand for.
    """
    layout = Layout(run.config)
    own, defaults = flat(run.config), flat(_defaults())
    changed = {key: value for key, value in own.items() if defaults.get(key, ...) != value}
    return {
        "changed": changed,
        "default": {key: value for key, value in own.items() if key not in changed},
        "digests": {
            "experiment": layout.experiment_digest,
            "data set": layout.data_key(),
            "recording": layout.recording_digest,
            "matching": layout.matching_digest,
            "chance": layout.null_digest,
            "heat map": layout.places_digest,
        },
    }


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as one mapping of dotted keys.

    Example:
        >>> flat({"seeds": [0, 1], "data": {"name": "mnist_5k"}, "models": {}})
        {'seeds': [0, 1], 'data.name': 'mnist_5k', 'models': {}}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def _defaults() -> Config:
    schema = _PROJECT / "config" / "schema.yaml"
    return validated({}, yaml.safe_load(schema.read_text())) if schema.exists() else {}


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    def git(*arguments: str) -> str:
        call = ["git", "-C", str(_PROJECT), *arguments]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}, with changes that are not committed" if changed else commit
