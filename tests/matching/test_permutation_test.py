"""Permutation tests: their definitions, their error rates under the null, and their power."""

import numpy as np
import pytest
from helpers import raises
from scipy import stats

import subspace_match as sm
from subspace_match.matching.null import null_paths
from subspace_match.matching.path import area
from subspace_match.matching.permutation_counts import check_permutations
from subspace_match.matching.permutation_test import (
    adjusted_similarity,
    family_wise_p_values,
    p_values,
    threshold,
)


def discrete(seed: int, *shape: int) -> np.ndarray:
    """Similarities of few neurons: many are equal."""
    return np.random.default_rng(seed).integers(0, 6, shape) / 5


@pytest.mark.parametrize("count", [19, 39, 99])
def test_a_value_above_the_threshold_is_one_with_p_of_at_most_5_percent(count: int) -> None:
    null = discrete(count, count, 30)
    for observed in np.arange(-1, 8) / 5:
        above = observed > threshold(null)
        np.testing.assert_array_equal(above, p_values(np.full(30, observed), null) <= 0.05)
    m = (count + 1) // 20
    np.testing.assert_array_equal(threshold(null), np.sort(null, axis=0)[-m])


@pytest.mark.parametrize("rounding", [1e-16, 1e-12, 5e-9])
def test_values_that_equal_the_observed_up_to_rounding_reach_it(rounding: float) -> None:
    signs = np.where(np.arange(19)[:, None] % 2, 1.0, -1.0)
    observed, null = np.array([0.3, 0.8]), np.array([0.3, 0.8]) + rounding * signs
    np.testing.assert_array_equal(p_values(observed, null), [1, 1])
    np.testing.assert_array_equal(family_wise_p_values(observed, null), [1, 1])
    # Of critical epsilons the small ones are the similar ones.
    np.testing.assert_array_equal(p_values(-observed, -null), [1, 1])
    lower, higher = null - 1e-6, null + 1e-6
    np.testing.assert_array_equal(p_values(observed, lower), [0.05, 0.05])
    np.testing.assert_array_equal(p_values(observed, higher), [1, 1])


@pytest.mark.parametrize(
    ("count", "advised"),
    [(-1, 19), (1, 19), (20, 19), (29, 39), (100, 99), (200, 199), (1000, 999)],
)
def test_other_numbers_of_permutations_are_refused(count: int, advised: int) -> None:
    with raises(
        "--null: expected 0 or one less than a multiple of 20", f"found {count}; use {advised}"
    ):
        check_permutations("--null", count)


@pytest.mark.parametrize("count", [0, 19, 59, 999])
def test_numbers_for_which_p_and_threshold_agree_are_accepted(count: int) -> None:
    check_permutations("--null", count)


