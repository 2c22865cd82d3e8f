"""A neuron exactly at epsilon is in the match, and results that depend on this are flagged."""

from __future__ import annotations

import warnings
from fractions import Fraction

import cases
import exact_oracles
import numpy as np
import pytest
from helpers import path_of

import subspace_match as sm
from subspace_match.matching.ties import TieWarning, lower_by_margin, tie_squares

# Legs and hypotenuse (p, q, h): the relative distance of (p, 0) and (p, q) is q / h.
TRIPLES = ((3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (20, 21, 29), (9, 40, 41))


def two_lines(p: int, q: int, h: int) -> tuple[np.ndarray, np.ndarray, float]:
    """One neuron per side at distance q / h, the sine of the angle between (1, 0) and (p, q)."""
    return np.array([[1.0], [0.0]]), np.array([[float(p)], [float(q)]]), q / h


def shares(ones: int, of: int) -> tuple[np.ndarray, np.ndarray, float]:
    """All ones, and ones in some samples: r^2 is the fraction of the other samples."""
    y = np.zeros((of, 1))
    y[:ones] = 1.0
    return np.ones((of, 1)), y, float(np.sqrt((of - ones) / of))


def beside(tie, others: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The tie among other neurons, which respond to other samples."""
    x, y, epsilon = tie
    rng = np.random.default_rng(others)
    more_x, more_y = cases.related(rng, others + 4, others + 4, 60)
    return (*(block_diagonal(side, more) for side, more in ((x, more_x), (y, more_y))), epsilon)


def block_diagonal(side: np.ndarray, more: np.ndarray) -> np.ndarray:
    whole = np.zeros((len(side) + len(more), side.shape[1] + more.shape[1]))
    whole[: len(side), : side.shape[1]] = side
    whole[len(side) :, side.shape[1] :] = more
    return whole


def with_copies(tie, noise: float) -> tuple[np.ndarray, np.ndarray, float]:
    """The tie among near copies, so that the samples are read a second time."""
    x, y, epsilon = beside(tie, 6)
    rng = np.random.default_rng(0)
    for side in (x, y):
        side[:, -1] = side[:, -2] * (1 + noise * rng.normal(size=len(side)))
    return x, y, epsilon


def rotated(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The tie with both sides rotated, so that none of its numbers are exact."""
    x, y, epsilon = beside(two_lines(3, 4, 5), 5)
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(len(x), len(x))))[0]
    return rotation @ x, rotation @ y, epsilon


PLAIN = [two_lines(*triple) for triple in TRIPLES]
PLAIN += [two_lines(q, p, h) for p, q, h in TRIPLES]
PLAIN += [shares(3, 4), shares(12, 16), shares(16, 25), shares(91, 100), shares(9, 25)]
TIES = [
    *PLAIN,
    *(beside(tie, others) for tie in PLAIN[:4] for others in (1, 9, 30)),
    *(with_copies(tie, noise) for tie in PLAIN[:3] for noise in (0.0, 1e-7, 1e-5, 1e-3)),
    *(rotated(seed) for seed in range(4)),
]


@pytest.mark.parametrize("tie", TIES, ids=range(len(TIES)))
@pytest.mark.parametrize("chunk_samples", [None, 1])
def test_a_neuron_exactly_at_epsilon_is_in_the_match(tie, chunk_samples, device):
    x, y, epsilon = tie
    path = path_of(x, y, device, chunk_samples=chunk_samples)
    match = path.maximum_match(epsilon)
    assert (0 in match.x, 0 in match.y) == (True, True)
    assert path.similarity(epsilon) == (len(match.x) + len(match.y)) / (x.shape[1] + y.shape[1])
    # Readers of saved critical epsilons need a plain comparison only.
    assert (path.critical_epsilon <= epsilon).sum() == len(match.x) + len(match.y)
    below = path.maximum_match(epsilon - 1e-7)
    assert (0 in below.x, 0 in below.y) == (False, False)


@pytest.mark.parametrize("tie", TIES, ids=range(len(TIES)))
def test_a_tie_is_proved_but_not_certain(tie, device):
    x, y, epsilon = tie
    path = path_of(x, y, device)
    found = path.verify(epsilon, device=device)
    assert (found.sound, found.complete, found.certain) == (True, True, False)
    assert found.margin <= found.rounding
    for near in path.verify([epsilon - 1e-7, epsilon + 1e-7], device=device):
        assert (near.sound, near.complete, near.certain) == (True, True, True)


