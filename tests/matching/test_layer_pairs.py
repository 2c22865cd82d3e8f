"""The heat map equals reduce and match_path pair by pair, and reads every layer once."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import torch
from helpers import Recorder, path_of

import subspace_match as sm
from subspace_match.matching.backends.numpy_ import Cpu
from subspace_match.matching.layer_pairs import heat_map, layer_pairs

SAMPLES = 150


def networks(hostile: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return two networks of at least three layers of different widths with shared features."""
    rng = np.random.default_rng(0)
    kinds = [cases.related, cases.dead_neurons]
    if hostile:
        kinds += [cases.everything_at_once, cases.sums, cases.scaled_columns]
    pairs = [kind(rng) for kind in kinds]
    pairs.append(cases.related(rng, 7, 40))
    return [x for x, _ in pairs], [y for _, y in reversed(pairs)]


@pytest.mark.parametrize("hostile", [False, True])
@pytest.mark.parametrize("chunk_samples", [None, 37, SAMPLES])
def test_layer_pairs_equal_reduce_pair_by_pair(hostile, chunk_samples, device):
    xs, ys = networks(hostile)
    seen = []
    for i, j, found in layer_pairs(xs, ys, device=device, chunk_samples=chunk_samples):
        expected = sm.reduce(xs[i], ys[j], device=device)
        seen.append((i, j))
        scale = np.outer(expected.norms, expected.norms)
        error = np.abs(found.second_moments - expected.second_moments)
        np.testing.assert_array_less(error, 1e-13 * scale + 1e-300)
        np.testing.assert_array_equal(found.second_moments, found.second_moments.T)
        np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-12, atol=1e-300)
        for name in ("factor", "centred_factor"):
            one, other = getattr(found, name), getattr(expected, name)
            np.testing.assert_allclose(one.T @ one, other.T @ other, atol=1e-13)
        np.testing.assert_allclose(found.length_products, expected.length_products, rtol=1e-9)
        assert (found.neurons_x, found.samples) == (expected.neurons_x, expected.samples)
        assert found.well_conditioned == expected.well_conditioned
    assert seen == [(i, j) for i in range(len(xs)) for j in range(len(ys))]


@pytest.mark.parametrize("hostile", [False, True])
def test_the_heat_map_equals_match_path_pair_by_pair(hostile, device):
    xs, ys = networks(hostile)
    found = heat_map(xs, ys, cases.EPSILONS, device=device)
    assert found.shape == (len(xs), len(ys), len(cases.EPSILONS))
    for i, x in enumerate(xs):
        for j, y in enumerate(ys):
            path = path_of(x, y, device)
            np.testing.assert_array_equal(found[i, j], path.similarity(cases.EPSILONS))
    assert 0 < found.mean() < 1


def test_a_network_matches_itself():
    xs, _ = networks(hostile=False)
    found = heat_map(xs, xs, [1e-6, 0.3], device="cpu")
    live = np.array([np.mean(np.abs(x).max(0) > 0) for x in xs])
    np.testing.assert_allclose(np.diagonal(found).T, np.stack([live, live], 1))
    np.testing.assert_array_equal(found, found.transpose(1, 0, 2))


def test_a_single_epsilon_drops_the_last_dimension():
    xs, ys = networks(hostile=False)
    found = heat_map(xs, ys, 0.3, device="cpu")
    np.testing.assert_array_equal(found, heat_map(xs, ys, [0.3], device="cpu")[..., 0])


def test_each_layer_is_read_once():
    """In float32; float64 layers with dead neurons are read again, as in reduce."""
    xs, ys = (
        [Recorder(layer.astype(np.float32)) for layer in layers]
        for layers in networks(hostile=False)
    )
    heat_map(xs, ys, [0.3], device="cpu", chunk_samples=40)
    for layer in (*xs, *ys):
        assert layer.slices == [(0, 40), (40, 80), (80, 120), (120, 150)]


