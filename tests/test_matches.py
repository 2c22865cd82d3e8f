from pathlib import Path

import numpy as np
import pytest

import subspace_match as sm
from subspace_match.matches import (
    LayerMatch,
    check_origin,
    load_matches,
    load_minimal_matches,
    load_moments,
    save_matches,
    save_minimal_matches,
    save_moments,
)

ABOUT = {
    "digest": "d",
    **{"network_a": "n0", "checkpoint_a": "aa"},
    **{"network_b": "n1", "checkpoint_b": "bb"},
}


def some_matches() -> list[LayerMatch]:
    """Two draws; a neuron that is dead in one of them."""
    return [
        LayerMatch(
            (np.array([0.1, critical]), np.array([0.3])),
            (np.array([2.0, 0.0]), np.array([1.0])),
            np.arange(3 - np.isnan(critical)),
            {**ABOUT, "draw": draw},
        )
        for draw, critical in enumerate([np.nan, 0.7])
    ]


def test_saved_matches_come_back_draw_by_draw(tmp_path: Path) -> None:
    save_matches(tmp_path / "conv1.npz", some_matches(), ABOUT)
    for loaded, saved in zip(load_matches(tmp_path / "conv1.npz"), some_matches(), strict=True):
        assert loaded.about == saved.about
        for name in ("critical_epsilon", "norm"):
            for found, expected in zip(getattr(loaded, name), getattr(saved, name), strict=True):
                np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(loaded.removal_order, saved.removal_order)


def test_the_file_says_which_neurons_are_dead(tmp_path: Path) -> None:
    save_matches(tmp_path / "conv1.npz", some_matches(), ABOUT)
    with np.load(tmp_path / "conv1.npz") as arrays:
        assert arrays["draw_0/dead_a"].tolist() == [False, True]
        assert arrays["draw_1/dead_a"].tolist() == [False, False]
        assert arrays["draw_1/dead_b"].tolist() == [False]


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
    save_moments(tmp_path / "m.npz", [sm.reduce(y, x), pair], ABOUT)
    loaded, about = load_moments(tmp_path / "m.npz", 1)
    assert about == ABOUT | {"draw": 1}
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
    [
        ("e", {"n0": "aa", "n1": "bb"}),
        ("d", {"n0": "ab", "n1": "bb"}),
        ("d", {"n0": "aa", "n2": "bb"}),
    ],
)
def test_a_match_of_other_networks_is_refused(digest: str, checkpoints: dict[str, str]) -> None:
    check_origin(ABOUT, "conv1.npz", "d", {"n0": "aa", "n1": "bb"})
    with pytest.raises(
        ValueError, match=r"conv1\.npz: expected a result of digest and checkpoints"
    ):
        check_origin(ABOUT, "conv1.npz", digest, checkpoints)


def test_a_result_of_one_network_is_checked_alike() -> None:
    about = {"digest": "d", "network": "n0", "checkpoint": "aa"}
    check_origin(about, "n0.npz", "d", {"n0": "aa"})
    with pytest.raises(ValueError, match=r"n0\.npz: expected a result of"):
        check_origin(about, "n0.npz", "d", {"n0": "ab"})
