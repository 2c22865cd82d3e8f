"""What jobs compute from activation stores, against the library on the same arrays."""

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import subspace_match as sm
from subspace_match.experiment.resources import HALVES_MATRICES
from subspace_match.matching import permutation_counts
from subspace_match.matching.null import null_paths
from subspace_match.networks.layer_info import LayerInfo
from subspace_match.networks.sampling import (
    image_groups,
    image_permutation,
    permuted_samples,
    within_classes,
)
from subspace_match.results.consensus import consensus_of_layers
from subspace_match.results.heat_map import heat_map
from subspace_match.results.layer_nulls import DIVISIONS, movable_share, resampled_layer
from subspace_match.results.store_pair import StorePair, save_match_paths
from subspace_match.results.top_images import top_images, top_images_of
from subspace_match.storage.activations import new_store
from subspace_match.storage.match_files import load_consensus, load_matches, save_consensus

IMAGES, SIZE = 20, 2  # a map of 2 x 2 positions
SAMPLES = {"conv1": np.arange(IMAGES * SIZE**2), "fc1": np.arange(IMAGES)}
DRAWS = {"conv1": 2, "fc1": 1}
LABELS = np.arange(IMAGES) % 3
DEVICE: Any = {"device": "cpu"}


def write(
    path: Path,
    network: str,
    widths: tuple[int, int],
    last: int | None = None,
    labels: np.ndarray | None = LABELS,
) -> Path:
    """Write a store of two layers; ``last`` replaces the last sample of each."""
    layers = [
        {"name": name, "node": f"{name}.0", "kind": name[:-1], "depth": depth, "neurons": width}
        | {"draws": DRAWS[name], "samples": len(SAMPLES[name])}
        | dict.fromkeys(("height", "width"), SIZE if name == "conv1" else 1)
        | {"frames": 1}
        | {"axis": 1}
        for depth, (name, width) in enumerate(zip(SAMPLES, widths, strict=True), start=1)
    ]
    extraction = {"positions": 80, "position_seed": 0}
    about = {"network": network, "checkpoint": f"sha of {network}", "extraction": extraction}
    rng = np.random.default_rng(int(network[1]))
    with new_store(path, about | {"data": {"test_images": IMAGES}}, layers) as store:
        if labels is not None:
            store.labels(labels)
        for layer in layers:
            for draw in range(layer["draws"]):
                samples = SAMPLES[layer["name"]].copy()
                samples[-1] = samples[-1] if last is None else last
                store.samples(layer["name"], draw, samples)
                rows = rng.random((len(samples), layer["neurons"]), dtype=np.float32)
                store.append(layer["name"], draw, rows)
        store.add_attributes(accuracy=0.25, loss=1.5)
        store.predictions(LABELS[::-1])
    return path


@pytest.fixture
def stores(tmp_path: Path) -> StorePair:
    a, b = write(tmp_path / "a.zarr", "n0", (3, 5)), write(tmp_path / "b.zarr", "n1", (4, 2))
    return StorePair(a, b, "d")


def test_every_draw_of_a_layer_is_matched(stores: StorePair) -> None:
    found = list(stores.match_paths(SAMPLES, chunk_samples=None, **DEVICE))
    assert [(o.layer, o.draw, o.depth) for o, *_ in found] == [
        *(("conv1", 0, 1), ("conv1", 1, 1), ("fc1", 0, 2))
    ]
    assert {(o.digest, o.networks, o.checkpoints) for o, *_ in found} == {
        ("d", ("n0", "n1"), ("sha of n0", "sha of n1"))
    }
    for origin, path, new in found:
        x, y = stores.activations(origin.layer, origin.draw)
        expected = sm.match_path(sm.reduce(x, y, **DEVICE), **DEVICE)
        np.testing.assert_allclose(path.critical_epsilon, expected.critical_epsilon, atol=1e-12)
        np.testing.assert_allclose(path.pair.factor, expected.pair.factor, atol=1e-12)
        images = SAMPLES[origin.layer] // (SIZE**2 if origin.layer == "conv1" else 1)
        halves = sm.reduce_halves(x, y, images, **DEVICE)
        assert (new.images, halves.images, new.note) == (IMAGES, (10, 10), "")
        for critical, find in (
            (new.cross_fitted, sm.cross_fitted_path),
            (new.held_out, sm.held_out_path),
        ):
            np.testing.assert_array_equal(critical, find(halves, **DEVICE).critical_epsilon)


