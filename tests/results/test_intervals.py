"""Intervals over networks and images, and differences between comparisons."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from subspace_match.results.intervals import (
    difference_table,
    half_width,
    half_width_of_halves,
    holm,
    summary_intervals,
)

KEYS = ["model_a", "seed_a", "stage_a", "model_b", "seed_b", "stage_b"]


def rows(
    comparison: str, values: dict[tuple[Any, Any], float], models: str = "vv", layer: str = "conv1"
) -> pd.DataFrame:
    """Return a similarity table of one layer at two epsilons, from similarities by seeds."""
    return pd.DataFrame(
        {"comparison": comparison, "layer": layer, "node": "n", "depth": 1, "kind": "conv"}
        | dict(zip(KEYS, (models[0], a, "last", models[1], b, "last"), strict=True))
        | {"draw": draw, "epsilon": epsilon, "similarity": value + shift, "area": value / 2}
        for (a, b), value in values.items()
        for draw, shift in ((0, -0.01), (1, 0.01))
        for epsilon in (0.3, 0.5)
    )


def pairs_of(seeds: int, seed: int = 0) -> dict[tuple[int, int], float]:
    rng = np.random.default_rng(seed)
    return {pair: 0.4 + 0.1 * rng.random() for pair in combinations(range(seeds), 2)}


def by_hand(values: dict[tuple[int, int], float], seeds: int) -> tuple[float, float]:
    mean = np.mean(list(values.values()))
    without = [np.mean([v for p, v in values.items() if seed not in p]) for seed in range(seeds)]
    error = np.sqrt((seeds - 1) / seeds * np.sum((without - np.mean(without)) ** 2))
    half = stats.t.ppf(0.975, seeds - 1) * error
    return mean - half, mean + half


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_over_networks_is_the_jackknife_by_hand(seeds: int) -> None:
    values = pairs_of(seeds)
    found = summary_intervals(rows("last", values), {})
    assert len(found) == 2
    for row in found.itertuples():
        assert row.networks == seeds
        assert (row.low_networks, row.high_networks) == pytest.approx(by_hand(values, seeds))
        halved = {pair: value / 2 for pair, value in values.items()}
        assert (row.area_low_networks, row.area_high_networks) == pytest.approx(
            by_hand(halved, seeds)
        )
        assert np.isnan(row.low_images)


@pytest.mark.parametrize(
    ("pairs", "models", "networks"),
    [
        ([(0, 1)], "vv", 0),  # both networks are in every pair
        ([(0, 0), (1, 1)], "vw", 2),
        ([(0, 0), (1, 1), (2, 2)], "vw", 3),
        ([(a, b) for a in range(3) for b in range(3)], "vw", 3),
        ([(0, 0), (0, 1), (0, 2)], "pw", 3),  # a pretrained network against three
    ],
)
def test_units_are_the_seeds_of_networks_that_are_not_in_every_pair(
    pairs: list[tuple[int, int]], models: str, networks: int
) -> None:
    values = {pair: 0.4 + 0.01 * number for number, pair in enumerate(pairs)}
    found = summary_intervals(rows("v and w", values, models), {})
    assert (found["networks"] == networks).all()
    assert found["low_networks"].isna().all() == (networks < 3)
    assert found["low_networks"].isna().any() == (networks < 3)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_jackknife_covers_the_mean_where_pairs_share_networks(seeds: int) -> None:
    """Similarity = mean + a_i + a_j + noise. Quantiles over pairs cover .6 to 1 of the time."""
    rng, runs = np.random.default_rng(seeds), 2000
    of_seed = rng.normal(size=(seeds, runs))
    pairs = list(combinations(range(seeds), 2))
    values = np.stack([of_seed[i] + of_seed[j] + 0.3 * rng.normal(size=runs) for i, j in pairs])
    without = np.stack(
        [values[[seed not in pair for pair in pairs]].mean(0) for seed in range(seeds)]
    )
    covered = (np.abs(values.mean(0)) <= half_width(without)).mean()
    assert 0.93 <= covered <= 0.99
    low, high = np.quantile(values, [0.025, 0.975], axis=0)
    assert abs(((low <= 0) & (high >= 0)).mean() - 0.95) > abs(covered - 0.95)


def seeds_of_pairs(seeds: int, runs: int, rng: np.random.Generator) -> np.ndarray:
    """Return a_i + a_j + noise of every pair of networks, (pairs, runs)."""
    own = rng.normal(size=(seeds, runs))
    pairs = combinations(range(seeds), 2)
    return np.stack([own[i] + own[j] + 0.5 * rng.normal(size=runs) for i, j in pairs])


def without_each_seed(values: np.ndarray, seeds: int) -> np.ndarray:
    pairs = list(combinations(range(seeds), 2))
    return np.stack([values[[s not in pair for pair in pairs]].mean(0) for s in range(seeds)])


@pytest.mark.parametrize("seeds", [3, 4, 5, 10])
@pytest.mark.parametrize(
    ("logit", "mean", "least", "most"),
    [(3, 0.90, 0.80, 0.86), (5, 0.98, 0.73, 0.79), (-5, 0.02, 0.73, 0.79)],
)
def test_near_0_and_1_the_jackknife_covers_less_as_the_page_on_evidence_says(
    seeds: int, logit: float, mean: float, least: float, most: float
) -> None:
    rng, runs = np.random.default_rng(0), 4000
    values, all_pairs = (
        1 / (1 + np.exp(-logit - seeds_of_pairs(networks, count, rng)))
        for networks, count in ((seeds, runs), (2, 200_000))
    )
    truth = all_pairs.mean()
    assert truth == pytest.approx(mean, abs=0.005)
    covered = (np.abs(values.mean(0) - truth) <= half_width(without_each_seed(values, seeds))).sum()
    assert stats.binom.ppf(0.001, runs, least) <= covered <= stats.binom.ppf(0.999, runs, most)


@pytest.mark.parametrize("seeds", [3, 5])
def test_without_a_difference_few_paired_tests_find_one(seeds: int) -> None:
    """Both conditions share what a seed gives, and each has its own part."""
    rng, runs = np.random.default_rng(seeds), 4000
    shared = seeds_of_pairs(seeds, runs, rng)
    one, other = (shared + 0.7 * seeds_of_pairs(seeds, runs, rng) for _ in range(2))
    width = half_width(without_each_seed(one, seeds) - without_each_seed(other, seeds))
    found = np.abs(one.mean(0) - other.mean(0)) > width
    assert 0.03 <= found.mean() <= 0.06
    larger = other + 12
    assert (np.abs(one.mean(0) - larger.mean(0)) > width).mean() > 0.9


def test_halves_of_the_images_cover_the_mean_and_quantiles() -> None:
    """Of the share of values below 0, a step function as similarities are, and of a mean."""
    rng, runs, images, divisions = np.random.default_rng(0), 400, 200, 5
    values = rng.normal(size=(images, runs))
    halves = []
    for _ in range(divisions):
        order = rng.permutation(images)
        halves += [values[order[:100]], values[order[100:]]]
    for statistic, truth in ((lambda v: (v <= 0).mean(0), 0.5), (lambda v: np.median(v, 0), 0.0)):
        width = half_width_of_halves(np.stack([statistic(half) for half in halves]))
        assert 0.92 <= (np.abs(statistic(values) - truth) <= width).mean() <= 0.99


def test_the_interval_over_images_is_that_of_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(0)
    values = {(0, 1): 0.4, (1, 2): 0.5}
    halves = [rng.random((10, 7)) for _ in values]
    layer = ("last", "conv1", "n", 1, "conv")
    found = summary_intervals(rows("last", values), {layer: halves}).reset_index()
    of_halves = np.array([(own <= 0.5).mean(1) for own in halves]).mean(0)
    half = stats.t.ppf(0.975, 5) * of_halves.std(ddof=1)
    row = found.iloc[1]
    assert row["epsilon"] == 0.5
    assert (row["low_images"], row["high_images"]) == pytest.approx((0.45 - half, 0.45 + half))
    half = stats.t.ppf(0.975, 5) * np.mean([1 - own for own in halves], axis=(0, 2)).std(ddof=1)
    assert row["area_high_images"] == pytest.approx(0.225 + half)
    unknown = summary_intervals(rows("last", values), {layer: [halves[0], None]})
    assert unknown[["low_images", "area_low_images"]].isna().all(axis=None)


def test_differences_are_paired_over_networks() -> None:
    """Seeds differ much, and the two conditions little: only the pairing shows it."""
    base = pairs_of(4)
    one = rows("last", base)
    shifted = {pair: value - 0.02 - 0.001 * sum(pair) for pair, value in base.items()}
    other = rows("initial", shifted)
    found = difference_table(pd.concat([one, other]))
    assert found["quantity"].tolist() == ["similarity", "similarity", "area"]
    assert found["epsilon"].tolist()[:2] == [0.3, 0.5]
    row = found.iloc[0]
    differences = {pair: base[pair] - shifted[pair] for pair in base}
    assert row["difference"] == pytest.approx(np.mean(list(differences.values())))
    assert (row["low"], row["high"]) == pytest.approx(by_hand(differences, 4))
    error = (row["high"] - row["low"]) / 2 / stats.t.ppf(0.975, 3)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(row["difference"] / error, 3))
    assert row["p_value"] < 0.01
    assert (row["networks"], row["value_1"]) == (4, pytest.approx(np.mean(list(base.values()))))
    assert found["difference"].iloc[2] == pytest.approx(row["difference"] / 2)


def test_differences_are_corrected_for_layers_and_use_only_shared_seeds_and_layers() -> None:
    shifts = {f"conv{n}": 0.001 * n for n in (1, 2, 3)}
    parts = []
    for place, (layer, shift) in enumerate(shifts.items()):
        noisy = {pair: value + shift for pair, value in pairs_of(5, place + 1).items()}
        parts += [rows("last", pairs_of(5), layer=layer), rows("initial", noisy, layer=layer)]
    parts += [rows("last", {(7, 8): 0.9}, layer="conv1"), rows("last", pairs_of(5), layer="fc9")]
    known = pd.concat(parts)
    # A pair must have all layers of its comparison.
    known = known[~known["seed_a"].isin([7])]
    found = difference_table(known).query("quantity == 'similarity' and epsilon == 0.3")
    assert found["layer"].tolist() == list(shifts)
    np.testing.assert_allclose(found["family_p_value"], holm(found["p_value"].to_numpy()))


def test_without_three_shared_seeds_or_any_variation_there_is_no_test() -> None:
    two = [rows(name, {(0, 1): value}) for name, value in (("a", 0.2), ("b", 0.4))]
    assert difference_table(pd.concat(two)).empty  # a single pair has no units
    seeds = {(seed, seed): 0.0 for seed in range(3)}
    same = [
        rows(name, dict.fromkeys(seeds, value), "vw") for name, value in (("a", 0.2), ("b", 0.4))
    ]
    found = difference_table(pd.concat(same))
    np.testing.assert_allclose(found["difference"][:2], -0.2)
    assert found["p_value"].isna().all()
    assert difference_table(two[0]).empty
    assert "family_p_value" in difference_table(two[0])
