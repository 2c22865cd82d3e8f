"""A critical epsilon is right to 1e-8, however near neurons are to copies of each other."""

from __future__ import annotations

import exact_oracles
import numpy as np
import pytest
from test_certainty import cluster, copies, exact_squares, relu_copies

import subspace_match as sm
from subspace_match.matching.reduction import moments
from subspace_match.matching.reduction.factor import ACCURACY

SCALES = (1e-8, 1e-7, 1e-6, 2e-6, 5e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 2e-3, 4e-3, 6e-3, 1e-2)


def errors(kind, scale: float, device, **options) -> tuple[np.ndarray, sm.PairMoments]:
    x, y = kind(1, 2_000, scale)
    pair = sm.reduce(x, y, device=device, **options)
    exact = exact_oracles.critical_epsilons(exact_squares(kind, 1, 2_000, scale))
    return sm.match_path(pair, device=device).critical_epsilon - exact, pair


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", [copies, relu_copies, cluster], ids=lambda kind: kind.__name__)
def test_near_copies(kind, scale, device):
    for chunk_samples in (None, 37):
        off, pair = errors(kind, scale, device, chunk_samples=chunk_samples)
        assert np.abs(off).max() <= ACCURACY
        # What is taken off is the tie margin: what it was computed as is nearer.
        assert np.abs(off + pair.tie_margin).max() <= ACCURACY / 2
        # At a tie, the smallest epsilon at which it is in is never missed.
        assert (off <= 0).all()


@pytest.mark.parametrize("scale", [5e-6, 1e-5, 1e-4])
def test_moments_alone_would_not_do(scale, monkeypatch):
    """Without the second read a critical epsilon is off by far more than that."""
    monkeypatch.setattr(moments, "factor_from_moments", lambda scaled, *_: as_moments(scaled))
    off, pair = errors(copies, scale, "cpu")
    assert pair.well_conditioned
    assert np.abs(off).max() > 10 * ACCURACY


def as_moments(scaled: np.ndarray) -> tuple[np.ndarray, float]:
    return np.linalg.cholesky(scaled).T, 0.0


@pytest.mark.parametrize("scale", [0.03, 0.1])
def test_moments_do_where_copies_are_far_enough(scale, device):
    """A second read costs: it is for what needs it."""
    assert errors(relu_copies, scale, device)[1].well_conditioned
    assert errors(relu_copies, scale, device, chunk_samples=1000)[1].well_conditioned


@pytest.mark.parametrize("noise", [3e-9, 1e-9, 3e-10])
def test_a_copy_beside_nearly_dependent_neurons(noise, device):
    """Taken for one that adds a direction, it moved critical epsilons by 2e-2."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        hidden = rng.normal(size=(11, 3))
        x = hidden @ rng.normal(size=(3, 4))
        y = hidden @ rng.normal(size=(3, 8)) + noise * rng.normal(size=(11, 8))
        y[:, 7] = y[:, 3]
        x = x + 0.3 * rng.normal(size=x.shape) * (seed % 2)
        products = exact_oracles.inner_products(x, y)
        exact = exact_oracles.critical_epsilons(
            exact_oracles.squared_critical_epsilons(products, 4)
        )
        for chunk_samples in (None, 1):
            pair = sm.reduce(x, y, device=device, chunk_samples=chunk_samples)
            found = sm.match_path(pair, device=device).critical_epsilon
            # Not to 1e-8: neurons are nearer to each other than that.
            np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6)
