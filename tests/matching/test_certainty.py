"""Certified matches are correct: epsilons around every critical one, against exact arithmetic."""

from __future__ import annotations

from functools import cache

import cases
import exact_oracles
import numpy as np
import pytest
from helpers import path_of

import subspace_match as sm
from subspace_match.matching.backends import resolve_device
from subspace_match.matching.backends.numpy_ import Cpu
from subspace_match.matching.layer_pairs import layer_pairs
from subspace_match.matching.null import null_paths
from subspace_match.matching.reduction import block_sums
from subspace_match.matching.reduction.block_sums import Blocks


def copies(seed: int, d: int, scale: float) -> cases.Pair:
    """A constant neuron and its near copy; y0 mostly consists of their difference."""
    rng = np.random.default_rng(seed)
    a, b = np.full(d, float(np.float32(0.1))), rng.normal(size=d)
    x = np.c_[a, a + scale * b * np.linalg.norm(a) / np.linalg.norm(b)]
    return x, np.c_[b + 0.5 * rng.normal(size=d), a * (1 + 0.3 * rng.normal(size=d))]


def relu_copies(seed: int, d: int, scale: float) -> cases.Pair:
    """The same with ReLU activations: two pairs of copies, and two neurons that need both."""
    rng = np.random.default_rng(seed)
    a, b = cases.relu(rng.normal(size=(d, 2))), rng.normal(size=(d, 2))
    x = np.hstack([a, a + scale * b * np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)])
    return x, b + 0.5 * rng.normal(size=(d, 2))


def cluster(seed: int, d: int, scale: float) -> cases.Pair:
    """Five near copies of one neuron with a large mean."""
    rng = np.random.default_rng(seed)
    a, b = 0.3 + 0.01 * rng.normal(size=(d, 1)), rng.normal(size=(d, 5))
    x = a + scale * b * np.linalg.norm(a) / np.linalg.norm(b, axis=0)
    return x, b[:, :3] - b[:, 1:4] + rng.normal(size=(d, 3))


def common_means(seed: int, d: int, scale: float) -> cases.Pair:
    """Float32 layers of nearly constant neurons."""
    rng = np.random.default_rng(seed)
    x = (0.1 + scale * rng.normal(size=(d, 3))).astype(np.float32)
    y = (0.7 + scale * rng.normal(size=(d, 3)) + 0.3 * (x - 0.1)).astype(np.float32)
    return x, y


def plain(seed: int, d: int, scale: float) -> cases.Pair:
    x, y = cases.related(np.random.default_rng(seed), 5, 4, d)
    return x.astype(np.float32), (y + scale).astype(np.float32)


KINDS = (copies, relu_copies, cluster, common_means, plain)
SCALES = (1e-8, 1e-6, 5e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 0.1)


@cache
def exact_products(kind, seed: int, d: int, scale: float) -> exact_oracles.Products:
    return exact_oracles.inner_products(*kind(seed, d, scale))


@cache
def exact_squares(kind, seed: int, d: int, scale: float) -> tuple:
    neurons_x = kind(seed, d, scale)[0].shape[1]
    products = exact_products(kind, seed, d, scale)
    return tuple(exact_oracles.squared_critical_epsilons(products, neurons_x))


def around(value: float, rounding: float) -> list[float]:
    """Return epsilons so close to a critical value that rounding matters, and some farther away."""
    near = [value]
    for end in (0.0, 1.0):
        step = value
        for _ in range(3):
            step = float(np.nextafter(step, end))
            near.append(step)
    sizes = [factor * rounding for factor in (0.3, 0.6, 0.99, 1.01, 2, 10)]
    sizes += [10.0**-power for power in range(6, 13)]
    near += [value + sign * size for size in sizes for sign in (-1, 1)]
    return [epsilon for epsilon in near if 0 <= epsilon < 1]


def verdicts(kind, seed, d, scale, device, chunk_samples) -> tuple[int, int, int]:
    """Count the epsilons tested, those certified, and those certified with a wrong match."""
    x, y = kind(seed, d, scale)
    squares = exact_squares(kind, seed, d, scale)
    path = path_of(x, y, device, chunk_samples=chunk_samples)
    rounding = path.verify(0.3, device=device).rounding
    exact = exact_oracles.critical_epsilons(squares)
    epsilons = [
        epsilon
        for value in {*exact[exact < 1], *path.critical_epsilon[exact < 1]}
        for epsilon in around(value, rounding)
    ]
    certified = wrong = 0
    for found in path.verify(epsilons, device=device):
        if found.sound and found.complete and found.certain:
            certified += 1
            match = path.maximum_match(found.epsilon)
            members = [*match.x, *(match.y + x.shape[1])]
            wrong += members != exact_oracles.members(squares, found.epsilon)
    return len(epsilons), certified, wrong


@pytest.mark.parametrize("chunk_samples", [None, 70, 1000])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_certified_match_is_wrong(kind, chunk_samples, device):
    tested = certified = wrong = 0
    for seed, scale in enumerate(SCALES):
        found = verdicts(kind, seed, 2_000, scale, device, chunk_samples)
        tested, certified, wrong = tested + found[0], certified + found[1], wrong + found[2]
    assert wrong == 0
    assert certified > tested / 10, "certificates that are never certain say nothing"


@cache
def long_layers() -> tuple[np.ndarray, np.ndarray, tuple]:
    """Return 100,000 samples of ``copies``, and their exact squared critical epsilons."""
    rng = np.random.default_rng(0)
    d = 100_000
    a = np.full(d, float(np.float32(0.1)))
    b = rng.normal(size=d)
    x = np.c_[a, a + 1e-8 * b * np.linalg.norm(a) / np.linalg.norm(b)]
    y = np.c_[b + 0.5 * rng.normal(size=d), a * (1 + 0.3 * rng.normal(size=d))]
    products = exact_oracles.inner_products(x, y)
    return x, y, tuple(exact_oracles.squared_critical_epsilons(products, 2))


