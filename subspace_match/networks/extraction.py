"""Extract the activations of a network's layers at given samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from .images import Images
from .layer_graph import LayeredNetwork
from .layer_info import LayerInfo
from .repeatability import check_repeatable, strict_float32

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
    """Run each image through the network once, and pass the samples of each layer to a sink.

    Args:
        network: on the images' device.
        images: all images, in the order of ``samples``.
        layers: layers of the network.
        samples: by layer name, the sorted flat indices of every draw (``sampling``).
        batch_size: images per forward pass.
        sink: called with a layer's name, the draw's number and (samples, neurons) float32, in the
            samples' order.
        batch_done: called after each batch.

    Returns:
        The accuracy of the network on the images; None if its output is not (images, classes).

    Raises:
        ValueError: if the network's values for an image change from run to run or with the batch.
    """
    check_repeatable(partial(network.capture, every_node=True), images)
    by_node = {layer.node: layer for layer in layers}
    start = 0
    correct: torch.Tensor | None = torch.zeros((), dtype=torch.int64, device=images.labels.device)
    for inputs, labels in images.batches(batch_size):

        def take(node: str, activations: torch.Tensor, start: int = start) -> None:
            layer = by_node[node]
            for draw, index in enumerate(samples[layer.name]):
                chosen = _in_batch(index, layer, start, len(activations))
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


def _in_batch(samples: np.ndarray, layer: LayerInfo, start: int, images: int) -> np.ndarray:
    """Return the samples that lie in a batch, as flat indices into the batch."""
    map_size = layer.height * layer.width
    first, last = np.searchsorted(samples // map_size, [start, start + images])
    return np.asarray(samples[first:last] - start * map_size)


def _rows(activations: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """Return rows (samples, neurons) of maps or vectors without copying the whole map."""
    if activations.ndim == 2:
        return activations[flat]
    height, width = activations.shape[2:]
    image, position = flat // (height * width), flat % (height * width)
    return activations[image, :, position // width, position % width]
