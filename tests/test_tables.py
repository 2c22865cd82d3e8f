import numpy as np
import pytest

from subspace_match.matches import LayerMatch
from subspace_match.matching.certificate import Certificate
from subspace_match.matching.minimal_sets import MinimalMatches
from subspace_match.tables import (
    measure_table,
    metrics,
    minimal_match_table,
    neuron_table,
    null_table,
    similarity_table,
)


def proofs(*epsilons: float) -> list[Certificate]:
    return [Certificate(epsilon, True, True, 0.01, ("x", 0), 1e-12) for epsilon in epsilons]


def match(layer: str, depth: int, samples: int, seed_b: int = 1) -> LayerMatch:
    """3 + 2 neurons, one of them dead."""
    about = {"seed_a": 0, "seed_b": seed_b, "layer": layer, "node": f"{layer}.2", "depth": depth}
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
    found = {"linear_cka": 0.5, "linear_regression_x": 0.2, "linear_regression_y": 0.3}
    table = measure_table([match("conv1", 1, 50)], [found])
    names = ["linear_cka", "linear_regression_a", "linear_regression_b"]
    assert table["measure"].tolist() == names
    assert table["value"].tolist() == [0.5, 0.2, 0.3]


def test_without_permutations_the_null_table_has_its_columns_and_no_rows() -> None:
    curves = null_table([match("conv1", 1, 100)], [None])
    assert len(curves) == 0
    assert {"layer", "depth", "epsilon", "null_mean", "null_95"} <= set(curves.columns)


def test_metrics_are_means_over_pairs_in_the_order_of_layers() -> None:
    matches = [match("conv2", 2, 50), match("conv1", 1, 50), match("conv2", 2, 50, seed_b=2)]
    matches[2].critical_epsilon[0][:] = 0.9
    found = metrics(similarity_table(matches, [None] * 3, [proofs(0.1)] * 3), {0: 0.97, 1: 0.98})
    assert found["test_accuracy"] == {"seed_0": 0.97, "seed_1": 0.98}
    assert found["similarity"] == {"conv2": {"0.1": pytest.approx(0.3)}, "conv1": {"0.1": 0.4}}
