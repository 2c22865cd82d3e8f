"""Find the axis of a layer's values that holds neurons, or report that it is uncertain.

Convolutional maps are (images, neurons, height, width) in torch, but a network may store them as
(images, height, width, neurons), and one shape alone does not tell these apart. Two tests do. A
taller image lengthens only the height axis and a wider one only the width axis, so the remaining
axis holds neurons. And the outputs of a convolution or a batch norm have their channels along axis
1 by definition, which helps with networks that accept images of one size only.
"""

from __future__ import annotations

from torch import fx, nn

from .operations import KEEPS_CHANNELS, MAKES_CHANNELS

Shape = tuple[int, ...]


def channels_first(graph: fx.Graph, network: nn.Module, identity: object) -> set[fx.Node]:
    """Return the nodes whose operation guarantees neurons along axis 1.

    Args:
        graph: graph of the network.
        network: contains the modules that the graph calls.
        identity: a further function that returns its input unchanged.
    """
    certain: set[fx.Node] = set()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if MAKES_CHANNELS.is_called(node, network) or (
            (KEEPS_CHANNELS.is_called(node, network) or node.target is identity)
            and inputs
            and all(value in certain for value in inputs)
        ):
            certain.add(node)
    return certain


def axis_of_neurons(shape: Shape, taller: Shape | None, wider: Shape | None) -> int | None:
    """Return the axis of a map that depends on neither the height nor the width of the images.

    Args:
        shape: (images, ., ., .).
        taller: shape for images of twice the height, None if the network rejects them.
        wider: shape for images of twice the width, None if the network rejects them.

    Returns:
        None unless each other axis is one of height or width, or has length 1.

    Example:
        >>> axis_of_neurons((2, 8, 4, 4), (2, 8, 8, 4), (2, 8, 4, 8))
        1
        >>> axis_of_neurons((2, 4, 4, 8), (2, 8, 4, 8), (2, 4, 8, 8))
        3
    """
    if taller is None or wider is None:
        return None
    kinds = [_kind(*lengths) for lengths in zip(shape, taller, wider, strict=True)]
    for axis in (1, 2, 3):
        first, second = (kinds[other] for other in (1, 2, 3) if other != axis)
        if (
            kinds[axis] in ("fixed", "single")
            and first in ("height", "single")
            and second in ("width", "single")
        ):
            return axis
    return None


def _kind(length: int, taller: int, wider: int) -> str:
    """Classify an axis by its lengths for an image, a taller image and a wider image."""
    if length == taller == wider:
        return "single" if length == 1 else "fixed"
    if length != taller and length != wider:
        return "both"
    return "height" if length != taller else "width"
