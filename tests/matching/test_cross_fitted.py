"""Cross-fitted paths equal their definition, are not flattered by few images, and say when not."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import cases
import numpy as np
import oracles
import pytest
import torch
from helpers import raises

import subspace_match as sm
from subspace_match.matching.peeling import updates_halves
from subspace_match.matching.peeling.updates import SpanUpdates
from subspace_match.matching.reduction.halves import split_images

TOLERANCE = 2e-8  # rounding of distances, and the tie margin by which critical epsilons are lowered
# A copy with noise of 1e-7 is fitted with coefficients of up to 1e7, which rounding moves by 1e-9.
# On the other half they are measured as they are; reordering the samples moves distances by 6e-6.
NEAR_COPIES = 1e-5
WITH_NEAR_COPIES = cases.near_duplicates, cases.everything_at_once, cases.half_near_copies
FINDERS = {"cross-fitted": sm.cross_fitted_path, "held-out": sm.held_out_path}


def on_halves(layer: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of both halves of ``reduce_halves`` if every sample is an image."""
    in_first, _ = split_images(None, len(layer), seed)
    return layer[in_first], layer[~in_first]


def halves_of(x: np.ndarray, y: np.ndarray, device="cpu", **options) -> sm.HalvedMoments:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sm.FewSamplesWarning)
        return sm.reduce_halves(x, y, device=device, **options)


def dead_on_one_half(rng: np.random.Generator) -> cases.Pair:
    """Two neurons of either side are dead on the first half, one on the second."""
    x, y = cases.related(rng)
    in_first, _ = split_images(None, len(x), 0)
    for layer in (x, y):
        layer[np.ix_(in_first, [0, 6])] = 0.0
        layer[np.ix_(~in_first, [9])] = 0.0
    return x, y


CASES = (
    cases.related,
    cases.low_rank_plus_noise,
    cases.one_neuron_per_side,
    cases.unequal_widths,
    cases.dead_neurons,
    cases.exact_duplicates,
    cases.near_duplicates,
    cases.sums,
    cases.scaled_columns,
    cases.everything_at_once,
    cases.ill_conditioned,
    cases.half_near_copies,
    cases.dependent,
    cases.dead_side,
    cases.dead_sides,
    dead_on_one_half,
)


@functools.cache
def expected(case: Callable[..., cases.Pair]) -> tuple[cases.Pair, dict[str, np.ndarray]]:
    x, y = case(np.random.default_rng(2))
    found = {
        name: oracles.cross_fitted_critical(
            on_halves(x), on_halves(y), held_out_only=name == "held-out"
        )
        for name in FINDERS
    }
    return (x, y), found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_paths_equal_peeling_by_least_squares(case, device):
    pair, critical = expected(case)
    halves = halves_of(*pair, device=device)
    for name, find in FINDERS.items():
        found = find(halves, device=device).critical_epsilon
        atol = (
            NEAR_COPIES if case in (cases.near_duplicates, cases.everything_at_once) else TOLERANCE
        )
        np.testing.assert_allclose(found, critical[name], atol=atol, err_msg=name)


def copied_on_one_half(rng: np.random.Generator) -> cases.Pair:
    """Dependent neurons, and one on either side that copies another on the first half only."""
    x, y = cases.dependent(rng)
    in_first, _ = split_images(None, len(x), 0)
    for layer in (x, y):
        layer[in_first, 3] = layer[in_first, 1]
    return x, y


@pytest.mark.parametrize("case", [*CASES, copied_on_one_half], ids=lambda case: case.__name__)
def test_rotations_alone_give_the_same_paths(case, monkeypatch):
    """They take over after the first removal, as if it had lost digits."""
    x, y = case(np.random.default_rng(2))
    halves = halves_of(x, y)
    kept = [find(halves, device="cpu").critical_epsilon for find in FINDERS.values()]
    monkeypatch.setattr(updates_halves, "lowest_accurate", lambda highest: 2 * highest)
    for find, expected in zip(FINDERS.values(), kept, strict=True):
        found = find(halves, device="cpu").critical_epsilon
        atol = NEAR_COPIES if case in WITH_NEAR_COPIES else TOLERANCE
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("case", [cases.related, cases.everything_at_once])
def test_blocks_and_chunks_do_not_matter(case, device, monkeypatch):
    x, y = case(np.random.default_rng(2))
    one = sm.cross_fitted_path(halves_of(x, y, device=device), device=device)
    monkeypatch.setattr(SpanUpdates, "BLOCK", 5)
    monkeypatch.setattr(SpanUpdates, "COMPACT", 0.99)
    halves = halves_of(x, y, device=device, chunk_samples=7)
    other = sm.cross_fitted_path(halves, device=device)
    np.testing.assert_allclose(one.critical_epsilon, other.critical_epsilon, atol=TOLERANCE)


