"""Pairs of layers on which removals are expensive, generated from a fixed seed.

Nearly dependent neurons lose digits when others are removed. With few samples many neurons are
dependent, and one removal can make nearly all neurons fall out of a minimal match.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]
SAMPLES = 4_000


def half_near_copies(neurons: int, low: float = 1e-7, high: float = 1e-3) -> Pair:
    """Half the neurons are near copies of others, with relative noise of log-uniform size."""
    rng = np.random.default_rng(0)
    hidden = np.maximum(rng.normal(size=(SAMPLES, neurons // 4)), 0)

    def layer() -> np.ndarray:
        half = neurons // 2
        mixed = hidden @ rng.normal(size=(neurons // 4, half)) / np.sqrt(neurons / 8)
        kept = mixed + rng.uniform(0.02, 0.6, half) * rng.normal(size=(SAMPLES, half))
        sizes = 10.0 ** rng.uniform(np.log10(low), np.log10(high), half)
        factors = 1 + sizes * rng.normal(size=(SAMPLES, half))
        copies = kept[:, rng.integers(0, half, half)] * factors
        return np.hstack([kept, copies])[:, rng.permutation(2 * half)]

    return layer(), layer()


def half_as_many_samples(neurons: int) -> Pair:
    """Random ReLU layers; half the neurons of either span the whole sample space."""
    rng = np.random.default_rng(0)
    x, y = np.maximum(rng.normal(size=(2, neurons // 2, neurons)), 0)
    return x, y


def low_rank_with_noise(neurons: int) -> Pair:
    """Two layers of a shared low rank, with noise of 1e-3 to 1."""
    rng = np.random.default_rng(0)
    rank = neurons // 8
    basis = rng.normal(size=(SAMPLES, rank))
    sizes = 10.0 ** rng.uniform(-3, 0, neurons)
    x, y = (
        basis @ rng.normal(size=(rank, neurons)) + sizes * rng.normal(size=(SAMPLES, neurons))
        for _ in range(2)
    )
    return x, y


def copies_of(size: float) -> Callable[[int], Pair]:
    """Return ``half_near_copies`` with one size of noise."""
    return lambda neurons: half_near_copies(neurons, size, size)


HOSTILE: dict[str, Callable[[int], Pair]] = {
    "copies, all": half_near_copies,
    **{f"copies {size:.0e}": copies_of(size) for size in (1e-7, 1e-5, 1e-3)},
    "d = n / 2": half_as_many_samples,
    "low rank": low_rank_with_noise,
}
