from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import subspace_match as sm
from subspace_match.matching.certificate import Certificate
from subspace_match.matching.measures import Noted, noted_measures
from subspace_match.matching.minimal.result import MinimalMatches
from subspace_match.matching.null import NullNeurons, null_neurons
from subspace_match.results.registry import read_networks
from subspace_match.results.tables import (
    LayerResult,
    PairNames,
    heat_map_table,
    left_out_table,
    measure_table,
    member_table,
    metrics,
    minimal_match_table,
    network_table,
    neuron_table,
    null_table,
    output_table,
    similarity_table,
    summary_table,
    top_image_table,
    within_network_table,
)
from subspace_match.storage.files import read_record, write_record, write_table
from subspace_match.storage.match_files import (
    LayerMatch,
    NewImages,
    Resampled,
    load_matches,
    save_matches,
)
from subspace_match.storage.network_results import (
    HeatMap,
    HeatMapLayer,
    TopImages,
    WithinNetwork,
)
from subspace_match.storage.result_origin import LayerOrigin, Origin


def proofs(*epsilons: float) -> list[Certificate]:
    return [Certificate(epsilon, True, True, 0.01, ("x", 0), 1e-12) for epsilon in epsilons]


PAIR = PairNames("last", "base", 0, "last", "base", 1, "last")


def match(layer: str, depth: int, samples: int, draw: int = 0) -> LayerMatch:
    """3 + 2 neurons, one of them dead."""
    place = {"layer": layer, "node": f"{layer}.2", "depth": depth, "draw": draw}
    return LayerMatch(
        (np.array([0.1, 0.3, np.nan]), np.array([0.1, 0.4])),
        (np.array([1.0, 2.0, 0.0]), np.array([3.0, 4.0])),
        np.array([4, 1, 0, 3]),
        LayerOrigin("d", ("n0", "n1"), ("aa", "bb"), kind="conv", samples=samples, **place),
    )


def result(
    layer: str = "conv1",
    depth: int = 1,
    samples: int = 100,
    *,
    seed_b: int = 1,
    draw: int = 0,
    epsilons: Sequence[float] = (0.1,),
    **known: Any,
) -> LayerResult:
    pair, own = replace(PAIR, seed_b=seed_b), match(layer, depth, samples, draw)
    return LayerResult(pair, own, known.pop("certificates", proofs(*epsilons)), **known)


def test_similarity_counts_dead_neurons_in_the_denominator() -> None:
    table = similarity_table([result(epsilons=(0.05, 0.1, 0.3, 0.5))])
    assert table["matched_a"].tolist() == [0, 1, 2, 2]
    assert table["matched_b"].tolist() == [0, 1, 1, 2]
    assert table["similarity"].tolist() == [0, 2 / 5, 3 / 5, 4 / 5]
    areas = [pytest.approx((0.9 + 0.7 + 0 + 0.9 + 0.6) / 5)] * 4
    assert table["area"].tolist() == areas
    assert summary_table(table)["area"].tolist() == areas
    assert table["dead_a"].unique().tolist() == [1]
    assert table["dead_b"].unique().tolist() == [0]


def test_a_neuron_exactly_at_epsilon_counts_in_every_table(tmp_path: Path) -> None:
    """Also after saving; all ones, and ones in three of four samples, have distance 0.5."""
    x, y = np.ones((4, 1)), np.array([[1.0], [1.0], [1.0], [0.0]])
    path = sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")
    origin = match("conv1", 1, 4).origin
    save_matches(tmp_path / "path.npz", [LayerMatch.from_path(path, origin)])
    (saved,) = load_matches(tmp_path / "path.npz").values()
    (proof,) = path.verify([0.5], device="cpu")
    null = path.critical_epsilon[None]
    results = [LayerResult(PAIR, saved, [proof], Resampled(null, null))]
    row = similarity_table(results).iloc[0]
    assert (row["matched_a"], row["matched_b"], row["similarity"]) == (1, 1, path.similarity(0.5))
    assert (row["verified"], row["certain"]) == (True, False)
    assert (row["null_threshold"], row["p_value"], row["family_p_value"]) == (1.0, 1.0, 1.0)
    assert null_table(results).set_index("epsilon")["null_mean"][0.5] == 1.0
    side = [HeatMapLayer("conv1", 1, 1)]
    heat_map = HeatMap(origin, side, side, null[None], np.ones((1, 1)))
    heat = heat_map_table([(PAIR, heat_map)], [0.5])
    assert heat["similarity"].tolist() == [1.0]
    assert sm.heat_map([x], [y], [0.5], device="cpu").item() == 1.0


