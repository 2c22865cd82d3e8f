"""Every two layers of one network, against the library on the same arrays."""

from itertools import combinations
from pathlib import Path

import numpy as np

import subspace_match as sm
from subspace_match.results.within_network import within_network
from subspace_match.storage.activations import ActivationStore, new_store

IMAGES, PLACES = 30, 60
NEURONS = {"conv1": 3, "conv2": 5, "fc1": 4}


def test_every_two_layers_are_compared_by_every_measure(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = np.repeat(np.arange(IMAGES), PLACES // IMAGES)
    layers = [
        {"name": name, "depth": depth, "neurons": neurons, "draws": 1, "samples": PLACES}
        | dict.fromkeys(("height", "width"), 2 if name == "conv1" else 1)
        for depth, (name, neurons) in enumerate(NEURONS.items(), start=1)
    ]
    hidden = rng.normal(size=(PLACES, 4))
    rows = {
        name: np.maximum(hidden @ rng.normal(size=(4, neurons)), 0).astype(np.float32)
        for name, neurons in NEURONS.items()
    }
    about = {"network": "n0", "checkpoint": "aa", "extraction": {"positions": PLACES, "seed": 7}}
    with new_store(tmp_path / "n0.zarr", about, layers) as store:
        for layer in layers:
            name, size = layer["name"], layer["height"] * layer["width"]
            store.samples(name, 0, images * size + np.arange(PLACES) % min(size, 2))
            store.append(name, 0, rows[name])
    store = ActivationStore(tmp_path / "n0.zarr")
    found = within_network(store, "d", device="cpu", chunk_samples=None)
    assert (found.origin.digest, found.origin.networks) == ("d", ("n0",))
    assert {layer.name: layer.neurons for layer in found.layers} == NEURONS
    assert found.critical_epsilon.shape == (3, 9)
    for number, (a, b) in enumerate(combinations(NEURONS, 2)):
        # Both places of an image are one sample of two layers without positions.
        once = slice(None, None, 2 if a != "conv1" else 1)
        halves = sm.reduce_halves(rows[a][once], rows[b][once], images[once], seed=7, device="cpu")
        path = sm.match_path(halves.whole, device="cpu")
        neurons = NEURONS[a] + NEURONS[b]
        critical = found.critical_epsilon[number]
        np.testing.assert_array_equal(critical[:neurons], path.critical_epsilon)
        assert np.isnan(critical[neurons:]).all()
        values = {name: own[number] for name, own in found.measures.items()}
        area = sm.cross_fitted_path(halves, device="cpu").area
        assert values.pop("cross_fitted_area") == area
        assert values == sm.all_measures(halves.whole)
