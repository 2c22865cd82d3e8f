"""The null of a layer: critical epsilons when the images of network B are permuted."""

from __future__ import annotations

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
    *,
    permutations: int,
    seed: int,
    device: DeviceLike,
) -> np.ndarray:
    """Return the null of a layer's first draw, (permutations, n_a + n_b) float64.

    ``pair`` contains the layer's moments. Equal seeds give equal permutations of images for all
    layers and pairs of networks. Errors are those of ``StorePair.activations``.
    """
    entry, about = stores.a.layers[layer], stores.a.about
    info = LayerInfo(**{key: entry[key] for key in LayerInfo.__dataclass_fields__})
    images, extraction = about["data"]["test_images"], about["extraction"]
    groups = image_groups(images, extraction["positions"], extraction["position_seed"])
    samples, rng = stores.a.samples(layer), np.random.default_rng(seed)
    orders = (
        permuted_samples(samples, info, image_permutation(groups, rng)) for _ in range(permutations)
    )
    x, y = stores.activations(layer)
    return np.stack([p.critical_epsilon for p in null_paths(pair, x, y, orders, device=device)])
