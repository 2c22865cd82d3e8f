"""The match path gives exactly the same sets of neurons as the least-squares oracle."""

from __future__ import annotations

from typing import Any

import cases
import numpy as np
import oracles
import pytest
from helpers import path_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import subspace_match as sm
from subspace_match.matching.peeling.updates import SpanUpdates

SEEDS = range(4)


def sets(match: sm.Match) -> tuple[list[int], list[int]]:
    return match.x.tolist(), match.y.tolist()


def assert_equals_oracle(path: sm.MatchPath, x, y, epsilons=cases.EPSILONS) -> None:
    for epsilon in epsilons:
        assert sets(path.maximum_match(epsilon)) == oracles.maximum_match(x, y, epsilon), epsilon


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_matches_equal_the_oracle(case, dtype, device):
    for seed in SEEDS:
        x, y = (layer.astype(dtype) for layer in case(np.random.default_rng(seed)))
        assert_equals_oracle(path_of(x, y, device), x, y)


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_the_block_size_does_not_matter(case, device, monkeypatch):
    """With blocks of 3, small cases need many blocks and copies of the matrix."""
    x, y = case(np.random.default_rng(5))
    monkeypatch.setattr(SpanUpdates, "BLOCK", 3)
    assert_equals_oracle(path_of(x, y, device), x, y)


@settings(max_examples=150, deadline=None)
@given(cases.small_integers(widest=6, most_samples=8), st.floats(0.01, 0.99))
def test_matches_equal_the_oracle_on_small_integers(pair, epsilon):
    x, y = pair
    expected = oracles.maximum_match(x, y, epsilon)
    # Rounding decides about a distance exactly at epsilon, in the oracle too.
    assume(expected == oracles.maximum_match(x, y, epsilon - 1e-7))
    assume(expected == oracles.maximum_match(x, y, epsilon + 1e-7))
    assert sets(path_of(x, y).maximum_match(epsilon)) == expected


@settings(max_examples=60, deadline=None)
@given(cases.generated(), st.sampled_from(cases.EPSILONS))
def test_matches_equal_the_oracle_on_generated_layers(pair, epsilon):
    assert_equals_oracle(path_of(*pair), *pair, [epsilon])


@pytest.mark.parametrize(
    "case",
    [cases.related, cases.low_rank_plus_noise, cases.everything_at_once, cases.unequal_widths],
    ids=lambda case: case.__name__,
)
def test_similarity_equals_the_oracle_around_every_breakpoint(case, device):
    """Just below and just above every critical epsilon."""
    x, y = case(np.random.default_rng(1))
    path, step = path_of(x, y, device), 1e-7
    critical = path.critical_epsilon
    breakpoints = np.unique(critical[critical < 1])
    checked = 0
    for below, here, above in zip(
        np.r_[0, breakpoints[:-1]], breakpoints, np.r_[breakpoints[1:], 1], strict=True
    ):
        if here - below > 3 * step:
            assert path.similarity(here - step) == similarity(x, y, here - step)
            checked += 1
        if above - here > 3 * step:
            assert path.similarity(here + step) == similarity(x, y, here + step)
            assert path.similarity(here) == path.similarity(here + step), "epsilon is included"
            checked += 1
    assert checked >= len(breakpoints)


def similarity(x, y, epsilon: float) -> float:
    return sum(map(len, oracles.maximum_match(x, y, epsilon))) / (x.shape[1] + y.shape[1])


