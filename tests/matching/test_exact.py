"""The paper's theorems on simple, minimal and minimum matches, by enumeration of all subsets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import reduce

import cases
import numpy as np
import oracles
import pytest
import scipy.linalg
from helpers import pair_of, path_of, raises
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import subspace_match as sm
from subspace_match.matching.minimal.exact import TOLERANCE

Sets = set[frozenset[int]]


def subsets(count: int) -> list[tuple[int, ...]]:
    sizes = (itertools.combinations(range(count), size) for size in range(count + 1))
    return list(itertools.chain.from_iterable(sizes))


@dataclass
class AllMatches:
    """Every epsilon-approximate match of a small pair (Definition 1), as sets of columns."""

    matches: Sets

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, epsilon: float) -> AllMatches:
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        n_x, n_y = x.shape[1], y.shape[1]
        of_x = {kept: oracles.relative_distance(x, y[:, kept]) for kept in subsets(n_y)}
        of_y = {kept: oracles.relative_distance(y, x[:, kept]) for kept in subsets(n_x)}
        return cls(
            {
                frozenset(in_x) | {n_x + j for j in in_y}
                for in_x, in_y in itertools.product(of_y, of_x)
                if (of_x[in_y][list(in_x)] <= epsilon).all()
                and (of_y[in_x][list(in_y)] <= epsilon).all()
            }
        )

    @property
    def maximum(self) -> frozenset[int]:
        return frozenset().union(*self.matches)

    @property
    def simple(self) -> Sets:
        """Definition 4: matches that are not a union of smaller matches."""
        return {match for match in self.matches if match and self.union_below(match) != match}

    def union_below(self, match: frozenset[int]) -> frozenset[int]:
        """Return the union of all smaller matches inside a match."""
        return frozenset().union(*(smaller for smaller in self.matches if smaller < match))

    def minimal(self, v: int) -> Sets:
        """Definition 9: matches that contain v and no smaller match that contains v."""
        containing = {match for match in self.matches if v in match}
        return {m for m in containing if not any(smaller < m for smaller in containing)}

    def assert_unions_are_matches(self) -> None:
        """Lemma 2."""
        for first, second in itertools.combinations(self.matches, 2):
            assert first | second in self.matches

    def assert_decomposed(self) -> None:
        """Theorem 5: each match is a union of simple matches. Theorem 10: these are v-minimal."""
        for match in self.matches:
            assert frozenset().union(*(part for part in self.simple if part <= match)) == match
        for match in self.simple:
            assert any(match in self.minimal(v) for v in match)


def exact_pair(rng: np.random.Generator) -> cases.Pair:
    """Draw Y* = X* C with a sparse invertible integer C, and up to 5 + 5 neurons in total.

    Integers are exact in float32, so it is certain what is a match and which coefficients are 0.
    """
    size = int(rng.integers(1, 6))
    while True:
        mix = rng.integers(-2, 3, (size, size)) * (rng.random((size, size)) < rng.uniform(0.2, 0.7))
        if abs(np.linalg.det(mix)) > 0.5:
            break
    x, spare = rng.integers(-9, 10, (60, size)), rng.integers(-9, 10, (60, 4))
    y = x @ mix
    x = np.hstack([x, spare[:, : rng.integers(0, 3)]])[:, :5]
    y = np.hstack([y, spare[:, 2 : 2 + rng.integers(0, 3)]])[:, :5]
    x, y = x[:, rng.permutation(x.shape[1])], y[:, rng.permutation(y.shape[1])]
    return x.astype(np.float32), y.astype(np.float32)


def columns(match: sm.Match, n_x: int) -> frozenset[int]:
    return frozenset(match.x.tolist()) | {n_x + j for j in match.y.tolist()}


@pytest.mark.parametrize("seed", range(40))
def test_the_theorems_hold_for_exact_matches(seed):
    x, y = exact_pair(np.random.default_rng(seed))
    n_x, every = x.shape[1], AllMatches.of(x, y, TOLERANCE)
    every.assert_unions_are_matches()
    every.assert_decomposed()
    for first, second in itertools.combinations(every.matches, 2):
        assert first & second in every.matches, "Lemma 6"

    found = sm.simple_matches(pair_of(x, y))
    by_column = {
        index + (0 if side == "x" else n_x): columns(match, n_x)
        for (side, index), match in found.items()
    }
    assert set(by_column) == every.maximum
    for v, match in by_column.items():
        minimum = reduce(frozenset.__and__, (m for m in every.matches if v in m))  # Definition 7
        assert match == minimum
        assert every.minimal(v) == {minimum}
    simple = [columns(match, n_x) for match in found.distinct_matches()]
    assert len(simple) == len(set(simple)) == len(found.distinct)
    assert set(simple) == every.simple, "Theorem 8"


def test_some_generated_pairs_have_nested_matches_and_unmatched_neurons():
    nested = outside = 0
    for seed in range(40):
        every = AllMatches.of(*exact_pair(np.random.default_rng(seed)), TOLERANCE)
        nested += any(a < b for a, b in itertools.permutations(every.simple, 2))
        outside += bool(every.maximum) and len(every.maximum) < 8
    assert nested >= 5
    assert outside >= 5


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_x=st.integers(1, 4),
    n_y=st.integers(1, 4),
    epsilon=st.sampled_from([0.2, 0.4, 0.6, 0.8]),
    order=st.sampled_from(["authors", "small"]),
)
def test_the_theorems_hold_for_approximate_matches(seed, n_x, n_y, epsilon, order):
    """Lemma 2, Theorems 5 and 10; and the minimal matches found are minimal."""
    x, y = cases.related(np.random.default_rng(seed), 4, 4, 60)
    x, y = x[:, :n_x], y[:, :n_y]
    assume(x.any(0).all() and y.any(0).all())
    every = AllMatches.of(x, y, epsilon)
    every.assert_unions_are_matches()
    every.assert_decomposed()
    found = sm.minimal_matches(pair_of(x, y), epsilon, order=order)
    assert {v for v in range(n_x + n_y) if found.match_of[v] >= 0} == every.maximum
    for v in every.maximum:
        assert frozenset(np.flatnonzero(found.distinct[found.match_of[v]])) in every.minimal(v)


def test_every_order_finds_the_minimum_match_if_there_is_one():
    """30 + 30 neurons in groups of 3."""
    rng = np.random.default_rng(0)
    mix = np.kron(np.eye(10), np.ones((3, 3))) * rng.integers(-2, 3, (30, 30))
    mix[np.arange(30), np.arange(30)] += 7
    mix[0, 29] = 1
    x = rng.integers(-9, 10, (200, 30)).astype(np.float32)
    y = (x @ mix).astype(np.float32)[:, rng.permutation(30)]
    path = path_of(x, y)
    simple = sm.simple_matches(path)
    assert len(simple) == 60
    for options in ({}, {"order": "random", "seed": 1}, {"order": "small"}):
        minimal = sm.minimal_matches(path, TOLERANCE, **options)
        np.testing.assert_array_equal(minimal.distinct, simple.distinct)
        np.testing.assert_array_equal(minimal.match_of, simple.match_of)


def test_float32_rounding_and_scale_do_not_change_simple_matches():
    rng = np.random.default_rng(3)
    mix = np.triu(rng.normal(size=(6, 6))) + 2 * np.eye(6)
    mix[0, 1:5] = 0.0
    x = rng.normal(size=(300, 6)).astype(np.float32)
    y = x.astype(np.float64) @ mix
    scales = 10.0 ** rng.uniform(-4, 4, (2, 6))
    found = sm.simple_matches(
        pair_of((x * scales[0]).astype(np.float32), (y * scales[1]).astype(np.float32))
    )
    for i in range(6):  # triangular: y_i reaches x_0 to x_i, except that only y_0 and y_5 reach x_0
        expected = list(range(i + 1)) if i in (0, 5) else list(range(1, i + 1))
        assert found["y", i].x.tolist() == found["y", i].y.tolist() == expected


def mix_of(rng: np.random.Generator, size: int, condition: float) -> np.ndarray:
    """Draw a mix with singular values from 1 to 1 / condition."""
    left, right = (np.linalg.qr(rng.normal(size=(size, size)))[0] for _ in range(2))
    return left * np.geomspace(1, 1 / condition, size) @ right


def blocks(rng: np.random.Generator, count: int, size: int, condition: float) -> np.ndarray:
    return scipy.linalg.block_diag(*(mix_of(rng, size, condition) for _ in range(count)))


@pytest.mark.parametrize("condition", [1, 10, 100, 1_000, 10_000])
@pytest.mark.parametrize("mixed", ["y", "x", "both"])
@pytest.mark.parametrize(("count", "size"), [(4, 3), (3, 6)])
def test_float32_mixes_of_any_condition_keep_their_blocks(condition, mixed, count, size):
    """With tolerance 1e-7 times the condition no block is lost, merged or split."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        plain = rng.normal(size=(400, count * size))
        other = plain @ blocks(rng, count, size, condition)
        x, y = (plain, other) if mixed == "y" else (other, plain)
        if mixed == "both":  # y_i is x_i times a factor, and both sides are ill-conditioned
            y = other * rng.uniform(0.5, 2, count * size)
        x, y = x.astype(np.float32), y.astype(np.float32)
        found = sm.simple_matches(pair_of(x, y), max(TOLERANCE, 1e-7 * condition))
        unit = 1 if mixed == "both" else size
        expected = [list(range(i, i + unit)) for i in range(0, count * size, unit)]
        assert sorted(match.x.tolist() for match in found.distinct_matches()) == expected
        assert sorted(match.y.tolist() for match in found.distinct_matches()) == expected
        assert len(found) == 2 * count * size


