"""Precision of the other measures, and what they return where they have no value."""

from __future__ import annotations

import math
from fractions import Fraction

import cases
import numpy as np
import pytest
import test_measures as define

import subspace_match as sm
from subspace_match.matching import measures
from subspace_match.matching.measures import MeasureWarning, noted_measures
from subspace_match.matching.null import null_paths
from subspace_match.matching.reduction.factor import factor_from_moments, moment_error
from subspace_match.matching.reduction.second_read import CENTRED_ACCURACY, centred_from_moments

Pair = tuple[np.ndarray, np.ndarray]


def deviations(layer: np.ndarray) -> np.ndarray:
    """Subtract the means in extended precision."""
    extended = layer.astype(np.longdouble)
    return (extended - extended.mean(0)).astype(np.float64)


def defined(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    x, y = deviations(x), deviations(y)
    return {name: definition(x, y) for name, definition in define.DEFINITIONS.items()}


def offset(rng: np.random.Generator, means: float, order: str = "random") -> Pair:
    """Draw related layers; each mean is 0.5 to 1 times ``means`` of its neuron's deviations."""
    hidden = rng.normal(size=(500, 6))
    x = hidden @ rng.normal(size=(6, 8)) + 0.3 * rng.normal(size=(500, 8))
    y = hidden @ rng.normal(size=(6, 5)) + 0.5 * rng.normal(size=(500, 5))
    if order == "sorted":  # so that the first rows are not representative
        by_size = np.argsort(x[:, 0])
        x, y = x[by_size], y[by_size]
    y *= 10.0 ** rng.uniform(-3, 3, 5)
    x += means * x.std(0) * rng.uniform(0.5, 1, 8)
    y -= means * y.std(0) * rng.uniform(0.5, 1, 5)
    return x, y


# Large means


@pytest.mark.parametrize("means", [1, 1e2, 1e3, 3e3, 1e4, 1e5, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["random", "sorted"])
def test_measures_are_accurate_with_large_means(means, dtype, order, device):
    x, y = (layer.astype(dtype) for layer in offset(np.random.default_rng(0), means, order))
    expected = defined(x, y)
    for chunk_samples in (None, 37):
        pair = sm.reduce(x, y, device=device, chunk_samples=chunk_samples)
        assert measures.all_measures(pair) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("means", [3e4, 1e6])
def test_measures_of_a_mix_are_accurate_far_from_zero(means, device):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1_000, 8))
    w = np.float32(z @ rng.normal(size=(8, 8)))
    near = measures.all_measures(sm.reduce(z, w, device=device))
    for x in (z + means, np.float32(z + means)):
        found = measures.all_measures(sm.reduce(x, w, device=device))
        assert found == pytest.approx(defined(x, w), abs=1e-9)
        # Rounding to float32 moves x by 2^-24 of its means: 0.2% of a deviation at 3e4, 6% at 1e6.
        assert found == pytest.approx(near, abs=1e-9 if x.dtype == np.float64 else 2e-3)
    assert near["linear_regression_y"] == pytest.approx(1)


def test_measures_are_accurate_with_means_beyond_float32(device):
    """With means of 1e9 deviations, float64 keeps seven digits of the deviations."""
    x, y = offset(np.random.default_rng(0), 1e9)
    found = measures.all_measures(sm.reduce(x, y, device=device))
    assert found == pytest.approx(defined(x, y), abs=1e-7)


def test_a_neuron_with_a_large_mean_does_not_count_as_constant(device):
    x, y = cases.related(np.random.default_rng(0))
    expected = measures.all_measures(sm.reduce(x, y, device=device))
    x[:, 3] += 1e6
    found = measures.all_measures(sm.reduce(x, y, device=device))
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("noise", [1e-2, 1e-4, 1e-6])
def test_measures_are_accurate_if_neurons_nearly_sum_to_a_constant(noise, device):
    """No mean is large, but the centred neurons are nearly dependent."""
    rng = np.random.default_rng(0)
    x, y = define.with_constants_in_span(rng)
    x, y = (layer * (1 + noise * rng.normal(size=layer.shape)) for layer in (x, y))
    found = measures.all_measures(sm.reduce(x, y, device=device))
    assert found == pytest.approx(defined(x, y), abs=1e-7)


