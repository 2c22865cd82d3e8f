"""Recording a network's layers against its forward pass alone, and what it holds in memory.

    python benchmarks/bench_extraction.py [images]

ResNet-18 at full width on random images of 32 x 32, 10,000 unless told otherwise, every ReLU,
10,000 positions of each map, to a Zarr store on disk. The reference is the same network on the same
images, batch by batch, and nothing kept. Each is a process of its own, whose peak memory is the
system's count: "over" is what it grows by from a tenth of the images. The ratio is what to quote.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from subspace_match.data.prepared import Split
from subspace_match.networks.architectures import build, initialise
from subspace_match.networks.extraction import extract
from subspace_match.networks.images import Images
from subspace_match.networks.layer_graph import LayeredNetwork
from subspace_match.networks.memory_order import placed
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.sampling import draw_samples
from subspace_match.storage.activations import new_store

BATCH, POSITIONS = 250, 10_000
ARCHITECTURE = {"name": "resnet18", "width": 1.0, "hidden": [], "channels": 3, "classes": 10}


def measure(images: int, record: bool) -> None:
    """One pass over the images, its seconds and this process's peak memory in MB: for ``child``."""
    device = torch.device("cpu")
    network = build(**ARCHITECTURE)
    initialise(network, 0)
    network = placed(network.eval(), device)
    # One image over and over: what is measured is not the images' own memory.
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), np.uint8)
    labels = np.zeros(images, np.int64)
    split = Split(np.broadcast_to(image, (images, 3, 32, 32)), labels, labels)
    data = Images.on_device(split, Preprocessing((0.5,) * 3, (0.25,) * 3), device)
    start = time.perf_counter()
    if record:
        layered = LayeredNetwork(network)
        layers = layered.layers(3, 32, 32)
        samples = {layer.name: draw_samples(layer, images, POSITIONS, 1, 0) for layer in layers}
        entries = [
            asdict(layer) | {"draws": 1, "samples": len(samples[layer.name][0])} for layer in layers
        ]
        with tempfile.TemporaryDirectory() as folder:
            with new_store(Path(folder, "network.zarr"), {}, entries) as store:
                extract(
                    layered,
                    data,
                    layers,
                    samples,
                    batch_size=BATCH,
                    sink=store.append,
                    batch_done=lambda: None,
                )
            seconds = time.perf_counter() - start
    else:
        with torch.inference_mode():
            for inputs, _ in data.batches(BATCH):
                network(inputs)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps([seconds, peak]))


def child(images: int, record: bool) -> list[float]:
    """Seconds and peak memory of ``measure`` in a process of its own."""
    command = [sys.executable, __file__, "measure", str(images), str(int(record))]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[float] = json.loads(result.stdout)
    return found


def main() -> None:
    """Print the table."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    (forward, alone), (recording, peak) = (child(images, record) for record in (False, True))
    over = peak - child(images // 10, True)[1]
    print(f"ResNet-18, {images} images, batch {BATCH}, threads {torch.get_num_threads()}")
    print(f"{'':24}{'seconds':>10}{'images/s':>10}{'peak MB':>10}{'over MB':>10}")
    print(f"{'forward pass alone':24}{forward:10.1f}{images / forward:10.0f}{alone:10.0f}")
    rate = images / recording
    print(f"{'recording all layers':24}{recording:10.1f}{rate:10.0f}{peak:10.0f}{over:10.0f}")
    print(f"images a second, recording against the pass alone: {forward / recording:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(int(sys.argv[2]), sys.argv[3] == "1")
    else:
        main()
