"""What a permutation of a null distribution and a half of the images cost, beside matching a layer.

    python benchmarks/bench_null.py

Two layers of the same width that share some features, in one thread. Matching is a reduction and a
path. A permutation is a product of both sides and a path; a half is a sum over half of the samples
and a path. The last column is the time of ``chance.permutations: auto``, in both nulls together.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from threadpoolctl import threadpool_limits
from timing import fastest

import subspace_match as sm
from subspace_match.matching.half_samples import paths_of_halves
from subspace_match.matching.null import null_neurons
from subspace_match.matching.permutation_counts import affordable_permutations

LAYERS = ((10_000, 32), (10_000, 64), (10_000, 128), (10_000, 256), (4_000, 256), (1_000, 128))
PERMUTATIONS, HALVES, REPEATS = 10, 4, 3


def main() -> None:
    warnings.simplefilter("ignore", sm.FewSamplesWarning)
    rng = np.random.default_rng(0)
    print("samples neurons  match/ms  permutation/match  half/match  auto: permutations  s")
    for samples, neurons in LAYERS:
        features = rng.normal(size=(samples, 60))
        x, y = (
            np.maximum(
                features @ rng.normal(size=(60, neurons)) + rng.normal(size=(samples, neurons)), 0
            ).astype(np.float32)
            for _ in "xy"
        )
        pair = sm.reduce(x, y, device="cpu")
        orders = [rng.permutation(samples) for _ in range(PERMUTATIONS)]
        halves = [order[: samples // 2] for order in orders[: HALVES // 2]]
        match, permutation, half = fastest(
            lambda x=x, y=y: sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu"),
            *(
                lambda f=f, given=given, x=x, y=y, pair=pair: list(
                    f(pair, x, y, given, device="cpu")
                )
                for f, given in ((null_neurons, orders), (paths_of_halves, halves))
            ),
            repeats=REPEATS,
            clock=time.process_time,
        )
        permutation, half = permutation / PERMUTATIONS, half / HALVES
        auto = affordable_permutations(samples, neurons, neurons)
        print(
            f"{samples:7} {neurons:7} {1000 * match:9.1f} {permutation / match:18.2f}"
            f" {half / match:11.2f} {auto:19} {2 * auto * permutation:5.1f}"
        )


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        main()
