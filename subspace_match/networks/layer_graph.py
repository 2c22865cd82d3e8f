"""Find the layers of a network, and capture their activations.

A layer is a node of the network's graph, by default a ReLU, so a ReLU module that is used twice is
two layers. The graph is executed node by node, and activations are captured as soon as they are
computed. Later in-place operations therefore cannot change them, and no map is kept longer than
the network itself keeps it.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from .layer_info import LayerInfo
from .neuron_axis import Shape, axis_of_neurons, channels_first
from .operations import CONVOLUTION, NONLINEARITIES
from .task_check import output_for
from .wording import first_few

Sink = Callable[[str, torch.Tensor], None]


class LayeredNetwork(fx.Interpreter):
    """A network in evaluation mode that passes its layers' activations to a sink as it runs.

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
            nodes: which nodes of the graph are layers. "relu": the output of each use of a ReLU.
                "convolution": the output of each use of a Conv2d. "block": the output of each
                outermost module below the network that contains convolutions and has its own
                forward method, such as a residual block or an Inception module, but not a
                Sequential. Or a list of shell patterns over node names, in the notation of
                torchvision's feature extraction: ``["stage1.*.relu_1", "output"]``.

        Raises:
            ValueError: if the network cannot be traced or has no such node.
        """
        network.eval()
        tracer = _Tracer(set(_blocks(network)) if nodes == "block" else set())
        try:
            graph = tracer.trace(network)
        # A network's code may raise anything when it runs on values that are not tensors.
        except Exception as error:
            raise ValueError(
                "network: expected a module that torch.fx can trace, whose operations do not depend"
                f" on the values they process; found {type(network).__name__}, where tracing fails"
                f" with {type(error).__name__}: {error}"
            ) from error
        super().__init__(fx.GraphModule(network, graph))
        self._network = network
        computed = [node for node in graph.nodes if node.op.startswith("call_")]
        self._names = {node: str(tracer.node_to_qualname[node]) for node in computed}
        self._layers = _select(network, nodes, self._names)
        first = channels_first(graph, network, _block_output)
        self._channels_first = {self._names[node] for node in self._layers & first}
        self._prefix = "block" if nodes == "block" else None
        self._sink: Sink | None = None
        self._captured: set[fx.Node] = set()

    def layers(self, channels: int, height: int, width: int) -> list[LayerInfo]:
        """Return the layers for images of this shape, in order of computation.

        Raises:
            ValueError: if the network does not accept such images; or if a layer is not certain to
                be (images, channels, height, width) or (images, neurons), naming the layer.
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
        """Return each layer's shape for 2 images; refuse layers whose neuron axis is uncertain."""
        # Run the network itself first: errors inside a graph mention the tracer's objects.
        output_for(self._network, (channels, height, width))
        found, error = self._shapes(2, channels, height, width)
        if error is not None:
            raise error
        # A network may reject these sizes. Three images, to recognise the axis of images.
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
            raise ValueError(
                "network: expected layers that are certain to have shape (images, neurons) or"
                f" (images, channels, height, width), found {first_few(faults, '; ')}; select"
                " other nodes in extraction.nodes"
            )
        return certain

    def _axis_of_neurons(self, node: str, shape: Shape | None, *others: Shape | None) -> int | None:
        """Return the axis, from shapes for 2 images and, if known, for 3 taller and 3 wider."""
        if shape is None or len(shape) not in (2, 4) or shape[0] != 2:
            return None
        if any(other is not None and other[:1] != (3,) for other in others):
            return None
        if len(shape) == 2 or node in self._channels_first:
            return 1
        return axis_of_neurons(shape, *others)

    def _shapes(self, *images: int) -> tuple[dict[str, Shape | None], Exception | None]:
        """Return each layer's shape (None if not a tensor) up to the first error, and the error."""
        found: dict[str, Shape | None] = {}
        device = next((weights.device for weights in self.module.parameters()), None)
        inputs = torch.zeros(images, device=device)

        def note(node: str, value: Any) -> None:
            found[node] = tuple(value.shape) if isinstance(value, torch.Tensor) else None

        try:
            self.capture(inputs, note)
        except Exception as error:  # a network's code may raise anything
            return found, error
        return found, None

    def capture(self, images: torch.Tensor, sink: Sink, *, every_node: bool = False) -> Any:
        """Run a batch of images and call ``sink(node, activations)`` for each layer in turn.

        Args:
            images: the batch.
            sink: receives each layer's activations and must not change them.
            every_node: also pass every other computed value, which need not be a tensor.

        Returns:
            The network's output.
        """
        self._sink, self._captured = sink, set(self._names) if every_node else self._layers
        try:
            with torch.inference_mode():
                return self.run(images)
        finally:
            self._sink = None

    def run_node(self, n: fx.Node) -> Any:
        """Execute one node of the graph, and pass its result to the sink if it is a layer."""
        result = super().run_node(n)
        if self._sink is not None and n in self._captured:
            self._sink(self._names[n], result)
        return result


