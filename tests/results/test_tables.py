from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import subspace_match as sm
from subspace_match.matching.certificate import Certificate
from subspace_match.matching.measures import Noted, noted_measures
from subspace_match.matching.minimal.result import MinimalMatches
from subspace_match.results.tables import (
    heat_map_table,
    left_out_table,
    measure_table,
    member_table,
    metrics,
    minimal_match_table,
    network_table,
    neuron_table,
    null_table,
    similarity_table,
    summary_table,
    top_image_table,
)
from subspace_match.storage.files import read_record, write_record, write_table
from subspace_match.storage.match_files import LayerMatch, load_matches, save_matches


def proofs(*epsilons: float) -> list[Certificate]:
    return [Certificate(epsilon, True, True, 0.01, ("x", 0), 1e-12) for epsilon in epsilons]


def pair(seed_b: int = 1) -> dict:
    sides = {"a": ("base", 0, "last"), "b": ("base", seed_b, "last")}
    named = {
        f"{key}_{side}": value
        for side, values in sides.items()
        for key, value in zip(("model", "seed", "stage"), values, strict=True)
    }
    return named | {"comparison": "last"}


def match(layer: str, depth: int, samples: int, seed_b: int = 1, draw: int = 0) -> LayerMatch:
    """3 + 2 neurons, one of them dead."""
    about = pair(seed_b) | {"layer": layer, "node": f"{layer}.2", "depth": depth, "draw": draw}
    return LayerMatch(
        (np.array([0.1, 0.3, np.nan]), np.array([0.1, 0.4])),
        (np.array([1.0, 2.0, 0.0]), np.array([3.0, 4.0])),
        np.array([4, 1, 0, 3]),
        about | {"kind": "conv", "samples": samples},
    )


def test_similarity_counts_dead_neurons_in_the_denominator() -> None:
    table = similarity_table([match("conv1", 1, 100)], [None], [proofs(0.05, 0.1, 0.3, 0.5)])
    assert table["matched_a"].tolist() == [0, 1, 2, 2]
    assert table["matched_b"].tolist() == [0, 1, 1, 2]
    assert table["similarity"].tolist() == [0, 2 / 5, 3 / 5, 4 / 5]
    assert table["dead_a"].unique().tolist() == [1]
    assert table["dead_b"].unique().tolist() == [0]


def test_a_neuron_exactly_at_epsilon_counts_in_every_table(tmp_path: Path) -> None:
    """As in the path, after being saved: all ones, and ones in three of four samples, at 0.5."""
    x, y = np.ones((4, 1)), np.array([[1.0], [1.0], [1.0], [0.0]])
    path = sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")
    about = match("conv1", 1, 4).about
    save_matches(tmp_path / "path.npz", [LayerMatch.of(path, about)])
    (saved,) = load_matches(tmp_path / "path.npz")
    (proof,) = path.verify([0.5], device="cpu")
    null = path.critical_epsilon[None]
    row = similarity_table([saved], [null], [[proof]]).iloc[0]
    assert (row["matched_a"], row["matched_b"], row["similarity"]) == (1, 1, path.similarity(0.5))
    assert (row["verified"], row["certain"]) == (True, False)
    assert (row["null_95"], row["p_value"]) == (1.0, 1.0)
    assert null_table([saved], [null]).set_index("epsilon")["null_mean"][0.5] == 1.0
    side = {"name": "conv1", "depth": 1, "neurons": 1}
    arrays = {"critical_epsilon": null[None], "linear_cka": np.ones((1, 1))}
    heat = heat_map_table([(arrays, pair() | {"layers_a": [side], "layers_b": [side]})], [0.5])
    assert heat["similarity"].tolist() == [1.0]
    assert sm.heat_map([x], [y], [0.5], device="cpu").item() == 1.0


