"""What is known of a layer, which needs no network and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_SHOWN = 3


@dataclass(frozen=True)
class LayerInfo:
    """One layer.

    Attributes:
        name: conv1, conv2, ... for maps and fc1, fc2, ... for vectors, in order of computation;
            block1, block2, ... where blocks are asked for.
        node: its name in the graph, as torchvision's feature extraction names it; of a block, its
            module's.
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


def check_planned(
    layers: Sequence[LayerInfo], planned: Sequence[Mapping[str, Any]], network: str
) -> None:
    """Raise a ValueError unless a network has the layers that were planned.

    Args:
        layers: of the network, on the images that it sees.
        planned: as listed before it was made. Its neurons are not compared: how many classes given
            weights have is seen in their file only.
        network: named in the error.
    """
    found = [_outline(asdict(layer)) for layer in layers]
    expected = [_outline(layer) for layer in planned]
    if found != expected:
        sides = (expected, found), (found, expected)
        missing, unknown = ([own for own in some if own not in others] for some, others in sides)
        raise ValueError(
            f"{network}: expected the layers that were planned, {_shown(missing)} among them, found"
            f" {_shown(unknown)} in their place; remove the folder layers of the results, plan with"
            " the versions of torch and torchvision that record, and run again"
        )


def _outline(layer: Mapping[str, Any]) -> str:
    return "{name} ({node}, {kind}) of {height} x {width}".format_map(layer)


def _shown(layers: Sequence[str]) -> str:
    """Some layers for an error, which is one line."""
    more = f" and {len(layers) - _SHOWN} more" if len(layers) > _SHOWN else ""
    return ", ".join(layers[:_SHOWN]) + more if layers else "none"
