"""Find the blocks of a network: the modules whose outputs are its stages of processing."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.conv import _ConvNd


def blocks(network: nn.Module) -> list[nn.Module]:
    """Return the blocks of a network.

    In a transformer these are its layers, whose outputs are the residual stream: the innermost
    modules that are listed in a Sequential or a ModuleList, have a forward method of their own, and
    contain a layer norm (or RMS norm) and at least two matrices of weights. In other networks they
    are the outermost modules below the network that contain convolutions and have a forward method
    of their own, such as a residual block or an Inception module.

    Example:
        >>> layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), num_layers=3)
        >>> len(blocks(layers))
        3
    """
    return list(_transformer_layers(network)) or list(_outermost(network))


def _transformer_layers(network: nn.Module) -> Iterator[nn.Module]:
    for child in network.children():
        inside = list(_transformer_layers(child))
        yield from inside
        listed = isinstance(network, (nn.Sequential, nn.ModuleList))
        if not inside and listed and _has_own_forward(child) and _is_transformer_layer(child):
            yield child


def _is_transformer_layer(module: nn.Module) -> bool:
    matrices = [name for name, weights in module.named_parameters() if weights.ndim == 2]
    names = (type(part).__name__.lower() for part in module.modules())
    return len(matrices) >= 2 and any("layernorm" in n or "rmsnorm" in n for n in names)


def _outermost(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        inside = list(child.modules())
        if isinstance(child, _ConvNd) or not any(isinstance(m, _ConvNd) for m in inside):
            continue
        if _has_own_forward(child):
            yield child
        else:
            yield from _outermost(child)


def _has_own_forward(module: nn.Module) -> bool:
    # A Sequential computes nothing itself; ModuleList and ModuleDict have no forward.
    return type(module).forward not in (nn.Sequential.forward, nn.Module.forward)
