"""Match paths of the layers of two networks, from their activation stores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..matching.backends.base import DeviceLike
from ..matching.path import match_path
from ..matching.reduction.moments import PairMoments, reduce
from ..storage.match_files import LayerMatch
from .store_pair import StorePair


def match_layers(
    stores: StorePair, layers: Iterable[str], *, device: DeviceLike, chunk_samples: int | None
) -> Iterator[tuple[LayerMatch, PairMoments]]:
    """Yield the match and the moments of every layer and draw.

    Args:
        stores: of the two networks.
        layers: names of layers that both networks have.
        device: where to compute.
        chunk_samples: as for ``reduce``.

    Raises:
        ValueError: if the stores hold different samples, or one is damaged.
    """
    for layer in layers:
        for draw in range(stores.a.layers[layer]["draws"]):
            x, y = stores.activations(layer, draw)
            pair = reduce(x, y, device=device, chunk_samples=chunk_samples)
            path = match_path(pair, device=device)
            yield LayerMatch.from_path(path, stores.layer_origin(layer, draw)), pair
