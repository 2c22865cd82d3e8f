"""A network's layers: which there are, and their activations.

A layer is a ReLU of the network's graph, so a ReLU module that is used twice is two layers. The
graph is executed node by node and a layer's activations are taken the moment they are computed:
an operation in place later on cannot reach them, and no map is held longer than the network
itself holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torchvision.models.feature_extraction import NodePathTracer

Sink = Callable[[str, torch.Tensor], None]

_RELU_FUNCTIONS = {functional.relu, torch.relu, torch.relu_}
_RELU_METHODS = {"relu", "relu_"}


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: conv1, conv2, ... for maps and fc1, fc2, ... for vectors, in order of computation.
        node: its name in the graph, as torchvision's feature extraction names it.
        kind: "conv" (a neuron is a channel, a sample a position) or "fc" (a sample is an image).
        neurons: number of them.
        height, width: of the map, 1 and 1 for a fully connected layer.
    """

    name: str
    node: str
    kind: str
    neurons: int
    height: int
    width: int


class LayeredNetwork(fx.Interpreter):
    """A network in evaluation mode that hands out its layers' activations as it runs."""

    def __init__(self, network: nn.Module) -> None:
        """Trace the network.

        Args:
            network: any module that torch.fx can trace.
        """
        network.eval()
        tracer = NodePathTracer()
        graph = tracer.trace(network)
        super().__init__(fx.GraphModule(network, graph))
        self._nodes = {
            node: str(tracer.node_to_qualname[node])
            for node in graph.nodes
            if _is_relu(node, network)
        }
        self._sink: Sink | None = None

    def layers(self, channels: int, height: int, width: int) -> list[Layer]:
        """The layers that an image of this shape passes through, in order of computation.

        Raises:
            ValueError: if the network has no ReLU, or one that is neither a map nor a vector.
        """
        shapes: dict[str, torch.Size] = {}
        device = next(iter(self.module.parameters())).device
        image = torch.zeros(1, channels, height, width, device=device)
        self.capture(image, lambda node, activations: shapes.update({node: activations.shape}))
        if not shapes:
            raise ValueError("network: expected at least one ReLU in its graph, found none")
        counts = {"conv": 0, "fc": 0}
        layers = []
        for node, shape in shapes.items():
            if len(shape) not in (2, 4):
                raise ValueError(
                    f"network: expected a ReLU of shape (images, neurons) or (images, channels,"
                    f" height, width), found {tuple(shape)} at {node}"
                )
            kind = "conv" if len(shape) == 4 else "fc"
            counts[kind] += 1
            layers.append(
                Layer(f"{kind}{counts[kind]}", node, kind, shape[1], *(shape[2:] or (1, 1)))
            )
        return layers

    def capture(self, images: torch.Tensor, sink: Sink) -> None:
        """Run a batch of images; ``sink(node, activations)`` is called for each layer in turn."""
        self._sink = sink
        with torch.inference_mode():
            self.run(images)
        self._sink = None

    def run_node(self, n: fx.Node) -> Any:
        """Execute one node of the graph, and hand out what it computed if it is a layer."""
        result = super().run_node(n)
        if self._sink is not None and n in self._nodes:
            self._sink(self._nodes[n], result)
        return result


def _is_relu(node: fx.Node, network: nn.Module) -> bool:
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.ReLU)
    if node.op == "call_method":
        return node.target in _RELU_METHODS
    return node.op == "call_function" and node.target in _RELU_FUNCTIONS