def test_one_draw_at_a_time_is_in_memory(tmp_path: Path) -> None:
    """A wide layer's moments take gigabytes, and there may be many draws."""
    neurons, samples = 200, 500
    for name in "ab":
        entry = {"name": "fc1", "node": "fc1", "kind": "fc", "depth": 1, "neurons": neurons}
        sizes = {"samples": samples, "draws": 4, "height": 1, "width": 1}
        about = {"network": name, "checkpoint": name, "extraction": {"position_seed": 0}}
        rng = np.random.default_rng(ord(name))
        with new_store(tmp_path / name, about, [entry | sizes]) as store:
            for draw in range(4):
                store.samples("fc1", draw, np.arange(samples))
                store.append("fc1", draw, rng.random((samples, neurons), dtype=np.float32))
    pair = StorePair(tmp_path / "a", tmp_path / "b", "d")
    files = {"moments": tmp_path / "moments.npz", "path": tmp_path / "path.npz"}

    def match() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sm.FewSamplesWarning)
            save_match_paths(pair.match_paths(["fc1"], chunk_samples=100, **DEVICE), **files)

    match()  # loads and compiles what the others need
    peaks = []
    for draws in (1, 4):
        pair.a.layers["fc1"]["draws"] = draws
        tracemalloc.start()
        match()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    matrix = 8 * (2 * neurons) ** 2
    assert peaks[1] < peaks[0] + matrix / 2
    assert HALVES_MATRICES / 2 < peaks[0] / matrix < HALVES_MATRICES
    found = load_matches(files["path"])
    assert [origin.draw for origin in found] == [0, 1, 2, 3]
    for match in found.values():
        expected = sm.match_path(match.path(files["moments"]).pair, **DEVICE)
        np.testing.assert_array_equal(match.removal_order, expected.removal_order)


def test_stores_of_different_samples_are_refused(stores: StorePair, tmp_path: Path) -> None:
    other = write(tmp_path / "c.zarr", "n1", (4, 2), last=1000)
    with pytest.raises(ValueError, match="conv1: expected the same samples in both stores, found"):
        StorePair(stores.a.path, other, "d").activations("conv1")


def test_the_null_permutes_images_and_keeps_positions(stores: StorePair) -> None:
    x, y = stores.activations("conv1")
    pair = sm.reduce(x, y, **DEVICE)
    found = resampled_layer(stores, "conv1", pair, permutations=3, seed=1, **DEVICE)
    groups = image_groups(IMAGES, 80, 0, LABELS)
    layer = LayerInfo("conv1", "conv1.0", "conv", 3, SIZE, SIZE)
    within = within_classes(groups, LABELS)
    kinds = (found.any_image, groups, 1), (found.within_class, within, [1, 1])
    for own, parts, seed in kinds:
        rng = np.random.default_rng(seed)
        images = [image_permutation(parts, rng) for _ in range(3)]
        orders = [permuted_samples(SAMPLES["conv1"], layer, order) for order in images]
        expected = [path.critical_epsilon for path in null_paths(pair, x, y, orders, **DEVICE)]
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)
    assert all(np.array_equal(LABELS[order], LABELS) for order in images)
    assert movable_share(stores) == 1.0


