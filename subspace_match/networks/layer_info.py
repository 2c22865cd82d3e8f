"""The description of a layer. It needs no network and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerInfo:
    """One layer.

    Attributes:
        name: conv1, conv2, ... for maps and fc1, fc2, ... for vectors, in order of computation;
            block1, block2, ... if the layers are blocks.
        node: name in the graph, in the notation of torchvision's feature extraction; the module's
            name for a block.
        kind: "conv" (a neuron is a channel, a sample a position) or "fc" (a sample is an image).
        neurons: number of neurons.
        height, width: size of the map, 1 and 1 for a fully connected layer.
    """

    name: str
    node: str
    kind: str
    neurons: int
    height: int
    width: int


def check_planned(
    layers: Sequence[LayerInfo], planned: Sequence[Mapping[str, Any]], network: str
) -> None:
    """Raise a ValueError that names the network unless it has the planned layers.

    The records were made before the network existed. Numbers of neurons are not compared, because
    only a file of weights tells its number of classes.
    """
    found = [_outline(asdict(layer)) for layer in layers]
    expected = [_outline(layer) for layer in planned]
    if found != expected:
        missing = [layer for layer in expected if layer not in found]
        unknown = [layer for layer in found if layer not in expected]
        raise ValueError(
            f"{network}: expected the layers that were planned, {', '.join(missing[:3]) or 'none'}"
            f" among them, found {', '.join(unknown[:3]) or 'none'} instead; remove the folder"
            " layers of the results, plan with the torch and torchvision versions that extract, and"
            " run again"
        )


def _outline(layer: Mapping[str, Any]) -> str:
    return "{name} ({node}, {kind}) of {height} x {width}".format_map(layer)
