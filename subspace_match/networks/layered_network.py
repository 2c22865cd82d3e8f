"""The layers of any network: find them, and receive their values batch by batch.

There are two ways to reach a layer. If torch.fx can trace the network, and the graph computes what
the network does, a layer is a node of it (``layer_graph``); otherwise it is a use of a module
(``layer_hooks``). Either way a layer's value has an axis of neurons; all axes between the inputs
and the neurons are positions.
"""

from __future__ import annotations

import difflib
import itertools
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from .inputs import (
    DECODER_MASK,
    MASK,
    Inputs,
    axes_of_positions,
    count,
    described,
    doubled,
    real_tokens,
    rows,
    tensors_in,
    to_device,
)
from .layer_graph import GraphOfLayers
from .layer_hooks import HookedModules, run_with_modules
from .layer_info import LayerInfo
from .neuron_axis import AxisTracker, Shape, axis_by_sizes
from .operations import OPERATIONS
from .repeatability import (
    ValuesOfModules,
    check_repeatable,
    check_saved,
    random_states,
    strict_float32,
)
from .wording import first_few

# Values of ``extraction.nodes``.
KINDS = (*OPERATIONS, "block")
AUTO = "auto"
TOKENS = ("all", "first", "last", "mean")
INPUT_REFUSED = "network: expected one that accepts"  # begins the error of a wrong input

# Modes and hooks belong to the module, and what torch.fx replaces during tracing to the process.
# Threads that did not wait would take each other's values, switch dropout on, or leave it replaced.
_RUNNING = threading.RLock()
# A fork waits too. Else the new process would wait without end for a run that only its parent ends.
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_RUNNING.acquire, after_in_parent=_RUNNING.release, after_in_child=_RUNNING.release
    )


@dataclass(frozen=True)
class Node:
    """A value that the network computes.

    Attributes:
        name: of the operation or of the module that computes it.
        kinds: the values of ``extraction.nodes`` that select it, without patterns.
        shape: for two inputs, (inputs, ...); None if it is no tensor.
        axis: axis of neurons; None if it is not certain.
        inputs: axis of inputs in what the network computes: 0, or 1 in (tokens, inputs, neurons),
            the order of torch's recurrent networks and transformers; None if there is none.
    """

    name: str
    kinds: tuple[str, ...]
    shape: Shape | None
    axis: int | None
    inputs: int | None


