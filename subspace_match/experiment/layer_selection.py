"""The layers that patterns of the configuration select, and their division into jobs."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from .config import Config
from .planned_layers import LayerRecord


def select(layers: Sequence[LayerRecord], config: Config, section: str) -> list[LayerRecord]:
    """Return the layers that fit a pattern of a section of the configuration.

    Raises:
        ValueError: if the section has patterns, and none fits.
    """
    patterns = config[section]["layers"]
    selected = [layer for layer in layers if any(_fits(layer, each) for each in patterns)]
    if patterns and not selected:
        raise ValueError(
            f"config: {section}.layers: expected patterns that fit a layer, found {patterns};"
            f" the layers are {', '.join(layer['name'] for layer in layers)}"
        )
    return selected


def unused_patterns(
    layers: Iterable[Sequence[LayerRecord]], config: Config, section: str
) -> list[str]:
    """Return a warning for each pattern that fits no layer of any pair, such as a misspelt name."""
    distinct = {(layer["name"], layer["node"]): layer for each in layers for layer in each}
    names = ", ".join(dict.fromkeys(name for name, _ in distinct))
    return [
        f"config: {section}.layers: {pattern!r} fits no layer; the layers are {names}"
        for pattern in config[section]["layers"]
        if not any(_fits(layer, pattern) for layer in distinct.values())
    ]


def divide(names: Sequence[str], size: int) -> list[list[str]]:
    """Divide layers into groups of at most ``size``; each takes every k-th, for equal work.

    Example:
        >>> divide(["conv1", "conv2", "conv3", "fc1"], 3)
        [['conv1', 'conv3'], ['conv2', 'fc1']]
    """
    count = -(-len(names) // size)
    return [list(names[first::count]) for first in range(count)]


def _fits(layer: LayerRecord, pattern: str) -> bool:
    """Whether a layer's name or graph node fits a shell pattern."""
    return any(fnmatch.fnmatchcase(layer[key], pattern) for key in ("name", "node"))
