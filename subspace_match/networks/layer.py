"""What is known of a layer, which needs no network and no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
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
