"""Tables of many networks, against counts from the definitions."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from subspace_match.figures.many_networks import network_matrix
from subspace_match.matching.certificate import Certificate
from subspace_match.results.many_networks import (
    ConsensusResult,
    consensus_table,
    network_matrix_table,
    universality_table,
    with_consensus,
)
from subspace_match.results.tables import LayerResult, PairNames, layer_tables
from subspace_match.storage.match_files import LayerMatch
from subspace_match.storage.result_origin import LayerOrigin

EPSILONS = [0.2, 0.5]
DRAWS = 2


def origin(*networks: str, layer: str = "conv1", draw: int = 0) -> LayerOrigin:
    depth = int(layer[-1])
    place = {"layer": layer, "node": layer, "kind": "conv", "depth": depth, "samples": 100}
    return LayerOrigin("d", networks, networks, draw=draw, **place)


def names(seed: int) -> dict[str, Any]:
    return {"model": "base", "seed": seed, "stage": "last"}


def result(comparison: str, a: int, b: int, critical: Any, draw: int = 0) -> LayerResult:
    pair = PairNames(comparison, "base", a, "last", "base", b, "last")
    norms = tuple(map(np.ones_like, critical))
    order = np.arange(sum(map(len, critical)))
    match = LayerMatch(tuple(critical), norms, order, origin(f"n{a}", f"n{b}", draw=draw))
    proofs = [Certificate(epsilon, True, True, 0.1, None, 0.0) for epsilon in EPSILONS]
    return LayerResult(pair, match, proofs)


def results(seeds: int, neurons: int = 3) -> list[LayerResult]:
    """Every pair of seeds in two draws; seed 1 has a dead neuron, seed 0 one in one draw."""
    rng = np.random.default_rng(0)
    found = []
    for a, b in combinations(range(seeds), 2):
        for draw in range(DRAWS):
            critical = [rng.random(neurons), rng.random(neurons)]
            for own, seed in zip(critical, (a, b), strict=True):
                if seed == 1 or (seed, draw) == (0, 1):
                    own[2] = np.nan
            found.append(result("last", a, b, critical, draw))
    return found


def consensus(seeds: int) -> ConsensusResult:
    critical = [np.array([0.1, 0.3, np.nan if seed == 1 else 0.7]) for seed in range(seeds)]
    about = origin(*(f"n{seed}" for seed in range(seeds)))
    return ConsensusResult("last", [names(seed) for seed in range(seeds)], critical, about)


def test_universality_counts_the_other_networks_by_definition() -> None:
    made = results(4)
    table = universality_table(made, [consensus(4)], EPSILONS)
    assert len(table) == 4 * 3
    for row in table.to_dict("records"):
        by_other: dict[int, list[float]] = {}
        for each in made:
            seeds = each.pair.seed_a, each.pair.seed_b
            if row["seed"] in seeds:
                side = seeds.index(row["seed"])
                critical = each.match.critical_epsilon[side][row["neuron"]]
                by_other.setdefault(seeds[1 - side], []).append(critical)
        assert row["others"] == len(by_other) == 3
        dead = all(np.isnan(own).all() for own in by_other.values())
        assert row["dead"] == dead == (row["seed"] == 1 and row["neuron"] == 2)
        means = [np.mean(np.where(np.isnan(own), 1, own)) for own in by_other.values()]
        expected = np.nan if dead else np.median(means)
        np.testing.assert_allclose(row["median_critical_epsilon"], expected)
        for epsilon in EPSILONS:
            assert row[f"share_{epsilon}"] == np.mean([mean <= epsilon for mean in means])
        known = consensus(4).critical_epsilons[row["seed"]][row["neuron"]]
        np.testing.assert_equal(row["consensus_epsilon"], known)


def test_universality_of_two_networks_is_their_match() -> None:
    table = universality_table(results(2), [], EPSILONS)
    assert table["others"].unique().tolist() == [1]
    assert set(table["share_0.5"]) <= {0.0, 1.0}
    assert table["consensus_epsilon"].isna().all()


def test_comparisons_are_counted_apart() -> None:
    """A network that two comparisons name has a row in each, with the others of each."""
    critical = [np.array([0.1]), np.array([0.3])]
    made = [result("one", 0, 1, critical), result("one", 0, 2, critical)]
    made.append(result("other", 0, 3, critical))
    table = universality_table(made, [], EPSILONS).set_index(["comparison", "seed"])
    assert table["others"].to_dict() == {
        **{("one", 0): 2, ("one", 1): 1, ("one", 2): 1},
        **{("other", 0): 1, ("other", 3): 1},
    }


def test_the_consensus_table_counts_all_neurons() -> None:
    none = replace(consensus(3), critical_epsilons=[np.ones(3)] * 3)  # a second draw, halves both
    halved = consensus_table([consensus(3), none], EPSILONS)
    table = consensus_table([consensus(3)], EPSILONS)
    assert halved["similarity"].tolist() == (table["similarity"] / 2).tolist()
    assert halved["area"].tolist() == pytest.approx((table["area"] / 2).tolist())
    assert halved["draws"].tolist() == [2, 2]
    assert table["matched"].tolist() == [3, 6]
    assert table["similarity"].tolist() == [3 / 9, 6 / 9]
    assert table["area"].tolist() == pytest.approx([(3 * 0.9 + 3 * 0.7 + 2 * 0.3) / 9] * 2)
    assert table[["networks", "neurons"]].to_numpy().tolist() == [[3, 9]] * 2
    summary = layer_tables(results(3))["summary"]
    joined = with_consensus(summary, table)
    assert joined["consensus"].tolist() == table["similarity"].tolist()
    pd.testing.assert_frame_equal(joined.drop(columns="consensus"), summary)
    assert with_consensus(summary, table[:0])["consensus"].isna().all()


def flat(similarity: float, seeds: tuple[int, int]) -> LayerResult:
    return result("last", *seeds, [np.full(3, 1 - similarity)] * 2)


def matrix(made: list[LayerResult], seeds: int) -> pd.DataFrame:
    similarity = layer_tables(made)["similarity"]
    table = network_matrix_table(similarity, [names(seed) for seed in range(seeds)])
    return table.set_index(["seed_a", "seed_b"]).sort_index()


def test_networks_that_agree_are_clustered_side_by_side() -> None:
    """0 with 2 and 1 with 3 agree; average linkage joins the two clusters at the mean."""
    areas = {(0, 2): 0.9, (1, 3): 0.8, (0, 1): 0.3, (0, 3): 0.2, (1, 2): 0.1, (2, 3): 0.4}
    table = matrix([flat(value, seeds) for seeds, value in areas.items()], 4)
    assert len(table) == 12
    for (a, b), value in areas.items():
        assert table.loc[(a, b), "area"] == table.loc[(b, a), "area"] == pytest.approx(value)
        joined = {(0, 2): 0.1, (1, 3): 0.2}.get((a, b), np.mean([0.7, 0.8, 0.9, 0.6]))
        assert table.loc[(a, b), "joined_at"] == pytest.approx(joined)
        assert table.loc[(b, a), "joined_at"] == pytest.approx(joined)
    position = table.reset_index().drop_duplicates("seed_a").set_index("seed_a")["position_a"]
    assert abs(position[0] - position[2]) == abs(position[1] - position[3]) == 1
    assert sorted(position) == [0, 1, 2, 3]


def test_without_all_pairs_networks_keep_their_order_without_clusters() -> None:
    table = matrix([flat(0.9, (0, 2)), flat(0.8, (1, 2))], 3)
    assert len(table) == 4
    assert table["joined_at"].isna().all()
    assert table["position_a"].tolist() == [0, 1, 2, 2]
    assert table["position_b"].tolist() == [2, 2, 0, 1]


def test_a_layer_that_is_deeper_in_some_networks_is_clustered_as_one() -> None:
    """The last layer is number 2 in networks 0 and 1, and 3 in the others, whose 2 is another."""
    areas = {(0, 1): 0.9, (0, 2): 0.2, (1, 2): 0.3, (0, 3): 0.1, (1, 3): 0.2, (2, 3): 0.8}

    def record(layer: str, a: int, b: int, depth: int, area: float) -> dict[str, Any]:
        about = {"layer": layer, "node": layer, "depth": depth, "kind": "conv", "area": area}
        for side, seed in (("a", a), ("b", b)):
            about |= {f"{key}_{side}": value for key, value in names(seed).items()}
        return about

    last = [record("last", a, b, 2 if a < 2 else 3, area) for (a, b), area in areas.items()]
    networks = [names(seed) for seed in range(4)]
    table = network_matrix_table(pd.DataFrame([*last, record("added", 2, 3, 2, 0.5)]), networks)
    assert table["layer"].tolist() == ["added"] * 2 + ["last"] * 12
    alone = network_matrix_table(pd.DataFrame(last), networks)
    pd.testing.assert_frame_equal(table[2:].reset_index(drop=True), alone)
    assert alone["joined_at"].notna().all()
    assert sorted(alone["position_a"].unique()) == [0, 1, 2, 3]
    shown = [axes.get_images()[0] for axes in network_matrix(table).axes if axes.get_images()]
    assert [image.get_array().shape for image in shown] == [(2, 2), (4, 4)]
