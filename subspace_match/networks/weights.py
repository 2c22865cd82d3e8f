"""A trained network's file: its weights and what it takes to build it. No pickle is ever loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..artefacts import damaged, written
from .architectures import build


def save_network(path: str | Path, network: nn.Module, architecture: Mapping[str, Any]) -> None:
    """Write a network.

    Args:
        path: a ``.safetensors`` file.
        network: what ``build(**architecture)`` made.
        architecture: the arguments of ``build``.
    """
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    with written(path) as temporary:
        save_file(tensors, temporary, {"architecture": json.dumps(architecture)})


def load_network(path: str | Path, device: torch.device) -> nn.Module:
    """Read a network, in evaluation mode, on the device.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            network = build(**json.loads(file.metadata()["architecture"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise damaged(path, error) from error
    return network.eval().to(memory_format=torch.channels_last).to(device)