def test_a_coefficient_is_tested_by_growth_alone():
    """y1 is 0.8 t from X's span, with a coefficient of 0.7 t on x0: more than t together."""
    t = 1e-3
    x = np.eye(5)[:, :2]
    y = np.array([[1, 0, 0.8 * t, 0, 0], [0.7 * t, 1, 0, 0.8 * t, 0]]).T
    for pair in (pair_of(x, y), pair_of(y, x)):
        found = sm.simple_matches(pair, t)
        assert found.sizes.tolist() == [2] * 4
    assert sm.simple_matches(pair_of(x, y + 0.5 * t * x[:, ::-1]), t).sizes.max() == 4


def test_pairs_without_an_exact_match_have_no_simple_matches():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    found = sm.simple_matches(pair_of(x, x + 1e-3 * rng.normal(size=(50, 3))))
    assert len(found) == 0
    assert found.distinct_matches() == []
    assert len(sm.simple_matches(pair_of(np.zeros((5, 2)), np.eye(5)))) == 0


def test_a_larger_tolerance_finds_matches_with_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    found = sm.simple_matches(pair_of(x, x + 1e-3 * rng.normal(size=(50, 3))), 1e-2)
    assert found.sizes.tolist() == [2] * 6


@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_the_error_names_dependent_neurons(noise):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 7))
    x[:, 5] = x[:, 1] - 2 * x[:, 3] + noise * rng.normal(size=80)
    y = x[:, :5] @ rng.normal(size=(5, 5))
    with raises("x: expected linearly independent", "found 3 that", "x: 1, 3, 5; remove some of"):
        sm.simple_matches(pair_of(x, np.c_[y, x[:, 6]]))
    with raises("y: expected linearly independent", "y: 1, 3, 5; remove", "or call minimal"):
        sm.simple_matches(pair_of(y, x))