def assert_accurate_on_long_layers(device, **options) -> None:
    x, y, squares = long_layers()
    path = path_of(x, y, device, **options)
    assert path.critical_epsilon_y[0] == pytest.approx(0.44766, abs=5e-6)
    exact = exact_oracles.critical_epsilons(squares)
    np.testing.assert_allclose(path.critical_epsilon, exact, rtol=0, atol=2e-8)
    assert not path.verify(exact[2], device=device).certain
    assert path.verify(exact[2] + 1e-4, device=device).certain


def test_many_samples_of_a_constant_lose_no_accuracy(device):
    """Added one by one, rounding would turn a critical epsilon of 0.45 into 0.99998."""
    assert_accurate_on_long_layers(device)


def test_many_small_chunks_lose_no_accuracy():
    """20,000 additions; near copies are told apart by 1e-16 of a sum of squares."""
    assert_accurate_on_long_layers("cpu", chunk_samples=5)


def test_near_copies_are_not_told_apart_by_rounding(device):
    """At a scale of 1e-5, moments alone certify a wrong match 5e-5 from a critical epsilon."""
    for seed in range(4):
        squares = exact_squares(copies, seed, 10_000, 1e-5)
        x, y = copies(seed, 10_000, 1e-5)
        path = path_of(x, y, device)
        exact = exact_oracles.critical_epsilons(squares)
        np.testing.assert_allclose(path.critical_epsilon, exact, rtol=0, atol=1e-8)
        near = exact[2] + np.array([-5e-5, -1e-5, -1e-6, -1e-7, 1e-7, 1e-6, 1e-5, 5e-5])
        for found in path.verify([0.448278299, *near], device=device):
            match = path.maximum_match(found.epsilon)
            assert (found.sound, found.complete, found.certain) == (True, True, True)
            expected = exact_oracles.members(squares, found.epsilon)
            assert [*match.x, *(match.y + 2)] == expected


def unit_moment_error(pair: sm.PairMoments, products: exact_oracles.Products) -> float:
    """Return the largest error of an entry of the moments of unit columns."""
    norms = [exact_oracles.root(products[i][i]) for i in range(len(products))]
    return max(
        abs(float(exact_oracles.Fraction(float(pair.second_moments[i, j])) - products[i][j]))
        / (norms[i] * norms[j])
        for i in range(len(norms))
        for j in range(len(norms))
    )


@pytest.mark.parametrize("chunk_samples", [None, 1, 1000])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_moment_errors_are_within_their_bound(kind, chunk_samples, device):
    """Of a constant, rounding adds up: 10,000 chunks added one by one exceed the bound tenfold."""
    many = chunk_samples != 1 or kind is copies
    layers = 0, 10_000 if many else 2_000, 0.01
    x, y = kind(*layers)
    products = exact_products(kind, *layers)
    pair = sm.reduce(x, y, device=device, chunk_samples=chunk_samples)
    error = unit_moment_error(pair, products)
    assert error <= pair.moment_error
    assert pair.moment_error < 1.5e-13


def test_moment_errors_of_heat_maps_and_nulls_are_within_their_bound(device):
    x, y = common_means(0, 10_000, 0.01)
    order = np.random.default_rng(0).permutation(len(x))
    ((_, _, pair),) = layer_pairs([x], [y], device=device, chunk_samples=1000)
    (permuted,) = null_paths(sm.reduce(x, y, device=device), x, y, [order], device=device)
    for found, products in (
        (pair, exact_oracles.inner_products(x, y)),
        (permuted.pair, exact_oracles.inner_products(x, y[order])),
    ):
        assert unit_moment_error(found, products) <= found.moment_error < 1.5e-13


def test_the_bound_grows_with_the_length_of_blocks(monkeypatch):
    """Without the limit on block lengths the bound is far above the error of short blocks."""
    x, y = common_means(0, 100_000, 1e-3)
    products = exact_oracles.inner_products(x, y)
    short = unit_moment_error(sm.reduce(x, y, device="cpu"), products)
    monkeypatch.setattr(Cpu, "block_samples", lambda *_: 10**9)
    long = sm.reduce(x, y, device="cpu", chunk_samples=100_000)
    assert long.moment_error > 1e-11
    assert short < 3e-14


@pytest.mark.parametrize("samples", [1, 7, 1_000, 1_024, 100_000, 10_000_019])
@pytest.mark.parametrize("step", [1, 7, 1_500, 40_000])
def test_products_pass_few_additions(samples, step):
    blocks = Blocks.for_device(resolve_device("cpu"), samples, step, 8)
    assert blocks.length <= min(step, 1_024)
    lengths = [
        block.stop - block.start
        for start in range(0, min(samples, 20 * step), step)
        for block in blocks.slices(min(step, samples - start))
    ]
    assert blocks.additions <= 1_024 + 2 * max(32, np.sqrt(blocks.count)) + 2
    if samples <= 20 * step:
        assert blocks.count == len(lengths)


def test_grouped_sums_equal_plain_sums(device):
    for count in (1, 32, 33, 64, 65, 2_000):
        blocks = Blocks(count, 1, 1)
        total = block_sums.GroupedSum(blocks, device, 3)
        for number in range(count):
            added = total.next()
            added += number + 1.0
        np.testing.assert_array_equal(
            device.numpy(total.total()), np.full(3, count * (count + 1) / 2)
        )
