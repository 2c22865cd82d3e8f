"""All minimal matches of wide layers: growth with the width, threads, some neurons only, memory.

    python benchmarks/bench_wide_minimal_matches.py [neurons per side ...]

Three kinds of layers. "generic": ReLU layers with shared features and noise, as in
``bench_match_path``, at the epsilon that 60% of the neurons reach. "copies": half the neurons are
near copies of others; "low rank": a shared low rank with noise of 1e-3 to 1; both from
``hostile_layers``, at their median critical epsilon and at 0.3.

Columns. "matched": neurons of the maximum match. "1 thread", "all": seconds from an existing match
path, on one thread and on as many as the BLAS may use. "CPU": seconds of all threads together.
"share": time of a tenth of the neurons, relative to a tenth of all. "MB": highest memory of the
process so far, so sizes ascend. "power": growth exponent of "CPU" from the width before to this
one. The matches are compared: any number of threads must find the same. The default sizes take
minutes; 2,048 and 4,096 per side, which have to be asked for, much longer.
"""

from __future__ import annotations

import math
import resource
import sys
import warnings
from collections.abc import Callable

import hostile_layers
import numpy as np
from bench_match_path import layers
from timing import wall_and_cpu

import subspace_match as sm

SIZES = (256, 512, 1024)
COMPARED_UP_TO = 1024  # neurons per side; above, only all threads are timed
KINDS: dict[str, tuple[Callable[[int], hostile_layers.Pair], Callable[[sm.MatchPath], float]]] = {
    "generic": (layers, lambda path: float(np.nanquantile(path.critical_epsilon, 0.6)) + 1e-9),
    "copies": (hostile_layers.HOSTILE["copies, all"], lambda path: median_epsilon(path)),
    "low rank": (hostile_layers.HOSTILE["low rank"], lambda _: 0.3),
}
COLUMNS = (
    *("kind", "neurons", "matched", "distinct", "1 thread", "all", "ratio", "CPU"),
    *("share", "power", "MB"),
)


def median_epsilon(path: sm.MatchPath) -> float:
    """Return an epsilon just above the median critical epsilon."""
    critical = path.critical_epsilon
    return float(np.median(critical[critical < 1])) + 1e-6


def row(kind: str, neurons: int, before: tuple[int, float] | None) -> tuple[str, tuple[int, float]]:
    """Format the times of one pair; return them with the width and CPU seconds."""
    generate, choose = KINDS[kind]
    path = sm.match_path(sm.reduce(*generate(neurons), device="cpu"), device="cpu")
    epsilon = choose(path)
    wall, cpu, found = wall_and_cpu(lambda: sm.minimal_matches(path, epsilon))
    one = share = math.nan
    if neurons <= COMPARED_UP_TO:
        one, _, same = wall_and_cpu(lambda: sm.minimal_matches(path, epsilon, threads=1))
        assert np.array_equal(found.distinct, same.distinct), "threads change the matches"
        assert np.array_equal(found.match_of, same.match_of), "threads change the matches"
        some = list(found)[::10]
        few, _, _ = wall_and_cpu(lambda: sm.minimal_matches(path, epsilon, neurons=some))
        share = few / wall * len(found) / max(len(some), 1)
    power = math.nan
    if before is not None:
        power = math.log(cpu / before[1]) / math.log(neurons / before[0])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    cells = [
        *(kind, f"{neurons}", f"{len(found)}", f"{len(found.distinct)}"),
        *(f"{one:.2f}", f"{wall:.2f}", f"{one / wall:.2f}", f"{cpu:.2f}"),
        *(f"{share:.2f}", f"{power:.2f}", f"{memory}"),
    ]
    return "  ".join(f"{cell:>9}" for cell in cells), (neurons, cpu)


def main() -> None:
    warnings.simplefilter("ignore", sm.TieWarning)  # epsilons lie just above critical ones
    sizes = sorted(map(int, sys.argv[1:] or SIZES))
    row("generic", 32, None)  # compile
    print("  ".join(f"{column:>9}" for column in COLUMNS))
    for kind in KINDS:
        before = None
        for neurons in sizes:
            line, before = row(kind, neurons, before)
            print(line, flush=True)


if __name__ == "__main__":
    main()
