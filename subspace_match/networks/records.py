"""What is known of a network beside its weights: a record, one file a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..storage.files import sha256, write_record


def write_network_record(path: str | Path, network: str | Path, **about: Any) -> None:
    """Write a network's record: what made it, and the SHA-256 of its file.

    Args:
        path: of the record.
        network: the network's file.
        about: plain JSON values; at least the digest of what decides the network, its seed and its
            stage.
    """
    versions = {"version": __version__, "torch": str(torch.__version__)}
    write_record(path, about | {"sha256": sha256(network)} | versions)
