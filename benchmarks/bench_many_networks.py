"""Time what many networks cost: one layer of all of them together, and pair by pair.

    python benchmarks/bench_many_networks.py [networks] [neurons] [samples]

ReLU layers of shared features and noise, float32. The lower limit is one float64 product Z'Z of all
networks side by side. The table shows reduce_many, which adds the tie margins of all pairs; the
consensus path from its moments; and reduce, pair by pair, measured on a few pairs and multiplied,
in which every network's own moments are computed once a pair. Its last column is the ratio to the
lower limit. Quote ratios; seconds depend on the machine. ``bench_planning`` times the plan of 20
seeds.
"""

from __future__ import annotations

import sys
import warnings
from itertools import combinations, islice

import numpy as np
from scipy.linalg import blas
from timing import wall_and_cpu

import subspace_match as sm
from subspace_match.matching.consensus import path_of_moments
from subspace_match.matching.reduction.many import reduce_many

PAIRS_TIMED = 6


def layers_of(networks: int, neurons: int, samples: int) -> list[np.ndarray]:
    """Return one layer of each network."""
    rng = np.random.default_rng(0)
    hidden = np.maximum(rng.normal(size=(samples, 24)), 0)

    def layer() -> np.ndarray:
        noise = rng.uniform(0.02, 0.3, neurons) * rng.normal(size=(samples, neurons))
        return np.maximum(hidden @ rng.normal(size=(24, neurons)) / 3 + noise, 0).astype(np.float32)

    return [layer() for _ in range(networks)]


def time_of_one_product(joint: np.ndarray) -> tuple[float, float]:
    """Return the wall-clock and the CPU time of Z'Z."""
    return wall_and_cpu(lambda: blas.dgemm(1.0, joint.T, joint.T, trans_b=True))[:2]


def main() -> None:
    arguments = [int(argument) for argument in sys.argv[1:]]
    networks, neurons, samples = (*arguments, *(20, 256, 10_000)[len(arguments) :])
    warnings.simplefilter("ignore", sm.FewSamplesWarning)
    layers = layers_of(networks, neurons, samples)
    pairs = networks * (networks - 1) // 2
    bare = time_of_one_product(np.hstack(layers).astype(np.float64))
    moments = reduce_many(layers[:2], device="cpu")  # loads and compiles what the calls need
    path_of_moments(moments)
    *together, found = wall_and_cpu(lambda: reduce_many(layers, device="cpu"))
    *consensus, _ = wall_and_cpu(lambda: path_of_moments(found))

    def some_pairs() -> None:
        for x, y in islice(combinations(layers, 2), PAIRS_TIMED):
            sm.reduce(x, y, device="cpu")

    timed = min(pairs, PAIRS_TIMED)
    one_by_one = [each * pairs / timed for each in wall_and_cpu(some_pairs)[:2]]
    print(f"{networks} networks of {neurons} neurons, {samples} samples, {pairs} pairs")
    print(f"{'':>34} {'wall, s':>8} {'CPU, s':>8} {'ratio':>6}")
    for name, (wall, cpu) in {
        "one product Z'Z": bare,
        "reduce_many": together,
        "consensus path": consensus,
        f"reduce, pair by pair (from {timed})": one_by_one,
    }.items():
        print(f"{name:>34} {wall:8.2f} {cpu:8.2f} {wall / bare[0]:6.2f}", flush=True)


if __name__ == "__main__":
    main()
