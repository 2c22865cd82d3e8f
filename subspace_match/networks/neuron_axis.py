"""Find the axis of a layer's values that holds neurons, or report that it is uncertain.

Convolutional maps are (images, neurons, height, width) in torch, but a network may store them as
(images, height, width, neurons), and one shape alone does not tell these apart. Two tests do. A
taller image lengthens only the height axis and a wider one only the width axis, so the remaining
axis holds neurons. For networks that accept images of one size only, the operation decides: a
convolution or a batch norm has its channels along axis 1 by definition.
"""

from __future__ import annotations

from torch import fx, nn

from .operations import KEEPS_CHANNELS, MAKES_CHANNELS

Shape = tuple[int, ...]


def channels_first(graph: fx.Graph, network: nn.Module, identity: object) -> set[fx.Node]:
    """Return the nodes whose operation guarantees neurons along axis 1.

    ``identity`` is a further function that returns its input unchanged.
    """
    certain: set[fx.Node] = set()
    for node in graph.nodes:
        keeps = KEEPS_CHANNELS.is_called(node, network) or node.target is identity
        inputs = set(node.all_input_nodes)
        if MAKES_CHANNELS.is_called(node, network) or (keeps and inputs and inputs <= certain):
            certain.add(node)
    return certain


def axis_of_neurons(shape: Shape, taller: Shape | None, wider: Shape | None) -> int | None:
    """Return the axis of a map that depends on neither the height nor the width of the images.

    Args:
        shape: (images, ., ., .).
        taller: shape for images of twice the height, None if the network rejects them.
        wider: shape for images of twice the width, None if the network rejects them.

    Returns:
        None unless the two other axes are height and width, in this order, or have length 1.

    Example:
        >>> axis_of_neurons((2, 8, 4, 4), (2, 8, 8, 4), (2, 8, 4, 8))
        1
        >>> axis_of_neurons((2, 4, 4, 8), (2, 8, 4, 8), (2, 4, 8, 8))
        3
    """
    if taller is None or wider is None:
        return None

    def all_one(axis: int) -> bool:
        return shape[axis] == taller[axis] == wider[axis] == 1

    for axis in (1, 2, 3):
        height, width = (other for other in (1, 2, 3) if other != axis)
        if (
            shape[axis] == taller[axis] == wider[axis]
            and (shape[height] == wider[height] != taller[height] or all_one(height))
            and (shape[width] == taller[width] != wider[width] or all_one(width))
        ):
            return axis
    return None