class LayeredNetwork:
    """A network whose layers can be listed and recorded.

    The network stays as it is: it runs in evaluation mode and without gradients, and afterwards
    each module is in the mode in which it was. ``torch.compile`` and ``DataParallel`` around the
    network are taken off. Of all networks in a process one runs at a time: others, in other
    threads, wait for the end of its batch.

    Attributes:
        layers: the layers, in order of computation.
        notes: what was decided about them, for a log.
        left_out: nonlinearities that "auto" leaves out, because others are ReLUs.
        device: device of the network's weights, to which batches are moved; None without weights.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
        >>> layered = LayeredNetwork(net, torch.zeros(2, 1, 4, 4))
        >>> [(layer.name, layer.node, layer.shape_in_words) for layer in layered.layers]
        [('conv1', '1', 'images x 2 neurons x 2 x 2')]
        >>> scores = layered.run(
        ...     torch.ones(5, 1, 4, 4), lambda layer, values: print(layer.name, values.shape)
        ... )
        conv1 torch.Size([5, 2, 2, 2])
        >>> layered = LayeredNetwork(net, torch.zeros(2, 1, 4, 4), ["1", "3"])
        >>> [layer.name for layer in layered.layers]
        ['conv1', 'fc1']
    """

    def __init__(
        self,
        network: nn.Module,
        example: Inputs,
        nodes: str | Sequence[str] = AUTO,
        *,
        neuron_axis: int | None = None,
        tokens: str = "all",
    ) -> None:
        """Find the layers.

        Args:
            network: any module.
            example: a batch as the network receives it: a tensor, a tuple of its arguments, or a
                dictionary of its named arguments. It decides the sizes of maps.
            nodes: which nodes are layers. "relu": the output of each use of a ReLU. "activation":
                of each use of a nonlinearity (not of a sigmoid or a softmax). "convolution": of
                each use of a convolution. "block": of each block (``blocks``). "auto": the first of
                relu, activation and block that exists. Or a list of shell patterns over the names
                of nodes: ``["stage1.*.relu_1", "output"]``.
            neuron_axis: axis of neurons of those layers for which it is not certain.
            tokens: which samples a layer of tokens has: "all" tokens, or one of each input: the
                "first" one, the "last" one or their "mean". Padded tokens never count.

        Raises:
            ValueError: if torch.jit compiled it, if it does not accept the example or has no such
                node, or if a layer's axis of neurons is not certain, naming these layers and their
                shapes.
        """
        self._network = _unwrapped(network)
        check_not_compiled("network", self._network)
        self._nodes, self._neuron_axis, self._tokens = nodes, neuron_axis, tokens
        self.device = _device_of(self._network)
        self.notes: list[str] = []
        self.left_out: list[str] = []
        example = to_device(example, self.device)
        self._example = rows(example, [number % count(example) for number in range(2)])
        with self._evaluating():
            self._way = self._choose_way(self._example)
        self._tokens_first: set[str] = set()  # nodes of layers with values (tokens, inputs, ...)
        self.layers = self._select()
        self._by_node = {layer.node: layer for layer in self.layers}

    @property
    def nodes(self) -> list[Node]:
        """Every value that the network computes, in order of computation; this runs the network."""
        return list(self._examine(self._way.nodes).values())

    def run(self, inputs: Inputs, sink: Callable[[LayerInfo, Tensor], None]) -> Any:
        """Run a batch and call ``sink(layer, values)`` once for each layer, in computed order.

        Args:
            inputs: a batch, on any device.
            sink: receives the values as (inputs, neurons), (inputs, positions, neurons), (inputs,
                height, width, neurons) or (inputs, frames, height, width, neurons), on the
                network's device. They are a view of what the network goes on with: it must not
                change them, and must copy what it keeps.

        Returns:
            The network's output.

        Raises:
            ValueError: if a layer is not computed exactly once, or has another shape than for the
                example; only layers of tokens may have another number of tokens.
        """
        inputs = to_device(inputs, self.device)
        waiting = dict(self._by_node)

        def take(node: str, value: Any) -> None:
            layer = waiting.pop(node)
            sink(layer, self._values(layer, value, inputs))

        with self._evaluating():
            output = self._way.pass_on(inputs, self._by_node.keys(), take)
        if waiting:
            raise ValueError(
                f"network: expected to compute {', '.join(waiting)} for every batch, as for the"
                " first one, found a batch without; select layers that do not depend on the values"
                " of the inputs"
            )
        return output

    def real_tokens(self, layer: LayerInfo, inputs: Inputs) -> Tensor | None:
        """Return which tokens of a layer are no padding, (inputs, tokens) bool; None if unknown.

        Models of transformers that have an encoder and a decoder have tokens of two texts.
        """
        config = getattr(self._network, "config", None)
        two_texts = getattr(config, "is_encoder_decoder", False)
        return real_tokens(inputs, bool(two_texts) and "decoder" in layer.node.split("."))

    def check_repeatable(self, inputs: Inputs) -> None:
        """Refuse a network whose values depend on chance or on the other inputs of a batch.

        Args:
            inputs: a few inputs, at least two.

        Raises:
            ValueError: naming the first node that differs.
        """
        inputs = to_device(inputs, self.device)
        names = self._way.nodes.keys()
        with self._evaluating():
            check_repeatable(lambda batch, sink: self._way.pass_on(batch, names, sink), inputs)

    def check_saved(self, again: LayeredNetwork, inputs: Inputs) -> None:
        """Refuse a network whose state dict does not decide its values.

        Args:
            again: of the same network, built again with the same state dict.
            inputs: a few inputs.

        Raises:
            ValueError: naming the first node that differs.
        """
        inputs = to_device(inputs, self.device)
        names = self._way.nodes.keys()
        ways = (self._way, again._way)
        with self._evaluating(), again._evaluating():
            one, other = (
                lambda batch, sink, way=way: way.pass_on(batch, names, sink) for way in ways
            )
            check_saved(one, other, inputs)

    def _choose_way(self, example: Inputs) -> GraphOfLayers | HookedModules:
        # Run the network itself first: errors inside a graph mention the tracer's objects.
        of_modules = ValuesOfModules(count(example))
        try:
            expected = run_with_modules(self._network, example, of_modules.keep)
        except Exception as error:  # a network's code may raise anything
            raise ValueError(
                f"{INPUT_REFUSED} {described(example)}, found"
                f" {type(self._network).__name__}, which fails with {_first_line(error)}"
            ) from error
        before = random_states(self.device)
        try:
            graph = GraphOfLayers(self._network, example)
            drawn = random_states(self.device) != before
            found = graph.pass_on(
                example,
                graph.modules.keys(),
                lambda node, value: of_modules.compare(graph.modules[node], value),
            )
            # The output alone may not tell: it may be a class, or nothing.
            is_same = of_modules.same and _equal(expected, found)
            # A graph that draws numbers itself computes another output each time.
            varies = not is_same and not _equal(
                found, graph.pass_on(example, frozenset(), lambda *_: None)
            )
        except Exception as error:
            reason = f"torch.fx cannot trace it ({_first_line(error)})"
        else:
            # A graph repeats what was drawn, or remembered, when it was traced. It would hide from
            # ``check_repeatable`` that the network itself computes something else in each run.
            if drawn:
                reason = "the graph that torch.fx traces repeats the random numbers of one run"
            elif is_same or varies:
                self.notes.append("layers are nodes of the network's graph, traced by torch.fx")
                return graph
            else:
                reason = "the graph that torch.fx traces computes other values"
        self.notes.append(f"layers are reached by hooks on modules, because {reason}")
        return HookedModules(self._network, example)

    def _examine(self, names: Iterable[str]) -> dict[str, Node]:
        """Find the shape and the axis of neurons of some nodes, in order of computation."""
        names = set(names)
        with self._evaluating():
            found, axes = self._shapes(self._example, names)
            # Three inputs, to recognise the axis of inputs.
            three, _ = self._shapes(rows(self._example, [0, 1, 1]), names)
            uncertain = {
                name
                for name, shape in found.items()
                if shape and len(shape) > 2 and name not in axes
            }
            longer = self._shapes_of_longer(uncertain) if uncertain else []
        nodes = {}
        for name, shape in found.items():
            axis, inputs = None, _axis_of_inputs(shape, three.get(name))
            if shape and inputs == 0 and len(shape) > 1:
                by_sizes = [own.get(name) for own in longer] if name in uncertain else []
                known = axes.get(name) or axis_by_sizes(shape, by_sizes)
                axis = 1 if len(shape) == 2 else known
            elif shape and inputs == 1:
                axis = axes.get(name) if axes.get(name) == 2 else None
                shape = shape[1], shape[0], shape[2]
            kinds = tuple(kind for kind in KINDS if kind in self._way.nodes[name])
            nodes[name] = Node(name, kinds, shape, axis, inputs)
        return nodes

    def _shapes(
        self, inputs: Inputs, names: Set[str]
    ) -> tuple[dict[str, Shape | None], dict[str, int]]:
        """Return the shape of each node (None if not a tensor), and known axes of neurons."""
        shapes: dict[str, Shape | None] = {}
        axes: dict[str, int] = {}
        with AxisTracker() as tracker:

            def note(name: str, value: Any) -> None:
                tensor = _first_tensor(value)
                shapes[name] = None if tensor is None else tuple(tensor.shape)
                if tensor is not None and (axis := tracker.axis_of(tensor)) is not None:
                    axes[name] = axis

            self._way.pass_on(inputs, names, note)
        return shapes, axes

    def _shapes_of_longer(self, names: Set[str]) -> list[dict[str, Shape | None]]:
        """Return the shapes for inputs that are longer along one axis after the other."""
        example = self._example
        axes = axes_of_positions(example)
        found: list[dict[str, Shape | None]] = []
        for axis in axes:
            shapes: dict[str, Shape | None] = {}

            def note(name: str, value: Any, shapes: dict[str, Shape | None] = shapes) -> None:
                tensor = _first_tensor(value)
                shapes[name] = None if tensor is None else tuple(tensor.shape)

            # A network may reject these sizes, after some of its nodes.
            with suppress(Exception):
                self._way.pass_on(doubled(example, axis), names, note)
            found.append(shapes)
        return found

    def _choose(self) -> tuple[list[str], str | None]:
        """Return the names of the selected nodes, and their kind unless patterns select them."""
        known = self._way.nodes
        by_kind = {kind: [name for name in known if kind in known[name]] for kind in KINDS}
        if not isinstance(self._nodes, str):
            return _fitting(self._nodes, known), None
        if self._nodes not in (AUTO, *KINDS):
            raise ValueError(
                f"extraction.nodes: expected one of {AUTO}, {', '.join(KINDS)} or a list of"
                f" patterns over nodes, found {self._nodes!r}"
            )
        wanted = _PREFERRED if self._nodes == AUTO else (self._nodes,)
        kind = next((kind for kind in wanted if by_kind[kind]), None)
        if kind is None:
            words = " or ".join(_WORDS[kind] for kind in wanted)
            raise ValueError(
                f"network: expected at least one {words}, found none; select others of its nodes in"
                f" extraction.nodes ({first_few(list(known))}; 'subspace-match layers' lists all)"
            )
        if self._nodes == AUTO:
            note = f"auto: {len(by_kind[kind])} nodes of kind {kind}"
            if kind == "relu":
                self.left_out = [n for n in by_kind["activation"] if "relu" not in known[n]]
            if self.left_out:
                note += f"; left out: {first_few(self.left_out)} (activation selects these too)"
            self.notes.append(note)
        return by_kind[kind], kind

    def _select(self) -> list[LayerInfo]:
        chosen, kind = self._choose()
        counts: Counter[str] = Counter()
        layers: list[LayerInfo] = []
        faults: list[str] = []
        without_inputs: list[str] = []
        unread: list[str] = []
        given: list[str] = []
        for node in self._examine(chosen).values():
            axis = node.axis
            if node.shape is not None and node.inputs is None:
                without_inputs.append(f"{node.shape} for 2 inputs at {node.name}")
                continue
            if node.inputs == 1:
                self._tokens_first.add(node.name)
            if axis is None and self._neuron_axis is not None and node.shape:
                axis = self._neuron_axis % len(node.shape)
                given.append(node.name)
            size = _size(node.shape, axis)
            if size is None:
                found = f"{node.shape} for 2 inputs at {node.name}"
                if axis is None:
                    faults.append(found)
                else:
                    unread.append(f"{found} with neurons along axis {axis}")
                continue
            sample, neurons, *positions = size
            prefix = (
                "block" if kind == "block" or (kind is None and "block" in node.kinds) else sample
            )
            if prefix == "tokens" and "activation" in node.kinds:
                prefix = "mlp"
            if sample == "tokens" and self._tokens != "all":
                sample, positions = "fc", [1, 1, 1]
            counts[prefix] += 1
            name = f"{prefix}{counts[prefix]}"
            frames, height, width = positions
            layers.append(
                LayerInfo(name, node.name, sample, neurons, height, width, int(axis or 0), frames)
            )
        if without_inputs:
            has_blocks = any("block" in kinds for kinds in self._way.nodes.values())
            raise ValueError(
                "network: expected layers with values of each input, found"
                f" {first_few(without_inputs, '; ')}; select other nodes in extraction.nodes"
                + (", such as block" if has_blocks and kind != "block" else "")
            )
        if faults:
            raise ValueError(
                "network: expected layers whose axis of neurons is certain, found"
                f" {first_few(faults, '; ')}; select other nodes in extraction.nodes, or give their"
                " axis in extraction.neuron_axis"
            )
        if unread:
            raise ValueError(
                "network: expected layers of vectors, of tokens, or of maps with a height, a width"
                " and perhaps frames, neurons before or after all of these, found"
                f" {first_few(unread, '; ')}; select other nodes in extraction.nodes"
            )
        if given:
            axis = self._neuron_axis
            self.notes.append(f"axis {axis} has the neurons, as given, of {first_few(given)}")
        return layers

    def _values(self, layer: LayerInfo, value: Any, inputs: Inputs) -> Tensor:
        """Return a layer's value with its neurons last, and of tokens what was asked for."""
        tensor = _first_tensor(value)
        if tensor is not None and tensor.ndim == 3 and layer.node in self._tokens_first:
            tensor = tensor.transpose(0, 1)
        shape = None if tensor is None else tuple(tensor.shape)
        if tensor is not None and (tensor.is_complex() or tensor.is_quantized):
            raise ValueError(
                f"{layer.name} ({layer.node}): expected real numbers, found {tensor.dtype}; select"
                " nodes with real values, such as absolute values or dequantized ones"
            )
        size = _size(shape, layer.axis)
        of_tokens = size is not None and size[0] == "tokens"
        expected = layer.neurons, *layer.size
        fits = size is not None and (size[1:] == expected or (of_tokens and size[1] == expected[0]))
        if tensor is None or not fits or len(tensor) != count(inputs):
            raise ValueError(
                f"{layer.name} ({layer.node}): expected {layer.neurons} neurons at"
                f" {layer.size_in_words} positions, as for the first inputs, found"
                f" {shape} for {count(inputs)} inputs; give all inputs one size"
            )
        values = tensor.movedim(layer.axis, -1)
        if not of_tokens or self._tokens == "all":
            return values
        real = self.real_tokens(layer, inputs)
        others = real_tokens(inputs) if real is None else None
        if others is not None and not bool(others.all()):
            raise ValueError(
                f"{layer.name} ({layer.node}): expected {DECODER_MASK} beside {MASK}, to know the"
                " padded tokens of the decoder, found none; give one, or record all tokens"
                " (extraction.tokens: all)"
            )
        if real is not None and real.shape != values.shape[:2]:
            raise ValueError(
                f"{layer.name} ({layer.node}): expected one token for each place of attention_mask"
                f" {tuple(real.shape)}, found {shape}; record all tokens (extraction.tokens: all)"
            )
        return _one_token(values, real, self._tokens)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Run in evaluation mode, without gradients, compilation and TF32; restore all modes."""
        with _RUNNING:
            was_training = self._network.training
            modes = [(module, module.training) for module in self._network.modules()]
            compiler = sys.modules.get("torch._dynamo")
            eager = torch.compiler.set_stance("force_eager") if compiler else nullcontext()
            device = self.device or torch.device("cpu")
            try:
                _set_evaluation_mode(self._network)
                with torch.no_grad(), strict_float32(device), eager:
                    yield
            finally:
                # A network may do more than set the mode.
                if was_training and not self._network.training:
                    self._network.train()
                for module, mode in modes:
                    module.training = mode


def _set_evaluation_mode(network: nn.Module) -> None:
    try:
        network.eval()
    except Exception as error:  # such as that of torch.export, which fixes the mode
        raise ValueError(
            f"network: expected one that eval() sets in evaluation mode, found"
            f" {type(network).__name__}, which fails with {_first_line(error)}; pass the module"
            " from which it was made"
        ) from error


def check_not_compiled(where: str, network: nn.Module) -> None:
    """Raise a ValueError for a network that is, or contains, a module compiled by torch.jit.

    Args:
        where: what it is, the start of the message.
        network: any module.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise ValueError(
            f"{where}: expected a module of Python code, found one that torch.jit compiled, whose"
            " layers cannot be reached; pass the module from which it was made"
        )


