"""Names for the nodes of a traced network, in the notation of torchvision's feature extraction.

Torchvision has a tracer that makes the same names, but importing torchvision takes longer than
everything else that a job of this workflow imports.
"""

from __future__ import annotations

import re
import threading
from typing import Any

from torch import fx, nn

_NUMBERED = re.compile(r"(.+)_([0-9]+)")


class NamingTracer(fx.Tracer):
    """A tracer that names each node by the path of its module.

    The node of a module that is not traced into has the path itself, ``features.1``. Any other node
    has the path of the module that calls it and the operation, ``layer1.0.add``. A name that occurs
    again gets a number: ``relu``, ``relu_1``.

    While it traces, torch.fx replaces how all modules are called. Modules that another thread calls
    meanwhile, as when it trains a network, run as ever.

    Attributes:
        node_to_qualname: the name of each node, in the order of tracing.

    Example:
        >>> tracer = NamingTracer()
        >>> _ = tracer.trace(nn.Sequential(nn.ReLU(), nn.Flatten()))
        >>> list(tracer.node_to_qualname.values())
        ['input', '0', '1']
    """

    def __init__(self) -> None:
        super().__init__()
        self.node_to_qualname: dict[fx.Node, str] = {}
        self._path = ""
        # Number of the latest node with this name, counted from 0.
        self._latest: dict[str, int] = {}
        self._thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Trace a call of a module, whose path names the nodes inside."""
        if self._is_elsewhere():
            return forward(*args, **kwargs)
        outer, self._path = self._path, self.path_of_module(m)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self._path = outer

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return a module's attribute, or a proxy of a parameter."""
        if self._is_elsewhere():
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def _is_elsewhere(self) -> bool:
        return threading.get_ident() != self._thread

    def create_proxy(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Proxy:
        """Create a node, and name it."""
        proxy = super().create_proxy(kind, target, *args, **kwargs)
        self.node_to_qualname[proxy.node] = self._name(proxy.node)
        return proxy

    def _name(self, node: fx.Node) -> str:
        name = self._path
        if node.op != "call_module":
            name = f"{name}.{node}" if name else str(node)
        # torch.fx numbers the nodes of the whole graph; a name's number counts inside its module.
        if numbered := _NUMBERED.fullmatch(name):
            name = numbered[1]
        if name in self._latest:
            name = f"{name}_{self._latest[name] + 1}"
        self._latest[name] = 0
        if numbered := _NUMBERED.fullmatch(name):
            self._latest[numbered[1]] = int(numbered[2])
        return name
