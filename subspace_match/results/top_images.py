"""The images that activate each neuron most."""

from __future__ import annotations

from typing import Any

import numpy as np

COUNT = 9  # images a neuron, as in the paper's Figure 5


def top_images(
    activations: Any, images: np.ndarray, count: int = COUNT
) -> tuple[np.ndarray, np.ndarray]:
    """For each neuron the images in which it is most active, where it was recorded.

    Args:
        activations: (samples, neurons), any array that can be sliced.
        images: (samples,) int64, the image that each sample is of, in order.
        count: how many; fewer if there are not so many images.

    Returns:
        Images (neurons, count) int64 and their activations (neurons, count), the strongest first,
        of equals the first image. A neuron of a convolution has an image's highest activation among
        the positions that were recorded.

    Example:
        >>> activations = np.array([[0.0, 5.0], [3.0, 4.0], [2.0, 1.0]])
        >>> found, strength = top_images(activations, np.array([0, 0, 7]), count=2)
        >>> found.tolist(), strength.tolist()
        ([[0, 7], [0, 7]], [[3.0, 2.0], [5.0, 1.0]])
    """
    different, starts = np.unique(images, return_index=True)
    highest = np.maximum.reduceat(activations[:], starts, axis=0).T
    count = min(count, len(different))
    order = np.argsort(-highest, axis=1, kind="stable")[:, :count]
    return different[order], np.take_along_axis(highest, order, axis=1)
