"""A network as a graph of operations, made by torch.fx and run one operation at a time.

Every operation is a node, so a ReLU module that is used twice is two nodes. Values are passed on as
soon as they are computed. Later in-place operations therefore cannot change them, and no map is
kept longer than the network itself keeps it. The network gets a copy of its inputs, which it may
change, because these belong to the caller and the next network sees them too.
"""

from __future__ import annotations

import inspect
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any

from torch import fx, nn

from .blocks import blocks
from .inputs import Inputs, copied, split
from .node_names import NamingTracer
from .operations import NONLINEARITY, OPERATIONS

Take = Callable[[str, Any], None]


class GraphOfLayers(fx.Interpreter):
    """A network in evaluation mode whose nodes are operations.

    Attributes:
        nodes: kinds (keys of ``OPERATIONS``, and "block") of every node, by name, in order of
            computation. Names are in the notation of torchvision's feature extraction; a block has
            the name of its module.
        modules: the module of every node that is a use of one, by the node's name.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
        >>> graph = GraphOfLayers(net, torch.zeros(2, 1, 4, 4))
        >>> [(name, sorted(kinds)) for name, kinds in graph.nodes.items()]
        [('0', ['convolution']), ('1', ['activation', 'relu']), ('2', []), ('3', [])]
    """

    def __init__(self, network: nn.Module, example: Inputs) -> None:
        """Trace the network. Whatever its code raises on values without content is passed on.

        Args:
            network: in evaluation mode.
            example: sets which optional arguments are given.
        """
        self._signature = inspect.signature(network.forward)
        self._given = list(self._arguments(example))
        tracer = _Tracer(network, self._given)
        with _attributes_restored(network):
            graph = tracer.trace(network)
            super().__init__(fx.GraphModule(network, graph))
        self.extra_traceback = False  # it would add the graph to every error's message
        computed = [node for node in graph.nodes if node.op.startswith("call_")]
        self._names = {node: tracer.node_to_qualname[node] for node in computed}
        self.nodes: dict[str, Set[str]] = {}
        for node, name in self._names.items():
            kinds = {kind for kind, own in OPERATIONS.items() if own.is_called(node, network)}
            self.nodes[name] = kinds | ({"block"} if node in tracer.block_nodes else set())
        self.modules = {
            name: network.get_submodule(str(node.target))
            for node, name in self._names.items()
            if node.op == "call_module"
        }
        self._take: Take | None = None
        self._wanted: Set[str] = frozenset()

    def pass_on(self, inputs: Inputs, wanted: Set[str], take: Take) -> Any:
        """Run the network and call ``take(node, value)`` for each wanted node in turn.

        Returns:
            The network's output.

        Raises:
            ValueError: if the inputs give other arguments than the example.
        """
        arguments = self._arguments(inputs)
        if list(arguments) != self._given:
            raise ValueError(
                f"expected inputs for the arguments {', '.join(self._given)}, as in the first"
                f" batch, found {', '.join(arguments)}; give the same ones in every batch"
            )
        self._wanted, self._take = wanted, take
        try:
            return self.run(*copied(tuple(arguments.values())))
        finally:
            self._take = None

    def _arguments(self, inputs: Inputs) -> dict[str, Any]:
        arguments, named = split(inputs)
        return dict(self._signature.bind(*arguments, **named).arguments)

    def run_node(self, n: fx.Node) -> Any:
        """Execute one node of the graph, and pass its result on if it is wanted."""
        result = super().run_node(n)
        if self._take is not None and (name := self._names.get(n)) in self._wanted:
            self._take(str(name), result)
        return result


@contextmanager
def _attributes_restored(network: nn.Module) -> Iterator[None]:
    """Take back what the network's code, and the tracer, set in its modules.

    During tracing, code such as ``self.features = x`` keeps a placeholder instead of a tensor.
    """
    before = [(container, container.copy()) for container in _containers(network)]
    try:
        yield
    finally:
        for container, content in before:
            if _identities(container) != _identities(content):
                ordered = isinstance(container, (list, deque))
                container.clear()
                (container.extend if ordered else container.update)(content)


def _containers(network: nn.Module) -> list[Any]:
    """Return the attributes of all modules, and all containers that can change inside them."""
    waiting: list[Any] = [vars(module) for module in network.modules()]
    found = {}
    while waiting:
        container = waiting.pop()
        if id(container) not in found:
            found[id(container)] = container
            values = container.values() if isinstance(container, dict) else container
            waiting += [value for value in values if isinstance(value, (dict, list, set, deque))]
    return list(found.values())


def _identities(container: Any) -> list[int]:
    values = container.values() if isinstance(container, dict) else ()
    return [id(each) for each in (*container, *values)]


class _Tracer(NamingTracer):
    """Names nodes as torchvision does, and adds a marker node after each block.

    A block may change its output in place after the node that computes it. The marker follows all
    nodes of the block, so it has the values that the block returns.
    """

    def __init__(self, network: nn.Module, given: Sequence[str]) -> None:
        super().__init__()
        self.block_nodes: set[fx.Node] = set()
        self._given = given
        self._blocks = set(blocks(network))
        self._uses: Counter[str] = Counter()

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """Give arguments that the example does not have their default, so that no test fails."""
        parameters = list(inspect.signature(root_fn).parameters.values())[1:]
        if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
            raise TypeError("it takes a variable number of arguments")
        function, arguments = super().create_args_for_root(root_fn, is_module, concrete_args)
        for place, parameter in enumerate(parameters, start=1):
            if parameter.name not in self._given:
                self.graph.erase_node(arguments[place].node)
                arguments[place] = parameter.default
        return function, arguments

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Keep nonlinearities whole, and look into torch's transformers."""
        if isinstance(m, _TRANSFORMERS):
            return False
        whole = NONLINEARITY.is_module(m) and "relu" not in type(m).__name__.lower()
        return whole or bool(super().is_leaf_module(m, module_qualified_name))

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self._is_elsewhere():
            return forward(*args, **kwargs)
        own = m._forward_hooks or m._forward_pre_hooks
        if own and not self.is_leaf_module(m, self.path_of_module(m)):
            # The user's hooks would see a placeholder now, and no value in a run of the graph.
            raise TypeError(f"{self.path_of_module(m)} has forward hooks of its own")
        returned = super().call_module(m, forward, args, kwargs)
        if m in self._blocks:
            path = self.path_of_module(m)
            if self.is_leaf_module(m, path):
                self.block_nodes.add(returned.node)
                return returned
            marker = self.create_proxy("call_function", _block_output, (returned,), {})
            use = self._uses[path]
            self._uses[path] += 1
            self.node_to_qualname[marker.node] = f"{path}_{use}" if use else path
            self.block_nodes.add(marker.node)
        return returned


_TRANSFORMERS = (
    *(nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder),
    *(nn.TransformerEncoderLayer, nn.TransformerDecoderLayer),
)


def _block_output(value: Any) -> Any:
    return value
