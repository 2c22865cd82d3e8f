"""The provenance of a result, printed for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..storage.files import Record
from ..storage.job_records import Records, check


def described(file: Path) -> str:
    """Return what made a result, as YAML.

    Raises:
        ValueError: if there is no such file, no record of it, or it was changed since.
    """
    import yaml

    file = file.absolute()
    job = Records().required(file)
    check(file, job)
    return str(yaml.safe_dump(_described(file, job.record), sort_keys=False, width=100))


def _described(file: Path, record: Record) -> dict[str, Any]:
    """Return a record's main entries; the settings that differ from the defaults come first."""
    networks = {n: c for n, c in record["weights_and_images"].items() if n.startswith("networks/")}
    data = {n: c for n, c in record["weights_and_images"].items() if n.startswith("data/")}
    return {
        "file": str(file),
        "made_by": {"rule": record["rule"]} | record["wildcards"],
        "differs_from_default": record["differs"],
        "seeds": dict(_seeds(record["config"])),
        "networks_sha256": networks,
        "data_sha256": data,
        "digests": record["digests"],
        "runs": record["runs"],
        "config": record["config"],
    }


def _seeds(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _seeds(value, f"{above}{key}.")
        elif key.endswith(("seed", "seeds")):
            yield f"{above}{key}", value
