"""A path changes with what decides its content, and with nothing else."""

from pathlib import Path

import pytest
import yaml

from subspace_match.config import validated
from subspace_match.layout import Layout

SCHEMA = yaml.safe_load((Path(__file__).parents[1] / "config" / "schema.yaml").read_text())


BELOW_DATA = {"network", "activations", "match", "null", "experiment"}


def paths(**changes: object) -> dict[str, str]:
    layout = Layout(validated(changes, SCHEMA))
    return {
        "data": layout.data("images"),
        "network": layout.network(0, "network"),
        "activations": layout.activations(0),
        "match": layout.match(0, 1, "conv1", "path"),
        "null": layout.null(0, 1, "conv1"),
        "experiment": layout.experiment("tables"),
    }


def changed(**changes: object) -> set[str]:
    before, after = paths(), paths(**changes)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("changes", "affected"),
    [
        (
            {"data": {"split_seed": 1}},
            {"data", *BELOW_DATA},
        ),
        ({"network": {"width": 1}}, BELOW_DATA),
        ({"training": {"epochs": 3}}, BELOW_DATA),
        ({"threads": 2}, BELOW_DATA),
        ({"extraction": {"positions": 5}}, {"activations", "match", "null", "experiment"}),
        ({"matching": {"chunk_samples": 100}}, {"match", "null", "experiment"}),
        ({"chance": {"permutations": 5}}, {"null", "experiment"}),
        ({"minimal_matches": {"epsilons": [0.5]}}, {"experiment"}),
        ({"matching": {"epsilons": [0.1]}}, {"experiment"}),
        ({"matching": {"layers": ["fc*"]}}, {"experiment"}),
        ({"seeds": [0, 1, 2]}, {"experiment"}),
        ({"seeds": [1, 0]}, set()),
        ({"matching": {"epsilons": [0.5, 0.3, 0.25, 0.2, 0.15]}}, set()),
        ({"figures": {"formats": ["svg"]}}, set()),
        ({"device": "cpu"}, set()),
        ({"data": {"root": "elsewhere"}}, set()),
    ],
)
def test_what_a_change_affects(changes: dict, affected: set[str]) -> None:
    assert changed(**changes) == affected


def test_pairs_are_named_smaller_seed_first() -> None:
    assert Layout(validated({"seeds": [5, 0, 3]}, SCHEMA)).pairs == [(0, 3), (0, 5), (3, 5)]
