"""Time the cross-fitted path against the match path, and count how often the order matters.

    python benchmarks/bench_cross_fitted.py [neurons per side ...]

The first table gives CPU seconds of one thread and ratios: layers as in ``bench_match_path``, with
10,000 samples, each an image; then hostile layers of 128 neurons. The bound is 4 times the match
path. Reduction in two halves is compared with ``reduce``. Each time is the minimum of several
calls, which alternate. Set OMP_NUM_THREADS=1, so that CPU time counts no waiting threads.

The second table peels layers of 24 + 24 neurons at a fixed epsilon in other orders than the
farthest neuron first: the authors' order (all violators of one side, then of the other), and random
violators one at a time. It gives the fraction of layers and epsilons at which the set differs from
that of the path, at which it is larger or smaller, and the largest difference in neurons.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from bench_match_path import layers
from hostile_layers import HOSTILE
from timing import fastest

import subspace_match as sm
from subspace_match.matching.reduction.halves import split_images

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import oracles

REPEATS = 5
HOSTILE_NEURONS = 128
LAYERS, NEURONS, EPSILONS = 10, 24, (0.3, 0.4, 0.5, 0.6, 0.7)

Sides = tuple[np.ndarray, np.ndarray]


def print_times(name: str, x: np.ndarray, y: np.ndarray) -> None:
    """Print the times and ratios of one pair of layers."""
    halves = sm.reduce_halves(x, y, device="cpu")
    path, cross, held_out, once, in_halves = fastest(
        lambda: sm.match_path(halves.whole, device="cpu"),
        lambda: sm.cross_fitted_path(halves, device="cpu"),
        lambda: sm.held_out_path(halves, device="cpu"),
        lambda: sm.reduce(x, y, device="cpu"),
        lambda: sm.reduce_halves(x, y, device="cpu"),
        repeats=REPEATS,
        clock=time.process_time,
    )
    ratios = cross / path, held_out / path, in_halves / once
    cells = [f"{value:12.3f}" for value in (path, cross, *ratios)]
    print("  ".join([f"{name:>12}", *cells]), flush=True)


def related(rng: np.random.Generator, samples: int) -> Sides:
    """Return layers that mix shared rectified features, with noise of several sizes."""
    hidden = np.maximum(rng.normal(size=(samples, NEURONS // 2)), 0)

    def layer() -> np.ndarray:
        mixed = hidden @ rng.normal(size=(NEURONS // 2, NEURONS)) / np.sqrt(NEURONS / 2)
        noise = rng.uniform(0.05, 0.6, NEURONS) * rng.normal(size=(samples, NEURONS))
        return mixed + noise

    return layer(), layer()


def distances(x: Sides, y: Sides, kept: np.ndarray) -> np.ndarray:
    """Return every kept neuron's cross-fitted distance from the other side's kept neurons."""
    in_x, in_y = kept[kept < NEURONS], kept[kept >= NEURONS] - NEURONS
    own_x, own_y = ((a[:, own], b[:, own]) for (a, b), own in ((x, in_x), (y, in_y)))
    if not (len(in_x) and len(in_y)):
        return np.ones(len(kept))
    sides = oracles.cross_fitted_distance(own_x, own_y), oracles.cross_fitted_distance(own_y, own_x)
    return np.concatenate(sides)


def by_sides(x: Sides, y: Sides, epsilon: float) -> set[int]:
    """Drop all violators of one side, then of the other, until none remain."""
    kept, unchanged, of_y = np.arange(2 * NEURONS), 0, False
    while unchanged < 2 and len(kept):
        leaves = (distances(x, y, kept) > epsilon) & ((kept >= NEURONS) == of_y)
        unchanged = 0 if leaves.any() else unchanged + 1
        kept, of_y = kept[~leaves], not of_y
    return set(kept.tolist())


def at_random(x: Sides, y: Sides, epsilon: float, rng: np.random.Generator) -> set[int]:
    """Drop one violator at a time, at random, until none remain."""
    kept = np.arange(2 * NEURONS)
    while len(kept):
        violators = np.flatnonzero(distances(x, y, kept) > epsilon)
        if not len(violators):
            break
        kept = np.delete(kept, rng.choice(violators))
    return set(kept.tolist())


def print_orders(neurons_per_image: float) -> None:
    """Print how often, and by how much, other orders end elsewhere."""
    orders: dict[str, list[tuple[bool, int]]] = {"by sides": [], "at random": []}
    samples = int(NEURONS / neurons_per_image)
    for seed in range(LAYERS):
        rng = np.random.default_rng(seed)
        x, y = related(rng, samples)
        path = sm.cross_fitted_path(sm.reduce_halves(x, y, device="cpu"), device="cpu")
        first, _ = split_images(None, samples, 0)
        halves = (x[first], x[~first]), (y[first], y[~first])
        for epsilon in EPSILONS:
            match = path.matched(epsilon)
            found = {*match.x.tolist(), *(match.y + NEURONS).tolist()}
            others = by_sides(*halves, epsilon), at_random(*halves, epsilon, rng)
            for changes, other in zip(orders.values(), others, strict=True):
                changes.append((other != found, len(other) - len(found)))
    for order, changes in orders.items():
        differs, growth = map(np.array, zip(*changes, strict=True))
        shares = differs.mean(), (growth > 0).mean(), (growth < 0).mean()
        cells = [f"{value:12.3f}" for value in (neurons_per_image, *shares)]
        print("  ".join([f"{order:>12}", *cells, f"{abs(growth).max():12d}"]), flush=True)


def main() -> None:
    warnings.simplefilter("ignore", sm.FewSamplesWarning)
    header = ("neurons", "path, s", "cross, s", "cross/path", "held/path", "halves/once")
    print("  ".join(f"{column:>12}" for column in header))
    for neurons in map(int, sys.argv[1:] or (64, 256, 512)):
        print_times(str(neurons), *layers(neurons))
    for name in ("copies, all", "copies 1e-07", "copies 1e-03", "low rank"):
        print_times(name, *HOSTILE[name](HOSTILE_NEURONS))
    header = ("order", "n / images", "differs", "is larger", "is smaller", "most neurons")
    print("  ".join(f"{column:>12}" for column in header))
    for neurons_per_image in (0.1, 0.2, 0.4):
        print_orders(neurons_per_image)


if __name__ == "__main__":
    main()