@pytest.mark.parametrize("case", [cases.related, cases.everything_at_once])
def test_a_second_read_gives_the_same_centred_factor(case, monkeypatch, device):
    x, y = case(np.random.default_rng(0))
    expected = sm.reduce(x, y, device=device)
    monkeypatch.setattr("subspace_match.matching.reduction.second_read.CENTRED_ACCURACY", 0.0)
    found = sm.reduce(x, y, device=device)
    one, other = (pair.centred_factor.T @ pair.centred_factor for pair in (found, expected))
    np.testing.assert_allclose(one, other, atol=1e-13)
    np.testing.assert_allclose(found.length_products, expected.length_products, rtol=1e-10)


def test_the_centred_factor_is_refused_where_its_inverse_is_large(device):
    """As if the moments of the centred columns were inverted; on both sides of the limit."""
    kept = set()
    for size in np.linspace(0, 7, 57):
        rng = np.random.default_rng(int(10 * size))
        nearly_constant = 1 + 10.0**-size * rng.normal(size=(500, 1))
        joint = np.concatenate([*offset(rng, 1.0), nearly_constant], axis=1)
        joint /= np.linalg.norm(joint, axis=0)
        moments, means = joint.T @ joint, joint.mean(0) * len(joint) ** 0.5
        error = moment_error(*joint.shape)
        moments, means = device.array(moments), device.array(means)
        factor = factor_from_moments(moments, error, device)
        found = centred_from_moments(moments, factor, means, error, device)
        diagonal = np.diagonal(np.linalg.inv(device.numpy(moments - means[:, None] * means)))
        expected = 6 * error * diagonal.max() <= CENTRED_ACCURACY
        assert (found is not None) == expected
        kept.add(expected)
    assert kept == {True, False}


# Very large and very small values


@pytest.mark.parametrize("sizes", [(1e80, 1), (1e-85, 1), (1e150, 1e-139), (1e120, 1e120)])
def test_measures_do_not_depend_on_the_unit(sizes, device):
    for case in (cases.related, cases.exact_duplicates, cases.gaussian):
        x, y = case(np.random.default_rng(0))
        expected = measures.all_measures(sm.reduce(x, y, device=device))
        found = measures.all_measures(sm.reduce(x * sizes[0], y * sizes[1], device=device))
        if case is cases.exact_duplicates:  # not determined: equal correlations
            del expected["pwcca"], found["pwcca"]
        assert found == pytest.approx(expected, abs=1e-9)


def test_neurons_with_very_different_units_are_accurate(device):
    x, y = cases.related(np.random.default_rng(0))
    x[:, 0] *= 1e140
    y[:, 1] *= 1e-130
    found = measures.all_measures(sm.reduce(x, y, device=device))
    one, other = x[:, :1] / 1e140, np.delete(y, 1, axis=1)
    assert found["linear_cka"] == pytest.approx(define.define_linear_cka(one, other), abs=1e-9)
    assert found["procrustes"] == pytest.approx(define.define_procrustes(one, other), abs=1e-9)


# No value


def has_no_value(found: measures.Noted, *parts: str) -> bool:
    return math.isnan(found.value) and all(part in found.note for part in ("NaN", *parts))


@pytest.mark.parametrize("samples", [100, 100_000])
@pytest.mark.parametrize("value", [0.0, float(np.float32(0.1)), 1 / 3, -1e9 / 7])
def test_a_constant_side_gives_nan_with_a_note(samples, value, device):
    constant = np.full((samples, 3), value)
    y = np.random.default_rng(0).normal(size=(samples, 2))
    found = noted_measures(sm.reduce(constant, y, device=device))
    assert found.pop("linear_regression_y") == (0.0, "")
    assert all(has_no_value(each, "every neuron of x") for each in found.values())
    found = noted_measures(sm.reduce(y, constant, device=device))
    assert found.pop("linear_regression_x") == (0.0, "")
    assert all(has_no_value(each, "every neuron of y") for each in found.values())
    found = noted_measures(sm.reduce(constant, constant, device=device))
    assert all(has_no_value(each, "every neuron of") for each in found.values())