def new_images(images: int = 100, rise: float = 0.0, note: str = "") -> NewImages:
    """Cross-fitted distances that are ``rise`` larger, held-out ones twice as much."""
    own = match("conv1", 1, 100)
    critical = np.concatenate(own.critical_epsilon)
    return NewImages(images, critical + rise, critical + 2 * rise, note)


@pytest.mark.parametrize(
    ("images", "rise", "flagged"),
    [(15, 0.0, False), (14, 0.0, True), (100, 0.03, False), (100, 0.04, True)],
)
def test_many_neurons_per_image_or_a_large_gap_are_flagged(
    images: int, rise: float, flagged: bool
) -> None:
    """Four of five neurons are live, so the area falls by 0.8 times the rise."""
    own = result(samples=150)
    own = replace(own, match=replace(own.match, new_images=new_images(images, rise)))
    row = similarity_table([own]).iloc[0]
    assert (row["neurons_per_sample"], row["neurons_per_image"]) == (3 / 150, 3 / images)
    assert row["few_samples"] == flagged


def test_similarity_on_new_images_is_beside_that_in_sample() -> None:
    own = result(epsilons=(0.1, 0.3))
    table = similarity_table(
        [replace(own, match=replace(own.match, new_images=new_images(rise=0.15)))]
    )
    assert table["cross_fitted"].tolist() == [0, 2 / 5]
    assert table["held_out"].tolist() == [0, 0]
    assert table["gap"].tolist() == pytest.approx([2 / 5, 1 / 5])
    assert table["cross_fitted_area"].tolist() == pytest.approx([2.5 / 5] * 2)
    assert table["held_out_area"].tolist() == pytest.approx([1.9 / 5] * 2)
    assert table["note"].tolist() == ["", ""]
    summary = summary_table(table)
    for column in ("cross_fitted", "held_out", "gap", "cross_fitted_area", "held_out_area"):
        assert summary[column].tolist() == table[column].tolist()
    assert metrics(summary, network_table(networks()))["cross_fitted_area"] == {
        "conv1": pytest.approx(0.5)
    }


@pytest.mark.parametrize("known", [False, True])
def test_without_enough_images_a_note_says_why_there_is_no_value(known: bool) -> None:
    own, new = result(), new_images(note="NaN, since there are 2 images") if known else None
    table = similarity_table([replace(own, match=replace(own.match, new_images=new))])
    columns = ["cross_fitted", "held_out", "gap", "cross_fitted_area", "held_out_area"]
    assert table[columns].isna().all(axis=None)
    note = "NaN, since there are 2 images" if known else "the images of the samples are not known"
    assert table["note"].tolist() == [note]
    found = metrics(summary_table(table), network_table(networks()))
    assert found["cross_fitted_area"] == {"conv1": None}


def test_the_neuron_table_has_a_row_for_each_neuron_of_either_network() -> None:
    table = neuron_table([result("conv1", 1), result("fc1", 2)])
    assert len(table) == 10
    own = table[(table["layer"] == "fc1") & (table["network"] == "a")]
    assert own["neuron"].tolist() == [0, 1, 2]
    assert own["dead"].tolist() == [False, False, True]
    assert own["norm"].tolist() == [1, 2, 0]


