"""Paths without some samples equal matching the other samples."""

import cases
import numpy as np
import pytest
from helpers import path_of, raises

import subspace_match as sm
from subspace_match.matching.left_out import paths_without


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_paths_equal_matching_the_other_samples(case, device: str) -> None:
    rng = np.random.default_rng(0)
    x, y = case(rng)
    groups = np.array_split(rng.permutation(len(x)), 4)
    found = paths_without(sm.reduce(x, y, device=device), x, y, groups, device=device)
    for path, group in zip(found, groups, strict=True):
        expected = path_of(np.delete(x, group, 0), np.delete(y, group, 0), device)
        np.testing.assert_allclose(
            path.critical_epsilon, expected.critical_epsilon, rtol=0, atol=2e-8
        )


def test_a_neuron_that_is_active_only_in_the_samples_left_out_is_dead() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40, 3))
    x[3:, 0], y[3:, 1] = 0, 1e-9
    group = np.arange(3)
    (path,) = paths_without(sm.reduce(x, y), x, y, [group])
    expected = path_of(x[3:], y[3:])
    np.testing.assert_allclose(path.critical_epsilon, expected.critical_epsilon, atol=2e-8)
    assert np.isnan(path.critical_epsilon_x).tolist() == [True, False, False]


def test_layers_of_another_pair_and_centred_pairs_are_refused() -> None:
    x, y = cases.related(np.random.default_rng(0))
    with raises("x and y: expected the samples and neurons (150, 24, 20)", "found (150, 3, 20)"):
        list(paths_without(sm.reduce(x, y), x[:, :3], y, []))
    with raises("not centred", "and a centred pair"):
        list(paths_without(sm.reduce(x, y, centred=True), x, y, []))