def family_wise_oracle(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Step-down max-T, layer by layer, from the definition."""
    rows = [observed, *null]
    layers = range(len(observed))
    means = [sum(row[layer] for row in rows) / len(rows) for layer in layers]
    excess = [[round(row[layer] - means[layer], 12) for layer in layers] for row in rows]
    left, found, before = sorted(layers, key=lambda layer: -excess[0][layer]), {}, 0.0
    while left:
        most = excess[0][left[0]]
        reached = sum(max(row[layer] for layer in left) >= most for row in excess)
        before = found[left.pop(0)] = max(before, reached / len(rows))
    return np.array([found[layer] for layer in layers])


@pytest.mark.parametrize("seed", range(20))
def test_family_wise_p_values_equal_the_definition(seed: int) -> None:
    observed, null = discrete(seed, 5), discrete(seed + 100, 19, 5)
    found = family_wise_p_values(observed, null)
    np.testing.assert_allclose(found, family_wise_oracle(observed, null))
    assert (found >= p_values(observed, null) - 1e-12).all()
    one = family_wise_p_values(observed[:1], null[:, :1])
    np.testing.assert_allclose(one, p_values(observed[:1], null[:, :1]))


def test_the_correction_keeps_the_error_rate_of_the_family_and_finds_a_planted_layer() -> None:
    """Six correlated layers without a match; then one of them is shifted."""
    rng, runs, layers = np.random.default_rng(0), 1000, 6
    shared = rng.normal(size=(runs, 20, 1))
    values = 0.6 * shared + rng.normal(size=(runs, 20, layers))
    corrected = np.array([family_wise_p_values(own[0], own[1:]) for own in values])
    rate = (corrected.min(1) <= 0.05).mean()
    assert rate <= stats.binom.ppf(0.999, runs, 0.05) / runs
    plain = np.array([p_values(own[0], own[1:]) for own in values])
    assert (plain.min(1) <= 0.05).mean() > 0.12  # what the correction is for
    values[:, 0, 2] += 5
    corrected = np.array([family_wise_p_values(own[0], own[1:]) for own in values])
    assert (corrected[:, 2] <= 0.05).mean() > 0.9
    others = np.delete(corrected, 2, axis=1)
    assert (others.min(1) <= 0.05).mean() <= stats.binom.ppf(0.999, runs, 0.05) / runs


def test_the_adjusted_similarity_is_0_at_the_chance_level_and_1_at_most() -> None:
    null = np.array([[0.2, 0.0, 1.0, 1 - 4e-9], [0.4, 0.0, 1.0, 1 - 5e-9]])
    found = adjusted_similarity(np.array([0.3, 1.0, 1.0, 1 - 3e-9]), null)
    np.testing.assert_allclose(found, [0, 1, np.nan, np.nan], atol=1e-12)


def images_of(rng: np.random.Generator, planted: bool) -> tuple[np.ndarray, np.ndarray]:
    """4 + 4 neurons at three correlated places of 12 images; a planted pair shares two neurons."""
    x, y = (
        (rng.normal(size=(12, 1, 4)) + 0.5 * rng.normal(size=(12, 3, 4))).reshape(-1, 4)
        for _ in "xy"
    )
    if planted:
        y[:, :2] = x[:, :2] + 0.2 * rng.normal(size=(36, 2))
    return x, y


@pytest.mark.parametrize(("planted", "runs"), [(False, 150), (True, 20)])
def test_permuting_whole_images_is_valid_and_finds_a_planted_match(
    planted: bool, runs: int
) -> None:
    rng, epsilons = np.random.default_rng(1), np.array([0.3, 0.6])
    found = []
    for _ in range(runs):
        x, y = images_of(rng, planted)
        pair = sm.reduce(x, y, device="cpu")
        orders = [np.add.outer(3 * rng.permutation(12), np.arange(3)).ravel() for _ in range(19)]
        paths = list(null_paths(pair, x, y, orders, device="cpu"))
        observed = sm.match_path(pair, device="cpu")
        own = np.append(observed.similarity(epsilons), observed.area)
        null = np.array(
            [[*path.similarity(epsilons), area(path.critical_epsilon)] for path in paths]
        )
        found.append(p_values(own, null) <= 0.05)
    rates = np.mean(found, axis=0)
    if planted:
        assert (rates[[0, 2]] >= 0.9).all()
    else:
        low, high = stats.binom.ppf([0.001, 0.999], runs, 0.05) / runs
        # Similarities have few values, so their tests are conservative; the area's is exact.
        assert (rates <= high).all()
        assert low <= rates[2]


def test_what_labels_explain_is_more_than_chance_and_no_more_than_within_classes() -> None:
    """Networks that share only the classes: 24 images of three classes."""
    rng, runs, labels = np.random.default_rng(2), 40, np.repeat([0, 1, 2], 8)
    found = []
    for _ in range(runs):
        x, y = (2 * rng.normal(size=(3, 4))[labels] + rng.normal(size=(24, 4)) for _ in "xy")
        pair = sm.reduce(x, y, device="cpu")
        within = [np.concatenate([rng.permutation(8) + 8 * c for c in range(3)]) for _ in range(19)]
        rows = []
        for orders in ([rng.permutation(24) for _ in range(19)], within):
            paths = null_paths(pair, x, y, orders, device="cpu")
            null = np.array([[path.area] for path in paths])
            observed = np.array([sm.match_path(pair, device="cpu").area])
            rows.append(p_values(observed, null)[0] <= 0.05)
        found.append(rows)
    any_image, within_class = np.mean(found, axis=0)
    assert any_image > 0.5
    assert within_class <= stats.binom.ppf(0.999, runs, 0.05) / runs
