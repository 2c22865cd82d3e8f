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

Each runs in a new process, whose peak memory the system reports; "beside" is that beyond the peak
of the forward passes. "growth" is the peak of ``compare`` on five times as many images relative to
its peak, beside the models. Quote ratios, not seconds.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

import subspace_match as sm
from subspace_match.networks.architectures import build, initialise

BATCH, POSITIONS = 250, 10_000
ARCHITECTURE = {"name": "resnet18", "width": 1.0, "hidden": [], "channels": 3, "classes": 10}


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


def forward(images: int) -> None:
    models = model(0), model(1)
    with torch.inference_mode():
        for batch in Batches(images):
            for network in models:
                network(batch)


def compare(images: int) -> None:
    sm.compare(model(0), model(1), Loader(images), positions=POSITIONS, heat_map=0, device="cpu")


def plain(images: int) -> None:
    rng = np.random.default_rng(0)

    def sampled(rows: Tensor) -> Tensor:
        count = max(1, POSITIONS * (len(rows) // BATCH) // images)
        return rows[torch.from_numpy(rng.permutation(len(rows))[: count * BATCH])]

    loop(images, sampled)


def plainest(images: int) -> None:
    loop(images, lambda rows: rows)


def loop(images: int, sampled: Callable[[Tensor], Tensor]) -> None:
    """Hook every ReLU, keep rows, concatenate, reduce and match."""
    kept: tuple[dict[str, list[Tensor]], ...] = ({}, {})
    models = model(0), model(1)
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


def child(mode: str, images: int) -> tuple[float, float]:
    """Run a mode in a new process; return seconds and peak memory in MB."""
    command = [sys.executable, __file__, "measure", mode, str(images)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = json.loads(result.stdout.splitlines()[-1])
    return seconds, peak


def main() -> None:
    """Print the table."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    few = int(sys.argv[2]) if len(sys.argv) > 2 else images // 10
    print(f"two ResNet-18, batch {BATCH}, threads {torch.get_num_threads()}")
    print(f"{'images':>8}{'':>18}{'seconds':>10}{'peak MB':>10}{'of forward':>12}")
    found = {}
    for count, modes in (
        (images, ("forward", "compare", "plain")),
        (few, ("forward", "compare", "plainest")),
    ):
        for mode in modes:
            found[count, mode] = child(mode, count)
            seconds, peak = found[count, mode]
            ratio = seconds / found[count, "forward"][0]
            print(f"{count:8}{mode:>18}{seconds:10.1f}{peak:10.0f}{ratio:12.2f}", flush=True)
    print(f"compare / plain loop: {found[images, 'compare'][0] / found[images, 'plain'][0]:.2f}")
    ratio = found[few, "compare"][0] / found[few, "plainest"][0]
    print(f"compare / plainest loop, {few} images: {ratio:.2f}")
    growth = child("compare", 5 * images)[1] / found[images, "compare"][1]
    print(f"peak memory of compare, {5 * images} / {images} images: {growth:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        torch.manual_seed(0)
        begin = time.perf_counter()
        MODES[sys.argv[2]](int(sys.argv[3]))
        elapsed = time.perf_counter() - begin
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(json.dumps([elapsed, peak_mb]))
    else:
        main()
