"""Which axis of a layer's values is that of neurons: known for certain, or not at all.

Convolutional maps are (images, neurons, height, width) to torch, but a network may hold them as
(images, height, width, neurons), and shapes alone do not tell. Two things do. An image that is
taller makes the axis of height longer and no other, one that is wider that of width, so what is
left is neurons. And a convolution's outputs, or a batch norm's, lie along axis 1 by definition,
which tells them where a network takes images of one size only.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

Shape = tuple[int, ...]

# Their outputs have one channel an entry of axis 1.
_MAKING = (_ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
_MAKING_FUNCTIONS = {functional.conv2d, functional.conv_transpose2d, functional.batch_norm}
# A value is computed of those at its own place in the inputs, or of those near it in its map.
_KEEPING = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Identity, nn.Dropout, nn.Dropout2d),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)
_KEEPING_FUNCTIONS = {
    *(functional.relu, torch.relu, torch.relu_, functional.gelu, functional.silu),
    *(functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d),
    *(operator.add, operator.iadd, torch.add, operator.mul, operator.imul, torch.mul),
    *("relu", "relu_", "add", "add_", "mul", "mul_", "contiguous", "clone"),  # methods
}


def channels_first(graph: fx.Graph, network: nn.Module, keeping: set[Any]) -> set[fx.Node]:
    """The nodes whose operation puts neurons along axis 1.

    Args:
        graph: of the network.
        network: whose modules the graph calls.
        keeping: further functions that return their input as it is.
    """
    certain: set[fx.Node] = set()
    for node in graph.nodes:
        called = _called(node, network)
        inputs = node.all_input_nodes
        if _is(called, _MAKING, _MAKING_FUNCTIONS) or (
            _is(called, _KEEPING, _KEEPING_FUNCTIONS | keeping)
            and inputs
            and all(one in certain for one in inputs)
        ):
            certain.add(node)
    return certain


def axis_of_neurons(shape: Shape, taller: Shape | None, wider: Shape | None) -> int | None:
    """The axis of a map that neither a taller nor a wider image changes.

    Args:
        shape: (images, ., ., .).
        taller: of the same layer for images of twice the height, None if it does not take them.
        wider: likewise for images of twice the width.

    Returns:
        None unless each other axis is one of height or width, or has no more than one entry.

    Example:
        >>> axis_of_neurons((2, 8, 4, 4), (2, 8, 8, 4), (2, 8, 4, 8))
        1
        >>> axis_of_neurons((2, 4, 4, 8), (2, 8, 4, 8), (2, 4, 8, 8))
        3
    """
    if taller is None or wider is None:
        return None
    kinds = [_kind(*lengths) for lengths in zip(shape, taller, wider, strict=True)]
    for axis in (1, 2, 3):
        down, right = (kinds[other] for other in (1, 2, 3) if other != axis)
        if (
            kinds[axis] in ("fixed", "single")
            and down in ("height", "single")
            and right in ("width", "single")
        ):
            return axis
    return None


def _kind(length: int, taller: int, wider: int) -> str:
    """What an axis is, by its lengths for an image, a taller one and a wider one."""
    if length == taller == wider:
        return "single" if length == 1 else "fixed"
    if length != taller and length != wider:
        return "both"
    return "height" if length != taller else "width"


def _called(node: fx.Node, network: nn.Module) -> Any:
    """The module, the function or the method's name that a node calls."""
    if node.op == "call_module":
        return network.get_submodule(str(node.target))
    return node.target if node.op in ("call_function", "call_method") else None


def _is(called: Any, modules: tuple[type[nn.Module], ...], others: set[Any]) -> bool:
    return isinstance(called, modules) if isinstance(called, nn.Module) else called in others
