"""Tests made at once for one neuron, against the authors' greedy search and against the walk."""

from __future__ import annotations

import cases
import numpy as np
import oracles
import pytest
from helpers import path_of

import subspace_match as sm
from subspace_match.matching.minimal import alone
from subspace_match.matching.minimal import walk as minimal_walk
from subspace_match.matching.minimal.compiled import ALIVE, GROUP, KEPT

CASES = (
    cases.related,
    cases.low_rank_plus_noise,
    cases.exact_duplicates,
    cases.near_duplicates,
    cases.everything_at_once,
    cases.copies_at_every_scale,
    cases.half_as_many_samples,
    cases.dependent,
)


def wide_low_rank(rng: np.random.Generator, neurons: int = 70, rank: int = 10) -> cases.Pair:
    basis = rng.normal(size=(200, rank))
    sizes = 10.0 ** rng.uniform(-3, -0.3, size=neurons)
    x, y = (
        basis @ rng.normal(size=(rank, neurons)) + sizes * rng.normal(size=(200, neurons))
        for _ in range(2)
    )
    return x, y


@pytest.fixture
def always(monkeypatch):
    """Make tests at once wherever it is possible, not only where it saves time."""
    monkeypatch.setattr(alone, "FEWEST_NEURONS", 0)
    monkeypatch.setattr(alone, "FIRST_ROWS", 0.01)
    monkeypatch.setattr(alone, "MOST_ROWS", 1.0)
    monkeypatch.setattr(alone, "MOST_LEFT", 1.0)


def start(x, y, epsilon: float, v: int) -> tuple[minimal_walk.Base, minimal_walk.State, tuple]:
    """Return base and state of the maximum match with neuron v as the group, F'F and the bound."""
    pair = sm.reduce(x, y, device="cpu")
    columns = np.arange(pair.factor.shape[1])
    walk = minimal_walk.Walk(
        *(pair.factor, columns, x.shape[1], epsilon, pair.unit_products, pair.tie_margin)
    )
    assert walk.find_maximum(np.array([v]))
    rank = np.arange(len(columns))[walk.base.neurons]
    base = walk.base._replace(rank=rank, order=np.argsort(rank))
    state = walk._state.copy()
    assert state.counts[GROUP] == 1
    return base, state, (walk._gram, walk._bound)


