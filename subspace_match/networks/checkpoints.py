"""Checkpoints: a network's weights with its architecture and preprocessing, and its record.

No pickle is ever loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from .. import __version__
from ..storage.files import atomic_write, sha256, write_record
from .architectures import build
from .memory_order import move_to
from .preprocessing import Preprocessing


def save_network(
    path: str | Path,
    network: nn.Module,
    architecture: Mapping[str, Any],
    preprocessing: Preprocessing,
) -> None:
    """Write a network, made by ``build(**architecture)``, to a ``.safetensors`` file.

    Raises:
        ValueError: if its state dict has something else than tensors.
    """
    state = network.state_dict()
    if others := [name for name, value in state.items() if not isinstance(value, torch.Tensor)]:
        raise ValueError(
            "network: expected a state dict of tensors only, found"
            f" {type(state[others[0]]).__name__} in {others[0]}; let get_extra_state return a"
            " tensor"
        )
    # Copies, because the format refuses tensors that share memory, such as tied weights.
    tensors = {
        name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
    about = {"architecture": dict(architecture), "preprocessing": asdict(preprocessing)}
    with atomic_write(path) as temporary:
        # One entry only: safetensors writes several in an order that varies between runs.
        save_file(tensors, temporary, {"about": json.dumps(about)})


def load_network(path: str | Path, device: torch.device) -> tuple[nn.Module, Preprocessing]:
    """Read a network and its preprocessing; the network is on the device, in evaluation mode.

    Raises:
        ValueError: if the file is no network that was saved so, or damaged, or the code of a custom
            network no longer fits its weights or no longer exists; the message names the file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a network that a run has trained, found a file that cannot be read"
            f" as one ({error}); of weights of other code name the architecture, and give this file"
            " as its weights; if a run made it, it is damaged: remove it and run again"
        ) from error
    if not isinstance(about, dict) or {"architecture", "preprocessing"} - set(about):
        raise ValueError(
            f"{path}: expected a network that a run has trained, with its architecture, found"
            " weights alone; name their architecture, and give this file as its weights"
        )
    try:
        preprocessing = Preprocessing.from_record(about["preprocessing"])
        network = build(**about["architecture"])
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: expected the weights of the network as its code is now, found others"
            f" ({reason}); restore the code with which it was trained, or train again"
        ) from error
    return move_to(network.eval(), device), preprocessing


def write_network_record(path: str | Path, network: str | Path, **about: Any) -> None:
    """Write a network's record: how it was made, and the SHA-256 of its checkpoint.

    ``about`` has plain JSON values: at least the network's digest, seed and stage.
    """
    versions = {"version": __version__, "torch": str(torch.__version__)}
    write_record(path, about | {"sha256": sha256(network)} | versions)
