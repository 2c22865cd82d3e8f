"""Time reduction and the whole match path against the least-squares oracle.

    python benchmarks/bench_match_path.py [neurons per side ...]

Activations: two ReLU layers with shared features, 10,000 samples, float32. The oracle peels with
lstsq, at the authors' five epsilons and at SAMPLED of a grid of 100; its time for all 100 is
estimated from these. Above ORACLE_UP_TO neurons the oracle is skipped (nan); the table then shows
how the path scales. Quote ratios; seconds depend on the machine. Each time is the minimum of
several calls, and calls whose ratio is taken alternate. On shared cores set OMP_NUM_THREADS=1:
threads that wait for one another make small factorisations ten times slower.

The second table gives the path of hostile layers of 256 + 256 and 512 + 512 neurons (see
``hostile_layers``), relative to the path above.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import torch
from hostile_layers import HOSTILE
from timing import fastest

import subspace_match as sm
from subspace_match.matching.epsilons import EPSILONS

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import oracles

GRID = tuple(np.linspace(0.01, 0.99, 100).tolist())
SAMPLED = GRID[9::20]  # five of them, evenly spaced
ORACLE_UP_TO = 512
SAMPLES = 10_000
REPEATS = 7
COLUMNS = (
    "neurons",
    "Z'Z, s",
    "reduce, s",
    "path, s",
    "verify, s",
    "path / Z'Z",
    "oracle 5, s",
    "ratio 5",
    "oracle 100*",
    "ratio 100*",
    "path / n^3",
)


def layers(neurons: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two layers of this width, with distances spread over the five epsilons."""
    rng = np.random.default_rng(0)
    hidden = np.maximum(rng.normal(size=(SAMPLES, neurons // 2)), 0)

    def layer() -> np.ndarray:
        noise = rng.uniform(0.02, 0.6, neurons) * rng.normal(size=(SAMPLES, neurons))
        mixed = hidden @ rng.normal(size=(neurons // 2, neurons)) / np.sqrt(neurons / 4)
        return np.maximum(mixed + noise, 0).astype(np.float32)

    return layer(), layer()


def row(neurons: int) -> dict[str, float]:
    """Return times and ratios at one width; check matches against the oracle where it is run."""
    x, y = layers(neurons)
    joint = torch.from_numpy(np.hstack([x, y]).astype(np.float64))
    pair = sm.reduce(x, y, device="cpu")
    path = sm.match_path(pair, device="cpu")

    def peel_and_compare(epsilons: tuple[float, ...]) -> None:
        for epsilon in epsilons:
            found = path.maximum_match(epsilon)
            expected = oracles.maximum_match(x, y, epsilon)
            assert (found.x.tolist(), found.y.tolist()) == expected, f"wrong match at {epsilon}"

    product, reduction, peeling, certificate = fastest(
        lambda: joint.T @ joint,
        lambda: sm.reduce(x, y, device="cpu"),
        lambda: sm.match_path(pair, device="cpu").similarity(GRID),
        lambda: path.verify(0.3, device="cpu"),
        repeats=REPEATS,
    )
    five = sampled = np.nan
    if neurons <= ORACLE_UP_TO:
        five, sampled = fastest(
            lambda: peel_and_compare(EPSILONS), lambda: peel_and_compare(SAMPLED), repeats=1
        )
    hundred = sampled * len(GRID) / len(SAMPLED)
    whole = reduction + peeling
    values = product, reduction, peeling, certificate, peeling / product
    ratios = five, five / whole, hundred, hundred / whole, peeling / neurons**3 * 1e9
    return dict(zip(COLUMNS[1:], (*values, *ratios), strict=True))


def hostile_ratios(neurons: int) -> dict[str, float]:
    """Return the times of the hostile paths, relative to the path of ``layers``."""
    pairs = [layers(neurons), *(make(neurons) for make in HOSTILE.values())]
    reduced = [sm.reduce(*pair, device="cpu") for pair in pairs]
    works = [functools.partial(sm.match_path, pair, device="cpu") for pair in reduced]
    for work in works:  # compile before timing
        work()
    generic, *others = fastest(*works, repeats=REPEATS)
    return dict(zip(HOSTILE, [other / generic for other in others], strict=True))


def main() -> None:
    print("  ".join(f"{column:>11}" for column in COLUMNS))
    for neurons in map(int, sys.argv[1:] or (64, 256, 512, 2048)):
        cells = [f"{value:11.3f}" for value in row(neurons).values()]
        print("  ".join([f"{neurons:11d}", *cells]), flush=True)
    print(f"* estimated from {len(SAMPLED)} of {len(GRID)}; path / n^3 in nanoseconds")
    print("  ".join(f"{column:>11}" for column in ("neurons", *HOSTILE)))
    for neurons in (256, 512):
        cells = [f"{ratio:11.1f}" for ratio in hostile_ratios(neurons).values()]
        print("  ".join([f"{neurons:11d}", *cells]), flush=True)


if __name__ == "__main__":
    main()
