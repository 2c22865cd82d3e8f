"""Certificates prove correct paths, reject wrong ones, and flag decisions closer than rounding."""

from __future__ import annotations

import cases
import numpy as np
import oracles
import pytest
from helpers import path_of
from hypothesis import given, settings

import subspace_match as sm
from subspace_match.matching import certificate

EPSILONS = (0.001, 0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.8, 0.99)


def is_proved(path: sm.MatchPath, epsilon: float) -> bool:
    found = path.verify(epsilon, device="cpu")
    return found.sound and found.complete


def tampered(path: sm.MatchPath, critical=None, order=None) -> sm.MatchPath:
    """Copy a path with other critical epsilons (X's neurons, then Y's) or another order."""
    critical = path.critical_epsilon if critical is None else critical
    order = path.removal_order if order is None else order
    return sm.MatchPath(*np.split(critical, [path.pair.neurons_x]), order, path.pair)


def between(path: sm.MatchPath, share: float) -> float:
    """Return an epsilon halfway between two critical values that are clearly apart.

    ``share`` is the fraction of such gaps that lie below it.
    """
    values = np.unique(path.critical_epsilon[path.removal_order])
    apart = np.flatnonzero(np.diff(values) > 1e-5)
    position = apart[int(share * len(apart))]
    return float(values[position : position + 2].mean())


def matches_of(case):
    """Yield a path, an epsilon, critical epsilons, and neurons in and outside the match."""
    path = path_of(*case(np.random.default_rng(0)))
    for epsilon in [between(path, share) for share in (0.3, 0.5, 0.8)]:
        critical, order = path.critical_epsilon, path.removal_order
        inside = critical[order] <= epsilon
        yield path, epsilon, critical, order[inside], order[~inside]


def oracle_distances(x, y, order) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the distance of each removed neuron, and of all that remain after each removal."""
    n_x, joint, left = x.shape[1], np.hstack([x, y]), list(order)
    own, rest = [], []

    def from_other(neurons):
        found = np.empty(len(neurons))
        for of_x in (True, False):
            side = np.array([(neuron < n_x) == of_x for neuron in neurons], dtype=bool)
            other = [neuron for neuron in left if (neuron < n_x) != of_x]
            if side.any():
                targets = joint[:, np.array(neurons)[side]]
                found[side] = oracles.relative_distance(targets, joint[:, other])
        return found

    for neuron in order:
        left.remove(neuron)
        own.append(from_other([neuron])[0])
        rest.append(from_other(left))
    return np.array(own), rest


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_every_match_of_a_correct_path_is_proved(case, device):
    for seed in range(3):
        path = path_of(*case(np.random.default_rng(seed)), device)
        for found in path.verify(EPSILONS, device=device):
            assert found.sound, found
            assert found.complete, found
            assert found.certain, found


@settings(max_examples=80, deadline=None)
@given(cases.generated())
def test_matches_of_generated_layers_are_proved(pair):
    for found in path_of(*pair).verify(EPSILONS):
        assert (found.sound and found.complete) or not found.certain, found


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("shuffled", [False, True])
def test_distances_equal_the_oracle_within_the_stated_rounding(case, shuffled, device):
    """In the path's order and in any other order."""
    x, y = case(np.random.default_rng(1))
    path = path_of(x, y, device)
    order = path.removal_order
    if shuffled:
        order = np.random.default_rng(2).permutation(order)
    distances = certificate._Distances(path.pair, order, device)
    own, rest = oracle_distances(x, y, order)
    found, coefficients = (values[::-1] for values in distances._removal)
    for value, expected, size in zip(found, own, coefficients, strict=True):
        (bound,) = distances._rounding(np.array([value]), np.array([size]))
        assert value == pytest.approx(expected, abs=bound)
    for members in range(len(order)):
        epsilon = 0.3
        gaps = np.abs(np.concatenate([own[: len(order) - members], rest[-members - 1]]) - epsilon)
        result = distances.certificate(epsilon, members)
        assert result.margin == pytest.approx(gaps.min(), abs=result.rounding)


def test_rounding_after_near_copies_adds_no_rank(device):
    """z, z + s w and w: rounding puts the third 1e-16 / s outside the span of the first two."""
    rng = np.random.default_rng(0)
    x, y = cases.exact_differences(rng)
    pair = sm.reduce(x, y, device=device)
    for _ in range(5):
        order = rng.permutation(x.shape[1] + y.shape[1])
        distances = certificate._Distances(pair, order, device)
        np.testing.assert_allclose(
            distances._removal[0][::-1], oracle_distances(x, y, order)[0], atol=1e-7
        )


@pytest.mark.parametrize("panel", [1, 2, 7])
@pytest.mark.parametrize(
    "case", [cases.wide_and_dependent, cases.more_neurons_than_samples], ids=lambda c: c.__name__
)
def test_the_panel_width_does_not_matter(case, panel, device, monkeypatch):
    path = path_of(*case(np.random.default_rng(0)), device)
    expected = path.verify(EPSILONS, device=device)
    monkeypatch.setattr(certificate, "PANEL", panel)
    for one, other in zip(path.verify(EPSILONS, device=device), expected, strict=True):
        assert one.margin == pytest.approx(other.margin, abs=other.rounding)
        assert (one.sound, one.complete) == (True, True)


