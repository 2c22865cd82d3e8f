"""Columns of chance: what their p-values promise, in simulations."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

import subspace_match as sm
from subspace_match.matching.null import NullNeurons, null_neurons
from subspace_match.matching.permutation_test import family_wise_p_values
from subspace_match.results.chance import chance_columns, neuron_columns
from subspace_match.storage.match_files import Resampled


def neurons_of_pairs(runs: int, related: bool) -> Iterator[dict[str, np.ndarray]]:
    """Yield the columns of 8 + 7 neurons; X's first has nothing to do with Y, its others may."""
    rng = np.random.default_rng(0)
    for _ in range(runs):
        x, y = rng.normal(size=(60, 8)), rng.normal(size=(60, 7))
        if related:
            y = x[:, 1:] @ rng.normal(size=(7, 7)) + 0.05 * y
        pair = sm.reduce(x, y, device="cpu")
        orders = [rng.permutation(60) for _ in range(19)]
        null = NullNeurons.stacked(null_neurons(pair, x, y, orders, device="cpu"))
        observed = sm.match_path(pair, device="cpu").critical_epsilon
        yield neuron_columns(observed, Resampled.of(null))


@pytest.mark.parametrize("related", [False, True])
def test_a_neuron_without_a_counterpart_is_seldom_above_chance_whatever_the_others_are(
    related: bool,
) -> None:
    """By permuted critical epsilons it would be in a third of all pairs, if the others match."""
    runs = 150
    found = list(neurons_of_pairs(runs, related))
    p = np.stack([own["p_value"] for own in found])
    for level in (0.05, 0.25):
        assert (p[:, 0] <= level).mean() <= stats.binom.ppf(0.999, runs, level) / runs
    if related:
        assert (p[:, 1:] == 0.05).mean() > 0.99


def test_a_neuron_is_above_chance_where_it_is_below_the_level_of_chance() -> None:
    rng = np.random.default_rng(0)
    critical = np.append(rng.random(30), np.nan)
    null = np.where(np.isnan(critical), np.nan, rng.random((39, 31)).round(1))
    critical[:4] = null[0, :4]  # ties
    found = neuron_columns(critical, Resampled(null, null))
    below = critical < found["null_critical_epsilon"]
    np.testing.assert_array_equal(below, found["p_value"] <= 0.05)
    assert np.isnan(found["p_value"][-1])
    assert np.isnan(found["class_p_value"]).all()


@pytest.mark.parametrize("prefix", ["", "class_"])
def test_a_correction_for_all_layers_never_makes_a_p_value_smaller(prefix: str) -> None:
    """Layers with different numbers of permutations share the first ones only."""
    rng = np.random.default_rng(0)
    numbers, statistics = (999, 199, 19), 50
    observed = [rng.random(statistics) for _ in numbers]
    nulls = [{prefix: rng.random((number, statistics))} for number in numbers]
    found = chance_columns(observed, nulls)
    plain, family = (
        np.stack([own[f"{prefix}{name}"] for own in found])
        for name in ("p_value", "family_p_value")
    )
    shared = np.stack([own[prefix][:19] for own in nulls], axis=-1)
    by_shared = np.stack(
        [
            family_wise_p_values(np.array([own[place] for own in observed]), shared[:, place])
            for place in range(statistics)
        ],
        axis=1,
    )
    assert (by_shared < plain).any()
    np.testing.assert_array_equal(family, np.maximum(by_shared, plain))


@pytest.mark.parametrize("counts", [(19, 99), (999, 19), (39, 39)])
def test_corrected_p_values_keep_the_level_of_the_family(counts: tuple[int, int]) -> None:
    """Also if layers have different numbers of permutations."""
    rng, runs, least = np.random.default_rng(0), 300, []
    for _ in range(runs):
        layers = [rng.random((count + 1, 1)).round(2) for count in counts]
        found = chance_columns([own[0] for own in layers], [{"": own[1:]} for own in layers])
        least.append(min(own["family_p_value"][0] for own in found))
    assert np.mean(np.array(least) <= 0.05) <= stats.binom.ppf(0.999, runs, 0.05) / runs
