"""Pairs of activations for tests of matching, drawn from a generator or by hypothesis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

Pair = tuple[np.ndarray, np.ndarray]
EPSILONS = (0.05, 0.15, 0.2, 0.25, 0.3, 0.5, 0.8)


def relu(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0.0)


def gaussian(rng: np.random.Generator) -> Pair:
    return rng.normal(size=(60, 25)), rng.normal(size=(60, 25))


def related(rng: np.random.Generator, n_x: int = 24, n_y: int = 20, d: int = 150) -> Pair:
    """ReLU layers of two networks that read the same hidden features with different noise."""
    hidden = relu(rng.normal(size=(d, 12)))
    x = relu(hidden @ rng.normal(size=(12, n_x)) + 0.4 * rng.normal(size=(d, n_x)))
    y = relu(hidden @ rng.normal(size=(12, n_y)) + 0.4 * rng.normal(size=(d, n_y)))
    y[:, :4] = x[:, :4] + 0.2 * np.abs(rng.normal(size=(d, 4)))
    return x, y


def low_rank_plus_noise(rng: np.random.Generator) -> Pair:
    basis = rng.normal(size=(80, 6))
    sizes = 10.0 ** rng.uniform(-3, 0, size=30)
    x = basis @ rng.normal(size=(6, 30)) + sizes * rng.normal(size=(80, 30))
    y = basis @ rng.normal(size=(6, 18)) + sizes[:18] * rng.normal(size=(80, 18))
    return x, y


def one_neuron_per_side(rng: np.random.Generator) -> Pair:
    x = rng.normal(size=(40, 1))
    return x, x + 0.25 * rng.normal(size=(40, 1))


def unequal_widths(rng: np.random.Generator) -> Pair:
    return related(rng, 40, 7)


def dead_neurons(rng: np.random.Generator) -> Pair:
    x, y = related(rng)
    x[:, [0, 7]] = 0.0
    y[:, [1, 2, 19]] = 0.0
    return x, y


def exact_duplicates(rng: np.random.Generator) -> Pair:
    x, y = related(rng)
    x[:, 5], x[:, 6], y[:, 9], y[:, 10] = x[:, 4], x[:, 4], y[:, 8], x[:, 3]
    return x, y


def near_duplicates(rng: np.random.Generator) -> Pair:
    x, y = related(rng)
    for source, copy, noise in ((4, 5, 1e-7), (4, 6, 1e-5), (8, 9, 1e-7)):
        x[:, copy] = x[:, source] * (1 + noise * rng.normal(size=len(x)))
        y[:, copy] = y[:, source] * (1 + noise * rng.normal(size=len(x)))
    return x, y


def sums(rng: np.random.Generator) -> Pair:
    x, y = related(rng)
    x[:, 10] = x[:, 11] + x[:, 12] + x[:, 13]
    y[:, 10] = y[:, 3] + y[:, 4]
    y[:, 11] = x[:, 0] + x[:, 1]
    return x, y


def scaled_columns(rng: np.random.Generator) -> Pair:
    x, y = related(rng)
    return x * 10.0 ** rng.choice([-6, 0, 6], 24), y * 10.0 ** rng.choice([-6, 0, 6], 20)


def more_neurons_than_samples(rng: np.random.Generator) -> Pair:
    return relu(rng.normal(size=(15, 22))), relu(rng.normal(size=(15, 9)))


def everything_at_once(rng: np.random.Generator) -> Pair:
    x, y = near_duplicates(rng)
    x[:, 15], y[:, 15] = 0.0, 0.0
    x[:, 16] = x[:, 0] + x[:, 1]
    y[:, 16] = y[:, 17]
    return x * 10.0 ** rng.uniform(-6, 6, 24), y * 10.0 ** rng.uniform(-6, 6, 20)


def ill_conditioned(rng: np.random.Generator) -> Pair:
    """Singular values from 1 down to 1e-6 of the largest."""

    def worsen(layer: np.ndarray) -> np.ndarray:
        left, _, right = np.linalg.svd(layer, full_matrices=False)
        return left * 10.0 ** -np.linspace(0, 6, len(right)) @ right

    x, y = related(rng)
    return worsen(x), worsen(y)


def copies_at_every_scale(rng: np.random.Generator) -> Pair:
    x, y = related(rng)
    for layer in (x, y):
        for copy in range(10, 20):
            noise = 10.0 ** rng.uniform(-8, -2) * rng.normal(size=len(layer))
            layer[:, copy] = layer[:, copy - rng.integers(1, 10)] * (1 + noise)
    return x, y


def half_near_copies(rng: np.random.Generator) -> Pair:
    """Half of each side's neurons copy the other half, with noise of 1e-7 to 1e-3."""
    x, y = related(rng)
    for layer in (x, y):
        places = rng.permutation(layer.shape[1])
        half = len(places) // 2
        for source, copy in zip(
            rng.choice(places[:half], len(places)), places[half:], strict=False
        ):
            noise = 10.0 ** rng.uniform(-7, -3) * rng.normal(size=len(layer))
            layer[:, copy] = layer[:, source] * (1 + noise)
    return x, y


