"""Results compare by their numbers, show themselves in one line, and draw themselves."""

from __future__ import annotations

import cases
import numpy as np
import pytest

import subspace_match as sm


def test_results_are_equal_if_their_numbers_are() -> None:
    x, y = cases.dead_neurons(np.random.default_rng(1))
    pair, same = (sm.reduce(x, y, device="cpu") for _ in range(2))
    assert pair == same
    assert sm.match_path(pair) == sm.match_path(same)  # with the NaN of dead neurons
    assert sm.match_path(pair).maximum_match(0.3) == sm.match_path(same).maximum_match(0.3)
    other = sm.reduce(x, y[:, ::-1], device="cpu")
    assert pair != other
    assert sm.match_path(pair) != sm.match_path(other)
    assert pair != "pair"
    assert sm.reduce(x, y[:, :5], device="cpu") != pair


def test_results_show_themselves_in_one_line() -> None:
    x, y = np.eye(4)[:, :2], np.array([[1.0, 0, 0.75, 0], [0, 0, 0, 0]]).T
    pair = sm.reduce(x, y, device="cpu")
    assert repr(pair) == "<PairMoments of 2 + 2 neurons, 4 samples>"
    shown = "<MatchPath of 2 + 2 neurons (1 dead): 0.0% at 0.2, 0.0% at 0.3, 0.0% at 0.5>"
    assert repr(sm.match_path(pair)) == shown
    doubled = sm.reduce(np.hstack([x, x]), y, device="cpu", centred=True)
    shown = "<PairMoments of 4 + 2 neurons, 4 samples, centred, nearly dependent neurons>"
    assert repr(doubled) == shown
    assert repr(sm.consensus_path([x, x, y[:, :1]], device="cpu")).endswith(
        "ConsensusPath of 2 + 2 + 1 neurons: 0.0% at 0.2, 0.0% at 0.3, 0.0% at 0.5>"
    )
    halves = sm.reduce_halves(np.eye(8)[:, :2], np.eye(8)[:, :3], device="cpu")
    assert repr(halves) == "<HalvedMoments of 2 + 3 neurons, 4 + 4 images>"


def test_minimal_matches_show_their_number_and_sizes_in_one_line() -> None:
    x = np.eye(4)[:, :3]
    y = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, -1, 0], [0, 0, 0, 1]]).T
    pair = sm.reduce(x, y, device="cpu")
    shown = (
        "<MinimalMatches of 3 + 4 neurons: 6 neurons have one, 2 are different, of 2 to 4 neurons"
    )
    assert repr(sm.minimal_matches(pair, 0.1)) == f"{shown}>"
    smallest = sm.smallest_minimal_matches(pair, 0.1, orders=3)
    assert repr(smallest) == f"{shown}, the smallest of 3 orders>"
    none = sm.minimal_matches(pair, 0.1, neurons=[("y", 3)])
    assert repr(none) == "<MinimalMatches of 3 + 4 neurons: 0 neurons have one>"


def test_a_path_draws_its_curve_on_given_axes() -> None:
    figure = pytest.importorskip("matplotlib.figure")
    path = sm.match_path(sm.reduce(*cases.dead_neurons(np.random.default_rng(1)), device="cpu"))
    axes = figure.Figure().subplots()
    assert path.plot(axes, color="red", label="one") is axes
    (line,) = axes.lines
    epsilons, shares = line.get_data()
    inside = epsilons < 1
    np.testing.assert_array_equal(shares[inside], path.similarity(epsilons[inside]))
    assert (line.get_color(), line.get_label()) == ("red", "one")
    assert axes.get_xlim() == (0, 1)
