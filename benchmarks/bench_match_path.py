"""Reduction + the whole match path against the least-squares oracle, in one run.

    python benchmarks/bench_match_path.py [neurons a side ...]

Activations: two ReLU layers reading shared features, 10,000 samples, float32. The oracle peels
with lstsq at the authors' five epsilons. Ratios are what to quote; seconds depend on the machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import subspace_match as sm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import oracles

EPSILONS = (0.15, 0.2, 0.25, 0.3, 0.5)
SAMPLES = 10_000
REPEATS = 7
COLUMNS = ("neurons", "Z'Z, s", "reduce, s", "path, s", "oracle, s", "ratio", "path / Z'Z")


def layers(neurons: int) -> tuple[np.ndarray, np.ndarray]:
    """Two layers of so many neurons, with distances spread over the five epsilons."""
    rng = np.random.default_rng(0)
    hidden = np.maximum(rng.normal(size=(SAMPLES, neurons // 2)), 0)

    def layer() -> np.ndarray:
        noise = rng.uniform(0.02, 0.6, neurons) * rng.normal(size=(SAMPLES, neurons))
        mixed = hidden @ rng.normal(size=(neurons // 2, neurons)) / np.sqrt(neurons / 4)
        return np.maximum(mixed + noise, 0).astype(np.float32)

    return layer(), layer()


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def row(neurons: int) -> tuple[float, ...]:
    """Times and ratios at one width, after checking that the matches are the oracle's."""
    x, y = layers(neurons)
    joint = torch.from_numpy(np.hstack([x, y]).astype(np.float64))
    pair = sm.reduce(x, y, device="cpu")
    path = sm.match_path(pair, device="cpu")
    for epsilon in EPSILONS:
        found = path.maximum_match(epsilon)
        expected = oracles.maximum_match(x, y, epsilon)
        assert (found.x.tolist(), found.y.tolist()) == expected, f"not the match at {epsilon}"

    product = seconds(lambda: joint.T @ joint)
    reduction = seconds(lambda: sm.reduce(x, y, device="cpu"))
    peeling = seconds(lambda: sm.match_path(pair, device="cpu"))
    oracle = seconds(lambda: [oracles.maximum_match(x, y, epsilon) for epsilon in EPSILONS], 1)
    return product, reduction, peeling, oracle, oracle / (reduction + peeling), peeling / product


def main() -> None:
    print("  ".join(f"{column:>10}" for column in COLUMNS))
    for neurons in map(int, sys.argv[1:] or (64, 256, 512)):
        *times, ratio, of_product = row(neurons)
        cells = [f"{neurons:10d}", *(f"{value:10.4f}" for value in times)]
        print("  ".join([*cells, f"{ratio:10.1f}", f"{of_product:10.2f}"]))


if __name__ == "__main__":
    main()
