"""Fine-tuning: start a network from another one's weights, perhaps with other classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .architectures import build, initialise


def transfer_weights(
    start: nn.Module, architecture: Mapping[str, Any], seed: int
) -> tuple[nn.Module, list[str]]:
    """Build a network and copy every tensor of equal name and shape from another network.

    Args:
        start: the network to copy from.
        architecture: arguments of ``build``; if its number of classes differs from that of
            ``start``, the output layer is new.
        seed: seed of the weights that ``start`` does not have.

    Returns:
        The network on the CPU, in training mode, and the names of its new tensors.

    Raises:
        ValueError: if no tensor can be copied.

    Example:
        >>> about = {"name": "resnet20", "width": 0.1, "hidden": [], "channels": 1}
        >>> start = build(**about, classes=10)
        >>> transfer_weights(start, {**about, "classes": 3}, seed=0)[1]
        ['output.weight', 'output.bias']
    """
    torch.manual_seed(seed)  # custom layers draw their weights from the global generator
    network = build(**architecture)
    initialise(network, seed)
    source, own = start.state_dict(), network.state_dict()
    new = [n for n, tensor in own.items() if n not in source or source[n].shape != tensor.shape]
    if len(new) == len(own):
        raise ValueError(
            "models.start: expected a network with at least one tensor of the same name and shape,"
            f" found none that fits {architecture['name']}"
        )
    network.load_state_dict({name: own[name] if name in new else source[name] for name in own})
    return network, new
