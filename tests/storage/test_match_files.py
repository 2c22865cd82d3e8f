from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import subspace_match as sm
from subspace_match.storage.match_files import (
    LayerMatch,
    check_origin,
    load_certificates,
    load_matches,
    load_minimal_matches,
    load_moments,
    save_certificates,
    save_matches,
    save_minimal_matches,
    save_moments,
)

ABOUT = {
    "digest": "d",
    "layer": "conv1",
    "draw": 0,
    **{"network_a": "n0", "checkpoint_a": "aa"},
    **{"network_b": "n1", "checkpoint_b": "bb"},
}


def some_matches() -> list[LayerMatch]:
    """Two layers, one in two draws; a neuron that is dead in one of them."""
    return [
        LayerMatch(
            (np.array([0.1, critical]), np.array([0.3])),
            (np.array([2.0, 0.0]), np.array([1.0])),
            np.arange(3 - np.isnan(critical)),
            {**ABOUT, "layer": layer, "draw": draw},
        )
        for layer, draw, critical in (("conv1", 0, np.nan), ("conv1", 1, 0.7), ("conv12", 0, 0.2))
    ]


def test_saved_matches_come_back_layer_by_layer_and_draw_by_draw(tmp_path: Path) -> None:
    save_matches(tmp_path / "group.npz", some_matches())
    for loaded, saved in zip(load_matches(tmp_path / "group.npz"), some_matches(), strict=True):
        assert loaded.about == saved.about
        for name in ("critical_epsilon", "norm"):
            for found, expected in zip(getattr(loaded, name), getattr(saved, name), strict=True):
                np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(loaded.removal_order, saved.removal_order)


def test_the_file_says_which_neurons_are_dead(tmp_path: Path) -> None:
    save_matches(tmp_path / "group.npz", some_matches())
    with np.load(tmp_path / "group.npz") as arrays:
        assert arrays["conv1/draw_0/dead_a"].tolist() == [False, True]
        assert arrays["conv1/draw_1/dead_a"].tolist() == [False, False]
        assert arrays["conv12/draw_0/dead_b"].tolist() == [False]


@pytest.mark.parametrize("well_conditioned", [True, False])
def test_saved_moments_give_the_same_path(tmp_path: Path, well_conditioned: bool) -> None:
    rng = np.random.default_rng(0)
    x, y = np.maximum(rng.normal(size=(2, 40, 7)), 0)
    y[:, 0] = 0
    if not well_conditioned:
        y[:, 3] = x[:, 2] + x[:, 4]
        x[:, 5] = x[:, 6]
    pair, other = sm.reduce(x, y), sm.reduce(y, x)
    assert pair.well_conditioned == well_conditioned
    about = ABOUT | {"draw": 1}
    saved = [(other, ABOUT), (pair, about), (other, about | {"layer": "conv12"})]
    save_moments(tmp_path / "m.npz", saved)
    loaded, loaded_about = load_moments(tmp_path / "m.npz", "conv1", 1)
    assert loaded_about == about
    for name in ("second_moments", "sums", "length_products", "factor", "centred_factor"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(pair, name))
    scalars = ("neurons_x", "samples", "well_conditioned")
    for name in (*scalars, "moment_error", "column_error", "tie_margin"):
        assert getattr(loaded, name) == getattr(pair, name)
    for name in ("critical_epsilon_x", "critical_epsilon_y", "removal_order"):
        found, expected = (getattr(sm.match_path(p), name) for p in (loaded, pair))
        np.testing.assert_array_equal(found, expected)


def test_moments_without_a_centred_factor_come_back_without_one(tmp_path: Path) -> None:
    pair = replace(sm.reduce(np.eye(5)[:, :2], np.eye(5)[:, 1:]), centred_factor=None)
    save_moments(tmp_path / "m.npz", [(pair, ABOUT)])
    assert load_moments(tmp_path / "m.npz", "conv1")[0].centred_factor is None


def test_centred_moments_come_back_as_centred(tmp_path: Path) -> None:
    """Or the null of a loaded pair would be that of activations with their means."""
    x, y = np.random.default_rng(0).random((2, 40, 7)) + 3
    pairs = [sm.reduce(x, y, centred=centred) for centred in (True, False)]
    abouts = [ABOUT, ABOUT | {"draw": 1}]
    save_moments(tmp_path / "m.npz", zip(pairs, abouts, strict=True))
    loaded = [load_moments(tmp_path / "m.npz", "conv1", draw)[0] for draw in (0, 1)]
    assert [pair.centred for pair in loaded] == [True, False]


def test_a_saved_match_with_saved_moments_is_the_path_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [sm.reduce(*np.maximum(rng.normal(size=(2, 40, 7)), 0)) for _ in range(2)]
    abouts = [ABOUT, ABOUT | {"draw": 1}]
    save_moments(tmp_path / "m.npz", zip(pairs, abouts, strict=True))
    paths = [sm.match_path(pair) for pair in pairs]
    save_matches(tmp_path / "p.npz", map(LayerMatch.of, paths, abouts))
    for match, expected in zip(load_matches(tmp_path / "p.npz"), paths, strict=True):
        found = match.path(tmp_path / "m.npz")
        for name in ("critical_epsilon", "removal_order"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert found.verify([0.2, 0.6]) == expected.verify([0.2, 0.6])
    other = LayerMatch.of(paths[0], ABOUT | {"checkpoint_b": "cc"})
    with pytest.raises(ValueError, match=r"m\.npz: expected the moments of the match path beside"):
        other.path(tmp_path / "m.npz")


def test_saved_certificates_come_back(tmp_path: Path) -> None:
    x, y = np.maximum(np.random.default_rng(0).normal(size=(2, 40, 7)), 0)
    dead = sm.reduce(np.zeros((9, 2)), np.zeros((9, 1)))
    proofs = [sm.match_path(pair).verify([0.2, 0.6]) for pair in (sm.reduce(x, y), dead)]
    assert (proofs[1][0].margin, proofs[1][0].neuron) == (np.inf, None)
    saved = list(zip(proofs, [ABOUT, ABOUT | {"layer": "fc1"}], strict=True))
    save_certificates(tmp_path / "c.npz", saved)
    assert load_certificates(tmp_path / "c.npz") == saved


def test_saved_minimal_matches_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(60, 9)), 0)
    minimal = sm.minimal_matches(sm.reduce(x, x[:, :8] @ rng.random((8, 10))), 0.4)
    nothing = sm.minimal_matches(sm.reduce(x, np.maximum(rng.normal(size=(60, 3)), 0)), 0)
    assert (len(minimal) > 8, len(nothing)) == (True, 0)
    saved = [(minimal, ABOUT), (nothing, ABOUT | {"layer": "fc1"})]
    save_minimal_matches(tmp_path / "m.npz", saved)
    for (loaded, about), (expected, about_expected) in zip(
        load_minimal_matches(tmp_path / "m.npz"), saved, strict=True
    ):
        assert about == about_expected
        np.testing.assert_array_equal(loaded.distinct, expected.distinct)
        np.testing.assert_array_equal(loaded.match_of, expected.match_of)
        assert loaded.neurons_x == expected.neurons_x


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
