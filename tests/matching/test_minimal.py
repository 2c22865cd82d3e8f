"""Minimal matches against the authors' greedy search by least squares: identical sets."""

from __future__ import annotations

import threading

import cases
import exact_oracles
import numpy as np
import oracles
import pytest
from helpers import pair_of, path_of, raises
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import subspace_match as sm
from subspace_match.matching.minimal import walk as minimal_walk
from subspace_match.matching.minimal.compiled import ALIVE, BASIS, GROUP, RESIDUAL, SPLIT
from subspace_match.matching.minimal.partial import PartialMatches
from subspace_match.matching.minimal.products import subtract_product

SEVERAL = (
    cases.related,
    cases.low_rank_plus_noise,
    cases.exact_duplicates,
    cases.near_duplicates,
    cases.sums,
    cases.everything_at_once,
    cases.copies_at_every_scale,
    cases.half_near_copies,
    cases.half_as_many_samples,
    cases.dependent,
)


def layers_of(case, seed: int, dtype=np.float32):
    x, y = (layer.astype(dtype) for layer in case(np.random.default_rng(seed)))
    if case is cases.wide_and_dependent:  # the greedy search takes minutes for all
        x, y = x[:, 30:60], y[:, 30:60]
    return x, y


def midpoint_epsilons(path: sm.MatchPath, count: int, rng: np.random.Generator) -> list[float]:
    """Return midpoints between critical epsilons, always including the lowest."""
    critical = path.critical_epsilon
    breakpoints = np.append(np.unique(critical[critical < 1]), 1.0)
    gaps = np.flatnonzero(np.diff(breakpoints) > 1e-5)
    middles = (breakpoints[gaps] + breakpoints[gaps + 1]) / 2
    if len(middles) <= count:
        return middles.tolist()
    return [middles[0], *rng.choice(middles[1:], count - 1, replace=False).tolist()]


def assert_equals_greedy(found: sm.MinimalMatches, greedy, neurons, order=None) -> None:
    np.testing.assert_array_equal(found.match_of >= 0, greedy.maximum)
    for v in neurons:
        match = found.distinct[found.match_of[v]]
        np.testing.assert_array_equal(match, greedy.minimal_match(v, order), f"neuron {v}")


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_some_neurons_equal_the_greedy_search(case):
    for seed in range(3):
        rng = np.random.default_rng(seed + 50)
        x, y = layers_of(case, seed)
        path = path_of(x, y)
        common = rng.choice([0.15, 0.2, 0.3, 0.5, 0.8], 2)
        for epsilon in [*common, *midpoint_epsilons(path, 3, rng)]:
            greedy = oracles.GreedyMinimalMatches(x, y, epsilon)
            some = rng.permutation(np.flatnonzero(greedy.maximum))[:10]
            assert_equals_greedy(sm.minimal_matches(path, epsilon), greedy, some)


@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.__name__)
def test_every_neuron_equals_the_greedy_search(case):
    x, y = layers_of(case, 7, np.float64)
    path = path_of(x, y)
    for epsilon in [0.25, *midpoint_epsilons(path, 1, np.random.default_rng(0))]:
        greedy = oracles.GreedyMinimalMatches(x, y, epsilon)
        found = sm.minimal_matches(path, epsilon)
        assert_equals_greedy(found, greedy, np.flatnonzero(greedy.maximum))


@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.__name__)
def test_the_limit_on_terms_does_not_change_the_matches(case, monkeypatch):
    """With 3 terms even small cases apply them to the matrix often."""
    x, y = layers_of(case, 4)
    path = path_of(x, y)
    expected = sm.minimal_matches(path, 0.3)
    monkeypatch.setattr(minimal_walk, "MOST_TERMS", 3)
    found = sm.minimal_matches(path, 0.3)
    np.testing.assert_array_equal(found.distinct, expected.distinct)
    np.testing.assert_array_equal(found.match_of, expected.match_of)


