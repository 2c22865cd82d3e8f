"""Time the moments of all pairs of layers of two networks against the necessary products.

    python benchmarks/bench_layer_pairs.py [layers] [samples]

Layers of 64 to 512 channels as in a ResNet, float32. The lower limit is the float64 products
X_i'Y_j of all pairs, computed one by one from float64 matrices, and nothing else. The table also
shows layer_pairs (reading, own and cross moments, factors), reduce pair by pair, and the match
paths; its last column is the ratio to the lower limit. Quote ratios; seconds depend on the machine.
"""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import torch
from timing import fastest

import subspace_match as sm
from subspace_match.matching.layer_pairs import layer_pairs

WIDTHS = (64, 128, 256, 512)
REPEATS = 3


def network(layers: int, samples: int, seed: int) -> list[np.ndarray]:
    """Return layers that widen with depth: ReLU of shared features and noise."""
    shared, rng = np.random.default_rng(0), np.random.default_rng([1, seed])
    hidden = np.maximum(shared.normal(size=(samples, 24)), 0)

    def layer(width: int) -> np.ndarray:
        noise = rng.uniform(0.02, 0.3, width) * rng.normal(size=(samples, width))
        mixed = hidden @ rng.normal(size=(24, width)) / 3
        return np.maximum(mixed + noise, 0).astype(np.float32)

    return [layer(WIDTHS[index * len(WIDTHS) // layers]) for index in range(layers)]


def drain(xs: list[np.ndarray], ys: list[np.ndarray]) -> None:
    """Compute all pairs without keeping them."""
    for _ in layer_pairs(xs, ys, device="cpu"):
        pass


def main() -> None:
    arguments = [int(argument) for argument in sys.argv[1:]]
    layers, samples = (*arguments, *(17, 10_000)[len(arguments) :])
    xs, ys = network(layers, samples, 1), network(layers, samples, 2)
    wide_xs, wide_ys = ([torch.from_numpy(x).double() for x in side] for side in (xs, ys))
    pairs = [pair for _, _, pair in layer_pairs(xs, ys, device="cpu")]
    paths: list[sm.MatchPath] = []

    works = {
        "products of all pairs": lambda: [x.T @ y for x, y in product(wide_xs, wide_ys)],
        "moments of all pairs": lambda: drain(xs, ys),
        "reduce, pair by pair": lambda: [sm.reduce(x, y, device="cpu") for x in xs for y in ys],
        "paths of all pairs": lambda: paths.extend(
            sm.match_path(pair, device="cpu") for pair in pairs
        ),
    }
    times = dict(zip(works, fastest(*works.values(), repeats=REPEATS), strict=True))
    well = sum(pair.well_conditioned for pair in pairs)
    print(f"{layers} x {layers} layers, {samples} samples, {torch.get_num_threads()} threads;")
    print(f"{well} of {len(pairs)} pairs are well-conditioned;", end=" ")
    print(f"mean similarity at 0.3: {np.mean([path.similarity(0.3) for path in paths]):.2f}")
    for name, time_taken in times.items():
        print(f"{name:24}{time_taken:8.2f} s{time_taken / times['products of all pairs']:8.2f}")


if __name__ == "__main__":
    main()
