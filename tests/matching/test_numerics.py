"""Float64 is accurate enough for ill-conditioned layers and long peels; doubts are flagged."""

from __future__ import annotations

from functools import cache

import cases
import numpy as np
import oracles
import pytest
from helpers import path_of

import subspace_match as sm
from subspace_match.matching import certificate
from subspace_match.matching.backends import resolve_device
from subspace_match.matching.backends.base import Device, DeviceLike
from subspace_match.matching.peeling import peel, updates, updates_numpy

EPSILONS = (0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 0.9)
DRIFT = 1e-7  # largest error of peeling's distances on the worst layers
HARD = (*cases.CASES, cases.exact_differences)


def conditioned(
    rng: np.random.Generator, condition: float, neurons: int = 40, samples: int = 300
) -> cases.Pair:
    """Return two related float32 layers with singular values stretched to a condition number."""
    hidden = rng.normal(size=(samples, neurons // 2))

    def layer() -> np.ndarray:
        noise = rng.uniform(0.001, 0.5, neurons) * rng.normal(size=(samples, neurons))
        mixed = cases.relu(hidden @ rng.normal(size=(neurons // 2, neurons)) + noise)
        left, sizes, right = np.linalg.svd(mixed, full_matrices=False)
        power = np.log(condition) / np.log(sizes[0] / sizes[-1])
        return (left * sizes**power @ right).astype(np.float32)

    return layer(), layer()


@pytest.mark.parametrize("condition", [1.0, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("seed", range(4))
def test_certain_matches_equal_the_oracle_at_condition_numbers(condition, seed, device):
    """At nearly every epsilon the match is certain."""
    x, y = conditioned(np.random.default_rng(seed), condition)
    for layer in (x, y):
        assert np.linalg.cond(layer.astype(np.float64)) == pytest.approx(condition, rel=0.2)
    path = path_of(x, y, device)
    certain = 0
    for found in path.verify(EPSILONS, device=device):
        if not found.certain:
            continue
        certain += 1
        match = path.maximum_match(found.epsilon)
        assert (found.sound, found.complete) == (True, True)
        assert (match.x.tolist(), match.y.tolist()) == oracles.maximum_match(x, y, found.epsilon)
    assert certain >= len(EPSILONS) - 2


def peeled_from(pair: sm.PairMoments, device: Device) -> tuple[np.ndarray, np.ndarray]:
    """Return the order in which neurons are removed, and each one's distance at its removal."""
    live = np.flatnonzero(pair.live)
    found = peel.peel(
        pair.factor,
        int((live < pair.neurons_x).sum()),
        pair.unit_products_on(device),
        device,
    )
    return live[found.order], found.distances


def fresh_distances(pair: sm.PairMoments, order: np.ndarray, device: Device) -> np.ndarray:
    """Return the distances at these removals from one factorisation."""
    return certificate._Distances(pair, order, device)._removal[0][::-1]


def distances(pair: sm.PairMoments, device: DeviceLike = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of removed neurons from peeling, and from one factorisation."""
    device = resolve_device(device)
    order, peeled = peeled_from(pair, device)
    return peeled, fresh_distances(pair, order, device)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", HARD, ids=lambda case: case.__name__)
def test_peeling_does_not_drift(case, dtype, device):
    for seed in range(5):
        x, y = (layer.astype(dtype) for layer in case(np.random.default_rng(seed)))
        peeled, fresh = distances(sm.reduce(x, y, device=device), device)
        np.testing.assert_allclose(peeled, fresh, rtol=0, atol=DRIFT)


@pytest.mark.parametrize("case", HARD, ids=lambda case: case.__name__)
def test_rotations_do_not_drift(case, monkeypatch):
    """From the first removal on, not only where other updates have lost digits."""
    remove_all = peel.remove_all
    monkeypatch.setattr(
        peel, "remove_all", lambda x, y, _start, again: remove_all(x, y, again, again)
    )
    for seed in range(5):
        peeled, fresh = distances(sm.reduce(*case(np.random.default_rng(seed)), device="cpu"))
        np.testing.assert_allclose(peeled, fresh, rtol=0, atol=DRIFT)


@pytest.mark.parametrize("condition", [1e6, 1e8])
def test_peeling_does_not_drift_at_condition_numbers(condition, device):
    pair = sm.reduce(*conditioned(np.random.default_rng(0), condition), device=device)
    peeled, fresh = distances(pair, device)
    np.testing.assert_allclose(peeled, fresh, rtol=0, atol=DRIFT)


@pytest.mark.parametrize("seed", [2, 12, 13])
def test_exact_differences_equal_the_oracle(seed, device):
    x, y = cases.exact_differences(np.random.default_rng(seed))
    path = path_of(x, y, device)
    for found in path.verify(EPSILONS, device=device):
        match = path.maximum_match(found.epsilon)
        assert (found.sound, found.complete, found.certain) == (True, True, True)
        assert (match.x.tolist(), match.y.tolist()) == oracles.maximum_match(x, y, found.epsilon)


@cache
def wide_pair() -> sm.PairMoments:
    rng = np.random.default_rng(0)
    hidden = cases.relu(rng.normal(size=(3_400, 256))).astype(np.float32)

    def layer() -> np.ndarray:
        noise = rng.uniform(0.02, 0.6, 1_536) * rng.normal(size=(3_400, 1_536))
        mixed = hidden @ rng.normal(size=(256, 1_536)).astype(np.float32) / 16
        return cases.relu(mixed + noise.astype(np.float32))

    return sm.reduce(layer(), layer(), device="cpu")


@cache
def wide_distances(order: bytes) -> np.ndarray:
    """Return the expected distances of an order, which is the same on every device."""
    neurons = np.frombuffer(order, dtype=np.int64)
    return fresh_distances(wide_pair(), neurons, resolve_device("cpu"))


def test_a_long_peel_does_not_drift(device):
    """3,072 removals on one factorisation, compared at every removal."""
    order, peeled = peeled_from(wide_pair(), device)
    assert len(peeled) == 3_072
    expected = wide_distances(order.astype(np.int64).tobytes())
    np.testing.assert_allclose(peeled, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [(updates, "ENTRY_ERROR", 0.0), (updates_numpy, "RANK_TOLERANCE", np.inf)],
    ids=["digits", "exchange"],
)
def test_peeling_without_refactoring_would_drift(module, name, value, monkeypatch):
    """Both reasons to factor again are needed: without either, distances are wrong by 1e-4."""
    case = cases.copies_at_every_scale if name == "ENTRY_ERROR" else cases.exact_differences
    pairs = [sm.reduce(*case(np.random.default_rng(seed)), device="cpu") for seed in range(2, 16)]
    monkeypatch.setattr(module, name, value)
    drifts = [np.abs(np.subtract(*distances(pair))).max() for pair in pairs]
    assert max(drifts) > 1e-4