_PREFERRED = ("relu", "activation", "block")
_WORDS = {
    "relu": "ReLU",
    "activation": "nonlinearity",
    "convolution": "convolution",
    "block": "block (a transformer's layer, or a module below the network, not a Sequential, that"
    " contains convolutions)",
}


def _fitting(patterns: Sequence[str], known: Mapping[str, Set[str]]) -> list[str]:
    """Return the nodes that fit a pattern; blocks only if it fits nothing else.

    Patterns fit what is computed inside a block, as if blocks were no nodes.
    """
    selected: set[str] = set()
    for pattern in patterns:
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        inside = [name for name in fitting if "block" not in known[name]]
        if not fitting:
            near = difflib.get_close_matches(pattern, known, n=3, cutoff=0.0)
            raise ValueError(
                "extraction.nodes: expected patterns that match nodes of the network, found"
                f" {pattern!r}, which matches none of {len(known)}; the nearest are"
                f" {', '.join(near)}; 'subspace-match layers' lists all"
            )
        selected.update(inside or fitting)
    return [name for name in known if name in selected]


def _size(shape: Shape | None, axis: int | None) -> tuple[str, int, int, int, int] | None:
    """Return what a sample is ("conv", "tokens", "fc"), neurons, frames, height and width."""
    if shape is None or axis is None or not 0 < axis < len(shape):
        return None
    positions = [length for other, length in enumerate(shape) if other not in (0, axis)]
    if not positions:
        return "fc", shape[axis], 1, 1, 1
    if len(positions) == 1:
        return "conv" if axis == 1 else "tokens", shape[axis], 1, 1, positions[0]
    if len(positions) <= 3 and axis in (1, len(shape) - 1):
        frames, height, width = [1, *positions][-3:]
        return "conv", shape[axis], frames, height, width
    return None