def exact_debiased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Return the definition of Song et al. 2012 in exact arithmetic; NaN for 0 / 0."""
    d = len(x)

    def hsic(one: np.ndarray, other: np.ndarray) -> Fraction:
        k, h = ((side @ side.T).tolist() for side in (one, other))  # Python's integers are exact
        for i in range(d):
            k[i][i] = h[i][i] = 0
        sums_k, sums_h = ([sum(row) for row in gram] for gram in (k, h))
        trace = sum(k[i][j] * h[j][i] for i in range(d) for j in range(d))
        rows = sum(a * b for a, b in zip(sums_k, sums_h, strict=True))
        total = Fraction(sum(sums_k) * sum(sums_h), (d - 1) * (d - 2))
        return trace + total - Fraction(2 * rows, d - 2)

    own = hsic(x, x) * hsic(y, y)
    return float(hsic(x, y)) / math.sqrt(own) if own else math.nan


@pytest.mark.parametrize("live", [1, 2, 3, 7])
@pytest.mark.parametrize("neurons", [1, 3])
@pytest.mark.parametrize("value", [1, 3, 1000])
def test_debiased_cka_is_exact_for_neurons_active_on_few_samples(live, neurons, value, device):
    rng = np.random.default_rng(0)
    x, y = np.zeros((40, neurons), dtype=int), rng.integers(-9, 10, (40, 4))
    x[11 : 11 + live] = value * rng.integers(1, 5, (live, neurons))
    for one, other in ((x, y), (y, x), (x, x)):
        pair = sm.reduce(one, other, device=device)
        found = noted_measures(pair)["debiased_linear_cka"]
        expected = exact_debiased_cka(one, other)
        if live == 1:
            assert math.isnan(expected)
            assert has_no_value(found, "estimate of", "single sample")
        else:
            assert found == (pytest.approx(expected, abs=1e-9), "")


def test_measures_without_a_value_warn(device):
    pair = sm.reduce(np.ones((50, 3)), np.eye(50)[:, :3], device=device)
    with pytest.warns(MeasureWarning, match=r"linear_cka: NaN, since every neuron of x is const"):
        assert math.isnan(sm.linear_cka(pair))
    with pytest.warns(MeasureWarning, match=r"debiased_linear_cka: NaN, .* at least 4 samples"):
        assert math.isnan(sm.debiased_linear_cka(sm.reduce(np.eye(3), np.eye(3), device=device)))


def test_noted_measures_have_the_values_of_all_measures(device):
    pair = sm.reduce(*cases.gaussian(np.random.default_rng(0)), device=device)
    noted = noted_measures(pair)
    assert {name: found.value for name, found in noted.items()} == measures.all_measures(pair)
    assert {found.note for found in noted.values()} == {""}


def test_a_null_has_no_measures_and_the_note_says_what_to_do(device):
    """Its paths need no centred factor, so none is computed."""
    rng = np.random.default_rng(0)
    x, y = offset(rng, 1.0)
    pair = sm.reduce(x, y, device=device)
    (path,) = null_paths(pair, x, y, [rng.permutation(len(x))], device=device)
    found = noted_measures(path.pair)
    assert all(has_no_value(each, "call reduce on x") for each in found.values())
    with pytest.raises(ValueError, match="call reduce on x"):
        measures.canonical_correlations(path.pair)


# Values that are not determined


@pytest.mark.parametrize("side", ["x", "y"])
def test_svcca_warns_if_its_threshold_splits_equal_singular_values(side, device):
    even = np.vstack([np.eye(4), -np.eye(4)])
    uneven = np.random.default_rng(0).normal(size=(8, 3))
    pair = (even, uneven) if side == "x" else (uneven, even)
    pair = sm.reduce(*pair, device=device)
    with pytest.warns(MeasureWarning, match=rf"threshold 0\.5 splits equal .* values of {side}$"):
        sm.svcca(pair, 0.5)
    assert noted_measures(pair)["svcca"].note == ""  # 0.99 keeps all four


def test_pwcca_warns_if_equal_correlations_leave_its_weights_open(device):
    x, y = cases.related(np.random.default_rng(0))
    y[:, :2] = x[:, 3:5]
    noted = noted_measures(sm.reduce(x, y, device=device))["pwcca"]
    assert 0 < noted.value < 1
    assert "not determined" in noted.note
    assert noted_measures(sm.reduce(x, x, device=device))["pwcca"].note == ""


# Bounds


def test_measures_stay_within_their_bounds(device):
    """Layers against themselves, mixes and copies, where rounding could exceed 1."""
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n, d = int(rng.integers(1, 9)), int(rng.integers(10, 40))
        x = rng.normal(size=(d, n)) + 10.0 ** rng.uniform(-2, 4)
        for y in (x, x @ rng.normal(size=(n, n)), -3 * x, x[:, ::-1] + 1):
            found = measures.all_measures(sm.reduce(x, y, device=device))
            for name in ("debiased_linear_cka", "one_to_one"):
                assert -1 <= found.pop(name) <= 1
            assert all(0 <= value <= 1 for value in found.values())
