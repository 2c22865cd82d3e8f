"""The file that a killed training goes on from: signed, so that it goes on from nothing else."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..storage.files import atomic_write, remove_abandoned


@dataclass(frozen=True)
class Checkpoint:
    """Tensors and how far a training has come, written again and again to one file.

    Attributes:
        path: of the file.
        identity: of what decides the training; a checkpoint of another identity is not used.
    """

    path: Path
    identity: str

    def save(self, tensors: Mapping[str, torch.Tensor], progress: Mapping[str, Any]) -> None:
        """Replace the file.

        Args:
            tensors: by name.
            progress: plain JSON values.
        """
        held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        about = {"identity": self.identity, "progress": json.dumps(progress)}
        with atomic_write(self.path) as temporary:
            save_file(held, temporary, about | {"sha256": _checksum(held, about)})

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The tensors, on the CPU, and the progress; nothing if there is none that is of use.

        A damaged file is set aside under another name, and that is said.
        """
        remove_abandoned(self.path)
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            expected = about.pop("sha256")
            if (found := _checksum(tensors, about)) != expected:
                raise ValueError(f"SHA-256 {found} of what it holds instead of {expected}")
            progress = json.loads(about["progress"])
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            self.path.replace(aside)
            warnings.warn(
                f"{self.path}: expected a whole file, found a damaged one ({error}); it is set"
                f" aside as {aside}, and training starts anew",
                stacklevel=4,
            )
            return None
        if about["identity"] != self.identity:
            warnings.warn(
                f"{self.path} is of another configuration, code, images or initial network:"
                " training starts anew",
                stacklevel=4,
            )
            return None
        return tensors, progress


def _checksum(tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> str:
    """SHA-256 of all that a file holds but itself."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
