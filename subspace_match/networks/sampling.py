"""The samples at which layers are compared: the same in every network.

A sample of a fully connected layer is an input; a sample of a convolution is an (input, row,
column) position of its map, and a sample of a layer of tokens a token (Wang et al. 2018, section 4:
positions drawn without replacement, the same in both networks; 16 draws). Layers of different map
sizes have no common positions. They are compared at places: points of the input, independent of the
size of the map.

A sample is stored as a flat index (input * height + row) * width + column; of videos and volumes,
((input * frames + frame) * height + row) * width + column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .layer_info import LayerInfo

# Inputs per group. Larger groups sample fewer positions of a map; smaller ones permute less.
_GROUP = 50
# Images of one class in a group, on average. With fewer, a permutation within classes moves less.
_ALIKE = 5
# Share of images that a permutation within classes should move. One that moves fewer leaves much of
# what is observed as it is, and the level within classes would be too high.
LEAST_MOVED = 0.5


def image_groups(
    images: int, positions: int, seed: int, labels: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return random groups of about 50 inputs; all inputs of a group share their positions.

    The inputs of a group can therefore be permuted, as the null hypothesis requires, without
    needing a sample that was not extracted. Of up to 10 classes, a random group has several images
    each. Of more classes, images are dealt to groups in fives of one class.

    Args:
        images: number of inputs in the test split.
        positions: as in ``draw_samples``.
        seed: as in ``draw_samples``.
        labels: (inputs,) class of each input; None if inputs have no classes.
    """
    order = np.random.default_rng([seed, images]).permutation(images)
    size = min(_GROUP, positions)
    if labels is not None and len(np.unique(labels)) * _ALIKE > size:
        order = _dealt(order, labels)
    return np.array_split(order, -(-images // size))


def _dealt(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Reorder images: five of each class in turn, again and again until none is left."""
    # A class takes its turn where its first image is, so turns are as random as the order.
    _, first, number = np.unique(labels[order], return_index=True, return_inverse=True)
    by_class = np.argsort(number, kind="stable")
    sizes = np.bincount(number)
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.asarray(order[np.lexsort((rank, first[number], rank // _ALIKE))])


def within_classes(groups: list[np.ndarray], labels: np.ndarray) -> list[np.ndarray]:
    """Return the parts of groups whose images have one label.

    Example:
        >>> within_classes([np.array([3, 0, 2]), np.array([1])], np.array([7, 4, 7, 4]))
        [array([3]), array([0, 2]), array([1])]
    """
    return [group[labels[group] == label] for group in groups for label in np.unique(labels[group])]


def uses_all_samples(layer: LayerInfo, images: int, positions: int) -> bool:
    """Return whether a layer is extracted at all its samples, in a single draw."""
    return layer.kind == "fc" or images * layer.positions <= positions


def draw_samples(
    layer: LayerInfo,
    images: int,
    positions: int,
    draws: int,
    seed: int,
    labels: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Return a layer's samples, sorted, for each draw.

    Args:
        layer: a fully connected layer uses every input.
        images: number of inputs.
        positions: number of positions to draw from a convolution's maps or of tokens, spread evenly
            over the inputs (the authors draw them independently). If there are more inputs than
            positions, only some groups of inputs are sampled. If the maps of all inputs have no
            more positions than this, all are used, in a single draw.
        draws: number of independent draws.
        seed: layers with the same map size, in any network, have the same positions.
        labels: classes of the inputs, as in ``image_groups``.

    Returns:
        For each draw (samples,) int64, at most ``positions`` samples.
    """
    if uses_all_samples(layer, images, positions):
        return [np.arange(images * layer.positions)]
    each = min(layer.positions, max(1, positions // images))
    groups = image_groups(images, positions, seed, labels)
    return [_draw(layer, groups, each, positions, [seed, draw]) for draw in range(draws)]


def _draw(
    layer: LayerInfo, groups: list[np.ndarray], each: int, positions: int, seed: list[int]
) -> np.ndarray:
    size = layer.height, layer.width, *([layer.frames] if layer.frames > 1 else [])
    rng = np.random.default_rng([*seed, *size])
    drawn: list[np.ndarray] = []
    for group in rng.permutation(len(groups)):
        inputs = groups[group]
        # Use whole groups only, because a part of a group could not be permuted.
        if sum(map(len, drawn)) + each * len(inputs) <= positions:
            chosen = rng.choice(layer.positions, each, replace=False)
            drawn.append((inputs[:, None] * layer.positions + chosen).ravel())
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
    map_size = layer.positions
    wanted = image_order[samples // map_size] * map_size + samples % map_size
    rows = np.searchsorted(samples, wanted)
    if not np.array_equal(samples[np.minimum(rows, len(samples) - 1)], wanted):
        raise ValueError(
            f"{layer.name}: expected a permutation within groups of images that share their"
            " positions, found one across groups; extract the activations again"
        )
    return np.asarray(rows)


def draw_shared_positions(
    layers: Sequence[LayerInfo], images: int, places: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the samples of all layers at the same places of the same images (not in the paper).

    A place is a point of the image. A map is sampled at the position that contains it; a fully
    connected layer, which has no positions, at the image; a layer of tokens at the token that lies
    at the same part of the sequence, which is no point of the image.

    Args:
        layers: layers of a network.
        images: number of images in the test split.
        places: number of places, spread evenly over the images: if there are more than images, the
            largest multiple of their number is drawn, so that no image counts more than another.
        seed: seed of the draw.

    Returns:
        (places,) int64 by layer name, images in order. Row i is the same place in every layer.

    Example:
        >>> conv = LayerInfo("conv1", "c", "conv", 8, 2, 2)
        >>> fc = LayerInfo("fc1", "f", "fc", 8, 1, 1)
        >>> places = draw_shared_positions([conv, fc], 3, 7, seed=0)
        >>> places["conv1"] // 4, places["fc1"]
        (array([0, 0, 1, 1, 2, 2]), array([0, 0, 1, 1, 2, 2]))
    """
    image, points = shared_places(images, places, seed)
    return {
        layer.name: np.ravel_multi_index(
            (image, *positions_at(points, layer.size)), (images, *layer.size)
        )
        for layer in layers
    }


def positions_at(points: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return the position of a map that contains each point, (3, points) int64.

    Args:
        points: in [0, 1): from the first to the last frame, down and right, (3, points).
        size: frames, height and width.

    Example:
        >>> positions_at(np.array([[0.0], [0.5], [0.9]]), (1, 4, 4))[:, 0]
        array([0, 2, 3])
    """
    return np.asarray((points.T * np.asarray(size)).T, dtype=np.int64)


def shared_places(images: int, places: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw places: their images, sorted, and their points, (3, places) as for ``positions_at``."""
    if places > images:
        places -= places % images
    rng = np.random.default_rng([seed, images, places])
    image = np.sort(np.resize(rng.permutation(images), places))
    return image, random_points(rng, places)


def random_points(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw points, (3, count) as for ``positions_at``; those of a map have no use for the frame."""
    down_and_right = rng.random((2, count))
    return np.concatenate([rng.random((1, count)), down_and_right])
