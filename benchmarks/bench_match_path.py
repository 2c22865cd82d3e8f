"""Reduction + the whole match path against the least-squares oracle, in one run.

    python benchmarks/bench_match_path.py [neurons a side ...]

Activations: two ReLU layers reading shared features, 10,000 samples, float32. The oracle peels
with lstsq at the authors' five epsilons. Ratios are what to quote; seconds depend on the machine.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

import subspace_match as sm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import oracles

EPSILONS = (0.15, 0.2, 0.25, 0.3, 0.5)
SAMPLES = 10_000


def layers(neurons: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    hidden = np.maximum(rng.normal(size=(SAMPLES, neurons // 2)), 0)

    def layer() -> np.ndarray:
        noise = rng.uniform(0.02, 0.6, neurons) * rng.normal(size=(SAMPLES, neurons))
        mixed = hidden @ rng.normal(size=(neurons // 2, neurons)) / np.sqrt(neurons / 4)
        return np.maximum(mixed + noise, 0).astype(np.float32)

    return layer(), layer()


def seconds(work, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    print(f"{'neurons':>8} {'Z^T Z':>8} {'reduce':>8} {'path':>8} {'oracle':>8} {'ratio':>7}")
    for neurons in map(int, sys.argv[1:] or (64, 256, 512)):
        x, y = layers(neurons)
        joint = torch.from_numpy(np.hstack([x, y]).astype(np.float64))
        pair = sm.reduce(x, y)
        path = sm.match_path(pair)
        product = seconds(lambda joint=joint: joint.T @ joint, 5)
        reduction = seconds(lambda x=x, y=y: sm.reduce(x, y), 5)
        peeling = seconds(lambda pair=pair: sm.match_path(pair), 5)
        start = time.perf_counter()
        expected = [oracles.maximum_match(x, y, epsilon) for epsilon in EPSILONS]
        oracle = time.perf_counter() - start
        found = [path.maximum_match(epsilon) for epsilon in EPSILONS]
        assert [(m.x.tolist(), m.y.tolist()) for m in found] == expected, "not the oracle's match"
        ratio = oracle / (reduction + peeling)
        print(
            f"{neurons:8d} {product:8.3f} {reduction:8.3f} {peeling:8.3f} {oracle:8.2f} {ratio:7.1f}"
        )


if __name__ == "__main__":
    main()
