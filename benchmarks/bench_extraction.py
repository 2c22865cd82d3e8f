"""Time and memory of extracting a network's layers, compared with its forward pass alone.

    python benchmarks/bench_extraction.py [images]

ResNet-18 at full width on random images of 32 x 32 (default: 10,000), every ReLU, 10,000 positions
of each map, written to a Zarr store on disk. The reference runs the same network on the same
batches and keeps nothing. Each runs in a new process, whose peak memory the system reports;
"growth" is the difference to a run on a tenth of the images. Quote the ratio, not the seconds.
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
from subspace_match.networks.layered_network import LayeredNetwork
from subspace_match.networks.memory_order import move_to
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.sampling import draw_samples
from subspace_match.storage.activations import new_store

BATCH, POSITIONS = 250, 10_000
ARCHITECTURE = {"name": "resnet18", "width": 1.0, "hidden": [], "channels": 3, "classes": 10}


def measure(images: int, with_layers: bool) -> None:
    """Print the seconds of one pass over the images and this process's peak memory in MB."""
    device = torch.device("cpu")
    network = build(**ARCHITECTURE)
    initialise(network, 0)
    network = move_to(network.eval(), device)
    # The same image repeated, so that the images themselves use no memory.
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), np.uint8)
    labels = np.zeros(images, np.int64)
    split = Split(np.broadcast_to(image, (images, 3, 32, 32)), labels, labels)
    data = Images.on_device(split, Preprocessing((0.5,) * 3, (0.25,) * 3), device)
    start = time.perf_counter()
    if with_layers:
        layered = LayeredNetwork(network, data.evenly_spaced(2))
        layers = layered.layers
        samples = {layer.name: draw_samples(layer, images, POSITIONS, 1, 0) for layer in layers}
        entries = [
            asdict(layer) | {"draws": 1, "samples": len(samples[layer.name][0])} for layer in layers
        ]
        with tempfile.TemporaryDirectory() as folder:
            with new_store(Path(folder, "network.zarr"), {}, entries) as store:
                extract(
                    layered,
                    data,
                    [(samples, store.append)],
                    task="classify",
                    batch_size=BATCH,
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


def child(images: int, with_layers: bool) -> list[float]:
    """Run ``measure`` in a new process; return seconds and peak memory."""
    command = [sys.executable, __file__, "measure", str(images), str(int(with_layers))]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[float] = json.loads(result.stdout)
    return found


def main() -> None:
    """Print the table."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    (forward, alone), (extraction, peak) = (
        child(images, with_layers) for with_layers in (False, True)
    )
    growth = peak - child(images // 10, True)[1]
    print(f"ResNet-18, {images} images, batch {BATCH}, threads {torch.get_num_threads()}")
    print(f"{'':24}{'seconds':>10}{'images/s':>10}{'peak MB':>10}{'growth MB':>10}")
    print(f"{'forward pass alone':24}{forward:10.1f}{images / forward:10.0f}{alone:10.0f}")
    rate = images / extraction
    print(f"{'extracting all layers':24}{extraction:10.1f}{rate:10.0f}{peak:10.0f}{growth:10.0f}")
    print(f"speed of extraction relative to the forward pass: {forward / extraction:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(int(sys.argv[2]), sys.argv[3] == "1")
    else:
        main()