@pytest.mark.parametrize("case", [cases.related, cases.dependent, cases.near_duplicates])
def test_two_equal_halves_give_the_match_path(case):
    """Measured where it was fitted, the cross-fitted distance is the distance."""
    pair = sm.reduce(*case(np.random.default_rng(0)), device="cpu")
    equal = sm.HalvedMoments(pair, pair, pair, (pair.samples, pair.samples))
    expected = sm.match_path(pair, device="cpu").critical_epsilon
    for find in FINDERS.values():
        found = find(equal, device="cpu").critical_epsilon
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-7, 1e-5])
def test_a_neuron_that_one_half_does_not_determine_is_in_no_span(noise, first):
    """It copies another neuron on one half, up to noise: the other side matches as without it."""
    x, y = cases.related(np.random.default_rng(3))
    in_first, _ = split_images(None, len(x), 0)
    rng = np.random.default_rng(4)
    near, other = x[:, 2] * (1 + noise * rng.normal(size=len(x))), np.abs(rng.normal(size=len(x)))
    copy = np.where(in_first == first, near, other)
    in_place = np.where(np.arange(x.shape[1]) == 2, copy[:, None], x)
    found, *expected = (
        sm.cross_fitted_path(halves_of(own, y), device="cpu").critical_epsilon_y
        for own in (np.column_stack([x, copy]), x, in_place)
    )
    # Which of the two is in the span is arbitrary.
    differences = [np.abs(found - without).max() for without in expected]
    assert min(differences) <= TOLERANCE < max(differences)


def test_neurons_that_are_linear_on_one_half_only_do_not_hide_the_match():
    """Wide rectified layers of few inputs, whose areas were 0.39 and 0.26.

    Neurons that are active on all images of a half are linear functions of the inputs there, up to
    the rounding of float32, but not on images of the other half on which they are not active.
    """
    rng = np.random.default_rng(3)
    inputs = np.abs(rng.normal(size=(400, 6)))
    x, y = (
        cases.relu(inputs @ (0.5 + rng.normal(size=(6, 40)))).astype(np.float32) for _ in range(2)
    )
    active = np.stack([(half > 0).all(0) for half in on_halves(x)])
    assert active[0].sum() > 6
    assert (active[0] != active[1]).any()
    halves = halves_of(x, y)
    in_sample = sm.match_path(halves.whole, device="cpu").area
    for find in FINDERS.values():
        assert find(halves, device="cpu").area > in_sample - 0.05


def test_every_set_is_a_match():
    """Whatever the order of removal: each neuron is at most epsilon from the others in the set."""
    x, y = cases.related(np.random.default_rng(5))
    path = sm.cross_fitted_path(halves_of(x, y), device="cpu")
    for epsilon in cases.EPSILONS:
        found = path.matched(epsilon)
        if not len(found.x):
            continue
        own_x, own_y = on_halves(x[:, found.x]), on_halves(y[:, found.y])
        for targets, span in ((own_x, own_y), (own_y, own_x)):
            assert (oracles.cross_fitted_distance(targets, span) <= epsilon + TOLERANCE).all()


def test_a_held_out_distance_can_fall_when_the_other_side_shrinks():
    """Unlike the distance: a neuron that predicts nothing on new images adds noise."""
    rng = np.random.default_rng(0)
    target, noise = rng.normal(size=(32, 1)), rng.normal(size=(32, 14))
    span = np.hstack([target + 0.5 * rng.normal(size=(32, 1)), noise])
    halves = on_halves(target), on_halves(span)
    one = tuple(half[:, :1] for half in halves[1])
    held_out = [
        oracles.cross_fitted_distance(halves[0], own, held_out_only=True)
        for own in (one, halves[1])
    ]
    assert held_out[0] < held_out[1]
    assert oracles.relative_distance(target, span[:, :1]) > oracles.relative_distance(target, span)


