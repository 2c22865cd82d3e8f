"""The null of a layer: critical epsilons when the images of network B are permuted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..matching.backends.base import DeviceLike
from ..matching.null import null_paths
from ..matching.reduction.moments import PairMoments
from ..networks.layer_info import LayerInfo
from ..networks.sampling import image_groups, image_permutation, permuted_samples
from .store_pair import StorePair


def null_of_layer(
    stores: StorePair,
    layer: str,
    pair: PairMoments,
    chance: Mapping[str, int],
    *,
    device: DeviceLike,
) -> np.ndarray:
    """Return critical epsilons under permuted images, of the layer's first draw.

    Args:
        stores: of the two networks.
        layer: its name.
        pair: moments of the layer.
        chance: the configuration's section: number of ``permutations`` and their ``seed``, which
            gives all layers of all pairs the same permutations of images.
        device: where to compute.

    Returns:
        (permutations, n_a + n_b) float64.

    Raises:
        ValueError: if the stores hold different samples, or one is damaged.
    """
    entry, about = stores.a.layers[layer], stores.a.about
    info = LayerInfo(**{key: entry[key] for key in LayerInfo.__dataclass_fields__})
    images, extraction = about["data"]["test_images"], about["extraction"]
    groups = image_groups(images, extraction["positions"], extraction["position_seed"])
    samples = stores.a.samples(layer)
    rng = np.random.default_rng(chance["seed"])
    permutations = (image_permutation(groups, rng) for _ in range(chance["permutations"]))
    orders = (permuted_samples(samples, info, permutation) for permutation in permutations)
    x, y = stores.activations(layer)
    return np.stack([p.critical_epsilon for p in null_paths(pair, x, y, orders, device=device)])