def by_neuron(base, flags, count: int) -> np.ndarray:
    chosen = np.zeros(count, dtype=bool)
    chosen[base.neurons[flags]] = True
    return chosen


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "case",
    [cases.low_rank_plus_noise, cases.half_as_many_samples, cases.dependent, wide_low_rank],
    ids=lambda case: case.__name__,
)
def test_each_decision_is_that_of_the_greedy_search(case):
    """Replay the decided tests from the definition."""
    x, y = case(np.random.default_rng(3))
    made = 0
    for epsilon in (0.2, 0.3, 0.5):
        greedy = oracles.GreedyMinimalMatches(x, y, epsilon)
        for v in np.flatnonzero(greedy.maximum)[:: greedy.n // 8]:
            base, state, rest = start(x, y, epsilon, v)
            found = alone.decide_alone(base, state, *rest)
            if found is None:
                continue
            alive, kept = (by_neuron(base, flags, greedy.n) for flags in found)
            match, rejected = greedy.maximum, np.arange(greedy.n) == v
            for u in np.flatnonzero(greedy.maximum):
                if alive[u] and not kept[u]:
                    break  # the first test that is left
                if u == v or not match[u]:
                    continue
                made += 1
                smaller = greedy.without(match, u)
                rejected[u] = not smaller[v]
                match = match if rejected[u] else smaller
            np.testing.assert_array_equal(alive, match)
            np.testing.assert_array_equal(kept & alive, rejected & alive)
    assert made > 100


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_matches_are_those_of_the_walk(case, monkeypatch):
    path = path_of(*case(np.random.default_rng(1)))
    for epsilon, options in ((0.2, {}), (0.3, {"order": "random", "seed": 5}), (0.5, {})):
        found = sm.minimal_matches(path, epsilon, threads=2, **options)
        with monkeypatch.context() as context:
            context.setattr(minimal_walk, "decide_alone", lambda *_: None)
            expected = sm.minimal_matches(path, epsilon, threads=1, **options)
        np.testing.assert_array_equal(found.distinct, expected.distinct)
        np.testing.assert_array_equal(found.match_of, expected.match_of)


def test_a_wide_low_rank_layer_leaves_few_tests_to_the_walk(monkeypatch):
    path, left = path_of(*wide_low_rank(np.random.default_rng(0))), []
    decide_alone = minimal_walk.decide_alone

    def recorded(base, state, *rest):
        found = decide_alone(base, state, *rest)
        alive, kept = (state.flags[ALIVE], state.flags[KEPT]) if found is None else found
        left.append((int(state.flags[ALIVE].sum()), int((alive & ~kept).sum())))
        return found

    monkeypatch.setattr(minimal_walk, "decide_alone", recorded)
    sm.minimal_matches(path, 0.3)
    before, after = np.array([pair for pair in left if pair[0] >= alone.FEWEST_NEURONS]).T
    assert len(before) >= 30
    assert after.sum() < 0.3 * before.sum()


def unit_columns(rng: np.random.Generator, *shape: int) -> np.ndarray:
    columns = rng.normal(size=shape)
    return columns / np.linalg.norm(columns, axis=0)


def run_tests(own: np.ndarray, others: np.ndarray, kept: np.ndarray, near: float, far: float):
    """Run ``_test`` on all of these columns, the last one first."""
    inverse = alone._inverse_factor(own.T @ own)
    inside = inverse @ (own.T @ others)
    tests = np.arange(own.shape[1])[::-1]
    squares = 1.0 - (inside**2).sum(0)
    return alone._test(inverse.T @ inverse, inverse.T @ inside, squares, tests, kept, near, far)


def test_removals_are_those_of_least_squares():
    rng = np.random.default_rng(2)
    for _ in range(20):
        own = unit_columns(rng, 30, 9)
        others = unit_columns(rng, 9, 25)
        others = unit_columns(rng, 30, 25) * 0.1 + own @ others
        others /= np.linalg.norm(others, axis=0)
        kept = rng.random(25) < 0.2
        before, removed, leaves = run_tests(own, others, kept, 0.3, 0.3)
        remains, left, removals = list(range(9)), np.full(25, 10), 0
        left[oracles.relative_distance(others, own) ** 2 > 0.3] = 0
        for test, u in enumerate(range(8, -1, -1)):
            assert before[test] == removals
            rest = [i for i in remains if i != u]
            far = oracles.relative_distance(others, own[:, rest]) ** 2 > 0.3
            assert removed[test] == (not (far & kept).any())
            if removed[test]:
                remains, removals = rest, removals + 1
                left[far & (left > 9)] = removals
        assert 0 < removals < 9
        np.testing.assert_array_equal(leaves[left > 0], left[left > 0])


def test_tests_end_at_the_first_distance_that_is_close_to_epsilon():
    rng = np.random.default_rng(3)
    own, kept = unit_columns(rng, 30, 5), np.array([True])
    others = own.sum(1, keepdims=True) / np.linalg.norm(own.sum(1))
    squares = [oracles.relative_distance(others, own[:, :count])[0] ** 2 for count in (4, 3, 2)]
    for made, square in enumerate(squares):
        before, removed, _ = run_tests(own, others, kept, square - 1e-9, square + 1e-9)
        assert before.tolist() == [*range(made), *[6] * (5 - made)]
        assert removed.tolist() == [True] * made + [False] * (5 - made)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_a_factor_ends_before_the_first_neuron_that_is_nearly_dependent(noise):
    columns = unit_columns(np.random.default_rng(0), 400, 200)
    columns[:, 150] = columns[:, 20] + noise * columns[:, 160]
    columns[:, 150] /= np.linalg.norm(columns[:, 150])
    inverse = alone._inverse_factor(columns.T @ columns)
    lower = np.linalg.cholesky(columns[:, :150].T @ columns[:, :150])
    np.testing.assert_allclose(inverse, np.linalg.inv(lower), atol=1e-12)


def test_the_farthest_distance_is_that_of_least_squares():
    rng = np.random.default_rng(1)
    own, others = unit_columns(rng, 40, 7), unit_columns(rng, 40, 11)
    farthest = alone._farthest(alone._inverse_factor(own.T @ own) @ (own.T @ others))
    for row in range(7):
        distances = oracles.relative_distance(others, own[:, : row + 1])
        np.testing.assert_allclose(np.sqrt(farthest[row]), distances.max(), rtol=1e-9)
