"""A network's layers: which there are, and their activations.

A layer is a node of the network's graph, a ReLU of it unless told otherwise, so a ReLU module that
is used twice is two layers. The graph is executed node by node and a layer's activations are taken
the moment they are computed: an operation in place later on cannot reach them, and no map is held
longer than the network itself holds it.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torchvision.models.feature_extraction import NodePathTracer

from .layer_info import LayerInfo
from .neuron_axis import Shape, axis_of_neurons, channels_first
from .task_check import output_for

Sink = Callable[[str, torch.Tensor], None]

_RELU_FUNCTIONS = {functional.relu, torch.relu, torch.relu_}
_RELU_METHODS = {"relu", "relu_"}
_COMPUTED = {"call_module", "call_function", "call_method"}
_FAULTS_SHOWN = 5


class LayeredNetwork(fx.Interpreter):
    """A network in evaluation mode that hands out its layers' activations as it runs.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
        >>> LayeredNetwork(net).layers(1, 4, 4)
        [LayerInfo(name='conv1', node='1', kind='conv', neurons=2, height=2, width=2)]
        >>> [layer.name for layer in LayeredNetwork(net, ["1", "3"]).layers(1, 4, 4)]
        ['conv1', 'fc1']
    """

    def __init__(self, network: nn.Module, nodes: str | Sequence[str] = "relu") -> None:
        """Trace the network.

        Args:
            network: any module that torch.fx can trace.
            nodes: which nodes of the graph are layers. "relu": each use of a ReLU, what comes
                out of it. "convolution": each use of a Conv2d, likewise. "block": what each
                outermost module below the network returns that has a forward of its own, around
                convolutions: a residual block, an Inception module; not a Sequential. Or a list
                of shell patterns over the nodes' names, as torchvision's feature extraction names
                them: ``["stage1.*.relu_1", "output"]``.

        Raises:
            ValueError: if the network cannot be traced, or has no such node.
        """
        network.eval()
        tracer = _Tracer(set(_blocks(network)) if nodes == "block" else set())
        try:
            graph = tracer.trace(network)
        # A network's code may fail in any way when it is run on what is not a tensor.
        except Exception as error:
            raise ValueError(
                "network: expected a module that torch.fx can trace, whose operations do not depend"
                f" on the values that pass through it; found {type(network).__name__}, where"
                f" tracing ends with {type(error).__name__}: {error}"
            ) from error
        super().__init__(fx.GraphModule(network, graph))
        self._network = network
        names = {node: str(tracer.node_to_qualname[node]) for node in tracer.node_to_qualname}
        self._names = {node: names[node] for node in graph.nodes if node.op in _COMPUTED}
        self._layers = _chosen(network, nodes, self._names)
        first = channels_first(graph, network, {_block_returns})
        self._channels_first = {names[node] for node in self._layers & first}
        self._prefix = "block" if nodes == "block" else None
        self._sink: Sink | None = None
        self._handed_out: set[fx.Node] = set()

    def layers(self, channels: int, height: int, width: int) -> list[LayerInfo]:
        """The layers that an image of this shape passes through, in order of computation.

        Raises:
            ValueError: if the network cannot see such images; or if a layer is neither (images,
                channels, height, width) nor (images, neurons), or not certain to be, naming it.
        """
        counts: Counter[str] = Counter()
        layers = []
        for node, shape in self._certain_shapes(channels, height, width).items():
            kind = "conv" if len(shape) == 4 else "fc"
            prefix = self._prefix or kind
            counts[prefix] += 1
            layers.append(
                LayerInfo(f"{prefix}{counts[prefix]}", node, kind, shape[1], *(shape[2:] or (1, 1)))
            )
        return layers

    def _certain_shapes(self, channels: int, height: int, width: int) -> dict[str, Shape]:
        """Of each layer's values for 2 images, if neurons are for certain along axis 1 of all."""
        # Of itself, since in a graph errors are of what it was traced with.
        output_for(self._network, (channels, height, width))
        found, error = self._shapes(2, channels, height, width)
        if error is not None:
            raise error
        # Other images, as far as they come; three, so that an axis of images is told by its length.
        taller, _ = self._shapes(3, channels, 2 * height, width)
        wider, _ = self._shapes(3, channels, height, 2 * width)
        certain, faults = {}, []
        for node, shape in found.items():
            axis = self._axis_of_neurons(node, shape, taller.get(node), wider.get(node))
            if shape is not None and axis == 1:
                certain[node] = shape
            else:
                known = f", whose axis of neurons is {axis}" if axis else ""
                faults.append(f"{shape} for 2 images at {node}{known}")
        if faults:
            more = len(faults) - _FAULTS_SHOWN
            raise ValueError(
                "network: expected layers of shape (images, neurons) or, for certain, (images,"
                f" channels, height, width), found {'; '.join(faults[:_FAULTS_SHOWN])}"
                + (f"; and {more} more" if more > 0 else "")
                + "; extraction.nodes says which nodes are layers"
            )
        return certain

    def _axis_of_neurons(self, node: str, shape: Shape | None, *others: Shape | None) -> int | None:
        """Of a layer's values for 2 images and, where known, for 3 taller and 3 wider ones."""
        if shape is None or len(shape) not in (2, 4) or shape[0] != 2:
            return None
        if any(other is not None and other[:1] != (3,) for other in others):
            return None
        if len(shape) == 2 or node in self._channels_first:
            return 1
        return axis_of_neurons(shape, *others)

    def _shapes(self, *images: int) -> tuple[dict[str, Shape | None], Exception | None]:
        """Of each layer's values for images of a shape, up to an error; None if no tensor."""
        found: dict[str, Shape | None] = {}
        device = next((weights.device for weights in self.module.parameters()), None)
        inputs = torch.zeros(images, device=device)
        try:
            self.capture(inputs, lambda node, value: found.update({node: _shape(value)}))
        except Exception as error:  # of any kind: a network's code may be anybody's
            return found, error
        return found, None

    def capture(self, images: torch.Tensor, sink: Sink, *, every_node: bool = False) -> Any:
        """Run a batch of images; ``sink(node, activations)`` is called for each layer in turn.

        Args:
            images: the batch.
            sink: told of each layer; not to change the activations.
            every_node: tell of everything that is computed, which need not be a tensor.

        Returns:
            The network's output.
        """
        self._sink, self._handed_out = sink, set(self._names) if every_node else self._layers
        try:
            with torch.inference_mode():
                return self.run(images)
        finally:
            self._sink = None

    def run_node(self, n: fx.Node) -> Any:
        """Execute one node of the graph, and hand out what it computed if it is a layer."""
        result = super().run_node(n)
        if self._sink is not None and n in self._handed_out:
            self._sink(self._names[n], result)
        return result


