"""Time and memory of ``compare``, against two forward passes alone and against plain loops.

    python benchmarks/bench_compare.py [images] [few] [width]

Two ResNet-18 on random images of 32 x 32 (default: 10,000), every ReLU, 10,000 positions of each
map, no heat map and no null. Width 1 (the default) is full; a narrow network has relatively more of
what ``compare`` adds. The references run the same models on the same batches:

- "forward" keeps nothing. It runs on each batch just before ``compare`` does, in one process, so
  that both meet the same other load of the machine.
- "plain loop" has a forward hook on every ReLU, takes the same number of positions of each map,
  concatenates, and calls ``reduce`` and ``match_path``.
- "plainest loop" keeps every position of every map. That needs 4.4 MB per image, so it and
  ``compare`` are also run on few images (default: a tenth).

The moments of 10,000 positions need 2.8e10 multiply-adds in float64, 0.3% of the 1.1e13 in float32
of the forward passes on 10,000 images; the moments of all positions need 13%. The rest of what
``compare`` adds (tracing, factors, paths) does not grow with the images, so few images look worse.

Each line is a new process, whose peak memory the system reports. "beside MB" is what the peak adds
to that of the process when both models were loaded. The last line is of ``compare`` without the
forward passes in turns, and of five times as many images. Quote ratios: of seconds on a quiet
machine, of CPU seconds (with OMP_NUM_THREADS=1, because waiting threads use the CPU too) on a busy
one.
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
ARCHITECTURE = {"name": "resnet18", "hidden": [], "channels": 3, "classes": 10}


Models = tuple[nn.Module, nn.Module]


def model(seed: int, width: float) -> nn.Module:
    network = build(**ARCHITECTURE, width=width)
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


class InTurns(Loader):
    """The batches; before each, both models run on it alone, and the time of that is added up."""

    def __init__(self, models: Models, images: int) -> None:
        super().__init__(images)
        self._models = models
        self.seconds = self.cpu = 0.0

    def __iter__(self) -> Iterator[Tensor]:  # type: ignore[override]
        for batch in super().__iter__():
            begin, cpu = time.perf_counter(), time.process_time()
            with torch.inference_mode():
                for network in self._models:
                    network(batch)
            self.seconds += time.perf_counter() - begin
            self.cpu += time.process_time() - cpu
            yield batch


def compare(models: Models, images: int) -> InTurns:
    loader = InTurns(models, images)
    sm.compare(*models, loader, positions=POSITIONS, heat_map=0, device="cpu")
    return loader


def alone(models: Models, images: int) -> None:
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


MODES = {f.__name__: f for f in (compare, alone, plain, plainest)}


class Used(NamedTuple):
    """What a mode used: seconds, CPU seconds, and memory in MB beside the models."""

    seconds: float
    cpu: float
    memory: float


def measure(mode: str, images: int, width: float) -> dict[str, Used]:
    """Run a mode in this process; ``compare`` also measures the forward passes."""
    models = model(0, width), model(1, width)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin, cpu = time.perf_counter(), time.process_time()
    forward = MODES[mode](models, images)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - loaded) / 1024
    if forward is None:
        return {mode: Used(seconds, cpu, memory)}
    return {
        "forward": Used(forward.seconds, forward.cpu, float("nan")),
        mode: Used(seconds - forward.seconds, cpu - forward.cpu, memory),
    }


def child(mode: str, images: int, width: float) -> dict[str, Used]:
    """Run a mode in a new process."""
    command = [sys.executable, "-W", "ignore", __file__, "measure", mode, str(images), str(width)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return {name: Used(*own) for name, own in json.loads(result.stdout.splitlines()[-1]).items()}


def ratios(one: Used, other: Used) -> str:
    """Return the ratios of seconds and of CPU seconds."""
    return f"{one.seconds / other.seconds:.2f} (CPU {one.cpu / other.cpu:.2f})"


def main(images: int = 10_000, few: int = 0, width: float = 1.0) -> None:
    """Print the table."""
    few = few or images // 10
    print(f"two ResNet-18, width {width:g}, batch {BATCH}, threads {torch.get_num_threads()}")
    print(f"{'images':>8}{'':>12}{'seconds':>10}{'CPU s':>10}{'beside MB':>12}  of forward")
    found: dict[int, dict[str, Used]] = {}
    for count, modes in ((images, ("compare", "plain")), (few, ("compare", "plainest"))):
        known = found.setdefault(count, {})
        for mode in modes:
            for name, own in child(mode, count, width).items():
                known[name] = own
                cells = f"{own.seconds:10.1f}{own.cpu:10.1f}{own.memory:12.0f}".replace(
                    "nan", "   "
                )
                of_forward = ratios(own, known["forward"])
                print(f"{count:8}{name:>12}{cells}  {of_forward}", flush=True)
    of_images, of_few = found[images], found[few]
    print(f"compare / plain loop: {ratios(of_images['compare'], of_images['plain'])}")
    ratio = ratios(of_few["compare"], of_few["plainest"])
    print(f"compare / plainest loop, {few} images: {ratio}", flush=True)
    few_mb, many_mb = (child("alone", n, width)["alone"].memory for n in (images, 5 * images))
    print(f"memory of compare alone: {few_mb:.0f} MB; {5 * images} images: {many_mb / few_mb:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        torch.manual_seed(0)
        sys.stdout.write(json.dumps(measure(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))))
    else:
        main(*map(int, sys.argv[1:3]), *map(float, sys.argv[3:4]))
