"""Laws of maximum matches that the paper proves, and counterexamples of similar laws."""

from __future__ import annotations

import itertools

import cases
import numpy as np
import oracles
import pytest
from helpers import path_of
from hypothesis import given, settings
from hypothesis import strategies as st

import subspace_match as sm

SEEDS = st.integers(0, 2**32 - 1)
MATCHABLE = (cases.related, cases.low_rank_plus_noise, cases.unequal_widths, cases.dead_neurons)


def assert_same_path(found: sm.MatchPath, x_expected, y_expected) -> None:
    np.testing.assert_allclose(found.critical_epsilon_x, x_expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.critical_epsilon_y, y_expected, rtol=1e-8, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from(MATCHABLE), st.sampled_from([0.2, 0.3, 0.5]))
def test_matches_are_closed_under_union(seed, case, epsilon):
    """Lemma 2: matches of subsets of neurons, and their union, are in the maximum match."""
    rng = np.random.default_rng(seed)
    x, y = case(rng)
    union_x, union_y = set(), set()
    for _ in range(3):
        some_x = np.flatnonzero(rng.random(x.shape[1]) < 0.8)
        some_y = np.flatnonzero(rng.random(y.shape[1]) < 0.8)
        if len(some_x) and len(some_y):
            match = path_of(x[:, some_x], y[:, some_y]).maximum_match(epsilon)
            union_x |= set(some_x[match.x])
            union_y |= set(some_y[match.y])
    maximum = path_of(x, y).maximum_match(epsilon)
    assert union_x <= set(maximum.x)
    assert union_y <= set(maximum.y)
    assert_is_match(x[:, sorted(union_x)], y[:, sorted(union_y)], epsilon)
    assert_is_match(x[:, maximum.x], y[:, maximum.y], epsilon)


def assert_is_match(x: np.ndarray, y: np.ndarray, epsilon: float) -> None:
    """Check Definition 1, with a tolerance for rounding."""
    for targets, span in ((x, y), (y, x)):
        assert (oracles.relative_distance(targets, span) <= epsilon + 1e-9).all()


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(cases.CASES))
def test_matches_are_nested_in_epsilon(seed, case):
    path = path_of(*case(np.random.default_rng(seed)))
    matches = [path.maximum_match(epsilon) for epsilon in np.linspace(0, 0.99, 12)]
    for smaller, larger in itertools.pairwise(matches):
        assert set(smaller.x) <= set(larger.x)
        assert set(smaller.y) <= set(larger.y)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(MATCHABLE))
def test_swapping_the_sides_swaps_the_path(seed, case):
    x, y = case(np.random.default_rng(seed))
    path = path_of(x, y)
    assert_same_path(path_of(y, x), path.critical_epsilon_y, path.critical_epsilon_x)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(MATCHABLE))
def test_scaling_and_reordering_neurons_changes_nothing(seed, case):
    rng = np.random.default_rng(seed)
    x, y = case(rng)
    path = path_of(x, y)
    order_x, order_y = rng.permutation(x.shape[1]), rng.permutation(y.shape[1])
    scale_x, scale_y = (
        rng.choice([-1, 1], layer.shape[1]) * 10.0 ** rng.uniform(-5, 5, layer.shape[1])
        for layer in (x, y)
    )
    found = path_of((x * scale_x)[:, order_x], (y * scale_y)[:, order_y])
    assert_same_path(found, path.critical_epsilon_x[order_x], path.critical_epsilon_y[order_y])


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(MATCHABLE))
def test_an_orthogonal_map_of_the_samples_changes_nothing(seed, case):
    rng = np.random.default_rng(seed)
    x, y = case(rng)
    path = path_of(x, y)
    orthogonal = np.linalg.qr(rng.normal(size=(len(x), len(x))))[0]
    found = path_of(orthogonal @ x, orthogonal @ y)
    assert_same_path(found, path.critical_epsilon_x, path.critical_epsilon_y)


@pytest.mark.parametrize("seed", range(5))
def test_mixing_neurons_changes_the_match(seed):
    """A mix keeps the layer's span, so CCA would not change, but it destroys single neurons."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(200, 8)), rng.normal(size=(2, 200, 8))
    x, y = np.hstack([shared, own[0]]), np.hstack([shared, own[1]])
    mixed = x @ rng.normal(size=(16, 16))
    assert path_of(x, y).similarity(0.1) == 0.5
    assert path_of(mixed, y).similarity(0.1) < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_mixing_within_equal_spans_changes_nothing(seed):
    """If a layer is matched exactly, so is any invertible mix of it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(100, 10))
    path = path_of(x @ rng.normal(size=(10, 10)), x)
    assert path.similarity(1e-6) == 1.0


def test_identical_layers_match_at_every_epsilon():
    x = np.random.default_rng(0).normal(size=(50, 10))
    assert path_of(x, x).similarity(1e-7) == 1.0


def test_orthogonal_layers_match_at_no_epsilon():
    path = path_of(np.eye(8)[:, :4], np.eye(8)[:, 4:])
    np.testing.assert_array_equal(path.critical_epsilon_x, 1.0)
    assert path.similarity(0.999) == 0.0
