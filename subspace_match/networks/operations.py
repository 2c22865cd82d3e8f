"""The operations that a traced network is searched for, and how PyTorch code calls each.

To add a nonlinearity, add it to ``NONLINEARITIES`` and to ``extraction.nodes`` in the schema.
"""

from __future__ import annotations

import operator
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd


@dataclass(frozen=True)
class Operation:
    """An operation, or several that are treated alike.

    Attributes:
        modules: module classes that compute it.
        others: functions that compute it, and the names of such tensor methods.
        name: used in messages.
    """

    modules: tuple[type[nn.Module], ...]
    others: Set[Any]
    name: str = ""

    def is_called(self, node: fx.Node, network: nn.Module) -> bool:
        """Return whether a node of the network's graph calls this operation."""
        if node.op == "call_module":
            return isinstance(network.get_submodule(str(node.target)), self.modules)
        return node.op in ("call_function", "call_method") and node.target in self.others


# The keys are values of ``extraction.nodes``.
NONLINEARITIES = {
    "relu": Operation(
        (nn.ReLU,), {functional.relu, torch.relu, torch.relu_, "relu", "relu_"}, "ReLU"
    ),
}
CONVOLUTION = Operation((nn.Conv2d,), {functional.conv2d}, "Conv2d")

# Outputs have one channel per entry of axis 1.
MAKES_CHANNELS = Operation(
    (_ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm),
    {functional.conv2d, functional.conv_transpose2d, functional.batch_norm},
)
# Each output value depends on inputs of the same channel and position, or of nearby positions.
KEEPS_CHANNELS = Operation(
    (
        *(module for operation in NONLINEARITIES.values() for module in operation.modules),
        *(nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
        *(nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Identity, nn.Dropout, nn.Dropout2d),
        *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    ),
    {
        *(other for operation in NONLINEARITIES.values() for other in operation.others),
        *(functional.gelu, functional.silu),
        *(functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d),
        *(operator.add, operator.iadd, torch.add, operator.mul, operator.imul, torch.mul),
        *("add", "add_", "mul", "mul_", "contiguous", "clone"),
    },
)
