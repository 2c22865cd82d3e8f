"""The smallest minimal match of several orders, against separate searches."""

import cases
import numpy as np
from helpers import path_of, raises

import subspace_match as sm

EPSILON = 0.8


def test_each_neuron_has_the_smallest_match_of_all_orders() -> None:
    path = path_of(*cases.related(np.random.default_rng(0)))
    found = sm.smallest_minimal_matches(path, EPSILON, orders=4, seed=7)
    separate = [sm.minimal_matches(path, EPSILON)]
    separate += [sm.minimal_matches(path, EPSILON, order="random", seed=seed) for seed in (7, 8, 9)]
    assert found.sizes_by_order is not None
    np.testing.assert_array_equal(found.sizes_by_order, [one.sizes for one in separate])
    assert (found.sizes_by_order.max(0) > found.sizes).any()  # the order matters
    np.testing.assert_array_equal(found.sizes, np.min([one.sizes for one in separate], axis=0))
    for neuron, match in found.items():
        same = [one[neuron] for one in separate]
        assert any(
            np.array_equal(match.x, other.x) and np.array_equal(match.y, other.y) for other in same
        )
    assert set(found) == set(separate[0])


def test_some_neurons_have_the_matches_that_a_search_of_all_gives_them() -> None:
    path = path_of(*cases.related(np.random.default_rng(0)))
    every = sm.smallest_minimal_matches(path, EPSILON, orders=4)
    some = list(every)[1:4]
    found = sm.smallest_minimal_matches(path, EPSILON, neurons=iter(some), orders=4)
    assert list(found) == some
    for neuron, match in found.items():
        np.testing.assert_array_equal(match.x, every[neuron].x)
        np.testing.assert_array_equal(match.y, every[neuron].y)


def test_one_order_is_the_authors() -> None:
    path = path_of(*cases.related(np.random.default_rng(0)))
    found = sm.smallest_minimal_matches(path, EPSILON, orders=1)
    expected = sm.minimal_matches(path, EPSILON)
    np.testing.assert_array_equal(found.distinct, expected.distinct)
    np.testing.assert_array_equal(found.match_of, expected.match_of)
    assert found.sizes_by_order.shape == (1, 44)


def test_without_any_match_there_are_sizes_of_0() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 100, 3))
    found = sm.smallest_minimal_matches(path_of(x, y), 0.1, orders=3)
    assert (len(found), found.sizes_by_order.tolist()) == (0, [[0] * 6] * 3)


def test_less_than_one_order_is_refused() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 100, 3))
    for orders in (0, "two", 1.5):
        with raises(f"orders: expected a whole number of at least 1, found {orders!r}"):
            sm.smallest_minimal_matches(path_of(x, y), 0.1, orders=orders)


def test_partials_must_be_one_per_order() -> None:
    path = path_of(*cases.related(np.random.default_rng(0)))
    n = len(path.critical_epsilon)
    for partials, found in (
        ([sm.PartialMatches(n)], "1"),
        ([], "0"),
        (sm.PartialMatches(n), "an object of type PartialMatches"),
        ("abc", "'abc'"),
    ):
        with raises(
            f"partials: expected one PartialMatches for each of 3 orders, found {found}; pass"
        ):
            sm.smallest_minimal_matches(path, EPSILON, orders=3, partials=partials)
    with raises("partial: expected matches of epsilon 0.8, order 'random', seed 0", "'authors'"):
        sm.smallest_minimal_matches(path, EPSILON, orders=3, partials=[sm.PartialMatches(n)] * 3)
    with raises("partial: expected the PartialMatches of an unfinished call, or None, found 3"):
        sm.smallest_minimal_matches(path, EPSILON, orders=1, partials=[3])