@pytest.mark.parametrize("images", [9, 10])
def test_as_many_neurons_as_images_of_a_half_give_nan_with_a_note_and_a_warning(images, device):
    x = np.random.default_rng(0).random((40, 5))
    y, image_of = x + 0.1, np.arange(40) % images
    halves = halves_of(x, y, images=image_of)
    for find in FINDERS.values():
        note = f"fewer live neurons than images in a half, found 5 neurons and {images // 2} images"
        with pytest.warns(sm.FewSamplesWarning, match=f"NaN, since .* {note}; use") as caught:
            path = find(halves, device=device)
        assert caught[0].filename == __file__
        assert note in path.note
        assert np.isnan(path.critical_epsilon).all()
        assert np.isnan([path.area, path.similarity(0.3), *path.similarity([0.2, 0.4])]).all()
        assert path.similarity([0.2, 0.4]).shape == (2,)
    x[:, 0] = 0.0  # a dead neuron is in no fit
    y[:, 0] = 0.0
    path = sm.cross_fitted_path(halves_of(x, y, images=image_of), device=device)
    assert (path.note == "") == (images == 10)


def test_halves_share_no_image_and_add_up_to_all_samples(device):
    x, y = cases.related(np.random.default_rng(6))
    images = np.random.default_rng(7).permutation(len(x)) % 31
    in_first, counts = split_images(images, len(x), seed=8)
    assert not set(images[in_first]) & set(images[~in_first])
    assert counts == (15, 16) == tuple(len(set(images[half])) for half in (in_first, ~in_first))
    halves = halves_of(x, y, images=images, seed=8, device=device)
    assert halves.images == counts
    for part, rows in ((halves.first, in_first), (halves.second, ~in_first)):
        alone = sm.reduce(x[rows], y[rows], device=device)
        assert part.samples == rows.sum()
        np.testing.assert_allclose(part.second_moments, alone.second_moments, rtol=1e-12)
        np.testing.assert_allclose(part.factor, alone.factor, atol=1e-12)
    whole = sm.reduce(x, y, device=device)
    for name in ("second_moments", "sums", "length_products", "factor", "centred_factor"):
        found, once = getattr(halves.whole, name), getattr(whole, name)
        np.testing.assert_allclose(found, once, rtol=1e-12, atol=1e-12, err_msg=name)


def test_images_are_split_by_their_seed_and_not_by_their_order():
    images = np.repeat(np.arange(20), 3)
    first, _ = split_images(images, 60, seed=0)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(split_images(images[order], 60, seed=0)[0], first[order])
    assert (split_images(images, 60, seed=1)[0] != first).any()


def test_images_that_do_not_fit_the_samples_are_refused():
    x = np.random.default_rng(0).random((6, 2))
    with raises("images: expected the image of each of 6 samples, found shape (5,)"):
        sm.reduce_halves(x, x, images=range(5))
    with raises("images: expected at least two images, found 1"):
        sm.reduce_halves(x, x, images=[3] * 6)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        ([0, 0, "a", 1, 1, 2], "values of type int and str; pass one number per row of x, or one"),
        ([None, "a", "a", "b", "b", "c"], "values of type NoneType and str; pass one number"),
        (["a", "a", "b", "b", "c", np.nan], "values of type float and str; pass one number"),
        ([None] * 6, "values of type NoneType; pass one number"),
        ([0, 0, 1, np.nan, np.nan, 2], "2 missing ones (nan), the first of sample 3; number them"),
        (np.array([0, 0, 1, 1, 2, np.nan], dtype=object), "values of type float and int"),
        (np.array(["2020", "2021", "NaT"] * 2, "datetime64[Y]"), "2 missing ones (NaT), the first"),
        ([[0], [0, 1], 1, 2, 2, 3], "an object of type list, which is no array; pass one number"),
        ("abcdef", "shape (); pass one number per row of x"),
        (torch.ones(6, device="meta"), "an array of shape (6,), which is no array; pass one"),
    ],
    ids=str,
)
def test_images_without_a_number_are_an_error(images, found):
    x = np.eye(6)[:, :2]
    with raises(f"images: expected the image of each of 6 samples, found {found}"):
        sm.reduce_halves(x, x, images=images)


def test_images_are_numbers_or_names_of_any_kind():
    x, images = np.eye(60)[:, :2], np.arange(60) // 3
    expected = sm.reduce_halves(x, x, images)
    names = np.char.add("image_", np.char.zfill(images.astype(str), 2))
    for same in (
        images.tolist(),
        images + 0.5,
        torch.tensor(images, dtype=torch.float32).requires_grad_(),
        images.astype(object),
        names.tolist(),
        names.astype(object),
    ):
        assert sm.reduce_halves(x, x, same) == expected


