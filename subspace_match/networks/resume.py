"""The file from which a killed training resumes. Its checksum and identity must match."""

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
class ResumeFile:
    """The tensors and the progress of a training, replaced after each epoch.

    The identity stands for all that decides the training. A file with another one is not used.
    """

    path: Path
    identity: str

    def save(self, tensors: Mapping[str, torch.Tensor], progress: Mapping[str, Any]) -> None:
        """Replace the file; ``progress`` has plain JSON values."""
        # Copies, because the format refuses tensors that share memory, such as tied weights.
        on_cpu = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in tensors.items()
        }
        about = {"identity": self.identity, "progress": json.dumps(progress)}
        with atomic_write(self.path) as temporary:
            save_file(on_cpu, temporary, about | {"sha256": _checksum(on_cpu, about)})

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return the tensors, on the CPU, and the progress; None if there is no usable file.

        Warns:
            UserWarning: if the file is damaged, in which case it is renamed, or has another
                identity.
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
                raise ValueError(f"its content has the SHA-256 {found} instead of {expected}")
            progress = json.loads(about["progress"])
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            renamed = self.path.with_name(f"{self.path.name}.damaged")
            self.path.replace(renamed)
            warnings.warn(
                f"{self.path}: expected a whole file, found a damaged one ({error}); renamed it to"
                f" {renamed}, training starts from the beginning",
                stacklevel=4,
            )
            return None
        if about["identity"] != self.identity:
            warnings.warn(
                f"{self.path} belongs to another configuration, code, seed, data set or network to"
                " start from: training starts from the beginning",
                stacklevel=4,
            )
            return None
        return tensors, progress


def _checksum(tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> str:
    """Return the SHA-256 of everything in the file except the checksum."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
