"""A network run by its own code, with forward hooks on its modules.

For networks that torch.fx cannot trace, such as those that return dictionaries or branch on the
values that they process. A node is a use of a module, or of a nonlinear function or a convolution
that is called as a function. Values are passed on as soon as they are computed, so that later
in-place operations cannot change them. The network gets a copy of its inputs, which it may change,
because these belong to the caller and the next network sees them too. Hooks are removed after each
run, even after an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from .blocks import blocks
from .inputs import Inputs, call, copied
from .operations import OPERATIONS, function_name

Take = Callable[[str, Any], None]


class HookedModules:
    """A network in evaluation mode whose nodes are uses of modules and of some functions.

    Attributes:
        nodes: kinds (keys of ``OPERATIONS``, and "block") of every node, by name, in order of
            computation. A node has the name of its module, or that of the module that calls it and
            of the function; further uses end in _1, _2, ...

    Example:
        >>> import torch
        >>> class Net(nn.Module):
        ...     def forward(self, x):
        ...         return {"scores": nn.functional.gelu(x)}
        >>> HookedModules(Net(), torch.zeros(2, 3)).nodes
        {'gelu': {'activation'}}
    """

    def __init__(self, network: nn.Module, example: Inputs) -> None:
        """Run the network once. Whatever its code raises is passed on.

        Args:
            network: in evaluation mode.
            example: a batch.
        """
        self._network = network
        self._blocks = set(blocks(network))
        self.nodes: dict[str, Set[str]] = {}
        watch = _Watch(network, self._find)
        watch.run(example, functions=True)
        # Watching functions takes time, and is not needed if all nodes are modules.
        self._calls_functions = watch.functions > 0

    def pass_on(self, inputs: Inputs, wanted: Set[str], take: Take) -> Any:
        """Run the network and call ``take(node, value)`` for each wanted node in turn.

        Returns:
            The network's output.
        """

        def take_wanted(name: str, _: nn.Module | str, value: Any) -> None:
            if name in wanted:
                take(name, value)

        watch = _Watch(self._network, take_wanted)
        return watch.run(inputs, functions=self._calls_functions)

    def _find(self, name: str, caller: nn.Module | str, _: Any) -> None:
        if isinstance(caller, str):
            kinds = {kind for kind, own in OPERATIONS.items() if caller in own.functions}
        else:
            kinds = {kind for kind, own in OPERATIONS.items() if own.is_module(caller)}
            kinds |= {"block"} if caller in self._blocks else set()
        self.nodes[name] = kinds


def run_with_modules(
    network: nn.Module, inputs: Inputs, take: Callable[[str, nn.Module, Any], None]
) -> Any:
    """Run a network by its own code and call ``take(node, module, value)`` for each module's use.

    Returns:
        The network's output.
    """
    return _Watch(network, take).run(inputs, functions=False)


class _Watch(TorchFunctionMode):
    """One run of a network: names each use of a module or function, and passes its value on."""

    def __init__(self, network: nn.Module, found: Callable[[str, Any, Any], None]) -> None:
        super().__init__()
        self.functions = 0
        self._network, self._found = network, found
        self._running: list[tuple[str, nn.Module]] = [("", network)]
        self._uses: Counter[str] = Counter()

    def run(self, inputs: Inputs, *, functions: bool) -> Any:
        """Run the network, watching its modules and perhaps functions; return its output."""
        with ExitStack() as stack:
            for handle in self._add_hooks():
                stack.callback(handle.remove)
            if functions:
                stack.enter_context(self)
            return call(self._network, copied(inputs))

    def _add_hooks(self) -> Iterator[Any]:
        """Add hooks to all modules below the network, and yield their handles."""
        for name, module in self._network.named_modules():
            if name:
                yield module.register_forward_pre_hook(self._entering(name))
                yield module.register_forward_hook(self._leaving(name))

    def _entering(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, _: Any) -> None:
            self._running.append((name, module))

        return enter

    def _leaving(self, name: str) -> Callable[..., None]:
        def leave(module: nn.Module, _: Any, value: Any) -> None:
            self._running.pop()
            self._found(self._numbered(name), module, value)

        return leave

    def _numbered(self, name: str) -> str:
        use = self._uses[name]
        self._uses[name] += 1
        return f"{name}_{use}" if use else name

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        value = func(*args, **(kwargs or {}))
        name = function_name(func)
        own = [operation for operation in OPERATIONS.values() if name in operation.functions]
        path, module = self._running[-1]
        # A module such as nn.ReLU, which calls the function, is a node itself.
        if own and not any(operation.is_module(module) for operation in own):
            self.functions += 1
            self._found(self._numbered(f"{path}.{name.strip('_')}".lstrip(".")), name, value)
        return value
