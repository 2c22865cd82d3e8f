"""A network to be trained on: another one's weights, and perhaps other outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .architectures import build, initialise


def transferred(
    start: nn.Module, architecture: Mapping[str, Any], seed: int
) -> tuple[nn.Module, list[str]]:
    """A network with another one's weights wherever both have a tensor of one name and shape.

    Args:
        start: whose weights are taken.
        architecture: arguments of ``build``; with another number of classes than start's, the
            output layer is new.
        seed: of the weights that start does not have.

    Returns:
        The network on the CPU, in training mode, and the names of its tensors that are new.

    Raises:
        ValueError: if start has none of its tensors.

    Example:
        >>> about = {"name": "resnet20", "width": 0.1, "hidden": [], "channels": 1}
        >>> start = build(**about, classes=10)
        >>> transferred(start, {**about, "classes": 3}, seed=0)[1]
        ['output.weight', 'output.bias']
    """
    torch.manual_seed(seed)  # for the weights of one's own kinds of layers
    network = build(**architecture)
    initialise(network, seed)
    given = start.state_dict()
    own = network.state_dict()
    new = [n for n, tensor in own.items() if n not in given or given[n].shape != tensor.shape]
    if len(new) == len(own):
        raise ValueError(
            "models.start: expected a network of which at least one tensor fits, found none of"
            f" {architecture['name']}'s"
        )
    network.load_state_dict({name: own[name] if name in new else given[name] for name in own})
    return network, new