@pytest.mark.parametrize("effort", [0.0, 1e9], ids=["never", "always"])
@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.__name__)
def test_the_lookahead_does_not_change_the_matches(case, effort, monkeypatch):
    path = path_of(*layers_of(case, 5))
    epsilons = [0.01, 0.3, *midpoint_epsilons(path, 2, np.random.default_rng(0))]
    without_change = [sm.minimal_matches(path, epsilon) for epsilon in epsilons]
    monkeypatch.setattr(minimal_walk, "LOOKAHEAD_QUEUE", 1)
    monkeypatch.setattr(minimal_walk, "LOOKAHEAD_EFFORT", effort)
    for epsilon, expected in zip(epsilons, without_change, strict=True):
        found = sm.minimal_matches(path, epsilon)
        np.testing.assert_array_equal(found.distinct, expected.distinct)
        np.testing.assert_array_equal(found.match_of, expected.match_of)


@pytest.mark.parametrize("lookahead_queue", [1, 8])
@pytest.mark.parametrize("relu", [True, False])
def test_few_samples_at_a_small_epsilon_equal_the_greedy_search(relu, lookahead_queue, monkeypatch):
    """With half as many samples as neurons per side, a rejected test removes nearly all neurons."""
    monkeypatch.setattr(minimal_walk, "LOOKAHEAD_QUEUE", lookahead_queue)
    for seed, samples in ((0, 8), (1, 12)):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(2, samples, 2 * samples))
        if relu:
            x, y = cases.relu(x), cases.relu(y)
        greedy = oracles.GreedyMinimalMatches(x, y, 0.01)
        found = sm.minimal_matches(pair_of(x, y), 0.01)
        assert_equals_greedy(found, greedy, np.flatnonzero(greedy.maximum))


@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.__name__)
def test_a_random_order_equals_the_greedy_search_in_that_order(case):
    x, y = layers_of(case, 3)
    for seed in range(2):
        greedy = oracles.GreedyMinimalMatches(x, y, 0.3)
        order = np.random.default_rng(seed).permutation(greedy.n)
        some = order[greedy.maximum[order]][:8]
        found = sm.minimal_matches(pair_of(x, y), 0.3, order="random", seed=seed)
        assert_equals_greedy(found, greedy, some, order)


def test_restarts_keep_the_smallest_match():
    x, y = layers_of(cases.low_rank_plus_noise, 0)
    pair = pair_of(x, y)
    greedy = oracles.GreedyMinimalMatches(x, y, 0.3)
    rng = np.random.default_rng(11)
    orders = [rng.permutation(greedy.n) for _ in range(3)]
    found = sm.minimal_matches(pair, 0.3, order="random", seed=11, restarts=3)
    for v in np.flatnonzero(greedy.maximum)[::4]:
        by_order = [greedy.minimal_match(v, order) for order in orders]
        smallest = min(by_order, key=np.sum)
        np.testing.assert_array_equal(found.distinct[found.match_of[v]], smallest)
    again = sm.minimal_matches(pair, 0.3, order="random", seed=11, restarts=3)
    np.testing.assert_array_equal(found.distinct[found.match_of], again.distinct[again.match_of])
    assert not np.array_equal(
        found.sizes, sm.minimal_matches(pair, 0.3, order="random", seed=12).sizes
    )


@settings(max_examples=100, deadline=None)
@given(cases.small_integers(widest=5, most_samples=7), st.floats(0.01, 0.99))
def test_small_integers_equal_the_greedy_search(pair, epsilon):
    x, y = pair
    greedy, lower, upper = (
        oracles.GreedyMinimalMatches(x, y, epsilon + step) for step in (0.0, -1e-7, 1e-7)
    )
    found = sm.minimal_matches(pair_of(x, y), epsilon)
    for v in range(greedy.n):
        expected = [one.minimal_match(v) for one in (greedy, lower, upper)]
        # Exactly at epsilon rounding decides, in the oracle too.
        assume(all(np.array_equal(expected[0], other) for other in expected[1:]))
        row = found.match_of[v]
        assert (row < 0) == (expected[0] is None)
        assert row < 0 or np.array_equal(found.distinct[row], expected[0])