@pytest.mark.parametrize(("samples", "flagged"), [(15, False), (14, True)])
def test_more_than_a_fifth_of_a_neuron_a_sample_is_flagged(samples: int, flagged: bool) -> None:
    row = similarity_table([match("conv1", 1, samples)], [None], [proofs(0.1)]).iloc[0]
    assert row["neurons_per_sample"] == 3 / samples
    assert row["few_samples"] == flagged


def test_a_row_a_neuron_of_either_network() -> None:
    table = neuron_table([match("conv1", 1, 100), match("fc1", 2, 100)])
    assert len(table) == 10
    own = table[(table["layer"] == "fc1") & (table["network"] == "a")]
    assert own["neuron"].tolist() == [0, 1, 2]
    assert own["dead"].tolist() == [False, False, True]
    assert own["norm"].tolist() == [1, 2, 0]


def test_chance_is_what_the_permutations_gave() -> None:
    null = np.full((19, 5), 0.45)
    null[:, 0] = np.nan
    null[3, 1] = 0.25
    table = similarity_table(
        [match("conv1", 1, 100)] * 2, [null, None], [proofs(0.05, 0.3, 0.5)] * 2
    )
    assert table["similarity"].tolist() == [0, 3 / 5, 4 / 5] * 2
    # At 0.3 one permutation in 19 has one neuron of five, at 0.5 all have four.
    np.testing.assert_array_equal(table["null_95"], [0, 0.2, 0.8, *[np.nan] * 3])
    np.testing.assert_array_equal(table["p_value"], [1, 1 / 20, 1, *[np.nan] * 3])
    curves = null_table([match("conv1", 1, 100)] * 2, [null, None])
    assert len(curves) == 100
    row = curves[curves["epsilon"] == 0.3].iloc[0]
    assert (row["null_mean"], row["null_95"]) == (pytest.approx(0.2 / 19), 0.2)


def test_what_is_not_proved_or_closer_than_rounding_is_flagged() -> None:
    certificates = [
        Certificate(0.1, True, True, 0.01, ("x", 0), 1e-12),
        Certificate(0.2, True, False, 0.01, ("x", 0), 1e-12),
        Certificate(0.3, True, True, 1e-14, ("y", 1), 1e-12),
    ]
    table = similarity_table([match("conv1", 1, 100)], [None], [certificates])
    assert table["verified"].tolist() == [True, False, True]
    assert table["certain"].tolist() == [True, True, False]
    assert table["margin"].tolist() == [0.01, 0.01, 1e-14]


def test_a_row_a_neuron_that_has_a_minimal_match() -> None:
    distinct = np.array([[1, 0, 0, 1, 0], [1, 1, 0, 1, 1]], dtype=bool)
    found = MinimalMatches(3, distinct, np.array([0, 1, -1, 0, 1]))
    table = minimal_match_table([(found, match("fc1", 2, 100).about | {"epsilon": 0.3})])
    assert table["network"].tolist() == ["a", "a", "b", "b"]
    assert table["neuron"].tolist() == [0, 1, 0, 1]
    assert table["match"].tolist() == [0, 1, 0, 1]
    assert table["size_a"].tolist() == [1, 2, 1, 2]
    assert table["size_b"].tolist() == [1, 2, 1, 2]
    assert set(table["epsilon"]) == {0.3}
    assert len(minimal_match_table([])) == 0


def test_measures_are_named_for_the_networks() -> None:
    found = {
        "linear_cka": Noted(0.5, ""),
        "linear_regression_x": Noted(0.2, ""),
        "linear_regression_y": Noted(0.3, ""),
    }
    table = measure_table([match("conv1", 1, 50)], [found])
    names = ["linear_cka", "linear_regression_a", "linear_regression_b"]
    assert table["measure"].tolist() == names
    assert table["value"].tolist() == [0.5, 0.2, 0.3]
    assert table["note"].tolist() == [""] * 3


