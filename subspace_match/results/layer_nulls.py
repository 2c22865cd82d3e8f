"""A layer matched again: with network B's images permuted, and on halves of the images.

Permuting any images shows what chance gives; permuting only images of one label shows what the
labels alone explain. Halves of the images show how much the similarity depends on the images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..matching.backends.base import DeviceLike
from ..matching.half_samples import paths_of_halves
from ..matching.null import NullNeurons, null_neurons
from ..matching.permutation_counts import affordable_permutations
from ..matching.reduction.moments import PairMoments
from ..networks.layer_info import LayerInfo
from ..networks.sampling import image_groups, image_permutation, permuted_samples, within_classes
from ..storage.match_files import Resampled
from .store_pair import StorePair

DIVISIONS = 5  # random divisions of the images into two halves
# With more neurons per sample of a half, halves match by chance, and say nothing about all images.
MOST_NEURONS_PER_SAMPLE = 0.5


def resampled_layer(
    stores: StorePair,
    layer: str,
    pair: PairMoments,
    *,
    permutations: int | str,
    seed: int,
    device: DeviceLike,
) -> Resampled:
    """Match a layer's first draw again, with images permuted and on halves of the images.

    Args:
        stores: activations of both networks.
        layer: the layer's name.
        pair: the layer's moments.
        permutations: number of permutations; "auto": as many as its cost allows.
        seed: equal seeds give equal permutations and halves of the images, for all layers and pairs
            of networks. A layer with fewer permutations has the first ones of the others.
        device: where to compute.

    Returns:
        The critical epsilons and distances. There are none within classes if the images have no
        labels, and none of halves if these have more than 0.5 neurons of the wider layer per
        sample.

    Raises:
        ValueError: as ``StorePair.activations``.
    """
    entry = stores.a.layers[layer]
    info = LayerInfo(**{key: entry[key] for key in LayerInfo.__dataclass_fields__})
    groups, labels = _groups(stores)
    samples = stores.samples(layer)
    x, y = stores.activations(layer)
    if isinstance(permutations, str):
        permutations = affordable_permutations(*(pair.samples, pair.neurons_x, pair.neurons_y))

    def permuted(groups: Sequence[np.ndarray], *stream: int) -> NullNeurons:
        rng = np.random.default_rng([seed, *stream] if stream else seed)
        orders = (
            permuted_samples(samples, info, image_permutation(list(groups), rng))
            for _ in range(permutations)
        )
        return NullNeurons.stacked(null_neurons(pair, x, y, orders, device=device))

    def on_halves() -> np.ndarray:
        image, rng = samples // info.positions, np.random.default_rng([seed, 2])
        present = np.unique(image)
        halves = (
            np.flatnonzero(np.isin(image, rng.permutation(present)[: len(present) // 2]))
            for _ in range(DIVISIONS)
        )
        paths = paths_of_halves(pair, x, y, halves, device=device)
        return np.stack([path.critical_epsilon for path in paths])

    enough = max(pair.neurons_x, pair.neurons_y) <= MOST_NEURONS_PER_SAMPLE * pair.samples / 2
    return Resampled.of(
        permuted(groups),
        None if labels is None else permuted(within_classes(groups, labels), 1),
        half_images=on_halves() if enough else None,
    )


def movable_share(stores: StorePair) -> float | None:
    """Return the share of images that a permutation within classes can move.

    The others have no image of their class in their group. None if the images have no labels.
    """
    groups, labels = _groups(stores)
    if labels is None:
        return None
    parts = within_classes(groups, labels)
    return sum(len(part) for part in parts if len(part) > 1) / len(labels)


def _groups(stores: StorePair) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return the groups of images that share positions, and the labels of the images."""
    about, labels = stores.a.about, stores.a.labels()
    images, extraction = about["data"]["test_images"], about["extraction"]
    positions, seed = extraction["positions"], extraction["position_seed"]
    return image_groups(images, positions, seed, labels), labels
