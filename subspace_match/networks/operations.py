"""The operations that a network is searched for, and how code calls each.

To add a nonlinearity, add it to ``NONLINEARITY``. A module of another library counts if its class
is named after one: ``NewGELUActivation`` of Hugging Face, ``QuickGELU`` of CLIP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import fx, nn


@dataclass(frozen=True)
class Operation:
    """An operation, or several that are treated alike.

    Attributes:
        modules: module classes that compute it.
        functions: names of functions and tensor methods that compute it.
        words: lower-case parts of the names of further module classes that compute it.
    """

    modules: tuple[type[nn.Module], ...]
    functions: frozenset[str]
    words: tuple[str, ...] = ()

    def is_module(self, module: nn.Module) -> bool:
        """Return whether a module computes this operation."""
        return isinstance(module, self.modules) or (
            bool(self.words)
            and not type(module).__module__.startswith("torch.nn")
            and next(module.children(), None) is None
            and any(word in type(module).__name__.lower() for word in self.words)
        )

    def is_called(self, node: fx.Node, network: nn.Module) -> bool:
        """Return whether a node of a network's graph calls this operation."""
        if node.op == "call_module":
            return self.is_module(network.get_submodule(str(node.target)))
        name = function_name(node.target)
        return node.op in ("call_function", "call_method") and name in self.functions


def function_name(function: Any) -> str:
    """Return the name of a function, or of a method that a graph knows by name."""
    return function if isinstance(function, str) else getattr(function, "__name__", "")


def _with_in_place(*names: str) -> frozenset[str]:
    return frozenset(name + end for name in names for end in ("", "_"))


RELU = Operation((nn.ReLU,), _with_in_place("relu"))
# Not the sigmoid and its approximations, which scale other values (squeeze and excitation, LSTM),
# and not the softmax of attention.
NONLINEARITY = Operation(
    (
        *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU),
        *(nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardtanh, nn.Tanh, nn.Softplus),
        *(nn.Softsign, nn.Threshold, nn.GLU),
    ),
    _with_in_place(
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu"),
        *("mish", "hardswish", "hardtanh", "tanh", "softplus", "softsign", "threshold", "glu"),
    ),
    ("relu", "elu", "gelu", "silu", "swish", "mish", "glu", "tanh", "softplus", "laplace"),
)
CONVOLUTION = Operation(
    (nn.Conv1d, nn.Conv2d, nn.Conv3d), frozenset({"conv1d", "conv2d", "conv3d"})
)
# The keys are values of ``extraction.nodes``.
OPERATIONS = {"relu": RELU, "activation": NONLINEARITY, "convolution": CONVOLUTION}
