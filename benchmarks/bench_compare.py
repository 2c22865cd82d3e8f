"""Time and memory of ``compare``, against two forward passes alone and against plain loops.

    python benchmarks/bench_compare.py [images] [few]

Two ResNet-18 at full width on random images of 32 x 32 (default: 10,000), every ReLU, 10,000
positions of each map, no heat map and no null. The references run the same models on the same
batches:

- "forward passes" keeps nothing.
- "plain loop" has a forward hook on every ReLU, takes the same number of positions of each map,
  concatenates, and calls ``reduce`` and ``match_path``.
- "plainest loop" keeps every position of every map. That needs 4.4 MB per image, so it and
  ``compare`` are also run on few images (default: a tenth).

The moments of 10,000 positions need 2.8e10 multiply-adds in float64, 0.3% of the 1.1e13 in float32
of the forward passes on 10,000 images; the moments of all positions need 13%. The rest of what
``compare`` adds (tracing, factors, paths) does not grow with the images, so few images look worse.

Each runs in a new process, whose peak memory the system reports. "beside MB" is what the peak adds
to that of the process when both models were loaded. The last line compares it with that of five
times as many images. Quote ratios: of seconds on a quiet machine, of CPU seconds (with
OMP_NUM_THREADS=1, because waiting threads use the CPU too) on a busy one.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import subspace_match as sm
from subspace_match.networks.architectures import build, initialise

BATCH, POSITIONS = 250, 10_000
ARCHITECTURE = {"name": "resnet18", "width": 1.0, "hidden": [], "channels": 3, "classes": 10}


Models = tuple[nn.Module, nn.Module]


def model(seed: int) -> nn.Module:
    network = build(**ARCHITECTURE)
    initialise(network, seed)
    return network.eval()


class Batches:
    """Random images, made batch by batch, with a length, as a data loader has one."""

    def __init__(self, images: int) -> None:
        self.images = images

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.images, BATCH):
            generator = torch.Generator().manual_seed(start)
            yield torch.randn(min(BATCH, self.images - start), 3, 32, 32, generator=generator)


class Loader(torch.utils.data.DataLoader[Tensor]):
    """A data loader of these batches, so that ``compare`` knows the number of images."""

    def __init__(self, images: int) -> None:
        super().__init__(range(images), batch_size=BATCH)  # type: ignore[arg-type]
        self._batches = Batches(images)

    def __iter__(self) -> Iterator[Tensor]:  # type: ignore[override]
        return iter(self._batches)


def forward(models: Models, images: int) -> None:
    with torch.inference_mode():
        for batch in Batches(images):
            for network in models:
                network(batch)


def compare(models: Models, images: int) -> None:
    sm.compare(*models, Loader(images), positions=POSITIONS, heat_map=0, device="cpu")


def plain(models: Models, images: int) -> None:
    rng = np.random.default_rng(0)

    def sampled(rows: Tensor) -> Tensor:
        count = max(1, POSITIONS * (len(rows) // BATCH) // images)
        return rows[torch.from_numpy(rng.permutation(len(rows))[: count * BATCH])]

    loop(models, images, sampled)


def plainest(models: Models, images: int) -> None:
    loop(models, images, lambda rows: rows)


def loop(models: Models, images: int, sampled: Callable[[Tensor], Tensor]) -> None:
    """Hook every ReLU, keep rows, concatenate, reduce and match."""
    kept: tuple[dict[str, list[Tensor]], ...] = ({}, {})
    for network, own in zip(models, kept, strict=True):
        calls = {"count": 0}

        def hook(
            _: nn.Module, __: object, maps: Tensor, own=own, calls: dict[str, int] = calls
        ) -> None:
            name = f"relu{calls['count']}"
            calls["count"] += 1
            torch.manual_seed(0)
            rows = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
            own.setdefault(name, []).append(sampled(rows).clone())

        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_hook(hook)
        network.register_forward_hook(lambda *_, calls=calls: calls.update(count=0))
    with torch.inference_mode():
        for batch in Batches(images):
            for network in models:
                network(batch)
    for name in kept[0]:
        x, y = (torch.cat(own[name]) for own in kept)
        sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")


MODES = {f.__name__: f for f in (forward, compare, plain, plainest)}


class Used(NamedTuple):
    """What a mode used: seconds, CPU seconds, and memory in MB beside the models."""

    seconds: float
    cpu: float
    memory: float


def measure(mode: str, images: int) -> Used:
    """Run a mode in this process."""
    models = model(0), model(1)
    loaded = resource.getrusage(resource.RUSAGE_SELF)
    begin = time.perf_counter()
    MODES[mode](models, images)
    seconds, used = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - loaded.ru_utime - loaded.ru_stime
    return Used(seconds, cpu, (used.ru_maxrss - loaded.ru_maxrss) / 1024)


def child(mode: str, images: int) -> Used:
    """Run a mode in a new process."""
    command = [sys.executable, __file__, "measure", mode, str(images)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return Used(*json.loads(result.stdout.splitlines()[-1]))


def ratios(one: Used, other: Used) -> str:
    """Return the ratios of seconds and of CPU seconds."""
    return f"{one.seconds / other.seconds:.2f} (CPU {one.cpu / other.cpu:.2f})"


def main() -> None:
    """Print the table."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    few = int(sys.argv[2]) if len(sys.argv) > 2 else images // 10
    print(f"two ResNet-18, batch {BATCH}, threads {torch.get_num_threads()}")
    print(f"{'images':>8}{'':>12}{'seconds':>10}{'CPU s':>10}{'beside MB':>12}  of forward")
    found: dict[tuple[int, str], Used] = {}
    for count, modes in (
        (images, ("forward", "compare", "plain")),
        (few, ("forward", "compare", "plainest")),
    ):
        for mode in modes:
            own = found[count, mode] = child(mode, count)
            cells = f"{own.seconds:10.1f}{own.cpu:10.1f}{own.memory:12.0f}"
            print(f"{count:8}{mode:>12}{cells}  {ratios(own, found[count, 'forward'])}", flush=True)
    print(f"compare / plain loop: {ratios(found[images, 'compare'], found[images, 'plain'])}")
    ratio = ratios(found[few, "compare"], found[few, "plainest"])
    print(f"compare / plainest loop, {few} images: {ratio}", flush=True)
    growth = child("compare", 5 * images).memory / found[images, "compare"].memory
    print(f"memory beside the models, {5 * images} / {images} images: {growth:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        torch.manual_seed(0)
        sys.stdout.write(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        main()