@settings(max_examples=40, deadline=None)
@given(
    cases.generated(widest=16, most_samples=60),
    st.sampled_from(cases.EPSILONS),
    st.sampled_from([{}, {"order": "random", "seed": 1}, {"order": "small"}]),
)
def test_matches_of_generated_layers_are_minimal(pair, epsilon, options):
    x, y = pair
    found = sm.minimal_matches(pair_of(x, y), epsilon, **options)
    assert_minimal(x, y, epsilon, found)


def assert_minimal(x, y, epsilon: float, found: sm.MinimalMatches) -> None:
    """Definition 9: a match that contains v, and no smaller match inside it that does."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    greedy = oracles.GreedyMinimalMatches(x, y, epsilon)
    np.testing.assert_array_equal(found.match_of >= 0, greedy.maximum)
    for row, match in enumerate(found.distinct):
        members = np.flatnonzero(found.match_of == row)
        assert len(members)
        assert match[members].all()
        assert greedy.maximum[match].all()
        in_x, in_y = np.split(match, [x.shape[1]])
        assert (oracles.relative_distance(x[:, in_x], y[:, in_y]) <= epsilon).all()
        assert (oracles.relative_distance(y[:, in_y], x[:, in_x]) <= epsilon).all()
        for u in np.flatnonzero(match):
            others = members[members != u]
            assert not greedy.without(match, u)[others].any()


@pytest.mark.parametrize("order", ["authors", "small"])
@pytest.mark.parametrize(
    "case", [cases.low_rank_plus_noise, cases.wide_and_dependent], ids=lambda case: case.__name__
)
def test_matches_of_hard_cases_are_minimal(case, order):
    x, y = layers_of(case, 9)
    for epsilon in (0.2, 0.3, 0.5):
        assert_minimal(x, y, epsilon, sm.minimal_matches(pair_of(x, y), epsilon, order=order))


def test_order_small_finds_smaller_matches():
    totals = {"authors": 0, "small": 0}
    for seed in range(5):
        pair = pair_of(*cases.low_rank_plus_noise(np.random.default_rng(seed)))
        for order in totals:
            totals[order] += sm.minimal_matches(pair, 0.3, order=order).sizes.sum()
    assert totals["small"] < totals["authors"]


@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.__name__)
def test_order_small_never_finds_larger_matches(case):
    for seed in range(3):
        path = path_of(*layers_of(case, seed))
        for epsilon in (0.01, 0.3, 0.5):
            small, authors = (
                sm.minimal_matches(path, epsilon, order=order).sizes
                for order in ("small", "authors")
            )
            assert (small <= authors).all()


def test_minimal_match_equals_the_entry_of_minimal_matches():
    x, y = cases.low_rank_plus_noise(np.random.default_rng(2))
    pair = pair_of(x, y)
    for options in ({}, {"order": "small"}, {"order": "random", "seed": 4, "restarts": 2}):
        found = sm.minimal_matches(pair, 0.3, **options)
        for neuron in [*list(found)[::5], ("y", np.int64(0))]:
            match, expected = sm.minimal_match(pair, 0.3, neuron, **options), found.get(neuron)
            assert (match is None) == (expected is None)
            if match is not None:
                np.testing.assert_array_equal(match.x, expected.x)
                np.testing.assert_array_equal(match.y, expected.y)


def test_a_path_gives_the_same_matches_as_its_moments():
    pair = pair_of(*cases.related(np.random.default_rng(0)))
    path = sm.match_path(pair, device="cpu")
    np.testing.assert_array_equal(
        sm.minimal_matches(path, 0.5).match_of, sm.minimal_matches(pair, 0.5).match_of
    )


def test_minimal_matches_are_a_mapping_by_neuron():
    """x0 = y0; x1 and y1 are in no match; x2 is dead."""
    x, y = np.eye(4, 3), np.eye(4)[:, [0, 3]]
    x[:, 2] = 0.0
    found = sm.minimal_matches(pair_of(x, y), 0.1)
    assert list(found) == [("x", 0), ("y", 0)]
    assert len(found) == 2
    assert found["x", 0].x.tolist() == found["x", 0].y.tolist() == [0]
    assert found["x", 0].y.dtype == np.int64
    assert found.sizes_x.tolist() == [2, 0, 0]
    assert found.sizes_y.tolist() == [2, 0]
    assert ("y", 0) in found
    assert ("x", 2) not in found
    assert found.get(("x", 1)) is None
    with pytest.raises(KeyError, match="neuron \\('x', 2\\) is not in the maximum match"):
        found["x", 2]
    assert sm.minimal_match(pair_of(x, y), 0.1, ("x", 2)) is None


@pytest.mark.parametrize("case", [cases.dead_side, cases.dead_sides])
def test_a_dead_side_has_no_matches(case):
    pair = pair_of(*case(np.random.default_rng(0)))
    found = sm.minimal_matches(pair, 0.5)
    assert len(found) == len(found.distinct) == 0
    assert found.sizes_x.tolist() == [0] * 24
    assert sm.minimal_match(pair, 0.5, ("y", 3)) is None


@pytest.mark.parametrize(
    ("options", "orders"),
    [({}, 1), ({"order": "random", "seed": 0, "restarts": 3}, 3), ({"order": "small"}, 2)],
)
def test_progress_counts_each_neuron_once_per_order(options, orders):
    pair, done = pair_of(*cases.related(np.random.default_rng(0))), []
    found = sm.minimal_matches(pair, 0.5, progress=done.append, **options)
    assert sum(done) == len(found) * orders


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.__name__)
def test_the_number_of_threads_does_not_change_the_matches(case, threads, monkeypatch):
    monkeypatch.setattr(minimal_walk, "MOST_TERMS", 3)
    path = path_of(*layers_of(case, 6))
    for epsilon in (0.3, *midpoint_epsilons(path, 1, np.random.default_rng(0))):
        one = sm.minimal_matches(path, epsilon, threads=1)
        several = sm.minimal_matches(path, epsilon, threads=threads)
        assert_same(one, several)


def test_a_node_computes_the_same_bits_in_any_thread(monkeypatch):
    """Also the distances: not only the matches are equal."""
    path = path_of(*layers_of(cases.low_rank_plus_noise, 6))
    monkeypatch.setattr(minimal_walk, "MOST_TERMS", 3)
    seen = []

    def recorded(target, lefts, rights):
        subtract_product(target, lefts, rights)
        seen.append(target.tobytes())

    decide = minimal_walk.decide

    def decided(base, state, side, bound):
        seen.append(state.numbers[RESIDUAL].tobytes())
        decide(base, state, side, bound)

    monkeypatch.setattr(minimal_walk, "subtract_product", recorded)
    monkeypatch.setattr(minimal_walk, "decide", decided)
    runs = []
    for threads in (1, 3):
        seen.clear()
        sm.minimal_matches(path, 0.3, threads=threads)
        runs.append(sorted(seen))
    assert len(runs[0]) > 5
    assert runs[0] == runs[1]


@pytest.mark.parametrize("terms", [0, 1, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (7, 3), (0, 2)], ids=str)
def test_a_product_is_subtracted_in_place_from_a_part_of_a_matrix(shape, terms):
    rng = np.random.default_rng(0)
    whole, lefts, rights = (rng.normal(size=(length, 11)) for length in (9, 8, 8))
    part = np.s_[1 : 1 + shape[0], 2 : 2 + shape[1]]
    lefts, rights = lefts[:terms, 1 : 1 + shape[0]], rights[:terms, 3 : 3 + shape[1]]
    expected = whole.copy()
    for i, left in enumerate(lefts):
        expected[part] -= np.outer(left, rights[i])
    subtract_product(whole[part], lefts, rights)
    np.testing.assert_allclose(whole, expected, rtol=1e-13, atol=1e-13)


def test_an_error_in_a_thread_is_raised_and_ends_all(monkeypatch):
    path = path_of(*layers_of(cases.related, 6))

    def failing(*_):
        raise MemoryError("no memory left")

    monkeypatch.setattr(minimal_walk, "advance", failing)
    before = threading.active_count()
    with pytest.raises(MemoryError, match="no memory left"):
        sm.minimal_matches(path, 0.5, threads=3)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "options", [{}, {"order": "random", "seed": 3, "restarts": 2}, {"order": "small"}], ids=str
)
@pytest.mark.parametrize(
    "case", [cases.low_rank_plus_noise, cases.everything_at_once], ids=lambda case: case.__name__
)
def test_some_neurons_have_the_matches_of_all(case, options):
    pair = pair_of(*layers_of(case, 2))
    found = sm.minimal_matches(pair, 0.5, **options)
    some = [*list(found)[1::3], ("x", 15)]  # one is dead or outside the maximum match in one case
    few = sm.minimal_matches(pair, 0.5, neurons=[*some, some[0]], **options)
    assert list(few) == [neuron for neuron in found if neuron in some]
    for neuron in few:
        np.testing.assert_array_equal(few[neuron].x, found[neuron].x)
        np.testing.assert_array_equal(few[neuron].y, found[neuron].y)
    assert len(few.distinct_matches()) <= len(found.distinct_matches())
    assert len(sm.minimal_matches(pair, 0.5, neurons=[], **options)) == 0


class StopError(Exception):
    pass


@pytest.mark.parametrize(
    "options", [{}, {"order": "random", "seed": 3, "restarts": 2}, {"order": "small"}], ids=str
)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_stopped_search_goes_on_and_finds_the_same(options, threads):
    path = path_of(*layers_of(cases.low_rank_plus_noise, 2))
    expected = sm.minimal_matches(path, 0.5, **options)
    total = len(expected) * {"random": 2, "small": 2}.get(options.get("order"), 1)
    for stop_at in (1, len(expected) // 2, total - 1):
        partial, counts = PartialMatches(len(expected.match_of)), []

        def stop(count, counts=counts, stop_at=stop_at):
            counts.append(count)
            if sum(counts) >= stop_at:
                raise StopError

        with pytest.raises(StopError):
            sm.minimal_matches(
                path, 0.5, partial=partial, progress=stop, threads=threads, **options
            )
        again = PartialMatches.from_arrays(partial.arrays())
        found = sm.minimal_matches(
            path, 0.5, partial=again, progress=counts.append, threads=threads, **options
        )
        assert_same(found, expected)
        assert sum(counts) == total  # nothing is searched twice


def test_partial_matches_of_another_pair_are_an_error():
    x, y = layers_of(cases.low_rank_plus_noise, 2)
    pair = pair_of(x, y)
    with raises(f"partial: expected matches of {len(pair.sums)} neurons", "found 5", "same pair"):
        sm.minimal_matches(pair, 0.3, partial=PartialMatches(5))
    partial = PartialMatches(len(pair.sums))
    found = sm.minimal_matches(pair, 0.5, partial=partial)
    others = {  # with the same norms and column sums; and the same neurons, divided otherwise
        "permuted": ((x, y[::-1]), "of this pair, found those of other activations; begin with"),
        "moved": (np.split(np.hstack([x, y]), [x.shape[1] - 1], axis=1), f"{x.shape[1] - 1} + "),
    }
    for other, message in others.values():
        for again in (partial, PartialMatches.from_arrays(partial.arrays())):
            with raises("partial: expected matches ", message):
                sm.minimal_matches(pair_of(*other), 0.5, partial=again)
    for same in (sm.match_path(pair), sm.reduce(x, y, chunk_samples=7)):  # rounded otherwise
        assert_same(sm.minimal_matches(same, 0.5, partial=partial), found)


@pytest.mark.parametrize("again", [True, False], ids=["loaded", "same"])
def test_partial_matches_of_another_search_are_an_error(again):
    path = path_of(*layers_of(cases.low_rank_plus_noise, 2))
    random = {"order": "random", "seed": 3, "restarts": 2}
    for first, other, words in (
        ((0.5, {}), (0.3, {}), ("epsilon 0.3, order", "epsilon 0.5, order")),
        ((0.5, {}), (0.5, {"order": "small"}), ("order 'small'", "those of epsilon 0.5, order 'a")),
        ((0.5, random), (0.5, random | {"seed": 4}), ("seed 4, 2 restarts", "seed 3, 2 restarts")),
        ((0.5, random), (0.5, random | {"restarts": 1}), ("1 restarts", "2 restarts")),
        ((0.0, {}), (0.5, {}), ("epsilon 0.5", "epsilon 0.0")),  # nothing was found at 0
    ):
        partial = PartialMatches(len(path.critical_epsilon))
        found = sm.minimal_matches(path, first[0], partial=partial, **first[1])
        if again:
            partial = PartialMatches.from_arrays(partial.arrays())
        with raises("partial: expected matches of ", *words, "; begin with a new PartialMatches("):
            sm.minimal_matches(path, other[0], partial=partial, **other[1])
        assert_same(sm.minimal_matches(path, first[0], partial=partial, **first[1]), found)


@pytest.mark.parametrize(
    "options", [{}, {"order": "random", "seed": 3, "restarts": 2}, {"order": "small"}], ids=str
)
def test_partial_matches_of_some_neurons_go_on_with_others(options):
    path = path_of(*layers_of(cases.low_rank_plus_noise, 2))
    expected = sm.minimal_matches(path, 0.5, **options)
    partial, neurons = PartialMatches(len(path.critical_epsilon)), list(expected)
    for some in (neurons[::3], neurons[1::3]):
        found = sm.minimal_matches(path, 0.5, neurons=some, partial=partial, **options)
        assert list(found) == some
    assert_same(sm.minimal_matches(path, 0.5, partial=partial, **options), expected)
    assert partial.count == len(expected) * (2 if options else 1)  # nothing is searched twice


@pytest.mark.parametrize("neurons", ["a", 0, -1, 2.5, None])
def test_partial_matches_need_a_number_of_neurons(neurons):
    with raises(f"neurons: expected a whole number of at least 1, found {neurons!r}; pass the"):
        PartialMatches(neurons)


def test_arrays_that_are_no_partial_matches_are_an_error():
    with raises("arrays: expected search, products, ", "found no products, match_of; pass what"):
        arrays = PartialMatches(3).arrays()
        PartialMatches.from_arrays({key: arrays[key] for key in ("search", "searched", "distinct")})
    with raises("arrays: expected what PartialMatches.arrays() returned, found 'a.npz'"):
        PartialMatches.from_arrays("a.npz")


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_an_invalid_number_of_threads_is_an_error(threads):
    with raises("threads: expected an integer of at least 1", f"found {threads!r}", "all cores"):
        sm.minimal_matches(pair_of(np.eye(4, 2), np.eye(4, 2)), 0.3, threads=threads)


@pytest.mark.parametrize("case", [*SEVERAL, cases.one_neuron_per_side], ids=lambda c: c.__name__)
def test_neurons_that_need_no_test_would_be_kept_by_one(case, monkeypatch):
    """``decide`` only saves tests: without it the matches are the same."""
    path = path_of(*layers_of(case, 8))
    epsilons = [0.3, *midpoint_epsilons(path, 2, np.random.default_rng(1))]
    expected = [sm.minimal_matches(path, epsilon) for epsilon in epsilons]
    monkeypatch.setattr(minimal_walk, "decide", lambda *_: None)
    for epsilon, found in zip(epsilons, expected, strict=True):
        assert_same(sm.minimal_matches(path, epsilon), found)


def assert_same(found: sm.MinimalMatches, expected: sm.MinimalMatches) -> None:
    np.testing.assert_array_equal(found.distinct, expected.distinct)
    np.testing.assert_array_equal(found.match_of, expected.match_of)


@pytest.mark.parametrize(
    "case", [cases.near_duplicates, cases.copies_at_every_scale], ids=lambda case: case.__name__
)
def test_near_copies_need_no_second_factorisation(case, monkeypatch):
    path = path_of(*layers_of(case, 0))
    calls = []
    factor_spans = minimal_walk.factor_spans
    monkeypatch.setattr(
        minimal_walk, "factor_spans", lambda *a, **b: calls.append(1) or factor_spans(*a, **b)
    )
    for epsilon in (0.3, 0.8):
        calls.clear()
        sm.minimal_matches(path, epsilon)
        assert len(calls) == 1


@pytest.mark.parametrize(
    ("changed", "refactors"),
    [
        ({"DEPENDS": 1e3}, True),
        ({"LOST_DIGITS": 0.99, "MOST_KEPT": 0.99}, False),
        ({"LOST_DIGITS": 0.99, "MOST_KEPT": 0.99, "LOST_DUALS": 0.99}, True),
    ],
    ids=["no exchange", "all from the duals", "inaccurate duals"],
)
@pytest.mark.parametrize(
    "case",
    [cases.dependent, cases.more_neurons_than_samples, cases.wide_and_dependent],
    ids=lambda case: case.__name__,
)
def test_lost_precision_does_not_change_the_matches(case, changed, refactors, monkeypatch):
    """Tolerances under which every coefficient is too small, or every removal inaccurate."""
    path = path_of(*layers_of(case, 1, np.float64))
    expected = sm.minimal_matches(path, 0.8)
    assert len(expected)
    monkeypatch.setattr(minimal_walk, "SAFE_INVERSE", 0.0)  # always store duals
    for name, value in changed.items():
        monkeypatch.setattr(minimal_walk, name, value)
    calls = []
    resume = minimal_walk.resume
    monkeypatch.setattr(minimal_walk, "resume", lambda *a: calls.append(1) or resume(*a))
    found = sm.minimal_matches(path, 0.8)
    assert bool(calls) == refactors
    np.testing.assert_array_equal(found.distinct, expected.distinct)
    np.testing.assert_array_equal(found.match_of, expected.match_of)


def after_removals(pair: sm.PairMoments, count: int):
    """Return base and state after the removal of some neurons in random order."""
    columns = np.arange(pair.factor.shape[1])
    walk = minimal_walk.Walk(pair.factor, columns, pair.neurons_x, 0.99999, None, 0.0)
    order = np.random.default_rng(0).permutation(columns)
    base, state = walk.base, walk._state
    rank = np.argsort(order)[base.neurons]
    base = base._replace(rank=rank, order=np.argsort(rank))
    state.group[:] = True
    state.counts[GROUP] = len(columns)
    for _ in range(count):  # the others always stay within epsilon, nearly 1
        outcome, _ = minimal_walk.advance(base, state, state.copy(), 0.99999, 10**6)
        assert outcome == SPLIT
        state.group[:] = state.flags[ALIVE]
        state.counts[GROUP] = state.group.sum()
    base, state = minimal_walk._select(base, state)
    base = minimal_walk._apply_terms(base, state, range(2))
    assert len(base.neurons) == len(columns) - count
    return base, state


@pytest.mark.parametrize("case", [cases.related, cases.dependent], ids=lambda case: case.__name__)
def test_state_after_removals_equals_a_fresh_factorisation(case):
    pair = pair_of(*case(np.random.default_rng(4)))
    base, state = after_removals(pair, 9)
    basis, residual = state.flags[BASIS], state.numbers[RESIDUAL]
    of_x = base.neurons < pair.neurons_x
    for side in (of_x, ~of_x):
        own = pair.factor[:, base.neurons[side & basis]]
        others = pair.factor[:, base.neurons[~side]]
        coefficients = np.linalg.pinv(own) @ others
        rows = base.matrix[side & basis, : len(base.neurons)]
        np.testing.assert_allclose(rows[:, ~side], coefficients, atol=1e-9)
        squares = ((others - own @ coefficients) ** 2).sum(0)
        np.testing.assert_allclose(residual[~side], squares, atol=1e-11)


@pytest.mark.parametrize("longest", [0.0, 100.0], ids=["shortened", "unchanged"])
@pytest.mark.parametrize(
    "case", [cases.near_duplicates, cases.copies_at_every_scale], ids=lambda case: case.__name__
)
def test_duals_stay_accurate_when_near_copies_leave(case, longest, monkeypatch):
    """1 / |w_i| is the distance of z_i from the other neurons of its side."""
    monkeypatch.setattr(minimal_walk, "LONGEST_DUALS", longest)
    pair = pair_of(*case(np.random.default_rng(4)))
    base, state = after_removals(pair, 15)
    width = len(base.neurons)
    assert (base.matrix.shape[1] == width + 24) == (longest > 1)
    lengths = np.sqrt((base.matrix[:, width:] ** 2).sum(1))
    of_x = base.neurons < pair.neurons_x
    for side in (of_x, ~of_x):
        own = np.flatnonzero(side)
        for i in own[state.flags[BASIS, own]]:
            others = pair.factor[:, base.neurons[own[own != i]]]
            distance = oracles.relative_distance(pair.factor[:, [base.neurons[i]]], others)
            np.testing.assert_allclose(1 / lengths[i], distance[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("neuron", "parts"),
    [
        (("x", 99), ("index from 0 to 39, since x has 40 neurons", "found ('x', 99)", "from 0")),
        (("y", -1), ("index from 0 to 6, since y has 7 neurons", "found ('y', -1)")),
        (("z", 1), ("expected ('x', index) or ('y', index)", "found ('z', 1)", "give a side")),
        (("x", 1.5), ("expected ('x', index)", "found ('x', 1.5)", "an integer")),
        ("x1", ("expected ('x', index)", "found 'x1'")),
        (3, ("expected ('x', index)", "found 3")),
    ],
    ids=str,
)
def test_an_unknown_neuron_is_an_error(neuron, parts):
    pair = pair_of(*cases.unequal_widths(np.random.default_rng(0)))
    with raises("neuron: ", *parts):
        sm.minimal_match(pair, 0.3, neuron)
    with raises("neuron: ", *parts):
        sm.minimal_matches(pair, 0.3)[neuron]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"order": "best"}, ("order: expected one of 'authors', 'random', 'small'", "'best'")),
        ({"order": "random"}, ("seed: expected an integer", "found None")),
        ({"order": "random", "seed": -1}, ("seed: expected an integer of at least 0", "found -1")),
        ({"order": "random", "seed": 0, "restarts": 0}, ("restarts: expected", "found 0")),
        ({"restarts": 2}, ("order: expected 'random' with seed or restarts", "found 'authors'")),
        ({"order": "small", "seed": 2}, ("order: expected 'random'", "found 'small'")),
    ],
    ids=str,
)
def test_invalid_options_are_an_error(options, parts):
    pair = pair_of(np.eye(4, 2), np.eye(4, 2))
    with raises(*parts):
        sm.minimal_matches(pair, 0.3, **options)
    with raises(*parts):
        sm.minimal_match(pair, 0.3, ("x", 0), **options)


@pytest.mark.parametrize(
    ("epsilon", "found"),
    [(1.0, "found 1.0"), (-0.1, "found -0.1"), ([0.1, 0.2], "array of shape (2,)")],
)
def test_an_invalid_epsilon_is_an_error(epsilon, found):
    pair = pair_of(np.eye(4, 2), np.eye(4, 2))
    with raises("epsilon: expected ", found):
        sm.minimal_matches(pair, epsilon)
    with raises("epsilon: expected ", found):
        sm.minimal_match(pair, epsilon, ("x", 0))


@pytest.mark.parametrize("noise", [3e-9, 1e-9, 3e-10])
def test_rounding_does_not_let_a_copy_replace_nearly_dependent_neurons(noise):
    """The copy's coefficients on them are rounding, though larger than ``DEPENDS``."""
    for seed in range(60):
        x, y = cases.nearly_dependent(np.random.default_rng(seed), noise)
        products, checked = exact_oracles.inner_products(x, y), set()
        for chunk_samples in (None, 1):
            pair = sm.reduce(x, y, device="cpu", chunk_samples=chunk_samples)
            for match in sm.minimal_matches(pair, 0.15).distinct_matches():
                members = [*match.x.tolist(), *(match.y + 4).tolist()]
                if tuple(members) in checked:
                    continue
                checked.add(tuple(members))
                for v in members:
                    span = [u for u in members if (u < 4) != (v < 4)]
                    square = exact_oracles.squared_distance(products, v, span)
                    assert exact_oracles.root(square) < 0.15 + 1e-8, (seed, chunk_samples, members)