def test_only_dependent_pairs_are_read_again():
    """Only xs[0] and ys[1] share a neuron."""
    rng = np.random.default_rng(0)
    xs, ys = ([rng.normal(size=(SAMPLES, 5)) for _ in range(3)] for _ in range(2))
    ys[1][:, 2] = xs[0][:, 4]
    xs, ys = ([Recorder(layer) for layer in layers] for layers in (xs, ys))
    pairs = list(layer_pairs(xs, ys, device="cpu", chunk_samples=40))
    assert [(i, j) for i, j, pair in pairs if not pair.well_conditioned] == [(0, 1)]
    assert [layer.reads for layer in (*xs, *ys)] == [2, 1, 1, 1, 2, 1]
    assert max(stop - start for layer in (*xs, *ys) for start, stop in layer.slices) == 40


def test_pairs_are_assembled_lazily():
    """The second read of a pair happens when the iterator reaches it."""
    x = Recorder(np.ones((SAMPLES, 2)))
    pairs = layer_pairs([x], [x], device="cpu")
    assert x.reads == 2
    next(pairs)
    assert x.reads == 4


def test_each_product_is_computed_once(monkeypatch):
    """Every layer's own moments once, and no product of two layers of one side."""
    own = []
    add = Cpu.add_upper_gram
    monkeypatch.setattr(
        *(Cpu, "add_upper_gram"),
        lambda self, upper, chunk: (own.append(chunk.shape), add(self, upper, chunk)),
    )
    xs, ys = networks(hostile=False)
    list(layer_pairs(xs, ys, device="cpu", chunk_samples=SAMPLES))
    assert sorted(own) == sorted((SAMPLES, layer.shape[1] + 1) for layer in (*xs, *ys))


def test_the_default_chunk_is_bounded_in_bytes():
    xs = [Recorder(np.zeros((20_000, 300), dtype=np.float32)) for _ in range(4)]
    list(layer_pairs(xs[:2], xs[2:], device="cpu"))
    longest = max(stop - start for layer in xs for start, stop in layer.slices)
    assert longest * 1_200 * 8 <= 32 * 2**20


def test_layers_can_be_arrays_tensors_or_lists(device):
    xs, ys = networks(hostile=False)
    expected = heat_map(xs, ys, [0.3], device=device)
    mixed = [torch.from_numpy(xs[0]), xs[1].tolist(), np.asfortranarray(xs[2])]
    np.testing.assert_array_equal(heat_map(mixed, tuple(ys), [0.3], device=device), expected)


@pytest.mark.parametrize("argument", ["xs", "ys"])
def test_an_empty_network_is_refused(argument):
    layers = {"xs": [np.ones((3, 2))], "ys": [np.ones((3, 2))], argument: []}
    with pytest.raises(ValueError, match=f"{argument}: expected at least one layer, found none"):
        layer_pairs(**layers)


def test_different_sample_counts_are_refused():
    xs, ys = [np.ones((9, 2)), np.ones((9, 3))], [np.ones((9, 1)), np.ones((8, 2))]
    with pytest.raises(ValueError, match=r"found 9 in xs\[0\] and 8 in ys\[1\]; group"):
        heat_map(xs, ys, [0.3])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(3), r"ys\[1\]: expected two dimensions .* found shape \(3,\)"),
        (np.full((9, 2), np.nan), r"ys\[1\]: expected finite .* 18 NaN .* in 2 neurons"),
        (np.full((9, 2), 1e200), r"ys\[1\]: .* neuron 0 with values so large"),
    ],
    ids=["dimensions", "nan", "large"],
)
def test_errors_name_the_bad_layer(bad, message):
    with pytest.raises(ValueError, match=message):
        layer_pairs([np.ones((9, 2))], [np.ones((9, 2)), bad], device="cpu")


def test_epsilon_is_checked_before_layers_are_read():
    x = Recorder(np.ones((9, 2)))
    with pytest.raises(ValueError, match=r"epsilon: expected a number in \[0, 1\), found 1.0"):
        heat_map([x], [x], [0.3, 1.0])
    assert not x.slices
