"""The activation stores of two networks, and the match paths of their layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..matching.backends.base import DeviceLike
from ..matching.cross_fitted import paths_of_new_images
from ..matching.path import MatchPath, match_path
from ..matching.reduction.halves import reduce_halves
from ..matching.reduction.moments import PairMoments
from ..storage.activations import ActivationStore, CheckedArray
from ..storage.match_files import LayerMatch, NewImages, save_matches, save_moments
from ..storage.result_origin import LayerOrigin, Origin


class StorePair:
    """The stores in two folders, ``a`` and ``b``, and the origin of a result of both.

    Raises:
        ValueError: if a folder is not a store, or is damaged.
    """

    def __init__(self, a: str | Path, b: str | Path, digest: str) -> None:
        self.a, self.b = ActivationStore(a), ActivationStore(b)
        self.origin = Origin.of_stores(digest, self.a.about, self.b.about)
        self._samples: dict[tuple[str, int], np.ndarray] = {}

    def layer_origin(self, layer: str, draw: int = 0) -> LayerOrigin:
        """Return the origin of a result of one layer and draw."""
        own = {key: self.a.layers[layer][key] for key in ("node", "kind", "depth", "samples")}
        return LayerOrigin(**vars(self.origin), layer=layer, draw=draw, **own)

    def samples(self, layer: str, draw: int = 0) -> np.ndarray:
        """Return the flat indices of a layer's samples, (samples,) int64; read once.

        Raises:
            ValueError: if the stores hold different samples, or one is damaged.
        """
        if (layer, draw) not in self._samples:
            samples = self.a.samples(layer, draw)
            if not np.array_equal(samples, self.b.samples(layer, draw)):
                raise ValueError(
                    f"{layer}: expected the same samples in both stores, found different ones in"
                    f" {self.a.path} and {self.b.path}; remove both and run again"
                )
            self._samples[layer, draw] = samples
        return self._samples[layer, draw]

    def activations(self, layer: str, draw: int = 0) -> tuple[CheckedArray, CheckedArray]:
        """Return the activations (samples, neurons) of both networks on the same samples.

        Raises:
            ValueError: as ``samples``.
        """
        self.samples(layer, draw)
        return self.a.activations(layer, draw), self.b.activations(layer, draw)

    def match_paths(
        self, layers: Iterable[str], *, device: DeviceLike, chunk_samples: int | None
    ) -> Iterator[tuple[LayerOrigin, MatchPath, NewImages]]:
        """Yield the paths of every draw of these layers; errors as in ``activations``.

        Yields:
            The origin, the match path, and how the layer matches on new images. Equal images are
            split in the same halves in all layers and pairs.
        """
        for layer in layers:
            for draw in range(self.a.layers[layer]["draws"]):
                # Nothing of a draw is kept here, so the next one needs no more memory.
                yield self._match_path(layer, draw, device, chunk_samples)

    def _match_path(
        self, layer: str, draw: int, device: DeviceLike, chunk_samples: int | None
    ) -> tuple[LayerOrigin, MatchPath, NewImages]:
        x, y = self.activations(layer, draw)
        halves = reduce_halves(
            *(x, y, self.images(layer, draw)),
            seed=self.a.about["extraction"]["position_seed"],
            device=device,
            chunk_samples=chunk_samples,
        )
        new = NewImages.from_paths(
            *paths_of_new_images(halves, device=device), images=sum(halves.images)
        )
        return self.layer_origin(layer, draw), match_path(halves.whole, device=device), new

    def images(self, layer: str, draw: int = 0) -> np.ndarray:
        """Return the image of each sample of a layer, (samples,) int64."""
        return self.a.images_of(layer, self.samples(layer, draw))


def save_match_paths(
    found: Iterable[tuple[LayerOrigin, MatchPath, NewImages]],
    *,
    moments: str | Path,
    path: str | Path,
) -> None:
    """Write match paths and their moments as they are found.

    Moments are large, and each is written before the next one is computed.

    Args:
        found: as from ``StorePair.match_paths``.
        moments: the file of the moments.
        path: the file of the match paths.
    """
    matches = []

    def moments_of(
        found: tuple[LayerOrigin, MatchPath, NewImages],
    ) -> tuple[LayerOrigin, PairMoments]:
        origin, match, new = found
        matches.append(LayerMatch.from_path(match, origin, new))
        return origin, match.pair

    save_moments(moments, map(moments_of, found))
    save_matches(path, matches)
