"""Consensus matches of many networks: the definition, and laws that tie them to pairs."""

from __future__ import annotations

from itertools import chain, combinations, product

import cases
import numpy as np
import oracles
import pytest
from helpers import Recorder, raises

import subspace_match as sm
from subspace_match.matching.reduction.many import reduce_many

EPSILONS = (0.1, 0.2, 0.3, 0.5, 0.8)


def subsets(neurons: np.ndarray) -> list[tuple[int, ...]]:
    return list(chain.from_iterable(combinations(neurons, n) for n in range(len(neurons) + 1)))


def every_consensus_match(layers: list[np.ndarray], epsilon: float) -> list[list[set[int]]]:
    """Return every consensus match, by trying all sets of neurons."""
    live = [np.flatnonzero(np.abs(layer).max(0) > 0) for layer in layers]
    farthest = {
        (i, j, own, other): oracles.relative_distance(
            layers[i][:, list(own)], layers[j][:, list(other)]
        ).max(initial=0.0)
        for i, j in product(range(len(layers)), repeat=2)
        if i != j
        for own, other in product(subsets(live[i]), subsets(live[j]))
    }
    return [
        [set(own) for own in sets]
        for sets in product(*map(subsets, live))
        if all(
            farthest[i, j, sets[i], sets[j]] <= epsilon
            for i, j in product(range(len(layers)), repeat=2)
            if i != j
        )
    ]


def greedy_consensus(layers: list[np.ndarray], epsilon: float) -> list[list[int]]:
    """Drop violators, network by network, until none remain."""
    kept = [np.flatnonzero(np.abs(layer).max(0) > 0) for layer in layers]
    while True:
        before = list(map(len, kept))
        for i, j in product(range(len(layers)), repeat=2):
            if i != j and len(kept[i]):
                targets, span = layers[i][:, kept[i]], layers[j][:, kept[j]]
                kept[i] = kept[i][oracles.relative_distance(targets, span) <= epsilon]
        if list(map(len, kept)) == before:
            return [own.tolist() for own in kept]


def small_networks(rng: np.random.Generator) -> list[np.ndarray]:
    """Return three networks of up to four neurons that share two features."""
    shared = rng.normal(size=(30, 2))
    layers = []
    for width in rng.integers(1, 5, size=3):
        noise = rng.choice([0.0, 0.1, 0.4, 1.0], size=width)
        layers.append(shared @ rng.normal(size=(2, width)) + noise * rng.normal(size=(30, width)))
    if rng.random() < 0.3:
        layers[0][:, 0] = 0.0
    return layers


def networks(rng: np.random.Generator, case=cases.related, count: int = 4) -> list[np.ndarray]:
    """Return networks with shared features, each with neurons of a hostile case beside them."""
    pairs = [case(rng) for _ in range(count)]
    samples = min(len(x) for x, _ in pairs)
    shared = cases.relu(rng.normal(size=(samples, 6)))
    mixed = shared @ rng.normal(size=(6, 6)) + 0.05 * rng.normal(size=(samples, 6))
    return [
        np.hstack([x[:samples], mixed @ rng.normal(size=(6, 6 + number))])
        for number, (x, _) in enumerate(pairs)
    ]


@pytest.mark.filterwarnings("ignore::subspace_match.FewSamplesWarning")
@pytest.mark.parametrize("seed", range(12))
def test_the_consensus_match_is_the_union_of_all_by_brute_force(seed, device):
    layers = small_networks(np.random.default_rng(seed))
    path = sm.consensus_path(layers, device=device)
    for epsilon in EPSILONS:
        found = every_consensus_match(layers, epsilon)
        union = [sorted(set().union(*own)) for own in zip(*found, strict=True)]
        assert [own.tolist() for own in path.consensus_match(epsilon)] == union
        assert [set(own) for own in union] in found  # so the union of all is one of them
        neurons = sum(layer.shape[1] for layer in layers)
        assert path.similarity(epsilon) == sum(map(len, union)) / neurons


HOSTILE = [
    cases.related,
    cases.dead_neurons,
    cases.exact_duplicates,
    cases.near_duplicates,
    cases.sums,
    cases.scaled_columns,
    cases.unequal_widths,
    cases.everything_at_once,
]


