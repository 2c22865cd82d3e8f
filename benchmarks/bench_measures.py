"""Time the other measures of a pair, together and one by one, against its reduction.

    python benchmarks/bench_measures.py [neurons per side ...]

CPU seconds of one thread, for the layers of ``bench_match_path``, 10,000 samples. Together the
measures share both sides and their orthonormal bases. Each time is the minimum of several calls.
"""

from __future__ import annotations

import sys
import time

from bench_match_path import layers
from timing import fastest

import subspace_match as sm
from subspace_match.matching.measures.registry import MEASURES

REPEATS = 3


def main() -> None:
    names = ("neurons", "reduce", "path", "measures", "ratio", "one by one")
    print("  ".join(f"{name:>10}" for name in names))
    for neurons in map(int, sys.argv[1:] or (64, 256, 512)):
        x, y = layers(neurons)
        pair = sm.reduce(x, y, device="cpu")
        reduction, path, together, *alone = fastest(
            lambda x=x, y=y: sm.reduce(x, y, device="cpu"),
            lambda pair=pair: sm.match_path(pair, device="cpu"),
            lambda pair=pair: sm.all_measures(pair),
            *(lambda pair=pair, measure=measure: measure(pair) for measure in MEASURES.values()),
            repeats=REPEATS,
            clock=time.process_time,
        )
        cells = (reduction, path, together, together / reduction, sum(alone))
        print("  ".join([f"{neurons:>10}", *(f"{cell:>10.3f}" for cell in cells)]))


if __name__ == "__main__":
    main()
