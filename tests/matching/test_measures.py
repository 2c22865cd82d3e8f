"""The other measures against their definitions on activations, and their invariances."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import cases
import numpy as np
import oracles
import pytest
import scipy.linalg
import scipy.optimize
from helpers import pair_of, raises

import subspace_match as sm
from subspace_match.matching import measures

Pair = tuple[np.ndarray, np.ndarray]


# Definitions on activations


def centred(layer: np.ndarray) -> np.ndarray:
    """Subtract means and drop neurons whose deviations are below 1e-6 of their norm."""
    deviations = layer - layer.mean(0)
    return deviations[:, np.linalg.norm(deviations, axis=0) > 1e-6 * np.linalg.norm(layer, axis=0)]


def basis(layer: np.ndarray, tolerance: float = 1e-10) -> np.ndarray:
    """Return an orthonormal basis of the columns' span, by SVD of columns scaled to norm 1."""
    norms = np.linalg.norm(layer, axis=0)
    left, values, _ = np.linalg.svd(layer[:, norms > 0] / norms[norms > 0], full_matrices=False)
    return left[:, values > tolerance * len(norms)]


def hsic(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Return HSIC_1 of Song et al. 2012, equation 5, times d (d - 3)."""
    k, h = (gram - np.diag(np.diagonal(gram)) for gram in (gram_x, gram_y))
    d = len(k)
    product = k.sum() * h.sum() / ((d - 1) * (d - 2)) - 2 / (d - 2) * (k @ h).sum()
    return float(np.trace(k @ h) + product)


def define_linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Use (d, d) kernel matrices of centred activations."""
    k, h = centred(x) @ centred(x).T, centred(y) @ centred(y).T
    return float(np.sum(k * h) / np.sqrt(np.sum(k * k) * np.sum(h * h)))


def define_debiased_linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Centring does not change it, but keeps precision when means are large."""
    k, h = ((layer - layer.mean(0)) @ (layer - layer.mean(0)).T for layer in (x, y))
    return float(hsic(k, h) / np.sqrt(hsic(k, k) * hsic(h, h)))


def define_mean_cca(x: np.ndarray, y: np.ndarray) -> float:
    values = np.linalg.svd(basis(centred(x)).T @ basis(centred(y)), compute_uv=False)
    return float(values.mean())


def define_svcca(x: np.ndarray, y: np.ndarray, variance: float = 0.99) -> float:
    leading = []
    for layer in (x, y):
        left, values, _ = np.linalg.svd(centred(layer), full_matrices=False)
        carried = np.cumsum(values**2) / np.sum(values**2)
        leading.append(left[:, : int((carried < variance).sum()) + 1])
    return float(np.linalg.svd(leading[0].T @ leading[1], compute_uv=False).mean())


def define_pwcca(x: np.ndarray, y: np.ndarray) -> float:
    basis_x = basis(centred(x))
    left, values, _ = np.linalg.svd(basis_x.T @ basis(centred(y)), full_matrices=False)
    variables = basis_x @ left
    weights = np.abs(variables.T @ centred(x)).sum(1)
    return float(weights @ values / weights.sum())


def define_procrustes(x: np.ndarray, y: np.ndarray) -> float:
    """Compute the best rotation, apply it, and take the inner product."""
    width = max(x.shape[1], y.shape[1])
    x, y = (np.pad(layer, ((0, 0), (0, width - layer.shape[1]))) for layer in (x, y))
    x, y = x - x.mean(0), y - y.mean(0)
    rotation, _ = scipy.linalg.orthogonal_procrustes(y, x)
    return float(np.sum(x * (y @ rotation)) / (np.linalg.norm(x) * np.linalg.norm(y)))


def define_regression_x(x: np.ndarray, y: np.ndarray) -> float:
    predictors = basis(centred(y))
    rest = centred(x) - predictors @ (predictors.T @ centred(x))
    return float(1 - np.sum(rest**2) / np.sum(centred(x) ** 2))


def define_regression_y(x: np.ndarray, y: np.ndarray) -> float:
    return define_regression_x(y, x)


def define_one_to_one(x: np.ndarray, y: np.ndarray) -> float:
    width = centred(x).shape[1]
    correlations = np.corrcoef(centred(x).T, centred(y).T)[:width, width:]
    rows, columns = scipy.optimize.linear_sum_assignment(-correlations)
    return float(correlations[rows, columns].mean())


MEASURES: dict[str, Callable[[sm.PairMoments], float]] = {
    "linear_cka": sm.linear_cka,
    "debiased_linear_cka": sm.debiased_linear_cka,
    "mean_cca": sm.mean_cca,
    "svcca": sm.svcca,
    "pwcca": sm.pwcca,
    "procrustes": sm.procrustes,
    "linear_regression_x": sm.linear_regression,
    "linear_regression_y": lambda pair: sm.linear_regression(pair, "y"),
    "one_to_one": sm.one_to_one,
}
DEFINITIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "linear_cka": define_linear_cka,
    "debiased_linear_cka": define_debiased_linear_cka,
    "mean_cca": define_mean_cca,
    "svcca": define_svcca,
    "pwcca": define_pwcca,
    "procrustes": define_procrustes,
    "linear_regression_x": define_regression_x,
    "linear_regression_y": define_regression_y,
    "one_to_one": define_one_to_one,
}

# Layers with near copies: canonical variables along directions of size 1e-7 to 1e-8 lose that much
# precision.
NEARLY_DEPENDENT = {"near_duplicates", "everything_at_once", "copies_at_every_scale"}
NEARLY_DEPENDENT |= {"wide_and_dependent", "ill_conditioned"}
ALIVE = [case for case in cases.CASES if not case.__name__.startswith("dead_side")]


def with_large_means(rng: np.random.Generator) -> Pair:
    x, y = cases.related(rng)
    return x + rng.uniform(0, 100, x.shape[1]), y + rng.uniform(0, 100, y.shape[1])


def with_constants(rng: np.random.Generator) -> Pair:
    x, y = cases.dead_neurons(rng)
    x[:, 3], y[:, 5] = 0.1, 1e5 / 3
    return x, y


def with_constants_in_span(rng: np.random.Generator) -> Pair:
    """Neurons sum to 1, as after a softmax, so centring removes a direction."""
    x, y = (np.exp(layer) for layer in cases.gaussian(rng))
    return x / x.sum(1, keepdims=True), y / y.sum(1, keepdims=True)


MORE = [with_large_means, with_constants, with_constants_in_span]


@pytest.mark.parametrize("case", [*ALIVE, *MORE], ids=lambda case: case.__name__)
def test_measures_equal_their_definitions(case):
    x, y = case(np.random.default_rng(1))
    pair = pair_of(x, y)
    names = list(DEFINITIONS)
    if case is cases.exact_duplicates:
        # Several shared neurons: equal correlations, so canonical variables are not determined.
        names.remove("pwcca")
    found = {name: MEASURES[name](pair) for name in names}
    expected = {name: DEFINITIONS[name](x, y) for name in names}
    tolerance = 1e-5 if case.__name__ in NEARLY_DEPENDENT else 1e-10
    if case is with_large_means:  # squares are 1e4 times those of centred activations
        tolerance = 1e-8
    assert found == pytest.approx(expected, abs=tolerance)


def test_all_measures_lists_every_measure_by_name():
    x, y = cases.related(np.random.default_rng(1))
    pair = pair_of(x, y)
    expected = {name: measure(pair) for name, measure in MEASURES.items()}
    assert list(measures.all_measures(pair).items()) == list(expected.items())


def test_shifting_neurons_does_not_change_the_definition_of_debiased_cka():
    """So the definition may use centred activations."""
    x, y = cases.related(np.random.default_rng(0))
    grams = [layer @ layer.T for layer in (x, y, x + 3, y - 2)]
    assert hsic(*grams[:2]) == pytest.approx(hsic(*grams[2:]), rel=1e-9)


def test_unrelated_layers_have_an_average_of_0_with_debiased_cka_only():
    plain, debiased = [], []
    for seed in range(200):
        x, y = np.random.default_rng(seed).normal(size=(2, 30, 20))
        plain.append(sm.linear_cka(pair_of(x, y)))
        debiased.append(sm.debiased_linear_cka(pair_of(x, y)))
    assert min(plain) > 0.3
    assert abs(np.mean(debiased)) < 3 * np.std(debiased) / np.sqrt(200)
    assert min(debiased) < 0


@pytest.mark.parametrize("case", [*ALIVE, *MORE], ids=lambda case: case.__name__)
@pytest.mark.parametrize("target", ["x", "y"])
def test_regression_without_intercept_equals_relative_distances(case, target):
    """sum |x|^2 r(x | Y)^2 / sum |x|^2 = 1 - R^2."""
    x, y = case(np.random.default_rng(2))
    found = sm.linear_regression(pair_of(x, y), target, centred=False)
    x, y = (layer[:, np.abs(layer).max(0) > 0] for layer in (x, y))
    predicted, predictors = (x, y) if target == "x" else (y, x)
    squares = np.sum(predicted**2, axis=0)
    distances = oracles.relative_distance(predicted, predictors)
    # Singular values down to 1e-6, but moments are accurate enough: 1e-15 / 1e-6.
    narrow = cases.ill_conditioned, cases.copies_at_every_scale
    tolerance = 1e-8 if case in narrow else 1e-10
    assert 1 - found == pytest.approx(squares @ distances**2 / squares.sum(), abs=tolerance)


@pytest.mark.parametrize("case", [*ALIVE, *MORE], ids=lambda case: case.__name__)
def test_a_layer_against_itself_gives_1(case):
    x, _ = case(np.random.default_rng(3))
    found = measures.all_measures(pair_of(x, x))
    assert found == pytest.approx(dict.fromkeys(found, 1.0), abs=1e-7)


@pytest.mark.parametrize("case", [*ALIVE, *MORE], ids=lambda case: case.__name__)
def test_measures_are_within_bounds_and_symmetric(case):
    found = measures.all_measures(pair_of(*case(np.random.default_rng(4))))
    assert -1 <= found.pop("debiased_linear_cka") <= 1
    assert all(0 <= value <= 1 for value in found.values())
    found_back = measures.all_measures(pair_of(*reversed(case(np.random.default_rng(4)))))
    for name in ("linear_cka", "mean_cca", "svcca", "procrustes", "one_to_one"):
        assert found[name] == pytest.approx(found_back[name], abs=1e-6)
    assert found["linear_regression_x"] == pytest.approx(
        found_back["linear_regression_y"], abs=1e-6
    )


# Invariances: which changes of one side leave a measure unchanged

WIDTH = 12


def shift(layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return layer + rng.normal(size=WIDTH)


def scale_all(layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return layer * rng.uniform(3, 4)


def permute(layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return layer[:, rng.permutation(WIDTH)]


def rotate(layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return layer @ np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]


def scale_each(layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return layer * rng.uniform(0.2, 5, WIDTH)


def mix(layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return layer @ rng.normal(size=(WIDTH, WIDTH))


def copy_one(layer: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.hstack([layer, layer[:, :1]])


ALL = {shift, scale_all, permute}
KEEPS_X = {
    "linear_cka": ALL | {rotate},
    "debiased_linear_cka": ALL | {rotate},
    "svcca": ALL | {rotate},
    "procrustes": ALL | {rotate},
    "mean_cca": ALL | {rotate, scale_each, mix, copy_one},
    "pwcca": ALL,
    "linear_regression_x": ALL | {rotate},
    "linear_regression_y": ALL | {rotate, scale_each, mix, copy_one},
    # A copy of a neuron can replace a worse match, so copy_one is not in this set.
    "one_to_one": ALL | {scale_each},
}
KEEPS_Y = KEEPS_X | {
    "pwcca": KEEPS_X["mean_cca"],
    "linear_regression_x": KEEPS_X["linear_regression_y"],
    "linear_regression_y": KEEPS_X["linear_regression_x"],
}
CHANGES = [shift, scale_all, permute, rotate, scale_each, mix, copy_one]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("side", ["x", "y"])
def test_each_change_leaves_exactly_the_invariant_measures_unchanged(change, side):
    rng = np.random.default_rng(5)
    x, y = cases.related(rng, WIDTH, WIDTH, 200)

    def measure(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        return measures.all_measures(pair_of(x, y))

    before = measure(x, y)
    after = measure(change(x, rng), y) if side == "x" else measure(x, change(y, rng))
    kept = {name for name in before if after[name] == pytest.approx(before[name], abs=1e-9)}
    changed = {name for name in before if abs(after[name] - before[name]) > 1e-6}
    expected = KEEPS_X if side == "x" else KEEPS_Y
    assert kept == {name for name, changes in expected.items() if change in changes}
    assert changed == set(before) - kept


def test_cca_is_1_with_few_samples():
    """Any index invariant to invertible mixes is then constant (Kornblith et al. 2019)."""
    x, y = np.random.default_rng(0).normal(size=(2, 20, 25))
    pair = pair_of(x, y)
    assert sm.mean_cca(pair) == pytest.approx(1)
    assert sm.pwcca(pair) == pytest.approx(1)
    assert sm.linear_regression(pair) == pytest.approx(1)
    assert sm.linear_cka(pair) < 0.9
    assert len(measures.canonical_correlations(pair)) == 19


def test_one_to_one_matching_finds_the_permutation_and_skips_constants():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 6))
    y = x[:, [4, 2, 0, 5]] + 0.1 * rng.normal(size=(100, 4))
    x[:, 1], y[:, 1] = 0.0, 3.0
    found = measures.one_to_one_matching(pair_of(x, y))
    assert found.x.tolist() == [0, 4, 5]
    assert found.y.tolist() == [2, 0, 3]
    expected = [np.corrcoef(x[:, i], y[:, j])[0, 1] for i, j in ((0, 2), (4, 0), (5, 3))]
    np.testing.assert_allclose(found.correlations, expected, rtol=1e-12)
    assert sm.one_to_one(pair_of(x, y)) == pytest.approx(np.mean(expected))


def test_one_to_one_can_be_negative():
    x = np.random.default_rng(0).normal(size=(30, 1))
    assert sm.one_to_one(pair_of(x, -x)) == pytest.approx(-1)


@pytest.mark.parametrize("variance", [0.3, 0.5, 0.9, 0.99, 1.0])
def test_svcca_keeps_the_requested_variance(variance):
    x, y = cases.low_rank_plus_noise(np.random.default_rng(0))
    assert sm.svcca(pair_of(x, y), variance) == pytest.approx(
        define_svcca(x, y, variance), abs=1e-9
    )


def test_rounding_adds_no_component_to_svcca():
    """Two of four components with equal variance explain half of it."""
    x = np.vstack([np.eye(4), -np.eye(4)])
    y = x * [1, 1, 0.1, 0.1] + 5
    assert sm.svcca(pair_of(y, y), 0.5) == pytest.approx(1)
    assert sm.svcca(pair_of(x, x), 1.0) == pytest.approx(1)


@pytest.mark.parametrize("dead", ["x", "y", "both"])
@pytest.mark.parametrize("value", [0.0, 0.1], ids=["dead", "constant"])
def test_a_side_without_variance_gives_nan(dead, value):
    x, y = cases.related(np.random.default_rng(0))
    if dead in ("x", "both"):
        x[:] = value
    if dead in ("y", "both"):
        y[:] = value
    found = measures.all_measures(pair_of(x, y))
    # Predicting a constant side is undefined; predicting from one explains 0.
    if dead == "x":
        assert found.pop("linear_regression_y") == 0
    if dead == "y":
        assert found.pop("linear_regression_x") == 0
    assert all(math.isnan(number) for number in found.values())


def test_constant_neurons_change_nothing():
    x, y = cases.related(np.random.default_rng(0))
    before = measures.all_measures(pair_of(x, y))
    constant = np.tile([0.0, 0.1, -1e4], (len(x), 1))
    after = measures.all_measures(pair_of(np.hstack([x, constant]), np.hstack([constant, y])))
    assert after == pytest.approx(before, abs=1e-10)


def test_one_sample_gives_nan():
    found = measures.all_measures(pair_of(np.ones((1, 2)), np.ones((1, 3))))
    assert all(math.isnan(number) for number in found.values())


def test_measures_do_not_change_the_moments():
    pair = pair_of(*cases.everything_at_once(np.random.default_rng(0)))
    before = copy.deepcopy(pair)
    measures.all_measures(pair)
    for name in ("second_moments", "sums", "length_products", "factor", "centred_factor"):
        np.testing.assert_array_equal(getattr(pair, name), getattr(before, name))


@pytest.mark.parametrize("variance", [0, -1, 1.01, math.nan])
def test_svcca_rejects_an_invalid_variance(variance):
    pair = pair_of(*cases.gaussian(np.random.default_rng(0)))
    with pytest.raises(ValueError, match=rf"variance: expected .* in \(0, 1\], found {variance}"):
        sm.svcca(pair, variance)


def test_regression_rejects_an_unknown_target():
    pair = pair_of(*cases.gaussian(np.random.default_rng(0)))
    with pytest.raises(ValueError, match=r"target: expected 'x' or 'y', .* found 'z'"):
        sm.linear_regression(pair, "z")


def test_debiased_cka_of_too_few_samples_gives_nan():
    x = np.random.default_rng(0).normal(size=(4, 9))
    assert math.isnan(sm.debiased_linear_cka(pair_of(x[:3], x[:3])))
    assert sm.debiased_linear_cka(pair_of(x, x)) == pytest.approx(1)


# Measures of two arrays


@pytest.mark.parametrize(
    "name",
    [
        *("linear_cka", "debiased_linear_cka", "mean_cca", "svcca", "pwcca", "procrustes"),
        *("linear_regression", "one_to_one", "all_measures"),
    ],
)
def test_measures_take_two_arrays_in_place_of_their_moments(name: str) -> None:
    x, y = cases.related(np.random.default_rng(0))
    measure = getattr(sm, name)
    assert measure(x, y) == measure(sm.reduce(x, y, device="cpu"))


def test_options_follow_the_arrays() -> None:
    x, y = cases.related(np.random.default_rng(0))
    pair = sm.reduce(x, y, device="cpu")
    assert sm.linear_regression(x, y, "y") == sm.linear_regression(pair, target="y")
    assert sm.svcca(x, y, variance=0.5) == sm.svcca(pair, 0.5)


def test_a_measure_of_one_array_is_refused() -> None:
    x, _ = cases.related(np.random.default_rng(0))
    message = "linear_cka: expected the moments of a pair, from reduce, or two arrays (samples,"
    with raises(message, "found ndarray; call linear_cka(x, y) or linear_cka(reduce(x, y))"):
        sm.linear_cka(x)
    with raises("linear_regression: expected", "found ndarray, str"):
        sm.linear_regression(x, "y")