def test_the_error_names_at_most_five_dependent_neurons():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(40, 4)), 2, axis=1)
    with raises("found 8 that depend on others of x: 0, 1, 2, 3, 4, ...; remove"):
        sm.simple_matches(pair_of(x, x[:, ::2]))


def test_sides_of_different_rank_within_a_coarse_tolerance_are_an_error():
    """Three vectors are within 0.1 of Y's plane, but each is more than 0.1 from the other two."""
    x = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0.7, 0.7, 0.12, 0]]).T
    y = np.array([[1.0, 0, 0.06, 0], [0, 1, 0.06, 0]]).T
    parts = ("as many neurons in x as in y", "found 3 and 2", "neuron 2, 1.2e-01 from", "larger")
    with raises("x: expected", *parts):
        sm.simple_matches(pair_of(x, y), 0.1)
    with raises("y: expected", "found 2 and 3", "y is nearly linearly dependent"):
        sm.simple_matches(pair_of(y, x), 0.1)


def test_neurons_outside_the_match_may_be_dependent():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    others = rng.normal(size=(40, 2))
    found = sm.simple_matches(pair_of(np.c_[x, others[:, 0], others], x))
    assert found.sizes_x.tolist() == [2, 2, 2, 0, 0, 0]


@pytest.mark.parametrize("tolerance", [0, 1.0, -0.1, np.nan, "small", None])
def test_an_invalid_tolerance_is_an_error(tolerance):
    with raises("tolerance: expected a number in (0, 1)", f"found {tolerance!r}", "use 1e-06 for"):
        sm.simple_matches(pair_of(np.eye(4, 2), np.eye(4, 2)), tolerance)