def _axis_of_inputs(two: Shape | None, three: Shape | None) -> int | None:
    """Return the axis of inputs in the shape for two inputs, given also that for three.

    Example:
        >>> _axis_of_inputs((2, 8), (3, 8)), _axis_of_inputs((7, 2, 8), (7, 3, 8))
        (0, 1)
        >>> _axis_of_inputs((14, 8), (21, 8))
    """
    if not two or not three:
        return None
    if two[0] == 2 and three == (3, *two[1:]):
        return 0
    return 1 if len(two) == 3 and two[1] == 2 and three == (two[0], 3, two[2]) else None


def _one_token(values: Tensor, real: Tensor | None, which: str) -> Tensor:
    """Return the first or last real token of each input, or the mean of all, (inputs, neurons)."""
    if real is None:
        real = torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    if which == "mean":
        precision = torch.promote_types(values.dtype, torch.float32)
        # Padded tokens may have any value, also NaN. A NaN of a real token has to stay.
        total = values.masked_fill(~real[..., None], 0).sum(1, dtype=precision)
        return total / real.sum(1, keepdim=True, dtype=precision)
    places = torch.arange(real.shape[1], device=real.device)
    place = torch.where(real, places, real.shape[1]).amin(1)
    if which == "last":
        place = torch.where(real, places, -1).amax(1)
    return values[torch.arange(len(values), device=values.device), place]


