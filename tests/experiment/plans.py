"""Plans without Snakemake, files or data, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subspace_match.experiment.config import validated
from subspace_match.experiment.keys import Origins
from subspace_match.experiment.paths import Paths
from subspace_match.experiment.plan import Plan
from subspace_match.figures.registry import figure_names
from subspace_match.results.registry import TABLES


class Digests(dict[str, str]):
    """The same digest for everything that has none of its own."""

    def __missing__(self, key: str) -> str:
        return "0"


def origins(
    code: Mapping[str, str] | None = None, contents: Mapping[str, str] | None = None
) -> Origins:
    return Origins(Digests(code or {}), Digests(contents or {}))


def paths_of(
    config: Any, code: Mapping[str, str] | None = None, contents: Mapping[str, str] | None = None
) -> Paths:
    return Paths(validated(config), origins(code, contents))


def plan_of(config: Any, results: Path) -> Plan:
    """Plan a configuration that keeps lists of layers below a folder of results."""
    complete = validated(config | {"results": str(results)})
    return Plan(complete, origins(), TABLES, figure_names)
