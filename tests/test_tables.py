import numpy as np
import pytest

from subspace_match.matches import LayerMatch
from subspace_match.tables import metrics, neuron_table, similarity_table


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
    table = similarity_table([match("conv1", 1, 100)], [0.05, 0.1, 0.3, 0.5])
    assert table["matched_a"].tolist() == [0, 1, 2, 2]
    assert table["matched_b"].tolist() == [0, 1, 1, 2]
    assert table["similarity"].tolist() == [0, 2 / 5, 3 / 5, 4 / 5]
    assert table["dead_a"].unique().tolist() == [1]
    assert table["dead_b"].unique().tolist() == [0]


@pytest.mark.parametrize(("samples", "flagged"), [(15, False), (14, True)])
def test_more_than_a_fifth_of_a_neuron_a_sample_is_flagged(samples: int, flagged: bool) -> None:
    row = similarity_table([match("conv1", 1, samples)], [0.1]).iloc[0]
    assert row["neurons_per_sample"] == 3 / samples
    assert row["few_samples"] == flagged


def test_a_row_a_neuron_of_either_network() -> None:
    table = neuron_table([match("conv1", 1, 100), match("fc1", 2, 100)])
    assert len(table) == 10
    own = table[(table["layer"] == "fc1") & (table["network"] == "a")]
    assert own["neuron"].tolist() == [0, 1, 2]
    assert own["dead"].tolist() == [False, False, True]
    assert own["norm"].tolist() == [1, 2, 0]


def test_metrics_are_means_over_pairs_in_the_order_of_layers() -> None:
    matches = [match("conv2", 2, 50), match("conv1", 1, 50), match("conv2", 2, 50, seed_b=2)]
    matches[2].critical_epsilon[0][:] = 0.9
    found = metrics(similarity_table(matches, [0.1]), {0: 0.97, 1: 0.98})
    assert found["test_accuracy"] == {"seed_0": 0.97, "seed_1": 0.98}
    assert found["similarity"] == {"conv2": {"0.1": pytest.approx(0.3)}, "conv1": {"0.1": 0.4}}
