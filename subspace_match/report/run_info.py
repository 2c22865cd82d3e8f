"""What produced a run, from the provenance record next to its tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .runs import Run


def run_info(run: Run) -> dict[str, Any]:
    """Describe what produced a run, as plain JSON values.

    Returns:
        ``changed`` and ``default``: the configuration in two parts, each with dotted keys.
        ``config``: the configuration as it is; None for a comparison of models in memory.
        ``again``: the command or call that reproduces the run. ``digests``: of code and inputs, by
        results folder. ``runs``: which calls of Snakemake ran which rules. Without a record, the
        whole configuration is in ``changed``, and there are no digests and no calls.
    """
    record = run.record or {"differs": run.config, "digests": {}, "runs": []}
    changed = flat(record["differs"])
    again = run.config.get("call")  # a comparison of models in memory
    if again is None:
        # The run's own configuration file: the one in config/ may have changed since.
        config = Path(run.config["results"], "experiments", run.name, "config.json")
        again = shlex.join(["snakemake", "--configfile", str(config)])
    return {
        "changed": changed,
        "default": {k: value for k, value in flat(run.config).items() if k not in changed},
        "config": None if "call" in run.config else run.config,
        "again": again,
        "digests": {area: ", ".join(digests) for area, digests in record["digests"].items()},
        "runs": [
            {
                "rules": ", ".join(made["rules"]),
                "command": made["command"],
                "commit": made["commit"],
                "changed": made["changed"],
                "versions": {"python": made["python"], **made["packages"]},
            }
            for made in record["runs"]
        ],
    }


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a nested configuration to one mapping with dotted keys.

    Example:
        >>> flat({"seeds": [0, 1], "data": {"name": "mnist_5k"}, "models": {}})
        {'seeds': [0, 1], 'data.name': 'mnist_5k', 'models': {}}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found
