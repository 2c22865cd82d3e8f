from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import subspace_match as sm
from subspace_match.storage.match_files import (
    LayerMatch,
    NewImages,
    Resampled,
    load_certificates,
    load_matches,
    load_measures,
    load_minimal_matches,
    load_moments,
    load_nulls,
    save_certificates,
    save_matches,
    save_measures,
    save_minimal_matches,
    save_moments,
    save_nulls,
)
from subspace_match.storage.result_origin import LayerOrigin

ORIGIN = LayerOrigin("d", ("n0", "n1"), ("aa", "bb"), "conv1", "features.2", "conv", 1, 40, 0)
SECOND_DRAW, FC1 = replace(ORIGIN, draw=1), replace(ORIGIN, layer="fc1", kind="fc", depth=2)


def some_matches() -> list[LayerMatch]:
    """Two layers, one in two draws; a neuron that is dead in one of them."""
    return [
        LayerMatch(
            (np.array([0.1, critical]), np.array([0.3])),
            (np.array([2.0, 0.0]), np.array([1.0])),
            np.arange(3 - np.isnan(critical)),
            replace(ORIGIN, layer=layer, draw=draw),
            NewImages(20, np.array([0.2, critical, 1.0]), np.ones(3), note),
        )
        for layer, draw, critical, note in (
            ("conv1", 0, np.nan, ""),
            ("conv1", 1, 0.7, "NaN, since"),
            ("conv12", 0, 0.2, ""),
        )
    ]


def test_saved_matches_are_loaded_in_the_same_order(tmp_path: Path) -> None:
    save_matches(tmp_path / "group.npz", some_matches())
    found = load_matches(tmp_path / "group.npz")
    for (origin, loaded), saved in zip(found.items(), some_matches(), strict=True):
        assert origin == loaded.origin == saved.origin
        for name in ("critical_epsilon", "norm"):
            for array, expected in zip(getattr(loaded, name), getattr(saved, name), strict=True):
                np.testing.assert_array_equal(array, expected)
        np.testing.assert_array_equal(loaded.removal_order, saved.removal_order)
        assert loaded.new_images is not None
        assert saved.new_images is not None
        np.testing.assert_equal(vars(loaded.new_images), vars(saved.new_images))


def test_a_match_without_known_images_is_loaded_without_them(tmp_path: Path) -> None:
    save_matches(tmp_path / "group.npz", [replace(some_matches()[0], new_images=None)])
    (loaded,) = load_matches(tmp_path / "group.npz").values()
    assert loaded.new_images is None


def test_the_file_of_matches_marks_dead_neurons(tmp_path: Path) -> None:
    save_matches(tmp_path / "group.npz", some_matches())
    with np.load(tmp_path / "group.npz") as arrays:
        assert arrays["conv1/draw_0/dead_a"].tolist() == [False, True]
        assert arrays["conv1/draw_1/dead_a"].tolist() == [False, False]
        assert arrays["conv12/draw_0/dead_b"].tolist() == [False]


@pytest.mark.parametrize(
    ("samples", "well_conditioned"), [(40, True), (40, False), (10, False), (2, False)]
)
def test_saved_moments_give_the_same_path(
    tmp_path: Path, samples: int, well_conditioned: bool
) -> None:
    rng = np.random.default_rng(0)
    x, y = np.maximum(rng.normal(size=(2, samples, 7)), 0)
    y[:, 0] = 0
    if not well_conditioned:
        y[:, 3] = x[:, 2] + x[:, 4]
        x[:, 5] = x[:, 6]
    pair, other = sm.reduce(x, y), sm.reduce(y, x)
    assert pair.well_conditioned == well_conditioned
    conv12 = replace(SECOND_DRAW, layer="conv12")
    save_moments(tmp_path / "m.npz", [(ORIGIN, other), (SECOND_DRAW, pair), (conv12, other)])
    origin, loaded = load_moments(tmp_path / "m.npz", "conv1", 1)
    assert origin == SECOND_DRAW
    for name in ("second_moments", "sums", "length_products", "factor", "centred_factor"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(pair, name))
    scalars = ("neurons_x", "samples", "well_conditioned")
    for name in (*scalars, "moment_error", "column_error", "tie_margin"):
        assert getattr(loaded, name) == getattr(pair, name)
    for name in ("critical_epsilon_x", "critical_epsilon_y", "removal_order"):
        found, expected = (getattr(sm.match_path(p), name) for p in (loaded, pair))
        np.testing.assert_array_equal(found, expected)


def test_moments_without_a_centred_factor_are_loaded_without_one(tmp_path: Path) -> None:
    pair = replace(sm.reduce(np.eye(5)[:, :2], np.eye(5)[:, 1:]), centred_factor=None)
    save_moments(tmp_path / "m.npz", [(ORIGIN, pair)])
    assert load_moments(tmp_path / "m.npz", "conv1")[1].centred_factor is None