def _first_tensor(value: Any) -> Tensor | None:
    """Return a tensor, or the first one in a tuple or dictionary: an LSTM's output sequence."""
    return next(tensors_in(value), None)


def _first_line(error: Exception) -> str:
    message = str(error).strip().partition("\n")[0].removesuffix(".")
    return f"{type(error).__name__}: {message}"


def _unwrapped(network: nn.Module) -> nn.Module:
    """Take off what ``torch.compile`` and data parallelism put around a network."""
    parallel = nn.DataParallel, nn.parallel.DistributedDataParallel
    inner = network.module if isinstance(network, parallel) else getattr(network, "_orig_mod", None)
    return _unwrapped(inner) if isinstance(inner, nn.Module) else network


def _equal(expected: Any, found: Any) -> bool:
    """Return whether the tensors of two outputs are equal but for rounding."""
    ones, others = list(tensors_in(expected)), list(tensors_in(found))
    return [one.shape for one in ones] == [other.shape for other in others] and all(
        one.is_meta or torch.allclose(one.double(), other.double(), 1e-3, 1e-5, equal_nan=True)
        for one, other in zip(ones, others, strict=True)
    )


def _device_of(network: nn.Module) -> torch.device | None:
    tensors = itertools.chain(network.parameters(), network.buffers())
    return next((tensor.device for tensor in tensors), None)
