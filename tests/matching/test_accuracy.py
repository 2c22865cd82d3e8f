"""Critical epsilons are accurate to 1e-8, however close near copies are."""

from __future__ import annotations

from functools import cache

import cases
import exact_oracles
import numpy as np
import pytest
from test_certainty import cluster, copies, exact_squares, relu_copies

import subspace_match as sm
from subspace_match.matching.reduction import moments
from subspace_match.matching.reduction.factor import ACCURACY, MomentFactor

SCALES = (1e-8, 1e-7, 1e-6, 2e-6, 5e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 2e-3, 4e-3, 6e-3, 1e-2)


def errors(kind, scale: float, device, **options) -> tuple[np.ndarray, sm.PairMoments]:
    """Return the errors of all critical epsilons against exact arithmetic, and the pair."""
    x, y = kind(1, 2_000, scale)
    pair = sm.reduce(x, y, device=device, **options)
    exact = exact_oracles.critical_epsilons(exact_squares(kind, 1, 2_000, scale))
    return sm.match_path(pair, device=device).critical_epsilon - exact, pair


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", [copies, relu_copies, cluster], ids=lambda kind: kind.__name__)
def test_critical_epsilons_of_near_copies_are_accurate(kind, scale, device):
    for chunk_samples in (None, 37):
        error, pair = errors(kind, scale, device, chunk_samples=chunk_samples)
        assert np.abs(error).max() <= ACCURACY
        # Without the tie margin, which is subtracted, the error is half of that.
        assert np.abs(error + pair.tie_margin).max() <= ACCURACY / 2
        # Never too large, so that a neuron exactly at epsilon is in the match.
        assert (error <= 0).all()


@pytest.mark.parametrize("scale", [5e-6, 1e-5, 1e-4])
def test_moments_alone_are_not_accurate_enough(scale, monkeypatch):
    """Without the second read the error of a critical epsilon is more than ten times larger."""

    def always(scaled: np.ndarray, *_: object) -> MomentFactor:
        return MomentFactor(np.linalg.cholesky(scaled).T, np.zeros(len(scaled)), error=0.0)

    monkeypatch.setattr(moments, "factor_from_moments", always)
    error, pair = errors(copies, scale, "cpu")
    assert pair.well_conditioned
    assert np.abs(error).max() > 10 * ACCURACY


@pytest.mark.parametrize("scale", [0.03, 0.1])
def test_distant_copies_need_no_second_read(scale, device):
    assert errors(relu_copies, scale, device)[1].well_conditioned
    assert errors(relu_copies, scale, device, chunk_samples=1000)[1].well_conditioned


@cache
def beside_nearly_dependent(seed: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two layers and their exact critical epsilons."""
    rng = np.random.default_rng(seed)
    x, y = cases.nearly_dependent(rng, noise)
    x = x + 0.3 * rng.normal(size=x.shape) * (seed % 2)
    products = exact_oracles.inner_products(x, y)
    squares = exact_oracles.squared_critical_epsilons(products, 4)
    return x, y, exact_oracles.critical_epsilons(squares)


@pytest.mark.parametrize("noise", [3e-9, 1e-9, 3e-10])
def test_a_copy_beside_nearly_dependent_neurons_adds_no_direction(noise, device):
    """If it counted as adding a direction, critical epsilons would move by 2e-2."""
    for seed in range(12):
        x, y, exact = beside_nearly_dependent(seed, noise)
        for chunk_samples in (None, 1):
            pair = sm.reduce(x, y, device=device, chunk_samples=chunk_samples)
            found = sm.match_path(pair, device=device).critical_epsilon
            # Less accurate than 1e-8, because neurons are closer to each other than that.
            np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6)
