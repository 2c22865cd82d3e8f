"""Every two layers of one network, compared by all measures."""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np

from ..matching.backends.base import DeviceLike
from ..matching.cross_fitted import cross_fitted_path
from ..matching.measures import noted_measures
from ..matching.path import match_path
from ..matching.reduction.halves import reduce_halves
from ..matching.validation import FewSamplesWarning
from ..storage.activations import ActivationStore
from ..storage.network_results import HeatMapLayer, WithinNetwork
from ..storage.result_origin import Origin


def within_network(
    store: ActivationStore, digest: str, *, device: DeviceLike, chunk_samples: int | None
) -> WithinNetwork:
    """Compare every two layers of a network, each two positions of an image once.

    If there are more places than images, two places of an image can be the same position of both
    layers. Debiased CKA, for example, would take the second one for another sample.

    Args:
        store: activations of which all layers have the same samples, as for a heat map.
        digest: as in ``Origin``.
        device: as for ``match_path``.
        chunk_samples: as for ``reduce``.
    """
    names = list(store.layers)
    neurons = [store.layers[name]["neurons"] for name in names]
    pairs = list(combinations(range(len(names)), 2))
    samples = [store.samples(name) for name in names]
    images = store.images_of(names[0], samples[0])
    # Each is in many pairs, and all have the same, few samples.
    activations = [store.activations(name)[:] for name in names]
    critical = np.full((len(pairs), sum(sorted(neurons)[-2:])), np.nan)
    values: dict[str, list[float]] = {}
    for number, (i, j) in enumerate(pairs):
        with warnings.catch_warnings():
            # The similarity table of two networks tells of few samples.
            warnings.simplefilter("ignore", FewSamplesWarning)
            once = np.sort(np.unique((samples[i], samples[j]), axis=1, return_index=True)[1])
            halves = reduce_halves(
                *(activations[i][once], activations[j][once], images[once]),
                seed=store.about["extraction"]["seed"],
                device=device,
                chunk_samples=chunk_samples,
            )
            found = match_path(halves.whole, device=device).critical_epsilon
            cross_fitted = cross_fitted_path(halves, device=device).area
        critical[number, : len(found)] = found
        measures = {name: value for name, (value, _) in noted_measures(halves.whole).items()}
        for name, value in ({"cross_fitted_area": cross_fitted} | measures).items():
            values.setdefault(name, []).append(value)
    return WithinNetwork(
        Origin.of_stores(digest, store.about),
        [HeatMapLayer(*(store.layers[n][key] for key in HeatMapLayer._fields)) for n in names],
        critical,
        {name: np.array(own) for name, own in values.items()},
    )
