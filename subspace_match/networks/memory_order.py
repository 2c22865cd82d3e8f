"""The memory format of a network's weights, which is also that of its maps.

A convolution runs channels last if its weights or its maps have that format. As long as the input
images are contiguous, the weights therefore decide the format of the whole network.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

# Floats in an AVX2 vector. oneDNN's kernel writes whole vectors, past the end of fewer channels.
_VECTOR = 8


def move_to(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, in the memory format in which its convolutions are fastest.

    The format of convolutions in two dimensions is channels last, except on a CPU for networks with
    a convolution whose backward pass then corrupts memory: kernel 1 x 1, stride above 1, fewer than
    8 input channels (seen with torch 2.14 on processors with AVX2 and without AVX-512).

    Example:
        >>> narrow = nn.Conv2d(4, 8, 1, stride=2)
        >>> move_to(narrow, torch.device("cpu")).weight.is_contiguous()
        True
    """
    unsafe = device.type == "cpu" and any(map(_has_unsafe_weights, network.modules()))
    order = torch.contiguous_format if unsafe else torch.channels_last
    # Not Module.to, which refuses networks with convolutions in three dimensions; nor contiguous(),
    # which leaves weights of one input channel, whose maps then are not channels last.
    for weights in itertools.chain(network.parameters(), network.buffers()):
        if weights.ndim == 4:
            weights.data = weights.data.to(memory_format=order)
    return network.to(device)


def _has_unsafe_weights(module: nn.Module) -> bool:
    """Return whether a module may be such a convolution; only a Conv2d has a known stride."""
    if isinstance(module, nn.Conv2d) and set(module.stride) == {1}:
        return False
    return any(
        weights.ndim == 4 and weights.shape[1] < _VECTOR and weights.shape[2:] == (1, 1)
        for weights in module.parameters(recurse=False)
    )