def test_the_neuron_table_has_the_critical_epsilons_on_new_images() -> None:
    own, new = result(), new_images(rise=0.15)
    results = [replace(own, match=replace(own.match, new_images=new)), result("fc1", 2)]
    column = neuron_table(results)["cross_fitted_critical_epsilon"]
    np.testing.assert_array_equal(column, [*new.cross_fitted, *[np.nan] * 5])


def test_null_columns_come_from_the_permutations() -> None:
    null = np.full((19, 5), 0.45)
    null[:, 0] = np.nan
    null[3, 1] = 0.25
    both = Resampled(null, null, *[null[::-1] + 0.1] * 2)
    results = [result(epsilons=(0.05, 0.3, 0.5), null=own) for own in (both, None)]
    table = similarity_table(results)
    assert table["similarity"].tolist() == [0, 3 / 5, 4 / 5] * 2
    # At 0.3 one permutation in 19 has one neuron of five, at 0.5 all have four.
    unknown = [np.nan] * 3
    np.testing.assert_array_equal(table["null_threshold"], [0, 0.2, 0.8, *unknown])
    np.testing.assert_array_equal(table["p_value"], [1, 1 / 20, 1, *unknown])
    np.testing.assert_array_equal(table["family_p_value"], table["p_value"])  # a single layer
    mean = 0.2 / 19
    adjusted = [0, (0.6 - mean) / (1 - mean), 0, *unknown]
    np.testing.assert_allclose(table["adjusted"], adjusted, atol=1e-12)
    # Within classes critical epsilons are 0.1 larger, so that nothing matches below 0.35.
    np.testing.assert_array_equal(table["class_null_threshold"], [0, 0, 0.2, *unknown])
    np.testing.assert_array_equal(table["class_p_value"], [1, 1 / 20, 1 / 20, *unknown])
    areas = np.sort(np.nan_to_num(1 - null).mean(1))
    np.testing.assert_allclose(table["area_null_threshold"], [areas[-1]] * 3 + unknown)
    np.testing.assert_array_equal(table["area_p_value"], [1 / 20] * 3 + unknown)
    assert table["permutations"].tolist() == [19] * 3 + [0] * 3
    curves = null_table(results)
    # Hundredths, above 0.99 thousandths, and the grid, which has no others here.
    wanted = [*(n / 100 for n in range(99)), *(n / 1000 for n in range(990, 1001))]
    assert curves["epsilon"].tolist() == wanted
    finer = null_table([result(epsilons=(0.3, 0.305), null=both)])
    assert finer["epsilon"].tolist() == sorted([*wanted, 0.305])
    row = curves[curves["epsilon"] == 0.3].iloc[0]
    assert (row["null_mean"], row["null_threshold"]) == (pytest.approx(0.2 / 19), 0.2)


@pytest.mark.parametrize("near", [None, 1e-5, 1e-7])
def test_permutations_that_change_nothing_are_no_evidence(near: float | None) -> None:
    """As within classes if each has one image: every p-value is 1, and no value is above chance.

    A near copy makes the moments ill-conditioned, so that ties have another margin.
    """
    rng = np.random.default_rng(0)
    x, y = (np.maximum(rng.normal(size=(80, n)), 0).astype(np.float32) for n in (7, 5))
    y[:, 0], y[:, 1] = x[:, :3].sum(1), 0
    if near is not None:
        x[:, 1] = x[:, 0] * (1 + near * rng.normal(size=80))
    path = sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")
    orders = [np.arange(80)] * 19
    null = NullNeurons.stacked(null_neurons(path.pair, x, y, orders, device="cpu"))
    own = LayerMatch.from_path(path, match("conv1", 1, 80).origin)
    results = [LayerResult(PAIR, own, proofs(0.3, 0.5), Resampled.of(null, null))]
    table, neurons = similarity_table(results), neuron_table(results)
    for name in [column for column in table if column.endswith("p_value")]:
        assert (table[name] == 1).all(), name
    for prefix in ("", "class_"):
        for of, value in (("", "similarity"), ("area_", "area")):
            assert (table[value] <= table[f"{of}{prefix}null_threshold"]).all()
            np.testing.assert_allclose(table[f"{of}{prefix}adjusted"], 0, atol=1e-12)
        live = neurons[~neurons["dead"]]
        assert (live[f"{prefix}p_value"] == 1).all()
        assert (live["critical_epsilon"] >= live[f"{prefix}null_critical_epsilon"]).all()