def test_few_images_give_a_warning_though_there_are_many_samples():
    x = np.random.default_rng(0).random((100, 5))
    message = r"0\.25 neurons per image \(5 neurons, 20 images\); above 0\.2 part .* chance"
    with pytest.warns(sm.FewSamplesWarning, match=message):
        sm.reduce_halves(x, x, images=np.arange(100) // 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sm.reduce(x, x)


# Simulations: two layers that mix shared features. The distance of most neurons is their own noise.
NEURONS, HIDDEN, REPEATS = 64, 12, 6
Sides = list[np.ndarray]


def mixtures(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (2, HIDDEN, NEURONS) and the sizes of the noise (2, 1, NEURONS)."""
    weights = rng.normal(size=(2, HIDDEN, NEURONS)) / np.sqrt(HIDDEN)
    return weights, np.exp(rng.uniform(np.log(0.08), 0.0, size=(2, 1, NEURONS)))


def paths_of(x: np.ndarray, y: np.ndarray, images: np.ndarray, seed: int) -> dict:
    halves = halves_of(x, y, images=images, seed=seed)
    paths = {name: find(halves, device="cpu") for name, find in FINDERS.items()}
    return paths | {"in-sample": sm.match_path(halves.whole, device="cpu")}


def population(weights: np.ndarray, noise: np.ndarray) -> sm.MatchPath:
    """Return the path of the exact covariance of Gaussian layers."""
    joint = np.hstack(list(weights))
    covariance = joint.T @ joint + np.diag(noise.ravel() ** 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sm.FewSamplesWarning)
        pair = sm.reduce(*np.hsplit(np.linalg.cholesky(covariance).T, 2), device="cpu")
    return sm.match_path(pair, device="cpu")


@pytest.mark.parametrize(
    ("images", "positions", "share", "too_high"),
    [(640, 1, 0.0, 0.01), (160, 1, 0.0, 0.09), (160, 10, 0.9, 0.06)],
    ids=["n/d = .1", "n/d = .4", "n/images = .4, 10 alike positions an image"],
)
def test_few_images_do_not_flatter_the_cross_fitted_similarity(images, positions, share, too_high):
    """The bias is at most 0.02, where that of the match path exceeds ``too_high``."""
    biases: dict[str, list] = {}
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        weights, noise = mixtures(rng)
        truth = population(weights, noise)

        def normal(width: int, rng=rng) -> np.ndarray:
            """Return rows whose correlation within an image is ``share``."""
            of_image = rng.normal(size=(images, 1, width))
            own = rng.normal(size=(images, positions, width))
            return (np.sqrt(share) * of_image + np.sqrt(1 - share) * own).reshape(-1, width)

        hidden = normal(HIDDEN)
        x, y = (hidden @ w + s * normal(NEURONS) for w, s in zip(weights, noise, strict=True))
        for name, path in paths_of(x, y, np.repeat(np.arange(images), positions), seed).items():
            of_grid = path.similarity([0.3, 0.5]) - truth.similarity([0.3, 0.5])
            biases.setdefault(name, []).append([*of_grid, path.area - truth.area])
    bias = {name: np.mean(values, 0) for name, values in biases.items()}
    assert np.abs(bias["cross-fitted"]).max() <= 0.02
    assert bias["in-sample"].min() > 0
    assert bias["in-sample"].max() > too_high
    assert bias["held-out"].max() < 0


def test_at_a_cliff_of_rectified_layers_the_cross_fitted_similarity_falls_short():
    """Just above the epsilon at which most neurons leave together; the area is not affected."""
    biases: dict[str, list] = {}
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        weights, noise = mixtures(rng)[0], rng.uniform(0.2, 0.25, size=(2, 1, NEURONS))

        def layers(samples: int, rng=rng, weights=weights, noise=noise) -> Sides:
            hidden = cases.relu(rng.normal(size=(samples, HIDDEN)))
            return [
                cases.relu(hidden @ w + s * rng.normal(size=(samples, NEURONS)))
                for w, s in zip(weights, noise, strict=True)
            ]

        truth = sm.match_path(sm.reduce(*layers(4000), device="cpu"), device="cpu")
        levels, neurons = np.unique(truth.critical_epsilon, return_counts=True)
        cliff = 1.01 * levels[neurons.argmax()]
        for name, path in paths_of(*layers(320), np.arange(320), seed).items():
            fall = path.similarity(cliff) - truth.similarity(cliff)
            biases.setdefault(name, []).append([fall, path.area - truth.area])
    bias = {name: np.mean(values, 0) for name, values in biases.items()}
    assert bias["cross-fitted"][0] < -0.02
    assert abs(bias["cross-fitted"][1]) <= 0.02
    assert bias["in-sample"].min() > 0