class _Tracer(NodePathTracer):  # type: ignore[misc]
    """Names nodes as torchvision does, and marks where a block returns with a node of its own.

    The node that a block returns may still be changed in place inside the block; a marker after
    all of the block's nodes sees what the block's user sees.
    """

    def __init__(self, blocks: set[nn.Module]) -> None:
        super().__init__()
        self._blocks = blocks
        self._uses: Counter[str] = Counter()

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        returned = super().call_module(m, forward, args, kwargs)
        if m in self._blocks:
            marker = self.create_proxy("call_function", _block_returns, (returned,), {})
            path = self.path_of_module(m)
            use = self._uses[path]
            self._uses[path] += 1
            self.node_to_qualname[marker.node] = f"{path}_{use}" if use else path
        return returned


def _block_returns(value: Any) -> Any:
    return value


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules below this one with a forward of their own, around convolutions."""
    for child in module.children():
        inside = list(child.modules())
        if isinstance(child, nn.Conv2d) or not any(isinstance(m, nn.Conv2d) for m in inside):
            continue
        # A Sequential computes nothing of its own; a ModuleList or a ModuleDict has no forward.
        if type(child).forward in (nn.Sequential.forward, nn.Module.forward):
            yield from _blocks(child)
        else:
            yield child


def _chosen(
    network: nn.Module, nodes: str | Sequence[str], names: dict[fx.Node, str]
) -> set[fx.Node]:
    """The nodes that are layers, of those that compute something."""
    if isinstance(nodes, str):
        if nodes not in _KINDS:
            raise ValueError(
                f"extraction.nodes: expected one of {', '.join(_KINDS)} or a list of patterns over"
                f" nodes, found {nodes!r}"
            )
        belongs, said = _KINDS[nodes]
        chosen = {node for node in names if belongs(node, network)}
        if not chosen:
            raise ValueError(
                f"network: expected at least one {said}, found none; extraction.nodes says what"
                " counts as a layer"
            )
        return chosen
    chosen = set()
    for pattern in nodes:
        fitting = {node for node in names if fnmatchcase(names[node], pattern)}
        if not fitting:
            known = list(names.values())
            near = difflib.get_close_matches(pattern, known, n=3, cutoff=0.0)
            raise ValueError(
                f"extraction.nodes: expected patterns over the network's nodes, found {pattern!r},"
                f" which fits none of {len(known)}; the nearest are {', '.join(near)}"
            )
        chosen |= fitting
    return chosen


def _is_relu(node: fx.Node, network: nn.Module) -> bool:
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.ReLU)
    if node.op == "call_method":
        return node.target in _RELU_METHODS
    return node.target in _RELU_FUNCTIONS


def _is_convolution(node: fx.Node, network: nn.Module) -> bool:
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.Conv2d)
    return node.target is functional.conv2d


def _is_block(node: fx.Node, _: nn.Module) -> bool:
    return node.target is _block_returns


def _shape(value: Any) -> Shape | None:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


_KINDS: dict[str, tuple[Callable[[fx.Node, nn.Module], bool], str]] = {
    "relu": (_is_relu, "ReLU in its graph"),
    "convolution": (_is_convolution, "Conv2d in its graph"),
    "block": (_is_block, "block (a module below it, not a Sequential, around convolutions)"),
}
