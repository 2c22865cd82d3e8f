"""At which samples a layer is seen: the same in every network.

A sample of a fully connected layer is an image; of a convolution, an (image, row, column) position
of its map (Wang et al. 2018, section 4: positions drawn without replacement, the same in both
networks; 16 draws of them). Layers of different map sizes have no common positions: they are
compared at places, points of the image whatever the map's size.

A sample is written as a flat index (image * height + row) * width + column.
"""

from __future__ import annotations

import numpy as np

from .layer_info import LayerInfo

GROUP = 50  # images: more, and a map is seen at few places; fewer, and a permutation keeps many


def image_groups(images: int, positions: int, seed: int) -> list[np.ndarray]:
    """Images in random groups of about GROUP: those of a group are sampled at the same places.

    So the images of a group can be permuted, as the null hypothesis wants it, without asking for a
    sample that was not recorded.
    """
    order = np.random.default_rng([seed, images]).permutation(images)
    return np.array_split(order, -(-images // min(GROUP, positions)))


def is_recorded_whole(layer: LayerInfo, images: int, positions: int) -> bool:
    """Whether a layer is recorded at all of its samples, in one draw: at every image, say."""
    return layer.kind == "fc" or images * layer.height * layer.width <= positions


def draw_samples(
    layer: LayerInfo, images: int, positions: int, draws: int, seed: int
) -> list[np.ndarray]:
    """A layer's samples, draw by draw, sorted.

    Args:
        layer: a fully connected layer gives every image.
        images: in the evaluation split.
        positions: how many to draw of a convolution's map, spread evenly over the images (the
            authors draw them one by one); where they are fewer than images, from some groups of
            images only. All of them, and one draw, if the map has no more.
        draws: independent ones.
        seed: layers of one map size, in whatever network, are sampled at the same positions.

    Returns:
        For each draw (samples,) int64, at most ``positions`` of them.

    Example:
        >>> layer = LayerInfo("conv1", "conv1.2", "conv", 8, 2, 2)
        >>> [draw.shape for draw in draw_samples(layer, 3, 6, 2, seed=0)]
        [(6,), (6,)]
    """
    places = layer.height * layer.width
    if is_recorded_whole(layer, images, positions):
        return [np.arange(images * places)]
    each = min(places, max(1, positions // images))
    groups = image_groups(images, positions, seed)
    return [_one_draw(layer, groups, each, positions, [seed, draw]) for draw in range(draws)]


def _one_draw(
    layer: LayerInfo, groups: list[np.ndarray], each: int, positions: int, seed: list[int]
) -> np.ndarray:
    rng = np.random.default_rng([*seed, layer.height, layer.width])
    places = layer.height * layer.width
    drawn: list[np.ndarray] = []
    for group in rng.permutation(len(groups)):
        # A whole group or none of it: a part could not be permuted.
        if sum(map(len, drawn)) + each * len(groups[group]) <= positions:
            chosen = rng.choice(places, each, replace=False)
            drawn.append((groups[group][:, None] * places + chosen).ravel())
    return np.sort(np.concatenate(drawn))


def image_permutation(groups: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A random permutation within groups of images: the image that takes each image's place."""
    order = np.empty(sum(map(len, groups)), dtype=np.int64)
    for group in groups:
        order[group] = rng.permutation(group)
    return order


def permuted_samples(samples: np.ndarray, layer: LayerInfo, image_order: np.ndarray) -> np.ndarray:
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


def draw_places(
    layers: list[LayerInfo], images: int, places: int, seed: int
) -> dict[str, np.ndarray]:
    """The samples of all layers at the same places of the same images, ours.

    A place is a point of the image; a map is seen at the position in which it lies, and a fully
    connected layer, which has none, at the image.

    Args:
        layers: of a network.
        images: in the evaluation split.
        places: how many, spread evenly over the images.
        seed: of their draw.

    Returns:
        By layer name (places,) int64, images in order: row i of one layer and row i of another are
        one place.

    Example:
        >>> conv = LayerInfo("conv1", "c", "conv", 8, 2, 2)
        >>> fc = LayerInfo("fc1", "f", "fc", 8, 1, 1)
        >>> places = draw_places([conv, fc], 3, 4, seed=0)
        >>> places["conv1"] // 4, places["fc1"]
        (array([0, 1, 1, 2]), array([0, 1, 1, 2]))
    """
    rng = np.random.default_rng([seed, images, places])
    image = np.sort(np.resize(rng.permutation(images), places))
    down, right = rng.random((2, places))
    return {
        layer.name: (image * layer.height + (down * layer.height).astype(np.int64)) * layer.width
        + (right * layer.width).astype(np.int64)
        for layer in layers
    }