def test_a_planted_match_is_found(device):
    """20 mixes of 10 hidden directions on each side, among 100 random neurons, 200 samples."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(10, 200)).T
    x = np.hstack([hidden @ rng.normal(size=(10, 20)), rng.normal(size=(200, 100))])
    y = np.hstack([hidden @ rng.normal(size=(10, 20)), rng.normal(size=(200, 100))])
    mixes = list(range(20))
    assert oracles.maximum_match(x, y, 0.1) == (mixes, mixes)
    assert sets(sm.maximum_match(x, y, 0.1, device=device)) == (mixes, mixes)
    path = path_of(x, y, device)
    assert sets(path.maximum_match(0.1)) == (mixes, mixes)
    assert path.similarity(0.1) == 40 / 240


def test_array_kinds_give_identical_paths(device, zarr):
    import torch

    def in_zarr(layer: np.ndarray) -> Any:
        store = zarr.storage.MemoryStore()
        return zarr.create_array(store, data=layer, chunks=(7, 5), shards=(21, 10))

    x, y = (layer.astype(np.float32) for layer in cases.related(np.random.default_rng(0)))
    expected = path_of(x, y, device)
    read_only = x.copy()
    read_only.flags.writeable = False
    for first, second in (
        (torch.from_numpy(x), torch.from_numpy(y)),
        (torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)),
        (in_zarr(x), in_zarr(y)),
        (in_zarr(x), torch.from_numpy(y)),
        (read_only, np.asfortranarray(y)),
        (x.astype(">f4"), y[:, ::-1][:, ::-1]),
        (x.astype(np.float64), y.astype(np.float64)),
        (x.tolist(), y.tolist()),
    ):
        found = path_of(first, second, device)
        np.testing.assert_array_equal(found.critical_epsilon_x, expected.critical_epsilon_x)
        np.testing.assert_array_equal(found.critical_epsilon_y, expected.critical_epsilon_y)
        np.testing.assert_array_equal(found.removal_order, expected.removal_order)


@pytest.mark.parametrize(
    "case",
    [cases.related, cases.everything_at_once, cases.more_neurons_than_samples],
    ids=lambda case: case.__name__,
)
@pytest.mark.parametrize("chunk_samples", [1, 7, 64, 10_000])
def test_the_chunk_size_does_not_matter(case, chunk_samples, device):
    x, y = case(np.random.default_rng(2))
    assert_equals_oracle(path_of(x, y, device, chunk_samples=chunk_samples), x, y)


def test_dead_neurons_count_in_the_denominator_only():
    x, y = np.eye(3, 2), np.eye(3, 2)
    path = path_of(np.c_[x, np.zeros(3)], y)
    assert np.isnan(path.critical_epsilon_x[2])
    assert sets(path.maximum_match(0.5)) == ([0, 1], [0, 1])
    assert path.similarity(0.5) == 4 / 5
    assert sorted(path.removal_order) == [0, 1, 3, 4]


@pytest.mark.parametrize("neurons_x", [1, 3])
def test_a_dead_side_matches_nothing(neurons_x, device):
    dead, live = np.zeros((5, neurons_x)), np.eye(5)[:, :2]
    for x, y in ((dead, live), (live, dead), (dead, dead)):
        path = path_of(x, y, device)
        assert sets(path.maximum_match(0.99)) == ([], [])
        assert path.similarity(0.99) == 0.0
        assert len(path.removal_order) == 2 * ((x is live) + (y is live))


def test_two_single_neurons_match_at_the_sine_of_their_angle(device):
    """The cosine of the angle between (1, 0) and (0.8, 0.6) is 0.8, so the sine is 0.6."""
    path = path_of(np.array([[1.0], [0.0]]), np.array([[0.8], [0.6]]), device)
    np.testing.assert_allclose(path.critical_epsilon_x + path.pair.tie_margin, 0.6, rtol=1e-14)
    assert sets(path.maximum_match(0.59)) == ([], [])
    assert sets(path.maximum_match(0.61)) == ([0], [0])


def test_similarity_takes_arrays_of_epsilons():
    x, y = cases.related(np.random.default_rng(0))
    path = path_of(x, y)
    epsilons = np.array([[0.1, 0.2], [0.3, 0.5]])
    expected = [[path.similarity(epsilon) for epsilon in row] for row in epsilons]
    np.testing.assert_array_equal(path.similarity(epsilons), expected)
    assert isinstance(path.similarity(0.3), float)


@pytest.mark.parametrize("case", [cases.related, cases.dead_neurons, cases.dead_side])
def test_the_area_is_the_integral_of_the_similarity(case):
    """Exactly: s is a step function, so sum its value times the length of each step."""
    path = path_of(*case(np.random.default_rng(0)))
    steps = np.unique(np.concatenate([[0.0, 1.0], path.critical_epsilon]))
    steps = steps[~np.isnan(steps)]
    integral = (path.similarity(steps[:-1]) * np.diff(steps)).sum()
    assert path.area == pytest.approx(integral, abs=1e-12)


def test_critical_epsilons_follow_from_the_removal_order():
    """Each is the smallest distance of all removals so far."""
    x, y = cases.related(np.random.default_rng(3))
    path = path_of(x, y)
    critical = path.critical_epsilon
    left_x, left_y = np.ones(x.shape[1], dtype=bool), np.ones(y.shape[1], dtype=bool)
    level = 1.0
    for neuron in path.removal_order:
        of_x, column = neuron < len(left_x), neuron % len(left_x)
        if of_x:
            distance = oracles.relative_distance(x[:, [column]], y[:, left_y])[0]
            left_x[column] = False
        else:
            column = neuron - len(left_x)
            distance = oracles.relative_distance(y[:, [column]], x[:, left_x])[0]
            left_y[column] = False
        level = min(level, distance)
        assert critical[neuron] == pytest.approx(level, rel=1e-9)


def test_a_path_can_be_rebuilt_from_its_arrays(tmp_path):
    x, y = cases.dead_neurons(np.random.default_rng(0))
    path = path_of(x, y)
    arrays = {key: value for key, value in vars(path).items() if key != "pair"}
    np.savez(tmp_path / "path.npz", **arrays)
    with np.load(tmp_path / "path.npz") as saved:
        again = sm.MatchPath(**saved, pair=path.pair)
    assert sets(again.maximum_match(0.3)) == sets(path.maximum_match(0.3))
    assert again.similarity(0.3) == path.similarity(0.3)
