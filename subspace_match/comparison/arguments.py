"""Checks of the arguments of a comparison, before any model runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

AXES = (1, 2, 3, -1, -2, -3)  # that can have the neurons; values have at most four axes


def check_counts(counts: Mapping[str, tuple[Any, int]]) -> None:
    """Raise a ValueError unless each value is a whole number of at least its minimum.

    Args:
        counts: value and minimum by the name to use in an error.
    """
    for name, (value, least) in counts.items():
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least:
            raise ValueError(f"{name}: expected a whole number of at least {least}, found {value}")


def check_samples(tokens: Any, neuron_axis: Any) -> None:
    """Raise a ValueError unless these name samples of tokens and an axis of neurons."""
    from ..networks.layered_network import TOKENS

    if tokens not in TOKENS:
        raise ValueError(f"tokens: expected one of {', '.join(TOKENS)}, found {tokens!r}")
    if neuron_axis not in (None, *AXES):
        raise ValueError(
            f"neuron_axis: expected None or one of {', '.join(map(str, AXES))} (0 has the inputs),"
            f" found {neuron_axis!r}"
        )


def as_nodes(nodes: Any) -> str | list[str]:
    """Return which nodes are layers, a kind or patterns; raise a ValueError if it is neither."""
    if isinstance(nodes, str):
        return nodes
    patterns = list(nodes) if isinstance(nodes, Iterable) else []
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(
            "nodes: expected a kind of nodes, such as 'auto' or 'relu', or a list of at least one"
            f" pattern over nodes, found {nodes!r}"
        )
    return patterns


def as_layers(layers: Any) -> Sequence[str | tuple[str, str]] | None:
    """Return names of layers, patterns and pairs of names; None for all.

    Raises:
        ValueError: if there is none, or an entry is nothing of this.
    """
    if layers is None:
        return None
    if isinstance(layers, Mapping):
        raise ValueError(
            "layers: expected a list of names, patterns and pairs (a layer of A, a layer of B),"
            f" found a dictionary {layers!r}; for pairs write list({{...}}.items())"
        )
    wanted = [layers] if isinstance(layers, str) else layers
    wanted = list(wanted) if isinstance(wanted, Iterable) else []
    if not wanted or not all(isinstance(entry, str) or _is_pair(entry) for entry in wanted):
        raise ValueError(
            "layers: expected None for all layers, or a list of at least one name, pattern or pair"
            f" (a layer of A, a layer of B), found {layers!r}"
        )
    return wanted


def _is_pair(entry: Any) -> bool:
    return (
        isinstance(entry, (tuple, list))
        and len(entry) == 2
        and all(isinstance(name, str) for name in entry)
    )