def test_centred_moments_are_loaded_as_centred(tmp_path: Path) -> None:
    """Otherwise the null of a loaded pair would be that of activations with their means."""
    x, y = np.random.default_rng(0).random((2, 40, 7)) + 3
    pairs = [sm.reduce(x, y, centred=centred) for centred in (True, False)]
    save_moments(tmp_path / "m.npz", zip([ORIGIN, SECOND_DRAW], pairs, strict=True))
    loaded = [load_moments(tmp_path / "m.npz", "conv1", draw)[1] for draw in (0, 1)]
    assert [pair.centred for pair in loaded] == [True, False]


def test_a_saved_match_and_its_moments_give_the_path(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [sm.reduce(*np.maximum(rng.normal(size=(2, 40, 7)), 0)) for _ in range(2)]
    origins = [ORIGIN, SECOND_DRAW]
    save_moments(tmp_path / "m.npz", zip(origins, pairs, strict=True))
    paths = [sm.match_path(pair) for pair in pairs]
    save_matches(tmp_path / "p.npz", map(LayerMatch.from_path, paths, origins))
    for match, expected in zip(load_matches(tmp_path / "p.npz").values(), paths, strict=True):
        found = match.path(tmp_path / "m.npz")
        for name in ("critical_epsilon", "removal_order"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert found.verify([0.2, 0.6]) == expected.verify([0.2, 0.6])
    other = LayerMatch.from_path(paths[0], replace(ORIGIN, checkpoints=("aa", "cc")))
    with pytest.raises(ValueError, match=r"m\.npz: expected the moments of the match path beside"):
        other.path(tmp_path / "m.npz")


def test_saved_certificates_are_loaded_unchanged(tmp_path: Path) -> None:
    x, y = np.maximum(np.random.default_rng(0).normal(size=(2, 40, 7)), 0)
    dead = sm.reduce(np.zeros((9, 2)), np.zeros((9, 1)))
    proofs = [sm.match_path(pair).verify([0.2, 0.6]) for pair in (sm.reduce(x, y), dead)]
    assert (proofs[1][0].margin, proofs[1][0].neuron) == (np.inf, None)
    saved = dict(zip([ORIGIN, FC1], proofs, strict=True))
    save_certificates(tmp_path / "c.npz", saved)
    assert load_certificates(tmp_path / "c.npz") == saved


def test_saved_minimal_matches_are_loaded_unchanged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(60, 9)), 0)
    minimal = sm.minimal_matches(sm.reduce(x, x[:, :8] @ rng.random((8, 10))), 0.4)
    nothing = sm.minimal_matches(sm.reduce(x, np.maximum(rng.normal(size=(60, 3)), 0)), 0)
    assert (len(minimal) > 8, len(nothing)) == (True, 0)
    saved = {ORIGIN: minimal, FC1: nothing}
    save_minimal_matches(tmp_path / "m.npz", 0.4, saved)
    loaded = load_minimal_matches(tmp_path / "m.npz")
    assert list(loaded) == list(saved)
    for origin, (epsilon, found) in loaded.items():
        assert epsilon == 0.4
        np.testing.assert_array_equal(found.distinct, saved[origin].distinct)
        np.testing.assert_array_equal(found.match_of, saved[origin].match_of)
        assert found.neurons_x == saved[origin].neurons_x


def test_saved_measures_and_nulls_are_loaded_unchanged(tmp_path: Path) -> None:
    measures = {ORIGIN: {"pwcca": (0.1 + 0.2, ""), "svcca": (1.0, "not determined")}}
    save_measures(tmp_path / "measures.npz", measures)
    assert load_measures(tmp_path / "measures.npz") == measures
    nulls = {
        ORIGIN: Resampled(*np.array([[[0.1, np.nan], [0.3, 0.2]], [[0.1, np.nan], [0.2, 0.1]]])),
        FC1: Resampled(*(np.full((2, 1), value) for value in (0.1, 0.2, 0.3, 0.4, 0.5))),
    }
    save_nulls(tmp_path / "nulls.npz", nulls)
    loaded = load_nulls(tmp_path / "nulls.npz")
    assert list(loaded) == list(nulls)
    for origin, null in nulls.items():
        for name, values in vars(null).items():
            np.testing.assert_array_equal(getattr(loaded[origin], name), values)


@pytest.mark.parametrize("lacking", ["any_image", "within_class"])
def test_nulls_of_older_versions_without_distances_are_refused(
    tmp_path: Path, lacking: str
) -> None:
    null = Resampled(*(np.full((2, 1), value) for value in (0.1, 0.2, 0.3, 0.4)))
    saved = {FC1: replace(null, **{f"{lacking}_distance": None})}
    save_nulls(tmp_path / "nulls.npz", saved)
    expected = rf"nulls\.npz: expected {lacking} and {lacking}_distance for fc1, found any_image, "
    with pytest.raises(ValueError, match=expected + r".*; remove the file and run the null again"):
        load_nulls(tmp_path / "nulls.npz")
