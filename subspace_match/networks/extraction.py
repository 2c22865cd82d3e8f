"""The activations of a network's layers at the same samples, whichever network it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from .images import Images, strict_float32
from .layer_graph import LayeredNetwork
from .layer_info import LayerInfo
from .repeatability import check_repeatable

Sink = Callable[[str, int, np.ndarray], None]


def extract(
    network: LayeredNetwork,
    images: Images,
    layers: list[LayerInfo],
    samples: Mapping[str, Sequence[np.ndarray]],
    *,
    batch_size: int,
    sink: Sink,
    batch_done: Callable[[], object],
) -> float | None:
    """One forward pass over the images; each layer's samples go to the sink as they come.

    Args:
        network: on the images' device.
        images: those to record.
        layers: of the network.
        samples: of each layer, by its name, every draw's flat indices, images in order.
        batch_size: images a forward pass.
        sink: called with a layer's name, the draw's number and (samples, neurons) float32, in the
            samples' order.
        batch_done: called after each batch.

    Returns:
        The share of the images that the network classifies as labelled; None if its output is not
        (images, classes).

    Raises:
        ValueError: if what the network computes of an image is not the same each time, and in
            whatever batch.
    """
    check_repeatable(partial(network.capture, every_node=True), images)
    by_node = {layer.node: layer for layer in layers}
    start = 0
    correct: torch.Tensor | None = torch.zeros((), dtype=torch.int64, device=images.labels.device)
    for inputs, labels in images.batches(batch_size):

        def take(node: str, activations: torch.Tensor, start: int = start) -> None:
            layer = by_node[node]
            for draw, index in enumerate(samples[layer.name]):
                chosen = _of_batch(index, layer, start, len(activations))
                if len(chosen):
                    rows = _rows(activations, torch.from_numpy(chosen).to(activations.device))
                    sink(layer.name, draw, rows.float().cpu().numpy())

        with strict_float32(inputs.device):
            output = network.capture(inputs, take)
        if not isinstance(output, torch.Tensor) or output.ndim != 2:
            correct = None
        if correct is not None:
            correct = correct + (output.argmax(1) == labels).sum()
        start += len(inputs)
        batch_done()
    return None if correct is None else int(correct) / len(images)


def _of_batch(samples: np.ndarray, layer: LayerInfo, start: int, images: int) -> np.ndarray:
    """The samples that lie in a batch, as flat indices into the batch."""
    positions = layer.height * layer.width
    first, last = np.searchsorted(samples // positions, [start, start + images])
    return np.asarray(samples[first:last] - start * positions)


def _rows(activations: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """Rows (samples, neurons) of a map or of vectors, without a copy of the whole map."""
    if activations.ndim == 2:
        return activations[flat]
    height, width = activations.shape[2:]
    image, place = flat // (height * width), flat % (height * width)
    return activations[image, :, place // width, place % width]
