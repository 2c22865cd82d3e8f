"""Paths of halves of the samples equal matching these samples."""

import cases
import numpy as np
import pytest
from helpers import path_of, raises

import subspace_match as sm
from subspace_match.matching.half_samples import paths_of_halves


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_paths_equal_matching_either_half(case, device: str) -> None:
    rng = np.random.default_rng(0)
    x, y = case(rng)
    half = rng.permutation(len(x))[: len(x) // 2]
    found = paths_of_halves(sm.reduce(x, y, device=device), x, y, [half], device=device)
    others = np.delete(x, half, 0), np.delete(y, half, 0)
    for path, layers in zip(found, ((x[half], y[half]), others), strict=True):
        expected = path_of(*layers, device).critical_epsilon
        np.testing.assert_allclose(path.critical_epsilon, expected, rtol=0, atol=2e-8)


def test_a_neuron_that_is_active_only_in_one_half_is_dead_in_the_other() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40, 3))
    x[20:, 0], y[20:, 1] = 0, 1e-9
    one, other = paths_of_halves(sm.reduce(x, y), x, y, [np.arange(20)])
    assert not np.isnan(one.critical_epsilon).any()
    assert np.isnan(other.critical_epsilon_x).tolist() == [True, False, False]
    expected = path_of(x[20:], y[20:]).critical_epsilon
    np.testing.assert_allclose(other.critical_epsilon, expected, atol=2e-8)


def test_layers_of_another_pair_and_centred_pairs_are_refused() -> None:
    x, y = cases.related(np.random.default_rng(0))
    with raises(
        "x and y: expected the pair's samples and neurons (150, 24, 20)", "found (150, 3, 20)"
    ):
        list(paths_of_halves(sm.reduce(x, y), x[:, :3], y, []))
    with raises("pair: expected moments that are not centred", "reduce the layers without"):
        list(paths_of_halves(sm.reduce(x, y, centred=True), x, y, []))