class _Tracer(NodePathTracer):  # type: ignore[misc]
    """Names nodes as torchvision does, and adds a marker node after each block.

    A block may change its output in place after the node that computes it. The marker follows all
    nodes of the block, so it has the values that the block returns.
    """

    def __init__(self, blocks: set[nn.Module]) -> None:
        super().__init__()
        self._blocks = blocks
        self._uses: Counter[str] = Counter()

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        returned = super().call_module(m, forward, args, kwargs)
        if m in self._blocks:
            marker = self.create_proxy("call_function", _block_output, (returned,), {})
            path = self.path_of_module(m)
            use = self._uses[path]
            self._uses[path] += 1
            self.node_to_qualname[marker.node] = f"{path}_{use}" if use else path
        return returned


def _block_output(value: Any) -> Any:
    return value


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost submodules that contain convolutions and have their own forward."""
    for child in module.children():
        inside = list(child.modules())
        if isinstance(child, nn.Conv2d) or not any(isinstance(m, nn.Conv2d) for m in inside):
            continue
        # A Sequential computes nothing itself; ModuleList and ModuleDict have no forward.
        if type(child).forward in (nn.Sequential.forward, nn.Module.forward):
            yield from _blocks(child)
        else:
            yield child


def _select(
    network: nn.Module, nodes: str | Sequence[str], names: dict[fx.Node, str]
) -> set[fx.Node]:
    if isinstance(nodes, str):
        return _of_kind(network, nodes, names)
    selected = set()
    for pattern in nodes:
        matching = {node for node in names if fnmatchcase(names[node], pattern)}
        if not matching:
            near = difflib.get_close_matches(pattern, names.values(), n=3, cutoff=0.0)
            raise ValueError(
                "extraction.nodes: expected patterns that match nodes of the network, found"
                f" {pattern!r}, which matches none of {len(names)}; the nearest are"
                f" {', '.join(near)}"
            )
        selected |= matching
    return selected


def _of_kind(network: nn.Module, kind: str, names: dict[fx.Node, str]) -> set[fx.Node]:
    operations = {**NONLINEARITIES, "convolution": CONVOLUTION}
    if kind == "block":
        selected = {node for node in names if node.target is _block_output}
        wanted = "block (a module below it, not a Sequential, that contains convolutions)"
    elif operation := operations.get(kind):
        selected = {node for node in names if operation.is_called(node, network)}
        wanted = f"{operation.name} in its graph"
    else:
        raise ValueError(
            f"extraction.nodes: expected one of {', '.join([*operations, 'block'])} or a list of"
            f" patterns over nodes, found {kind!r}"
        )
    if not selected:
        raise ValueError(
            f"network: expected at least one {wanted}, found none; select other layers in"
            " extraction.nodes"
        )
    return selected