@pytest.mark.parametrize(
    "case",
    [cases.related, cases.gaussian, cases.everything_at_once, cases.wide_and_dependent],
    ids=lambda case: case.__name__,
)
class TestTampered:
    def test_an_extra_member_is_not_sound(self, case):
        for path, epsilon, critical, _, outside in matches_of(case):
            critical[outside[-1]] = epsilon / 2
            assert not tampered(path, critical).verify(epsilon).sound

    def test_a_missing_member_is_not_complete(self, case):
        for path, epsilon, critical, inside, _ in matches_of(case):
            critical[inside[0]] = 1.0
            assert not tampered(path, critical).verify(epsilon).complete

    def test_two_swapped_values_are_not_proved(self, case):
        for path, epsilon, critical, inside, outside in matches_of(case):
            swapped = [inside[0], outside[-1]]
            critical[swapped] = critical[swapped[::-1]]
            assert not is_proved(tampered(path, critical), epsilon)

    def test_a_shuffled_order_is_not_proved(self, case):
        """Some neuron is removed too early, while it is still close."""
        path = path_of(*case(np.random.default_rng(0)))
        order = np.random.default_rng(1).permutation(path.removal_order)
        grid = [between(path, share) for share in (0.1, 0.3, 0.5, 0.8)]
        verdicts = tampered(path, order=order).verify(grid)
        assert not all(found.sound and found.complete for found in verdicts)


def test_an_order_of_other_neurons_is_refused():
    x, y = cases.dead_neurons(np.random.default_rng(0))
    path = path_of(x, y)
    for order in (path.removal_order[1:], np.r_[path.removal_order[1:], 0]):
        with pytest.raises(
            ValueError, match=r"removal_order: expected each of the 39 live.* found"
        ):
            tampered(path, order=order).verify(0.3)


def test_the_margin_belongs_to_the_closest_decision():
    """e0 and y are 0.6 apart; e1 has distance 1 and is removed first."""
    x, y = np.eye(4)[:, :2], np.array([[1.0, 0, 0.75, 0]]).T
    path = path_of(x, y)
    above = path.verify(0.65)
    assert (above.sound, above.complete, above.certain) == (True, True, True)
    assert above.margin == pytest.approx(0.05)
    assert above.neuron in {("x", 0), ("y", 0)}
    # The match is empty. The second neuron removed had distance 0.6, the last one 1.
    below = path.verify(0.5)
    assert (below.sound, below.complete) == (True, True)
    assert below.margin == pytest.approx(0.1)
    assert path.verify(0.9).neuron == ("x", 1)
    assert path.verify(0.9).margin == pytest.approx(0.1)


def test_the_margin_can_belong_to_a_neuron_of_y():
    x = np.eye(5)[:, :3]
    y = np.eye(5)[:, :3] + np.outer(np.eye(5)[3], [0.1, 0.5, 0.2])
    found = path_of(x, y).verify(0.44)
    distance = 0.5 / np.hypot(1, 0.5)
    assert found.neuron in {("x", 1), ("y", 1)}
    assert found.margin == pytest.approx(distance - 0.44)
    y[1, 1], y[1, 0] = 0.8, 0.3  # now y1 is farther from X than any x is from Y
    found = path_of(x, y).verify(0.53)
    assert found.neuron == ("y", 1)
    assert found.margin == pytest.approx(abs(0.5 / np.hypot(0.8, 0.5) - 0.53))


def test_a_decision_closer_than_rounding_is_not_certain(device):
    x, y = cases.related(np.random.default_rng(0))
    path = path_of(x, y, device)
    critical = np.unique(path.critical_epsilon)
    for value in critical[critical < 1]:
        assert not path.verify(value, device=device).certain
        assert not path.verify(value + 1e-15, device=device).certain
        assert path.verify(value + 1e-9, device=device).certain


def test_near_copies_make_decisions_less_certain():
    """1e-12 from a critical value is not certain if copies are 1e-7 apart."""
    x, y = cases.near_duplicates(np.random.default_rng(0))
    path = path_of(x, y)
    assert path.verify(0.3).certain
    critical = path.critical_epsilon
    assert not path.verify(critical[critical < 1].max() + 1e-12).certain


def test_dead_layers_have_a_certain_certificate():
    found = path_of(np.zeros((5, 2)), np.zeros((5, 3))).verify(0.3)
    assert found == sm.Certificate(0.3, True, True, np.inf, None, 0.0)
    assert found.certain


def test_an_empty_match_is_proved():
    x, y = cases.gaussian(np.random.default_rng(0))
    path = path_of(x, y)
    assert len(path.maximum_match(0.05).x) == 0
    assert is_proved(path, 0.05)


def test_a_match_of_all_neurons_is_proved():
    x, _ = cases.gaussian(np.random.default_rng(0))
    path = path_of(x, x)
    assert path.similarity(1e-6) == 1.0
    assert is_proved(path, 1e-6)


def test_many_epsilons_share_two_factorisations(monkeypatch):
    path = path_of(*cases.related(np.random.default_rng(0)))
    expected = [path.verify(epsilon) for epsilon in EPSILONS]
    calls = []

    def counting(*args):
        calls.append(args)
        return staircase(*args)

    staircase = certificate.staircase
    monkeypatch.setattr(certificate, "staircase", counting)
    assert path.verify(list(EPSILONS)) == expected
    assert path.verify(np.array(EPSILONS)) == expected
    assert len(calls) == 4
    assert path.verify([]) == []


@pytest.mark.parametrize("epsilon", [1.0, -0.1, np.nan, [0.3, 1.5], "near"])
def test_an_epsilon_outside_the_range_is_refused(epsilon):
    path = path_of(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match=r"epsilon: expected a number in \[0, 1\), found"):
        path.verify(epsilon)
