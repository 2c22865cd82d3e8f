"""The branches of peeling that only dependent layers reach are reached, and hold by themselves."""

from __future__ import annotations

import cases
import numpy as np
import pytest

import subspace_match as sm
from subspace_match.matching.peeling import peel as peeling
from subspace_match.matching.peeling import spans
from subspace_match.matching.peeling import updates_numpy as removals_on_cpu
from subspace_match.matching.peeling import updates_torch as removals_on_torch
from subspace_match.matching.peeling.spans import factor_spans
from subspace_match.matching.peeling.updates_numpy import RemovalsOnCpu
from subspace_match.matching.peeling.updates_rotation import RemovalsByRotation
from subspace_match.matching.peeling.updates_torch import RemovalsOnTorch
from subspace_match.matching.reduction import moments


@pytest.fixture
def counts(monkeypatch):
    """Counts of factorisations and exchanges."""
    counted = {"factorisations": 0, "exchanges": 0}

    def counting_factor_spans(*args, **options):
        counted["factorisations"] += 1
        return factor_spans(*args, **options)

    def counting(remove):
        def counting_remove(self, which):
            in_basis = ~self._reserve if isinstance(self, RemovalsByRotation) else self._basis
            basis, reserve = in_basis + 0.0, float(self._reserve.sum())
            remained = remove(self, which)
            neuron = int(self._order[which]) if isinstance(self, RemovalsOnTorch) else which
            counted["exchanges"] += bool(basis[neuron] > 0) and float(self._reserve.sum()) < reserve
            return remained

        return counting_remove

    def counting_by_rotation(*args):
        counted["factorisations"] += 1
        return by_rotation(*args)

    by_rotation = peeling._by_rotation
    monkeypatch.setattr(peeling, "factor_spans", counting_factor_spans)
    monkeypatch.setattr(peeling, "_by_rotation", counting_by_rotation)
    kinds = RemovalsOnCpu, RemovalsOnTorch, RemovalsByRotation
    for kind, name in zip(kinds, ("_remove", "_remove_or_exchange", "_remove"), strict=True):
        monkeypatch.setattr(kind, name, counting(getattr(kind, name)))
    return counted


def count(case, counts, device) -> dict[str, int]:
    sm.match_path(sm.reduce(*case(np.random.default_rng(0)), device=device), device=device)
    return counts


def test_independent_layers_are_factored_once(counts, device):
    assert count(cases.related, counts, device) == {"factorisations": 1, "exchanges": 0}


def test_copies_and_sums_are_exchanged(counts, device):
    assert count(cases.exact_duplicates, counts, device)["exchanges"] > 0
    assert counts["factorisations"] == 1


@pytest.mark.parametrize(
    "case",
    [cases.near_duplicates, cases.half_near_copies, cases.copies_at_every_scale],
    ids=lambda case: case.__name__,
)
def test_near_copies_are_factored_anew_once(case, counts, device):
    """However many neurons have near copies, it takes no more than one new factorisation."""
    assert count(case, counts, device)["factorisations"] == 2


def test_exchange_and_new_factors_in_one_path(counts, device):
    assert count(cases.wide_and_dependent, counts, device)["exchanges"] > 5
    assert counts["factorisations"] == 2


@pytest.mark.parametrize("case", [cases.related, cases.dependent], ids=lambda case: case.__name__)
def test_state_after_a_block_equals_a_fresh_factorisation(case, device, monkeypatch):
    """W and the distances after removals and exchanges are those of what remains, factored anew."""
    pair = sm.reduce(*case(np.random.default_rng(4)), device=device)
    factor = device.array(pair.factor)
    x, y = np.split(np.arange(factor.shape[1]), [pair.neurons_x])
    for module in (removals_on_cpu, removals_on_torch):
        monkeypatch.setattr(module, "BLOCK", 12)
    independent = pair.well_conditioned, pair.well_conditioned
    state = peeling._removals(
        factor_spans(factor, x, y, device, independent=independent), len(x), device
    )
    removed, _, intact = state.remove_block()
    assert intact
    assert len(removed) == 12
    state._compact()
    basis = device.numpy(state._basis > 0)
    for of_side in (state._neurons < pair.neurons_x, state._neurons >= pair.neurons_x):
        own = pair.factor[:, state._neurons[of_side & basis]]
        rows = device.numpy(state._matrix)[of_side & basis]
        inverse = np.linalg.pinv(own)
        np.testing.assert_allclose(rows[:, of_side & basis], inverse @ inverse.T, atol=1e-9)
        others = pair.factor[:, state._neurons[~of_side]]
        np.testing.assert_allclose(rows[:, ~of_side], inverse @ others, atol=1e-9)
        reserve = pair.factor[:, state._neurons[of_side & ~basis]]
        np.testing.assert_allclose(rows[:, of_side & ~basis], inverse @ reserve, atol=1e-9)
        squares = ((others - own @ (inverse @ others)) ** 2).sum(0)
        found = device.numpy(state._residual)[~of_side]
        np.testing.assert_allclose(found, squares, atol=1e-11)


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_the_path_is_the_same_everywhere(case, device):
    pair = sm.reduce(*case(np.random.default_rng(6)), device="cpu")
    expected = sm.match_path(pair, device="cpu")
    found = sm.match_path(pair, device=device)
    for side in ("critical_epsilon_x", "critical_epsilon_y"):
        np.testing.assert_allclose(getattr(found, side), getattr(expected, side), atol=1e-7)


@pytest.mark.parametrize("near", [0.5, 1e-4])
def test_products_only_where_they_are_safe(near, device, monkeypatch):
    """A side's products take its place where its neurons are far from dependent, and only there.

    Even if the moments were taken where the samples are read a second time.
    """
    factored = device.cholesky
    monkeypatch.setattr(moments, "factor_from_moments", lambda scaled, *_: (factored(scaled), 0.0))
    x, y = cases.related(np.random.default_rng(0))
    y[:, 5] = y[:, 6] + near * np.abs(np.random.default_rng(1).normal(size=len(y)))
    pair = sm.reduce(x, y, device=device)
    assert pair.well_conditioned
    factor = device.array(pair.factor)
    sides = np.split(np.arange(factor.shape[1]), [pair.neurons_x])
    products = device.array(pair.unit_products)
    of_y = products[pair.neurons_x :, pair.neurons_x :]
    assert (spans._factor_products(of_y, device) is not None) == (near > 1e-3)
    one, other = (
        factor_spans(factor, *sides, device, independent=(True, True), products=given)
        for given in (None, products)
    )
    for name in ("coefficients", "residual"):
        expected, found = (device.numpy(getattr(way, name)) for way in (one, other))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


def test_first_exhausted():
    of_x = np.array([True, False, True, False, False])
    assert peeling._first_exhausted(of_x, 2, 5) == 3
    assert peeling._first_exhausted(of_x, 3, 2) == 4
    assert peeling._first_exhausted(of_x, 5, 5) == 5