def test_a_measure_without_a_value_says_why_of_the_networks() -> None:
    moments = sm.reduce(np.ones((50, 2)), np.random.default_rng(0).random((50, 3)))
    table = measure_table([match("conv1", 1, 50)], [noted_measures(moments)]).set_index("measure")
    assert np.isnan(table["value"]["linear_cka"])
    assert table["note"]["linear_cka"] == "NaN, since every neuron of a is constant"
    assert (table["note"] != "").equals(table["value"].isna())


def test_without_permutations_the_null_table_has_its_columns_and_no_rows() -> None:
    curves = null_table([match("conv1", 1, 100)], [None])
    assert len(curves) == 0
    assert {"layer", "depth", "epsilon", "null_mean", "null_95"} <= set(curves.columns)


def test_the_summary_is_over_draws_and_pairs() -> None:
    matches = [match("conv1", 1, 50, seed_b, draw) for seed_b in (1, 2) for draw in (0, 1)]
    # At 0.1 pair (0, 1) has 2 and 1 neurons of five, pair (0, 2) 2 and 2.
    matches[1].critical_epsilon[0][0] = 0.9
    null = np.full((19, 5), 0.05)
    nulls = [null, None, null, None]
    similarity = similarity_table(matches, nulls, [proofs(0.1, 0.5)] * 4)
    assert similarity["draw"].tolist() == [0, 0, 1, 1] * 2
    summary = summary_table(similarity)
    assert summary["epsilon"].tolist() == [0.1, 0.5]
    row = summary.iloc[0]
    assert (row["pairs"], row["draws"]) == (2, 2)
    assert row["similarity"] == pytest.approx((2 + 1 + 2 + 2) / 20)
    assert row["sd_pairs"] == pytest.approx(np.std([0.3, 0.4], ddof=1))
    assert row["sd_draws"] == pytest.approx(np.sqrt(np.var([0.4, 0.2], ddof=1) / 2))
    assert row["low"] == pytest.approx(np.quantile([0.4, 0.2, 0.4, 0.4], 0.025))
    assert row["high"] == pytest.approx(0.4)
    assert row["null_95"] == 1
    one = summary_table(similarity_table(matches[:1], [None], [proofs(0.1)])).iloc[0]
    assert np.isnan([one["sd_pairs"], one["sd_draws"], one["null_95"]]).all()
    assert one["low"] == one["high"] == one["similarity"]


def test_a_row_a_different_minimal_match() -> None:
    distinct = np.array([[1, 0, 0, 1, 0], [1, 1, 0, 1, 1]], dtype=bool)
    found = MinimalMatches(3, distinct, np.array([0, 1, -1, 0, 1]))
    table = member_table([(found, match("fc1", 2, 100).about | {"epsilon": 0.3})])
    assert table["match"].tolist() == [0, 1]
    assert [list(members) for members in table["neurons_a"]] == [[0], [0, 1]]
    assert [list(members) for members in table["neurons_b"]] == [[0], [0, 1]]
    assert len(member_table([])) == 0


def test_a_row_a_pair_of_layers_and_epsilon() -> None:
    layers = [{"name": f"conv{n}", "depth": n, "neurons": n} for n in (1, 2)]
    critical = np.full((2, 1, 4), np.nan)
    critical[0, 0, :2] = 0.1, 0.4
    critical[1, 0, :3] = 0.1, np.nan, 0.3
    about = pair() | {"layers_a": layers, "layers_b": layers[:1]}
    arrays = {"critical_epsilon": critical, "linear_cka": np.array([[0.7], [0.8]])}
    table = heat_map_table([(arrays, about)], [0.2, 0.5])
    assert table["layer_a"].tolist() == ["conv1", "conv1", "conv2", "conv2"]
    assert set(table["layer_b"]) == {"conv1"}
    assert table["similarity"].tolist() == [1 / 2, 1, 1 / 3, 2 / 3]
    assert table["linear_cka"].tolist() == [0.7, 0.7, 0.8, 0.8]
    assert len(heat_map_table([], [0.2])) == 0