def test_an_unproved_match_and_a_margin_below_rounding_are_flagged() -> None:
    certificates = [
        Certificate(0.1, True, True, 0.01, ("x", 0), 1e-12),
        Certificate(0.2, True, False, 0.01, ("x", 0), 1e-12),
        Certificate(0.3, True, True, 1e-14, ("y", 1), 1e-12),
    ]
    table = similarity_table([result(certificates=certificates)])
    assert table["verified"].tolist() == [True, False, True]
    assert table["certain"].tolist() == [True, True, False]
    assert table["margin"].tolist() == [0.01, 0.01, 1e-14]


def test_the_minimal_match_table_has_a_row_for_each_matched_neuron() -> None:
    distinct = np.array([[1, 0, 0, 1, 0], [1, 1, 0, 1, 1]], dtype=bool)
    found = MinimalMatches(3, distinct, np.array([0, 1, -1, 0, 1]))
    table = minimal_match_table([result("fc1", 2, minimal={0.3: found})])
    assert table["network"].tolist() == ["a", "a", "b", "b"]
    assert table["neuron"].tolist() == [0, 1, 0, 1]
    assert table["match"].tolist() == [0, 1, 0, 1]
    assert table["size_a"].tolist() == [1, 2, 1, 2]
    assert table["size_b"].tolist() == [1, 2, 1, 2]
    assert set(table["epsilon"]) == {0.3}
    assert len(minimal_match_table([result()])) == 0
    both = minimal_match_table([result(minimal={0.5: found, 0.3: found})])
    assert both["epsilon"].tolist() == [0.3] * 4 + [0.5] * 4


def test_measures_are_named_for_the_networks() -> None:
    found = {
        "linear_cka": Noted(0.5, ""),
        "linear_regression_x": Noted(0.2, ""),
        "linear_regression_y": Noted(0.3, ""),
    }
    table = measure_table([result(measures=found), result(draw=1)])
    names = ["linear_cka", "linear_regression_a", "linear_regression_b"]
    assert table["measure"].tolist() == names
    assert table["value"].tolist() == [0.5, 0.2, 0.3]
    assert table["note"].tolist() == [""] * 3


def test_the_note_of_an_undefined_measure_names_the_network() -> None:
    moments = sm.reduce(np.ones((50, 2)), np.random.default_rng(0).random((50, 3)))
    table = measure_table([result(measures=noted_measures(moments))]).set_index("measure")
    assert np.isnan(table["value"]["linear_cka"])
    assert table["note"]["linear_cka"] == "NaN, since every neuron of a is constant"
    assert (table["note"] != "").equals(table["value"].isna())


def test_without_permutations_the_null_table_has_its_columns_and_no_rows() -> None:
    curves = null_table([result()])
    assert len(curves) == 0
    assert {"layer", "depth", "epsilon", "null_mean", "class_null_threshold"} <= set(curves.columns)


