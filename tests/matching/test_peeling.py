"""The branches of peeling that only dependent layers reach are reached, and are correct."""

from __future__ import annotations

import cases
import numpy as np
import pytest
from helpers import path_of

import subspace_match as sm
from subspace_match.matching.peeling import halves, peel, spans
from subspace_match.matching.peeling.spans import SAFE_PRODUCT, factor_spans
from subspace_match.matching.peeling.updates import SpanUpdates
from subspace_match.matching.peeling.updates_numpy import NumpyUpdates
from subspace_match.matching.peeling.updates_rotation import RotationUpdates
from subspace_match.matching.peeling.updates_torch import TorchUpdates
from subspace_match.matching.rank import basis_first


@pytest.fixture
def counts(monkeypatch):
    """Count factorisations and exchanges."""
    counted = {"factorisations": 0, "exchanges": 0}

    def counting_factorisations(factor):
        def counting(*args, **options):
            counted["factorisations"] += 1
            return factor(*args, **options)

        return counting

    def counting_exchanges(remove):
        def counting(self, which):  # an exchange moves a dependent neuron into the basis
            in_basis = ~self._dependent if isinstance(self, RotationUpdates) else self._basis
            basis, dependent = in_basis + 0.0, float(self._dependent.sum())
            result = remove(self, which)
            neuron = int(self._order[which]) if isinstance(self, TorchUpdates) else which
            fewer = float(self._dependent.sum()) < dependent
            counted["exchanges"] += bool(basis[neuron] > 0) and fewer
            return result

        return counting

    for name in ("factor_spans", "_updates_by_rotation"):
        monkeypatch.setattr(peel, name, counting_factorisations(getattr(peel, name)))
    kinds = NumpyUpdates, TorchUpdates, RotationUpdates
    for kind, name in zip(kinds, ("_remove", "_remove_or_exchange", "_remove"), strict=True):
        monkeypatch.setattr(kind, name, counting_exchanges(getattr(kind, name)))
    return counted


def count(case, counts, device) -> dict[str, int]:
    path_of(*case(np.random.default_rng(0)), device)
    return counts


def test_independent_layers_are_factored_once(counts, device):
    assert count(cases.related, counts, device) == {"factorisations": 1, "exchanges": 0}


def test_removing_a_copied_neuron_is_an_exchange(counts, device):
    assert count(cases.exact_duplicates, counts, device)["exchanges"] > 0
    assert counts["factorisations"] == 1


@pytest.mark.parametrize(
    "case",
    [cases.near_duplicates, cases.half_near_copies, cases.copies_at_every_scale],
    ids=lambda case: case.__name__,
)
def test_near_copies_are_factored_again_once(case, counts, device):
    """One new factorisation suffices, however many neurons have near copies."""
    assert count(case, counts, device)["factorisations"] == 2


def test_one_path_can_have_exchanges_and_a_second_factorisation(counts, device):
    assert count(cases.wide_and_dependent, counts, device)["exchanges"] > 5
    assert counts["factorisations"] == 2


@pytest.mark.parametrize("case", [cases.related, cases.dependent], ids=lambda case: case.__name__)
def test_state_after_a_block_equals_a_fresh_factorisation(case, device, monkeypatch):
    """W and the distances are those of the remaining neurons."""
    pair = sm.reduce(*case(np.random.default_rng(4)), device=device)
    factor = device.array(pair.factor)
    x, y = np.split(np.arange(factor.shape[1]), [pair.neurons_x])
    monkeypatch.setattr(SpanUpdates, "BLOCK", 12)
    factored = factor_spans(factor, x, y, device, independent=pair.well_conditioned)
    state = peel.updates_for(factored, len(x), device)
    removed, _, accurate = state.remove_block()
    assert accurate
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
        dependent = pair.factor[:, state._neurons[of_side & ~basis]]
        np.testing.assert_allclose(rows[:, of_side & ~basis], inverse @ dependent, atol=1e-9)
        squares = ((others - own @ (inverse @ others)) ** 2).sum(0)
        found = device.numpy(state._residual)[~of_side]
        np.testing.assert_allclose(found, squares, atol=1e-11)


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_the_path_is_the_same_on_every_device(case, device):
    pair = sm.reduce(*case(np.random.default_rng(6)), device="cpu")
    expected = sm.match_path(pair, device="cpu")
    found = sm.match_path(pair, device=device)
    for side in ("critical_epsilon_x", "critical_epsilon_y"):
        np.testing.assert_allclose(getattr(found, side), getattr(expected, side), atol=1e-7)


@pytest.mark.parametrize("distance", [0.5, 0.01])
def test_products_of_well_conditioned_pairs_give_the_same_spans(distance, device):
    """Both below and above the limit up to which P is multiplied by S'T."""
    x, y = cases.related(np.random.default_rng(0))
    y[:, 5] = y[:, 6] + distance * np.abs(np.random.default_rng(1).normal(size=len(y)))
    pair = sm.reduce(x, y, device=device)
    assert pair.well_conditioned
    factor = device.array(pair.factor)
    sides = np.split(np.arange(factor.shape[1]), [pair.neurons_x])
    by_qr, by_products = (
        factor_spans(factor, *sides, device, independent=True, products=products)
        for products in (None, pair.unit_products_on(device))
    )
    inverse = device.numpy(by_qr.coefficients).diagonal()[pair.neurons_x :]
    assert (inverse.max() < SAFE_PRODUCT) == (distance == 0.5)
    for name in ("coefficients", "residual"):
        expected, found = (device.numpy(getattr(both, name)) for both in (by_qr, by_products))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


def test_removals_are_counted_until_one_side_is_empty():
    sides = np.array([0, 1, 0, 1, 1])
    assert peel.removals_until_empty(sides, (2, 5)) == 3
    assert peel.removals_until_empty(sides, (3, 2)) == 4
    assert peel.removals_until_empty(sides, (5, 5)) == 5
    assert peel.removals_until_empty(np.array([2, 0, 1, 2]), (3, 3, 2)) == 4


@pytest.mark.parametrize(
    ("distance", "samples", "pivoted"),
    [(1.0, 50, False), (1e-5, 50, True), (1.0, 25, True)],
    ids=["independent", "a near copy", "fewer samples than neurons"],
)
def test_only_sides_that_may_be_dependent_are_factored_by_pivoted_qr(
    distance, samples, pivoted, device, monkeypatch
):
    """With few samples both sides together are dependent, and each alone usually is not."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2 * samples, 30))
    for half in (slice(0, samples), slice(samples, None)):
        x[half, 1] = x[half, 0] + distance * rng.normal(size=samples)
    pair, in_halves = sm.reduce(x[:samples], y[:samples], device=device), sm.reduce_halves(x, y)
    assert not pair.well_conditioned

    def paths():
        measured = [sm.match_path(pair, device=device)]
        if samples > 30:
            measured.append(sm.cross_fitted_path(in_halves, device=device))
        return [path.critical_epsilon for path in measured]

    calls = []
    for module in (spans, halves):
        monkeypatch.setattr(
            module, "basis_first", lambda columns: calls.append(1) or basis_first(columns)
        )
    found = paths()
    assert bool(calls) == pivoted
    for module in (spans, halves):
        monkeypatch.setattr(module, "clearly_independent", lambda *_: False)
    for one, other in zip(found, paths(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)