@pytest.mark.parametrize("tie", TIES, ids=range(len(TIES)))
def test_a_minimal_match_at_a_tie_is_found_with_a_warning(tie):
    x, y, epsilon = tie
    pair = sm.reduce(x, y, device="cpu")
    for source in (pair, sm.match_path(pair, device="cpu")):
        for neuron in (("x", 0), ("y", 0)):
            with pytest.warns(TieWarning, match=r"minimal matches: .* within .* of it;"):
                match = sm.minimal_match(source, epsilon, neuron)
            assert match is not None
            assert (match.x.tolist(), match.y.tolist()) == ([0], [0])
        with pytest.warns(TieWarning, match=r"try a slightly different epsilon"):
            matches = sm.minimal_matches(source, epsilon)
        assert (matches["x", 0].x.tolist(), matches["x", 0].y.tolist()) == ([0], [0])
        maximum = sm.match_path(pair, device="cpu").maximum_match(epsilon)
        assert len(matches) == len(maximum.x) + len(maximum.y)


def test_there_is_no_warning_without_a_tie():
    x, y, epsilon = TIES[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error", TieWarning)
        for step in (-1e-7, 1e-7):
            sm.minimal_matches(sm.reduce(x, y, device="cpu"), epsilon + step)
        sm.minimal_matches(sm.reduce(*cases.related(np.random.default_rng(0))), 0.3)


def test_a_tie_at_a_rejected_removal_gives_a_warning():
    """With both neurons of y, x0 has distance 0; without one of them it is exactly at epsilon."""
    x = np.array([[3.0, 4.0, 0.0]]).T
    y = np.eye(3)[:, :2]
    with pytest.warns(TieWarning, match="minimal matches"):
        match = sm.minimal_match(sm.reduce(x, y, device="cpu"), 0.8, ("x", 0))
    assert match is not None
    assert match.y.tolist() == [1]


def test_a_match_can_be_minimal_because_ties_are_in():
    """x0 has distance 3/5 from y1 alone, so it does not need y0."""
    x, y = np.array([[3.0, 4.0, 0.0]]).T, np.eye(3)[:, :2]
    with pytest.warns(TieWarning, match="minimal matches"):
        match = sm.minimal_match(sm.reduce(x, y, device="cpu"), 0.6, ("x", 0))
    assert match is not None
    assert (match.x.tolist(), match.y.tolist()) == ([0], [1])


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_array_matches_itself_at_epsilon_0(case, dtype, device):
    for layer in case(np.random.default_rng(0)):
        layer = layer.astype(dtype)
        live = int((layer != 0).any(0).sum())
        path = path_of(layer, layer, device)
        assert path.similarity(0) == live / layer.shape[1]
        found = path.verify(0, device=device)
        assert (found.sound, found.complete, found.certain) == (True, True, live == 0)


def test_exact_critical_epsilons_of_integers_are_ties(device):
    """Each, rounded up to a float, is the smallest epsilon at which its neuron is in the match."""
    rng = np.random.default_rng(0)
    ties = 0
    for _ in range(60):
        x, y = (rng.integers(-2, 3, size=(6, rng.integers(1, 4))).astype(float) for _ in range(2))
        squares = exact_oracles.squared_critical_epsilons(
            exact_oracles.inner_products(x, y), x.shape[1]
        )
        path = path_of(x, y, device)
        for square in {square for square in squares if square is not None and square < 1}:
            epsilon = exact_oracles.root(square)
            if Fraction(epsilon) ** 2 < square:
                epsilon = float(np.nextafter(epsilon, 1))
            ties += 1
            match = path.maximum_match(epsilon)
            members = [*match.x, *(match.y + x.shape[1])]
            assert members == exact_oracles.members(squares, epsilon)
            found = path.verify(epsilon, device=device)
            assert (found.sound, found.complete, found.certain) == (True, True, False)
    assert ties > 60


def test_orthogonal_neurons_match_at_no_epsilon():
    below_one = float(np.nextafter(1, 0))
    path = path_of(np.eye(4)[:, :2], np.eye(4)[:, 2:])
    assert path.similarity(below_one) == 0.0
    np.testing.assert_array_equal(
        lower_by_margin(np.array([1.0, 0.5, 1e-12]), 1e-9), [1.0, 0.5 - 1e-9, 0]
    )
    assert tie_squares(below_one, 1e-9)[1] < 1.0
    assert tie_squares(0.0, 1e-9)[0] == 0.0
