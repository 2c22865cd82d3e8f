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
GROUP = 50  # images: more, and a map is seen at few places; fewer, and a permutation keeps many


def image_groups(images: int, positions: int, seed: int) -> list[np.ndarray]:
    """Images in random groups of about GROUP: those of a group are sampled at the same places.

    So the images of a group can be permuted, as the null hypothesis wants it, without asking for a
    sample that was not recorded.
    """
    order = np.random.default_rng([seed, images]).permutation(images)
    return np.array_split(order, -(-images // min(GROUP, positions)))


def draw_samples(layer: Layer, images: int, positions: int, seed: int) -> np.ndarray:
    """Flat indices (image * height + row) * width + column of a layer's samples, sorted.

    Args:
        layer: a fully connected layer gives every image.
        images: in the evaluation split.
        positions: how many to draw of a convolution's map, spread evenly over the images (the
            authors draw them one by one); where they are fewer than images, from some groups of
            images only. All of them if the map has no more.
        seed: layers of one map size, in whatever network, are sampled at the same positions.

    Returns:
        (samples,) int64, at most ``positions`` of them.

    Example:
        >>> draw_samples(Layer("conv1", "conv1.2", "conv", 8, 2, 2), 3, 6, seed=0).shape
        (6,)
    """
    places = layer.height * layer.width
    if layer.kind == "fc" or images * places <= positions:
        return np.arange(images * places)
    rng = np.random.default_rng([seed, layer.height, layer.width])
    each = min(places, max(1, positions // images))
    drawn: list[np.ndarray] = []
    for group in image_groups(images, positions, seed):
        # A whole group or none of it: a part could not be permuted.
        if sum(len(part) for part in drawn) + each * len(group) <= positions:
            chosen = rng.choice(places, each, replace=False)
            drawn.append((group[:, None] * places + chosen).ravel())
    return np.sort(np.concatenate(drawn))


def image_permutation(groups: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A random permutation within groups of images: the image that takes each image's place."""
    order = np.empty(sum(map(len, groups)), dtype=np.int64)
    for group in groups:
        order[group] = rng.permutation(group)
    return order


def permuted_samples(samples: np.ndarray, layer: Layer, image_order: np.ndarray) -> np.ndarray:
    """Where each sample's counterpart lies when images are permuted, positions staying in place.

    Args:
        samples: of ``draw_samples``.
        layer: they are of.
        image_order: (images,) the image that takes each image's place, a permutation within the
            groups of ``image_groups``.

    Returns:
        (samples,) int64: rows of the layer's activations in the permuted order.

    Raises:
        ValueError: if the permutation leads to a sample that was not recorded.
    """
    places = layer.height * layer.width
    wanted = image_order[samples // places] * places + samples % places
    rows = np.searchsorted(samples, wanted)
    if not np.array_equal(samples[np.minimum(rows, len(samples) - 1)], wanted):
        raise ValueError(
            f"{layer.name}: expected a permutation within groups of images that were sampled at the"
            " same places, found one that leads outside; extract the activations again"
        )
    return np.asarray(rows)


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