def test_the_summary_aggregates_draws_and_pairs() -> None:
    null = Resampled(*np.full((2, 19, 5), 0.05))
    results = [
        result(seed_b=seed_b, draw=draw, epsilons=(0.1, 0.5), null=null if draw == 0 else None)
        for seed_b in (1, 2)
        for draw in (0, 1)
    ]
    # At 0.1 pair (0, 1) has 2 and 1 neurons of five, pair (0, 2) 2 and 2.
    results[1].match.critical_epsilon[0][0] = 0.9
    similarity = similarity_table(results)
    assert similarity["draw"].tolist() == [0, 0, 1, 1] * 2
    summary = summary_table(similarity)
    assert summary["epsilon"].tolist() == [0.1, 0.5]
    row = summary.iloc[0]
    assert (row["pairs"], row["draws"]) == (2, 2)
    assert row["similarity"] == pytest.approx((2 + 1 + 2 + 2) / 20)
    assert row["sd_pairs"] == pytest.approx(np.std([0.3, 0.4], ddof=1))
    assert row["sd_draws"] == pytest.approx(np.sqrt(np.var([0.4, 0.2], ddof=1) / 2))
    assert (row["null_threshold"], row["p_value"], row["networks"]) == (1, 1, 2)
    one = summary_table(similarity_table([result()])).iloc[0]
    assert np.isnan([one["sd_pairs"], one["sd_draws"], one["null_threshold"]]).all()
    assert (one["networks"], np.isnan(one["low_networks"]), np.isnan(one["low_images"])) == (
        0,
        1,
        1,
    )


def test_the_member_table_has_a_row_for_each_distinct_minimal_match() -> None:
    distinct = np.array([[1, 0, 0, 1, 0], [1, 1, 0, 1, 1]], dtype=bool)
    found = MinimalMatches(3, distinct, np.array([0, 1, -1, 0, 1]))
    table = member_table([result("fc1", 2, minimal={0.3: found})])
    assert table["match"].tolist() == [0, 1]
    assert [list(members) for members in table["neurons_a"]] == [[0], [0, 1]]
    assert [list(members) for members in table["neurons_b"]] == [[0], [0, 1]]
    assert len(member_table([])) == 0


def test_the_heat_map_table_has_a_row_for_each_pair_of_layers_and_epsilon() -> None:
    layers = [HeatMapLayer(f"conv{n}", n, n) for n in (1, 2)]
    critical = np.full((2, 1, 4), np.nan)
    critical[0, 0, :2] = 0.1, 0.4
    critical[1, 0, :3] = 0.1, np.nan, 0.3
    origin = match("conv1", 1, 4).origin
    heat_map = HeatMap(origin, layers, layers[:1], critical, np.array([[0.7], [0.8]]))
    table = heat_map_table([(PAIR, heat_map)], [0.2, 0.5])
    assert table["layer_a"].tolist() == ["conv1", "conv1", "conv2", "conv2"]
    assert set(table["layer_b"]) == {"conv1"}
    assert table["similarity"].tolist() == [1 / 2, 1, 1 / 3, 2 / 3]
    assert table["linear_cka"].tolist() == [0.7, 0.7, 0.8, 0.8]
    assert len(heat_map_table([], [0.2])) == 0


def test_every_two_layers_of_a_network_have_all_measures() -> None:
    layers = [HeatMapLayer("conv1", 1, 2), HeatMapLayer("conv2", 2, 1), HeatMapLayer("fc1", 4, 1)]
    # The first layer's neurons before the second's; one is dead. The last pair has one less.
    critical = np.array([[0.1, 0.4, 0.6], [0.1, np.nan, 0.3], [0.2, 0.2, np.nan]])
    measures = {"cross_fitted_area": np.arange(3.0), "linear_regression_x": np.arange(3.0) / 10}
    found = WithinNetwork(Origin("d", ("n0",), ("aa",)), layers, critical, measures)
    network = {"model": "base", "seed": 4, "stage": "last"}
    table = within_network_table([(network, found)], [0.2, 0.5])
    assert set(zip(table["model"], table["seed"], table["stage"], strict=True)) == {
        ("base", 4, "last")
    }
    pairs = table[["layer_a", "depth_a", "layer_b", "depth_b"]].drop_duplicates()
    assert pairs.to_numpy().tolist() == [
        ["conv1", 1, "conv2", 2],
        ["conv1", 1, "fc1", 4],
        ["conv2", 2, "fc1", 4],
    ]
    by_measure = {name: own["value"].tolist() for name, own in table.groupby("measure")}
    assert by_measure.pop("area") == pytest.approx([1.9 / 3, 1.6 / 3, 1.6 / 2])
    assert by_measure == {
        "similarity_0.2": [1 / 3, 1 / 3, 1],
        "similarity_0.5": [2 / 3, 2 / 3, 1],
        "cross_fitted_area": [0, 1, 2],
        "linear_regression_a": [0, 0.1, 0.2],
    }
    assert "value" in within_network_table([], [0.2])