def half_as_many_samples(rng: np.random.Generator) -> Pair:
    """Half of a side's neurons already span all samples."""
    return relu(rng.normal(size=(11, 22))), relu(rng.normal(size=(11, 22)))


def dependent(rng: np.random.Generator) -> Pair:
    """More neurons than hidden directions; all of X and most of Y lie in their span."""
    hidden = rng.normal(size=(100, 8))
    x, y = hidden @ rng.normal(size=(8, 20)), hidden @ rng.normal(size=(8, 15))
    y[:, :5] += 0.3 * rng.normal(size=(100, 5))
    return x, y


def dead_side(rng: np.random.Generator) -> Pair:
    x, y = related(rng)
    return np.zeros_like(x), y


def dead_sides(rng: np.random.Generator) -> Pair:
    x, y = related(rng)
    return np.zeros_like(x), np.zeros_like(y)


def wide_and_dependent(rng: np.random.Generator) -> Pair:
    """More neurons than one block of removals, with copies, near copies and sums."""
    x, y = related(rng, 90, 80, 300)
    for layer in (x, y):
        width = layer.shape[1]
        for copy in range(40, width, 3):
            layer[:, copy] = layer[:, rng.integers(0, 40)]
        for total in range(41, width, 6):
            layer[:, total] = layer[:, rng.integers(0, 40, 3)].sum(1)
        for copy in range(42, width, 6):
            noise = 10.0 ** rng.choice([-7, -5, -3]) * rng.normal(size=len(layer))
            layer[:, copy] = layer[:, rng.integers(0, 40)] * (1 + noise)
    return x, y


def exact_differences(rng: np.random.Generator) -> Pair:
    """z, z + s w and w with s down to 1e-8: w depends on the others with coefficients 1 / s."""
    x, y = related(rng)
    for layer in (x, y):
        for first in range(0, 18, 3):
            direction = np.abs(rng.normal(size=len(layer)))
            layer[:, first + 1] = layer[:, first] + 10.0 ** rng.uniform(-8, -3) * direction
            layer[:, first + 2] = direction
    return x, y


def nearly_dependent(rng: np.random.Generator, noise: float) -> Pair:
    """Y is noise away from a space of fewer dimensions, and its last neuron is a copy."""
    hidden = rng.normal(size=(11, 3))
    x = hidden @ rng.normal(size=(3, 4))
    y = hidden @ rng.normal(size=(3, 8)) + noise * rng.normal(size=(11, 8))
    y[:, 7] = y[:, 3]
    return x, y


@st.composite
def generated(draw: st.DrawFn, widest: int = 30, most_samples: int = 80) -> Pair:
    """Related layers with copies, near copies and dead neurons."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_x, n_y = draw(st.integers(1, widest)), draw(st.integers(1, widest))
    samples = draw(st.integers(2, most_samples))
    dead, copies = draw(st.integers(0, 3)), draw(st.integers(0, 5))
    noise = draw(st.sampled_from([0.0, 1e-7, 1e-5, 1e-3]))
    x, y = related(rng, max(n_x, 4), max(n_y, 4), samples)
    x, y = x[:, :n_x], y[:, :n_y]
    for layer in (x, y):
        width = layer.shape[1]
        for _ in range(copies):
            source, copy = rng.integers(0, width, 2)
            layer[:, copy] = layer[:, source] * (1 + noise * rng.normal(size=samples))
        layer[:, rng.integers(0, width, dead)] = 0.0
    return x, y


@st.composite
def small_integers(draw: st.DrawFn, widest: int, most_samples: int) -> Pair:
    """Layers that mostly have exact dependence, copies and dead neurons."""
    samples = draw(st.integers(1, most_samples))
    shapes = st.tuples(st.just(samples), st.integers(1, widest))
    layers = arrays(np.int8, shapes, elements=st.integers(-2, 2), fill=st.nothing())
    x, y = draw(layers), draw(layers)
    return x.astype(np.float32), y.astype(np.float32)


CASES: tuple[Callable[[np.random.Generator], Pair], ...] = (
    gaussian,
    related,
    low_rank_plus_noise,
    one_neuron_per_side,
    unequal_widths,
    dead_neurons,
    exact_duplicates,
    near_duplicates,
    sums,
    scaled_columns,
    more_neurons_than_samples,
    everything_at_once,
    ill_conditioned,
    copies_at_every_scale,
    half_near_copies,
    half_as_many_samples,
    dependent,
    dead_side,
    dead_sides,
    wide_and_dependent,
)
