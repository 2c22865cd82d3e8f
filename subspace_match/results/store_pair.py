"""The activation stores of two networks that are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..storage.activations import ActivationStore, CheckedArray
from ..storage.result_origin import LayerOrigin, Origin


class StorePair:
    """Two open stores and the origin of results that are computed from them.

    Attributes:
        a, b: the stores.
        origin: of results.
    """

    def __init__(self, a: str | Path, b: str | Path, digest: str) -> None:
        """Open the stores.

        Args:
            a: folder of network A's store.
            b: folder of network B's store.
            digest: of the settings and code of the results.

        Raises:
            ValueError: if one is not a store, or is damaged.
        """
        self.a, self.b = ActivationStore(a), ActivationStore(b)
        self.origin = origin_of(digest, self.a, self.b)

    def layer_origin(self, layer: str, draw: int = 0) -> LayerOrigin:
        """Return the origin of a result of one layer and draw."""
        entry = self.a.layers[layer]
        return LayerOrigin(
            **vars(self.origin),
            layer=layer,
            **{key: entry[key] for key in ("node", "kind", "depth", "samples")},
            draw=draw,
        )

    def activations(self, layer: str, draw: int = 0) -> tuple[CheckedArray, CheckedArray]:
        """Return the activations (samples, neurons) of both networks on the same samples.

        Raises:
            ValueError: if the stores hold different samples, or one is damaged.
        """
        if not np.array_equal(self.a.samples(layer, draw), self.b.samples(layer, draw)):
            raise ValueError(
                f"{layer}: expected the same samples in both stores, found different ones in"
                f" {self.a.path} and {self.b.path}; remove both and run again"
            )
        return self.a.activations(layer, draw), self.b.activations(layer, draw)


def origin_of(digest: str, *stores: ActivationStore) -> Origin:
    """Return the origin of a result that is computed from stores."""
    networks, checkpoints = (
        tuple(store.about[key] for store in stores) for key in ("network", "checkpoint")
    )
    return Origin(digest, networks, checkpoints)