def test_a_row_a_neuron_and_rank() -> None:
    arrays = {"fc1/images": np.array([[7, 3]]), "fc1/activations": np.array([[2.0, 1.0]])}
    table = top_image_table([(arrays, {"network": "n0"})])
    assert table.to_dict("list") == {
        "key": ["n0", "n0"],
        "layer": ["fc1", "fc1"],
        "neuron": [0, 0],
        "rank": [0, 1],
        "image": [7, 3],
        "activation": [2.0, 1.0],
    }


def networks(**changes: list) -> dict:
    columns = {"model": ["base"] * 2, "seed": [0, 1], "stage": ["last"] * 2, "accuracy": [0.9, 0.8]}
    columns |= {"checkpoint": ["aa", "bb"]} | changes
    rows = zip(*columns.values(), strict=True)
    return {f"n{n}": dict(zip(columns, row, strict=True)) for n, row in enumerate(rows)}


def test_a_row_a_network() -> None:
    table = network_table(networks())
    assert table["key"].tolist() == ["n0", "n1"]
    assert table["checkpoint"].tolist() == ["aa", "bb"]


@pytest.mark.parametrize("accuracies", [[0.9, None], [None, None]])
def test_a_network_that_is_no_classifier_has_no_accuracy(
    accuracies: list[float | None], tmp_path: Path
) -> None:
    table = network_table(networks(accuracy=accuracies))
    assert table["accuracy"].dtype == float
    write_table(table, tmp_path / "networks.csv")
    read = pd.read_csv(tmp_path / "networks.csv")["accuracy"]
    assert read.isna().tolist() == [accuracy is None for accuracy in accuracies]
    summary = summary_table(similarity_table([match("conv1", 1, 50)], [None], [proofs(0.1)]))
    write_record(tmp_path / "metrics.json", metrics(summary, table))
    found = read_record(tmp_path / "metrics.json")["accuracy"]
    assert found == dict(zip(["seed_0", "seed_1"], accuracies, strict=True))


def test_metrics_are_accuracies_and_mean_similarities() -> None:
    matches = [match("conv1", 1, 50), match("conv2", 2, 50), match("conv2", 2, 50, seed_b=2)]
    matches[2].critical_epsilon[0][:] = 0.9
    summary = summary_table(similarity_table(matches, [None] * 3, [proofs(0.1)] * 3))
    found = metrics(summary, network_table(networks()))
    assert found["accuracy"] == {"seed_0": 0.9, "seed_1": 0.8}
    assert found["similarity"] == {"conv1": {"0.1": 0.4}, "conv2": {"0.1": pytest.approx(0.3)}}

    for compared in matches[1:]:
        compared.about["comparison"] = "initial"
    summary = summary_table(similarity_table(matches, [None] * 3, [proofs(0.1)] * 3))
    found = metrics(summary, network_table(networks(stage=["initial", "last"])))
    assert found["accuracy"] == {"initial.seed_0": 0.9, "last.seed_1": 0.8}
    assert list(found["similarity"]) == ["last", "initial"]
    assert list(found["similarity"]["last"]) == ["conv1"]


def test_layers_without_a_counterpart_are_listed_by_pair() -> None:
    pair = {"comparison": "last", "seed_a": 0, "seed_b": 0, "stage_a": "last", "stage_b": "last"}
    pairs = [
        pair | {"model_a": "a", "model_b": "b", "left_out": ["conv3", "fc1"]},
        pair | {"model_a": "a", "model_b": "c", "left_out": []},
    ]
    table = left_out_table(pairs)
    assert table[["model_a", "model_b", "layer"]].to_numpy().tolist() == [
        ["a", "b", "conv3"],
        ["a", "b", "fc1"],
    ]
    assert list(left_out_table([])) == list(table)
