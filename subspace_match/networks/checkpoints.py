"""A network's file: its weights, and what it takes to build and to feed it.

No pickle is ever loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..storage.files import atomic_write, damaged
from .architectures import build
from .memory_order import placed
from .preprocessing import Preprocessing


def save_network(
    path: str | Path,
    network: nn.Module,
    architecture: Mapping[str, Any],
    preprocessing: Preprocessing,
) -> None:
    """Write a network.

    Args:
        path: a ``.safetensors`` file.
        network: what ``build(**architecture)`` made.
        architecture: the arguments of ``build``.
        preprocessing: of the images that the network was trained on.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "network.safetensors")
        >>> about = {"name": "plain20", "width": 0.1, "hidden": [], "channels": 1, "classes": 2}
        >>> save_network(path, build(**about), about, Preprocessing((0.1,), (0.3,)))
        >>> network, preprocessing = load_network(path, torch.device("cpu"))
        >>> preprocessing.mean
        (0.1,)
    """
    # Copies, since the format holds no two tensors that share memory, as tied weights do.
    tensors = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
    about = {"architecture": dict(architecture), "preprocessing": preprocessing.record()}
    with atomic_write(path) as temporary:
        # One entry: the format writes several in an order of its own, another one each time.
        save_file(tensors, temporary, {"about": json.dumps(about)})


def load_network(path: str | Path, device: torch.device) -> tuple[nn.Module, Preprocessing]:
    """Read a network, in evaluation mode, on the device, and the preprocessing of its images.

    Raises:
        ValueError: if the file is damaged, naming it; or the network's code is no longer there.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            preprocessing = Preprocessing.from_record(about["preprocessing"])
            network = build(**about["architecture"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise damaged(path, error) from error
    return placed(network.eval(), device), preprocessing
