"""Training on images on the device, compared with a DataLoader that transforms each image.

    python benchmarks/bench_training.py [width] [steps] [threads]

VGG-11 with batch norm on images of 32 x 32, batch 128, crops and flips. The reference is the loop
of torchvision's examples: one PIL image at a time, RandomCrop, RandomHorizontalFlip, Normalize,
0 and 2 workers. "images" is the fraction of our step spent on cropping, flipping, standardising.
Each time is a median step, the fastest of a few turns, because other processes can only slow it
down. Quote ratios, not seconds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from subspace_match.data.prepared import Split
from subspace_match.experiment.config import validated
from subspace_match.networks.architectures import build, initialise
from subspace_match.networks.images import Images
from subspace_match.networks.memory_order import move_to
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.stages import Stages
from subspace_match.networks.training import train

BATCH, PADDING, CHANNELS = 128, 4, 3
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
TURNS = 3
SETTINGS = validated({})["training"] | {
    "epochs": 1,
    "batch_size": BATCH,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 5e-4,
    "warmup_epochs": 0,
    "schedule": "step",
    "milestones": [],
    "crop_padding": PADDING,
    "flip": True,
}


def network(width: float) -> nn.Module:
    vgg = build("vgg11_bn", width=width, hidden=[], channels=CHANNELS, classes=10)
    initialise(vgg, 0)
    return vgg


class TransformedImages(Dataset):
    """Transform one image at a time, as torchvision's data sets do."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.transform = v2.Compose(
            [
                v2.ToPILImage(),
                v2.RandomCrop(32, PADDING),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pixels = torch.from_numpy(self.split.images[index])
        return self.transform(pixels), int(self.split.labels[index])


def reference_steps(split: Split, width: float, workers: int) -> Iterator[None]:
    """Run the plain training loop; yield once per step."""
    model = network(width).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(
        TransformedImages(split), BATCH, shuffle=True, drop_last=True, num_workers=workers
    )
    for inputs, labels in loader:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimiser.step()
        yield


def median_step(times: list[float]) -> float:
    """Return the median difference of time stamps; the start-up lies before the first one."""
    return statistics.median(np.diff(times))


def reference(split: Split, width: float, workers: int) -> float:
    return median_step([time.perf_counter() for _ in reference_steps(split, width, workers)])


def ours(images: Images, width: float) -> float:
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(
            move_to(network(width), torch.device("cpu")),
            images,
            Images.on_device(
                Split(
                    np.zeros((1, CHANNELS, 32, 32), np.uint8), np.zeros(1, int), np.zeros(1, int)
                ),
                images.preprocessing,
                torch.device("cpu"),
            ),
            SETTINGS,
            seed=0,
            stages=Stages(Path(folder), [], lambda path, _: path.touch()),
            resume_file=Path(folder, "resume"),
            identity="",
            step_done=lambda: times.append(time.perf_counter()),
            epoch_done=lambda _: None,
        )
    return median_step(times)


def images_alone(images: Images) -> float:
    order, generator = torch.randperm(len(images)), torch.Generator()
    batches = images.training_batches(order, BATCH, SETTINGS, generator)
    return median_step([time.perf_counter() for _ in batches])


def main() -> None:
    arguments = sys.argv[1:]
    width = float(arguments[0]) if arguments else 1.0
    steps = int(arguments[1]) if len(arguments) > 1 else 8
    if len(arguments) > 2:
        torch.set_num_threads(int(arguments[2]))
    rng = np.random.default_rng(0)
    count = (steps + 1) * BATCH
    pixels = rng.integers(0, 256, (count, CHANNELS, 32, 32), dtype=np.uint8)
    split = Split(pixels, rng.integers(0, 10, count), np.arange(count))
    images = Images.on_device(split, Preprocessing(MEAN, STD), torch.device("cpu"))
    works = {
        "images alone": lambda: images_alone(images),
        "from the device": lambda: ours(images, width),
        "DataLoader, no worker": lambda: reference(split, width, 0),
        "DataLoader, 2 workers": lambda: reference(split, width, 2),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(TURNS):
        for name, work in works.items():
            times[name].append(work())
    best = {name: min(each) for name, each in times.items()}
    print(f"VGG-11 of width {width}, batch {BATCH}, {torch.get_num_threads()} threads")
    step = best["from the device"]
    print(f"images: {best['images alone'] / step:.1%} of a step from the device")
    for name, seconds in best.items():
        print(
            f"{name:24}{seconds * 1e3:9.1f} ms{BATCH / seconds:9.0f} images/s"
            f"{seconds / step:8.2f} steps from the device"
        )


if __name__ == "__main__":
    main()