def test_halves_of_the_images_are_matched_with_all_their_positions(stores: StorePair) -> None:
    x, y = (side[:] for side in stores.activations("conv1"))
    pair = sm.reduce(x, y, **DEVICE)
    found = resampled_layer(stores, "conv1", pair, permutations=19, seed=0, **DEVICE)
    assert found.half_images is not None
    assert found.half_images.shape == (2 * DIVISIONS, 7)
    chosen = np.random.default_rng([0, 2]).permutation(IMAGES)[: IMAGES // 2]
    of_half = np.isin(SAMPLES["conv1"] // SIZE**2, chosen)
    for rows, own in zip((of_half, ~of_half), found.half_images, strict=False):
        expected = sm.match_path(sm.reduce(x[rows], y[rows], **DEVICE), **DEVICE).critical_epsilon
        np.testing.assert_allclose(own, expected, atol=2e-8)


def test_few_samples_have_no_halves_and_images_without_labels_no_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permutation_counts, "CHEAP", 0)
    paths = (write(tmp_path / f"{n}.zarr", n, (3, 6), labels=None) for n in ("n0", "n1"))
    stores = StorePair(*paths, "d")
    x, y = stores.activations("fc1")  # six neurons, and ten samples in a half
    pair = sm.reduce(x, y, **DEVICE)
    found = resampled_layer(stores, "fc1", pair, permutations="auto", seed=0, **DEVICE)
    assert (found.within_class, found.half_images) == (None, None)
    assert len(found.any_image) == 99
    assert movable_share(stores) is None


def test_a_heat_map_is_padded_to_its_widest_pair(
    stores: StorePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All layers of a heat map have the same samples.
    monkeypatch.setitem(SAMPLES, "conv1", SAMPLES["fc1"])
    folder = stores.a.path.parent
    a, b = write(folder / "c.zarr", "n0", (3, 5)), write(folder / "d.zarr", "n1", (4, 2))
    alike = StorePair(a, b, "d")
    found = heat_map(alike, chunk_samples=None, **DEVICE)
    assert found.critical_epsilon.shape == (2, 2, 5 + 4)
    assert [tuple(layer) for layer in found.layers_a] == [("conv1", 1, 3), ("fc1", 2, 5)]
    for i, one in enumerate(SAMPLES):
        for j, other in enumerate(SAMPLES):
            x, y = alike.a.activations(one), alike.b.activations(other)
            path = sm.match_path(sm.reduce(x, y, **DEVICE), **DEVICE)
            width = len(path.critical_epsilon)
            own = found.critical_epsilon[i, j]
            np.testing.assert_allclose(own[:width], path.critical_epsilon, atol=1e-9)
            assert np.isnan(own[width:]).all()
            assert found.linear_cka[i, j] == pytest.approx(sm.linear_cka(path.pair))


def test_top_images_of_a_convolution_are_images_and_not_positions(stores: StorePair) -> None:
    found = top_images_of(stores.a, "d")
    assert (found.origin.networks, found.accuracy, found.loss) == (("n0",), 0.25, 1.5)
    for name, divisor in (("conv1", SIZE**2), ("fc1", 1)):
        expected = top_images(stores.a.activations(name), SAMPLES[name] // divisor)
        for array, own in zip(found.layers[name], expected, strict=True):
            np.testing.assert_array_equal(array, own)
        assert found.layers[name][0].max() < IMAGES


def test_the_consensus_of_many_stores_is_that_of_their_activations_in_every_draw(
    tmp_path: Path,
) -> None:
    widths = {"n0": (3, 5), "n1": (4, 2), "n2": (2, 3)}
    folders = [write(tmp_path / f"{name}.zarr", name, own) for name, own in widths.items()]
    found = consensus_of_layers(folders, SAMPLES, "d", chunk_samples=None, **DEVICE)
    pairs = StorePair(folders[0], folders[1], "d"), StorePair(folders[0], folders[2], "d")
    for origin, critical in found.items():
        assert origin.networks == tuple(widths)
        first, second = (pair.activations(origin.layer, origin.draw) for pair in pairs)
        layers = [array[:] for array in (*first, second[1])]
        expected = sm.consensus_path(layers, **DEVICE).critical_epsilons
        for own, other in zip(critical, expected, strict=True):
            np.testing.assert_allclose(own, other)
    assert [(o.layer, o.draw) for o in found] == [("conv1", 0), ("conv1", 1), ("fc1", 0)]
    save_consensus(tmp_path / "group.npz", found)
    loaded = load_consensus(tmp_path / "group.npz")
    assert list(loaded) == list(found)
    for origin, critical in loaded.items():
        for own, saved in zip(critical, found[origin], strict=True):
            np.testing.assert_array_equal(own, saved)


def test_stores_of_other_samples_have_no_consensus(tmp_path: Path) -> None:
    folders = [write(tmp_path / f"{n}.zarr", f"n{n}", (2, 2), n or None) for n in range(3)]
    with pytest.raises(ValueError, match=r"^conv1: expected the same samples in all stores, found"):
        consensus_of_layers(folders, SAMPLES, "d", chunk_samples=None, **DEVICE)
