"""The activations of a network's layers at the same samples, whichever network it is.

A sample of a fully connected layer is an image; of a convolution, an (image, row, column) position
of its map (Wang et al. 2018, section 4: positions drawn without replacement, the same in both
networks).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .images import Images
from .layers import Layer, LayeredNetwork

Sink = Callable[[str, np.ndarray], None]


def draw_samples(layer: Layer, images: int, positions: int, seed: int) -> np.ndarray:
    """Flat indices (image * height + row) * width + column of a layer's samples, sorted.

    Args:
        layer: a fully connected layer gives every image.
        images: in the evaluation split.
        positions: how many to draw of a convolution's map; all of them if it has no more.
        seed: layers of one map size, in whatever network, are sampled at the same positions.

    Returns:
        (samples,) int64.

    Example:
        >>> draw_samples(Layer("conv1", "conv1.2", "conv", 8, 2, 2), 3, 5, seed=0).shape
        (5,)
    """
    total = images * layer.height * layer.width
    if layer.kind == "fc" or total <= positions:
        return np.arange(total)
    rng = np.random.default_rng([seed, layer.height, layer.width])
    return np.sort(rng.choice(total, positions, replace=False))


def extract(
    network: LayeredNetwork,
    images: Images,
    layers: list[Layer],
    samples: dict[str, np.ndarray],
    *,
    batch_size: int,
    sink: Sink,
    batch_done: Callable[[], object],
) -> None:
    """One forward pass over the images; each layer's samples go to the sink as they come.

    Args:
        network: on the images' device.
        images: those to record.
        layers: of the network.
        samples: flat indices of each layer's samples by the layer's name, sorted.
        batch_size: images a forward pass.
        sink: called with a layer's name and (samples, neurons) float32, in the samples' order.
        batch_done: called after each batch.
    """
    by_node = {layer.node: layer for layer in layers}
    for start in range(0, len(images.labels), batch_size):
        pixels = images.pixels[start : start + batch_size]

        def take(node: str, activations: torch.Tensor, start: int = start) -> None:
            layer = by_node[node]
            chosen = _of_batch(samples[layer.name], layer, start, len(activations))
            if len(chosen):
                rows = _rows(activations, torch.from_numpy(chosen).to(activations.device))
                sink(layer.name, rows.float().cpu().numpy())

        network.capture(images.standardised(pixels), take)
        batch_done()


def _of_batch(samples: np.ndarray, layer: Layer, start: int, images: int) -> np.ndarray:
    """The samples that lie in a batch, as flat indices into the batch."""
    positions = layer.height * layer.width
    first, last = np.searchsorted(samples, [start * positions, (start + images) * positions])
    return np.asarray(samples[first:last] - start * positions)


def _rows(activations: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """Rows (samples, neurons) of a map or of vectors, without a copy of the whole map."""
    if activations.ndim == 2:
        return activations[flat]
    height, width = activations.shape[2:]
    image, place = flat // (height * width), flat % (height * width)
    return activations[image, :, place // width, place % width]
