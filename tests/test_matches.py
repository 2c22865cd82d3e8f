from pathlib import Path

import numpy as np
import pytest

import subspace_match as sm
from subspace_match.matches import (
    LayerMatch,
    check_origin,
    load_minimal_matches,
    load_moments,
    save_minimal_matches,
    save_moments,
)

ABOUT = {"seed_a": 0, "seed_b": 1, "digest": "d", "checkpoint_a": "aa", "checkpoint_b": "bb"}


def some_match() -> LayerMatch:
    return LayerMatch(
        (np.array([0.1, np.nan]), np.array([0.3])),
        (np.array([2.0, 0.0]), np.array([1.0])),
        np.array([2, 0]),
        ABOUT,
    )


def test_a_saved_match_comes_back(tmp_path: Path) -> None:
    some_match().save(tmp_path / "conv1.npz")
    loaded = LayerMatch.load(tmp_path / "conv1.npz")
    assert loaded.about == ABOUT
    for name in ("critical_epsilon", "norm"):
        for found, expected in zip(getattr(loaded, name), getattr(some_match(), name), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert loaded.removal_order.tolist() == [2, 0]


def test_the_file_says_which_neurons_are_dead(tmp_path: Path) -> None:
    some_match().save(tmp_path / "conv1.npz")
    with np.load(tmp_path / "conv1.npz") as arrays:
        assert arrays["dead_a"].tolist() == [False, True]
        assert arrays["dead_b"].tolist() == [False]


@pytest.mark.parametrize("well_conditioned", [True, False])
def test_saved_moments_give_the_same_path(tmp_path: Path, well_conditioned: bool) -> None:
    rng = np.random.default_rng(0)
    x, y = np.maximum(rng.normal(size=(2, 40, 7)), 0)
    y[:, 0] = 0
    if not well_conditioned:
        y[:, 3] = x[:, 2] + x[:, 4]
        x[:, 5] = x[:, 6]
    pair = sm.reduce(x, y)
    assert pair.well_conditioned == well_conditioned
    save_moments(tmp_path / "m.npz", pair, ABOUT)
    loaded, about = load_moments(tmp_path / "m.npz")
    assert about == ABOUT
    for name in ("second_moments", "sums", "length_products", "factor"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(pair, name))
    for name in ("neurons_x", "samples", "well_conditioned"):
        assert getattr(loaded, name) == getattr(pair, name)
    for name in ("critical_epsilon_x", "critical_epsilon_y", "removal_order"):
        found, expected = (getattr(sm.match_path(p), name) for p in (loaded, pair))
        np.testing.assert_array_equal(found, expected)


def test_saved_minimal_matches_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(60, 9)), 0)
    minimal = sm.minimal_matches(sm.reduce(x, x[:, :8] @ rng.random((8, 10))), 0.4)
    assert len(minimal) > 8
    save_minimal_matches(tmp_path / "m.npz", minimal, ABOUT)
    loaded, about = load_minimal_matches(tmp_path / "m.npz")
    assert about == ABOUT
    np.testing.assert_array_equal(loaded.distinct, minimal.distinct)
    np.testing.assert_array_equal(loaded.match_of, minimal.match_of)
    assert loaded.neurons_x == minimal.neurons_x


@pytest.mark.parametrize(
    ("digest", "checkpoints"),
    [("e", {0: "aa", 1: "bb"}), ("d", {0: "ab", 1: "bb"}), ("d", {0: "aa", 2: "bb"})],
)
def test_a_match_of_other_networks_is_refused(digest: str, checkpoints: dict[int, str]) -> None:
    check_origin(ABOUT, "conv1.npz", "d", {0: "aa", 1: "bb"})
    with pytest.raises(
        ValueError, match=r"conv1\.npz: expected a result of digest and checkpoints"
    ):
        check_origin(ABOUT, "conv1.npz", digest, checkpoints)
