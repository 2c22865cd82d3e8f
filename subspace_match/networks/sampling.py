"""The samples at which layers are compared: the same in every network.

A sample of a fully connected layer is an image; a sample of a convolution is an (image, row,
column) position of its map (Wang et al. 2018, section 4: positions drawn without replacement, the
same in both networks; 16 draws). Layers of different map sizes have no common positions. They are
compared at places: points of the image, independent of the size of the map.

A sample is stored as a flat index (image * height + row) * width + column.
"""

from __future__ import annotations

import numpy as np

from .layer_info import LayerInfo

# Images per group. Larger groups sample fewer positions of a map; smaller ones permute less.
_GROUP = 50


def image_groups(images: int, positions: int, seed: int) -> list[np.ndarray]:
    """Return random groups of about 50 images; all images of a group share their positions.

    The images of a group can therefore be permuted, as the null hypothesis requires, without
    needing a sample that was not extracted.
    """
    order = np.random.default_rng([seed, images]).permutation(images)
    return np.array_split(order, -(-images // min(_GROUP, positions)))


def uses_all_samples(layer: LayerInfo, images: int, positions: int) -> bool:
    """Return whether a layer is extracted at all its samples, in a single draw."""
    return layer.kind == "fc" or images * layer.height * layer.width <= positions


def draw_samples(
    layer: LayerInfo, images: int, positions: int, draws: int, seed: int
) -> list[np.ndarray]:
    """Return a layer's samples, sorted, for each draw.

    Args:
        layer: a fully connected layer uses every image.
        images: number of images in the test split.
        positions: number of positions to draw from a convolution's maps, spread evenly over the
            images (the authors draw them independently). If there are more images than positions,
            only some groups of images are sampled. If the maps of all images have no more
            positions than this, all are used, in a single draw.
        draws: number of independent draws.
        seed: layers with the same map size, in any network, have the same positions.

    Returns:
        For each draw (samples,) int64, at most ``positions`` samples.
    """
    map_size = layer.height * layer.width
    if uses_all_samples(layer, images, positions):
        return [np.arange(images * map_size)]
    each = min(map_size, max(1, positions // images))
    groups = image_groups(images, positions, seed)
    return [_draw(layer, groups, each, positions, [seed, draw]) for draw in range(draws)]


def _draw(
    layer: LayerInfo, groups: list[np.ndarray], each: int, positions: int, seed: list[int]
) -> np.ndarray:
    rng = np.random.default_rng([*seed, layer.height, layer.width])
    map_size = layer.height * layer.width
    drawn: list[np.ndarray] = []
    for group in rng.permutation(len(groups)):
        # Use whole groups only, because a part of a group could not be permuted.
        if sum(map(len, drawn)) + each * len(groups[group]) <= positions:
            chosen = rng.choice(map_size, each, replace=False)
            drawn.append((groups[group][:, None] * map_size + chosen).ravel())
    return np.sort(np.concatenate(drawn))


def image_permutation(groups: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Permute images at random within groups: return the image that replaces each image."""
    order = np.empty(sum(map(len, groups)), dtype=np.int64)
    for group in groups:
        order[group] = rng.permutation(group)
    return order


def permuted_samples(samples: np.ndarray, layer: LayerInfo, image_order: np.ndarray) -> np.ndarray:
    """Return the row that replaces each sample when images are permuted and positions stay.

    Args:
        samples: samples of the layer, from ``draw_samples``.
        layer: the layer.
        image_order: (images,) from ``image_permutation``.

    Returns:
        (samples,) int64: rows of the layer's activations in the permuted order.

    Raises:
        ValueError: if the permutation needs a sample that was not extracted.
    """
    map_size = layer.height * layer.width
    wanted = image_order[samples // map_size] * map_size + samples % map_size
    rows = np.searchsorted(samples, wanted)
    if not np.array_equal(samples[np.minimum(rows, len(samples) - 1)], wanted):
        raise ValueError(
            f"{layer.name}: expected a permutation within groups of images that share their"
            " positions, found one across groups; extract the activations again"
        )
    return np.asarray(rows)


def draw_shared_positions(
    layers: list[LayerInfo], images: int, places: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the samples of all layers at the same places of the same images (not in the paper).

    A place is a point of the image. A map is sampled at the position that contains it; a fully
    connected layer, which has no positions, at the image.

    Args:
        layers: layers of a network.
        images: number of images in the test split.
        places: number of places, spread evenly over the images.
        seed: seed of the draw.

    Returns:
        (places,) int64 by layer name, images in order. Row i is the same place in every layer.

    Example:
        >>> conv = LayerInfo("conv1", "c", "conv", 8, 2, 2)
        >>> fc = LayerInfo("fc1", "f", "fc", 8, 1, 1)
        >>> places = draw_shared_positions([conv, fc], 3, 4, seed=0)
        >>> places["conv1"] // 4, places["fc1"]
        (array([0, 1, 1, 2]), array([0, 1, 1, 2]))
    """
    image, down, right = shared_places(images, places, seed)
    return {
        layer.name: (image * layer.height + (down * layer.height).astype(np.int64)) * layer.width
        + (right * layer.width).astype(np.int64)
        for layer in layers
    }


def shared_places(images: int, places: int, seed: int) -> tuple[np.ndarray, ...]:
    """Draw places: their images, sorted, and their points, down and right in [0, 1)."""
    rng = np.random.default_rng([seed, images, places])
    image = np.sort(np.resize(rng.permutation(images), places))
    down, right = rng.random((2, places))
    return image, down, right
