"""Where the time of one match job goes: the default VGG's ten layers in two networks.

    python benchmarks/bench_pair_match.py

Activation stores of ReLU layers of shared features and noise, with the widths, samples and draws of
the default experiment. CPU seconds of one thread: what the job does, and what of it each network
repeats in every pair: reading its activations, and the products of its own neurons. The last column
is for all 190 pairs of 20 networks on two cores, in minutes, without the start of the jobs (see
``bench_jobs``).
"""

from __future__ import annotations

import functools
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from timing import fastest

from subspace_match.matching.backends import resolve_device
from subspace_match.matching.cross_fitted import paths_of_new_images
from subspace_match.matching.path import match_path
from subspace_match.matching.reduction.halves import HalvedMoments, reduce_halves
from subspace_match.matching.reduction.reading import read_ahead
from subspace_match.matching.validation import FewSamplesWarning
from subspace_match.results.store_pair import StorePair
from subspace_match.storage.activations import new_store

IMAGES, POSITIONS, DRAWS, FEATURES = 1000, 10_000, 4, 40
LAYERS = {  # neurons, and height and width of the map
    **{"conv1": (32, 32), "conv2": (64, 16), "conv3": (128, 8), "conv4": (128, 8)},
    **{"conv5": (256, 4), "conv6": (256, 4), "conv7": (256, 2), "conv8": (256, 2)},
    **{"fc1": (128, 1), "fc2": (128, 1)},
}
REPEATS, PAIRS, CORES = 3, 190, 2
BLOCK = 1024  # samples that are multiplied at a time
CPU = resolve_device("cpu")

Layer = tuple[np.ndarray, np.ndarray, np.ndarray]  # both networks' activations, images


def write_store(path: Path, seed: int) -> None:
    """Write the activations of one network."""
    own, layers = np.random.default_rng([1, seed]), []
    for name, (neurons, size) in LAYERS.items():
        samples = min(POSITIONS, IMAGES * size**2)
        draws = DRAWS if samples == POSITIONS else 1
        shape = {"neurons": neurons, "height": size, "width": size}
        about = {"name": name, "node": name, "kind": "conv", "depth": len(layers) + 1}
        layers.append({**about, **shape, "samples": samples, "draws": draws})
    about = {"network": f"seed_{seed}", "checkpoint": "", "extraction": {"position_seed": 0}}
    with new_store(path, about, layers) as store:
        for layer in layers:
            for draw in range(layer["draws"]):
                shared = np.random.default_rng([2, layer["depth"], draw])
                places = IMAGES * layer["height"] * layer["width"]
                chosen = np.sort(shared.choice(places, layer["samples"], replace=False))
                hidden = np.maximum(shared.normal(size=(len(chosen), FEATURES)), 0)
                mixed = hidden @ own.normal(size=(FEATURES, layer["neurons"])) / 4
                noise = own.uniform(0.05, 0.6, layer["neurons"]) * own.normal(size=mixed.shape)
                store.samples(layer["name"], draw, chosen)
                rows = np.maximum(mixed + noise, 0).astype(np.float32)
                store.append(layer["name"], draw, rows)


def own_products(layers: list[Layer]) -> None:
    """Multiply each network's neurons with themselves, as float64."""
    for x, y, _ in layers:
        for side in (x, y):
            total = np.zeros((side.shape[1],) * 2)
            for start in range(0, len(side), BLOCK):
                CPU.add_upper_gram(total, side[start : start + BLOCK].astype(np.float64))


def read(pair: StorePair) -> None:
    """Read all activations as the reduction does."""
    for name, layer in pair.a.layers.items():
        for draw in range(layer["draws"]):
            for _ in read_ahead(pair.activations(name, draw), POSITIONS, CPU):
                pass


def reduced(layers: list[Layer]) -> list[HalvedMoments]:
    return [reduce_halves(x, y, images, device=CPU) for x, y, images in layers]


def paths(moments: list[HalvedMoments]) -> None:
    for halves in moments:
        match_path(halves.whole, device=CPU)
        paths_of_new_images(halves, device=CPU)


def match(stores: Callable[[], StorePair]) -> None:
    pair = stores()
    for _ in pair.match_paths(list(LAYERS), device=CPU, chunk_samples=None):
        pass


def main() -> None:
    warnings.simplefilter("ignore", FewSamplesWarning)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in "ab"]
        for seed, path in enumerate(files):
            write_store(path, seed)
        stores = functools.partial(StorePair, *files, "")
        pair = stores()
        layers = [
            (*(side[:] for side in pair.activations(name, draw)), pair.images(name, draw))
            for name, layer in pair.a.layers.items()
            for draw in range(layer["draws"])
        ]
        moments = reduced(layers)
        works = {
            "the whole": lambda: match(stores),
            "  reading": lambda: read(stores()),
            "  reduction": lambda: reduced(layers),
            "    own products": lambda: own_products(layers),
            "  paths": lambda: paths(moments),
        }
        seconds = fastest(*works.values(), repeats=REPEATS, clock=time.process_time)
    print(f"{'':18} {'CPU s':>7} {'share':>6} {'190 pairs, min':>15}")
    for name, each in zip(works, seconds, strict=True):
        minutes = each * PAIRS / CORES / 60
        print(f"{name:18} {each:7.2f} {each / seconds[0]:6.2f} {minutes:15.1f}")


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        main()