@pytest.mark.filterwarnings("ignore::subspace_match.FewSamplesWarning")
@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.__name__)
def test_hostile_networks_equal_the_greedy_search(case, device):
    layers = networks(np.random.default_rng(0), case)
    path = sm.consensus_path(layers, device=device, chunk_samples=37)
    matched = 0
    for epsilon in (0.05, *EPSILONS):
        found = [own.tolist() for own in path.consensus_match(epsilon)]
        assert found == greedy_consensus(layers, epsilon)
        matched += sum(map(len, found))
    assert 0 < matched < 6 * sum(layer.shape[1] for layer in layers)
    dead = [np.abs(layer).max(0) == 0 for layer in layers]
    np.testing.assert_array_equal(np.isnan(np.concatenate(path.critical_epsilons)), np.hstack(dead))


def test_two_networks_have_the_maximum_match_as_consensus(device):
    x, y = cases.related(np.random.default_rng(0))
    pair = sm.match_path(sm.reduce(x, y, device=device), device=device)
    path = sm.consensus_path([x, y], device=device)
    np.testing.assert_allclose(np.concatenate(path.critical_epsilons), pair.critical_epsilon)
    np.testing.assert_array_equal(path.similarity(EPSILONS), pair.similarity(EPSILONS))


def test_a_consensus_is_a_match_of_every_pair_and_shrinks_with_more_networks(device):
    layers = networks(np.random.default_rng(1))
    path = sm.consensus_path(layers, device=device)
    fewer = sm.consensus_path(layers[:-1], device=device)
    for more, less in zip(path.critical_epsilons, fewer.critical_epsilons, strict=False):
        assert (more >= less - 1e-8).all()
    assert any(
        (more > less + 0.01).any()
        for more, less in zip(path.critical_epsilons, fewer.critical_epsilons, strict=False)
    )
    for (i, x), (j, y) in combinations(enumerate(layers), 2):
        pair = sm.match_path(sm.reduce(x, y, device=device), device=device)
        assert (path.critical_epsilons[i] >= pair.critical_epsilon_x - 1e-8).all()
        assert (path.critical_epsilons[j] >= pair.critical_epsilon_y - 1e-8).all()


def test_the_order_of_networks_decides_nothing(device):
    layers = networks(np.random.default_rng(2))
    forward = sm.consensus_path(layers, device=device).critical_epsilons
    backward = sm.consensus_path(layers[::-1], device=device).critical_epsilons
    for one, other in zip(forward, reversed(backward), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_activations_are_read_once_and_again_only_if_nearly_dependent(device):
    rng = np.random.default_rng(3)
    layers = [cases.related(rng)[0] for _ in range(3)]
    recorders = list(map(Recorder, layers))
    assert reduce_many(recorders, device=device).factor is None
    assert {recorder.reads for recorder in recorders} == {1.0}
    layers[1][:, 1] = layers[1][:, 0] * (1 + 1e-9)
    recorders = list(map(Recorder, layers))
    found = reduce_many(recorders, device=device)
    np.testing.assert_allclose(found.factor.T @ found.factor, found.products, atol=1e-13)
    assert {recorder.reads for recorder in recorders} == {2.0}


def test_a_network_without_live_neurons_matches_nothing(device):
    layers = [*networks(np.random.default_rng(4))[:2], np.zeros((150, 2))]
    path = sm.consensus_path(layers, device=device)
    assert path.similarity(0.99) == 0
    assert [len(own) for own in sm.consensus_match(layers, 0.99, device=device)] == [0, 0, 0]
    assert np.isnan(path.critical_epsilons[2]).all()


def test_bad_input_is_one_clear_error():
    x = np.eye(3)
    with raises("layers: expected the activations of at least two networks, found 1; pass"):
        sm.consensus_path([x])
    with raises(
        "layers[0] and layers[2]: expected the same samples in both, found 3 in layers[0] and 2 in"
        " layers[2]; run both networks"
    ):
        sm.consensus_path([x, x, x[:2]])
    with raises("layers[1]: expected two dimensions"):
        sm.consensus_path([x, x[0]])
    with raises("layers[2]: expected finite activations, found 1 NaN"):
        sm.consensus_path([x, x, np.where(np.eye(3) * [1, 0, 0], np.nan, 1.0)])
    with raises("epsilon: expected a number in [0, 1), found 1.0"):
        sm.consensus_match([x, x], 1.0)
