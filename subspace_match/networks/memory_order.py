"""The order in which a network's weights, and so its maps, lie in memory.

A convolution computes channels last if its weights or its maps are, so the order of the weights is
a whole network's, as long as the images that it gets are contiguous.
"""

from __future__ import annotations

import torch
from torch import nn

# Floats in a vector of AVX2. oneDNN's kernel writes whole vectors, past the end of fewer channels.
_VECTOR = 8


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, moved to a device, in the order that its convolutions are fastest in.

    That is channels last, except on a CPU where a network has a convolution whose backward pass
    corrupts memory then: of 1 x 1 pixels, with a stride, of fewer than 8 input channels (seen with
    torch 2.14 on processors that have AVX2 and not AVX-512).

    Example:
        >>> narrow = nn.Conv2d(4, 8, 1, stride=2)
        >>> placed(narrow, torch.device("cpu")).weight.is_contiguous()
        True
    """
    unsafe = device.type == "cpu" and any(map(_has_unsafe_weights, network.modules()))
    order = torch.contiguous_format if unsafe else torch.channels_last
    return network.to(memory_format=order).to(device)


def _has_unsafe_weights(module: nn.Module) -> bool:
    """Whether a module has weights of such a convolution; its stride is known of a Conv2d only."""
    if isinstance(module, nn.Conv2d) and set(module.stride) == {1}:
        return False
    return any(
        weights.ndim == 4 and weights.shape[1] < _VECTOR and weights.shape[2:] == (1, 1)
        for weights in module.parameters(recurse=False)
    )
