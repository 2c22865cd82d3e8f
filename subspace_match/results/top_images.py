"""The images that activate each neuron most."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..storage.activations import ActivationStore
from ..storage.network_results import TopImages
from ..storage.result_origin import Origin


def top_images_of(store: ActivationStore, digest: str) -> TopImages:
    """Find the top images of every neuron; ``digest`` as in ``Origin``."""
    layers = {}
    for name in store.layers:
        images = store.images_of(name, store.samples(name))
        layers[name] = top_images(store.activations(name), images)
    origin = Origin.of_stores(digest, store.about)
    about = store.about
    return TopImages(origin, about["accuracy"], layers, about["loss"], store.predictions())


def top_images(
    activations: Any, images: np.ndarray, count: int = 9
) -> tuple[np.ndarray, np.ndarray]:
    """Find the images that activate each neuron most, among the samples that were extracted.

    A neuron of a convolution has one activation per position; its highest counts for an image.

    Args:
        activations: (samples, neurons), any array that can be sliced.
        images: (samples,) int64, the image of each sample, in ascending order.
        count: number of images, 9 in Figure 5 of Wang et al. 2018; fewer if there are fewer.

    Returns:
        Images (neurons, count) int64 and their activations (neurons, count), the highest first.
        Equal activations are in the order of the images.

    Example:
        >>> activations = np.array([[0.0, 5.0], [3.0, 4.0], [2.0, 1.0]])
        >>> found, strength = top_images(activations, np.array([0, 0, 7]), count=2)
        >>> found.tolist(), strength.tolist()
        ([[0, 7], [0, 7]], [[3.0, 2.0], [5.0, 1.0]])
    """
    distinct, starts = np.unique(images, return_index=True)
    highest = np.ascontiguousarray(np.maximum.reduceat(activations[:], starts, axis=0).T)
    count = min(count, len(distinct))
    order = np.array([_largest(row, count) for row in highest])
    return distinct[order], np.take_along_axis(highest, order, axis=1)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return ``np.argsort(-values, kind="stable")[:count]``, without sorting all values."""
    negated = -values
    threshold = np.partition(negated, count - 1)[count - 1]
    # All values equal to the threshold are candidates, so the stable sort decides ties. NaN is a
    # candidate too, as it is not larger; the sort puts it last.
    candidates = np.flatnonzero(~(negated > threshold))
    return candidates[np.argsort(negated[candidates], kind="stable")[:count]]