def test_outputs_differ_in_accuracy_and_in_predictions() -> None:
    pair = asdict(PAIR) | {"network_a": "n0", "network_b": "n1", "left_out": []}
    predictions = {"n0": np.array([1, 2, 3, 4]), "n1": np.array([1, 2, 4, 3])}
    (row,) = output_table([pair], networks(), predictions).to_dict("records")
    assert row == asdict(PAIR) | {
        "accuracy_difference": pytest.approx(0.1),
        "disagreement": 0.5,
    }
    unknown = networks(accuracy=[0.9, None])
    table = output_table([pair], unknown, predictions | {"n1": None})
    assert table[["accuracy_difference", "disagreement"]].isna().all(axis=None)


def test_the_top_image_table_has_a_row_for_each_neuron_and_rank() -> None:
    layers = {"fc1": (np.array([[7, 3]]), np.array([[2.0, 1.0]]))}
    table = top_image_table([TopImages(Origin("d", ("n0",), ("aa",)), 0.9, layers)])
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


def test_the_network_table_has_a_row_for_each_network() -> None:
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
    read = read_networks(tmp_path / "networks.csv")
    pd.testing.assert_frame_equal(read, table)
    assert read["accuracy"].isna().tolist() == [accuracy is None for accuracy in accuracies]
    summary = summary_table(similarity_table([result()]))
    write_record(tmp_path / "metrics.json", metrics(summary, table))
    found = read_record(tmp_path / "metrics.json")["accuracy"]
    assert found == dict(zip(["seed_0", "seed_1"], accuracies, strict=True))


def test_metrics_are_accuracies_and_mean_similarities() -> None:
    results = [result("conv1", 1), result("conv2", 2), result("conv2", 2, seed_b=2)]
    results[2].match.critical_epsilon[0][:] = 0.9
    summary = summary_table(similarity_table(results))
    found = metrics(summary, network_table(networks()))
    assert found["accuracy"] == {"seed_0": 0.9, "seed_1": 0.8}
    assert found["similarity"] == {"conv1": {"0.1": 0.4}, "conv2": {"0.1": pytest.approx(0.3)}}
    areas = {"conv1": 3.1 / 5, "conv2": (3.1 + 0.1 * 3 + 0.9 + 0.6) / 10}
    assert found["area"] == pytest.approx(areas)

    initial = replace(PAIR, comparison="initial")
    results = results[:1] + [replace(other, pair=initial) for other in results[1:]]
    summary = summary_table(similarity_table(results))
    found = metrics(summary, network_table(networks(stage=["initial", "last"])))
    assert found["accuracy"] == {"initial.seed_0": 0.9, "last.seed_1": 0.8}
    assert list(found["similarity"]) == ["last", "initial"]
    assert list(found["similarity"]["last"]) == list(found["area"]["last"]) == ["conv1"]


def test_layers_without_a_counterpart_are_listed_by_pair() -> None:
    pairs = [
        asdict(PAIR) | {"model_a": "a", "model_b": "b", "left_out": ["conv3", "fc1"]},
        asdict(PAIR) | {"model_a": "a", "model_b": "c", "left_out": []},
    ]
    table = left_out_table(pairs)
    assert table[["model_a", "model_b", "layer"]].to_numpy().tolist() == [
        ["a", "b", "conv3"],
        ["a", "b", "fc1"],
    ]
    assert list(left_out_table([])) == list(table)
