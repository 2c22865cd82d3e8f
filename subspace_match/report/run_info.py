"""Where a run comes from, for its page: the record that lies beside its tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .runs import Run


def origin(run: Run) -> dict[str, Any]:
    """What a run was made from, as plain JSON values.

    Returns:
        The configuration in two parts, "changed" and "default", a flat mapping of dotted keys each;
        "again", the command that makes the run again; "digests" by what they stand for; and "runs",
        which of Snakemake's calls made which rules' results. Without a record all of the
        configuration is "changed", and there are no digests and calls.
    """
    record = run.record or {"differs": run.config, "digests": {}, "runs": []}
    changed = flat(record["differs"])
    # Its own: another may be in config/ by now.
    config = Path(run.config["results"], "experiments", run.name, "config.json")
    return {
        "changed": changed,
        "default": {k: value for k, value in flat(run.config).items() if k not in changed},
        "again": shlex.join(["snakemake", "--configfile", str(config)]),
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
