"""Training by SGD with momentum, from data that lies on the device; resumed after a kill.

Everything random is drawn from generators seeded by (seed, epoch), so the state to resume from is
the weights, the optimiser's momenta and the number of epochs done: on the CPU a training that was
killed and resumed is bit for bit the one that was not.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..artefacts import damaged, written
from .images import Images, augment

TEST_BATCH = 500  # images


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: the rate of its last step, and accuracies from 0 to 1."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_accuracy: float


@dataclass(frozen=True)
class Progress:
    """What a training tells while it runs: every step, and every epoch."""

    step: Callable[[], object]
    epoch: Callable[[Epoch], None]


def learning_rate(settings: Mapping[str, Any], steps_an_epoch: int, step: int) -> float:
    """The rate of a step (from 0): linear warm-up, then cosine to 0 or division at milestones.

    Example:
        >>> settings = {"learning_rate": 0.1, "warmup_epochs": 0, "epochs": 2, "schedule": "cosine"}
        >>> [round(learning_rate(settings, 2, step), 3) for step in range(4)]
        [0.1, 0.085, 0.05, 0.015]
    """
    peak, warmup = settings["learning_rate"], settings["warmup_epochs"] * steps_an_epoch
    if step < warmup:
        return float(peak * (step + 1) / warmup)
    if settings["schedule"] == "step":
        passed = sum(step // steps_an_epoch >= milestone for milestone in settings["milestones"])
        return float(peak / 10**passed)
    total = settings["epochs"] * steps_an_epoch
    return float(peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2)


def train(
    network: nn.Module,
    images: Images,
    test: Images,
    settings: Mapping[str, Any],
    *,
    seed: int,
    checkpoint: Path,
    identity: str,
    progress: Progress,
) -> list[Epoch]:
    """Train a network in place, from the checkpoint if there is one.

    Args:
        network: initialised, on the images' device.
        images: training images.
        test: evaluation images, for the accuracy after each epoch.
        settings: the configuration's section ``training``.
        seed: of the order of images and of their augmentation.
        checkpoint: file to resume from and to write after each epoch.
        identity: what the training depends on; a checkpoint of another identity is not used.
        progress: told of each step and epoch.

    Returns:
        The epochs, those before a resumption included.

    Raises:
        ValueError: if the checkpoint is damaged, naming it.
    """
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=settings["learning_rate"],
        momentum=settings["momentum"],
        # Nesterov's form needs a momentum; without one both are plain gradient descent.
        nesterov=settings["nesterov"] and settings["momentum"] > 0,
        weight_decay=settings["weight_decay"],
    )
    history = _resume(checkpoint, identity, network, optimiser)
    for done in history:
        progress.epoch(done)
    for epoch in range(len(history), settings["epochs"]):
        loss, train_accuracy = _one_epoch(
            network, optimiser, images, settings, seed, epoch, progress.step
        )
        rate = optimiser.param_groups[0]["lr"]
        history.append(Epoch(epoch + 1, rate, loss, train_accuracy, accuracy(network, test)))
        _save(checkpoint, identity, network, optimiser, history)
        progress.epoch(history[-1])
    return history


def accuracy(network: nn.Module, images: Images) -> float:
    """Share of the images that the network, in evaluation mode, classifies as labelled."""
    network.eval()
    correct = torch.zeros((), dtype=torch.int64, device=images.labels.device)
    with torch.inference_mode():
        for start in range(0, len(images.labels), TEST_BATCH):
            part = slice(start, start + TEST_BATCH)
            output = network(images.standardised(images.pixels[part]))
            correct += (output.argmax(1) == images.labels[part]).sum()
    return int(correct) / len(images.labels)


def steps_an_epoch(images: int, batch_size: int) -> int:
    """Batches of an epoch: the last images, too few for a batch, wait for another shuffle."""
    return max(1, images // batch_size)


def _one_epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Images,
    settings: Mapping[str, Any],
    seed: int,
    epoch: int,
    step_done: Callable[[], object],
) -> tuple[float, float]:
    network.train()
    criterion = nn.CrossEntropyLoss(label_smoothing=settings["label_smoothing"])
    device, count = images.labels.device, len(images.labels)
    generator = torch.Generator().manual_seed(_mixed(seed, epoch))
    order = torch.randperm(count, generator=generator).to(device)
    steps, size = steps_an_epoch(count, settings["batch_size"]), settings["batch_size"]
    total_loss = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for step in range(steps):
        index = order[step * size : (step + 1) * size]
        labels = images.labels[index]
        pixels = augment(
            images.pixels[index],
            crop_padding=settings["crop_padding"],
            flip=settings["flip"],
            generator=generator,
        )
        optimiser.param_groups[0]["lr"] = learning_rate(settings, steps, epoch * steps + step)
        optimiser.zero_grad()
        output = network(images.standardised(pixels))
        loss = criterion(output, labels)
        loss.backward()
        optimiser.step()
        total_loss += loss.detach()
        correct += (output.argmax(1) == labels).sum()
        step_done()
    seen = min(steps * size, count)
    return float(total_loss) / steps, int(correct) / seen


def _mixed(seed: int, epoch: int) -> int:
    """A generator's seed for (seed, epoch), no two of them alike."""
    return (seed << 20) + epoch


def _save(
    path: Path,
    identity: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: list[Epoch],
) -> None:
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    momenta = optimiser.state_dict()["state"]
    tensors |= {
        f"momentum/{number}": state["momentum_buffer"]
        for number, state in momenta.items()
        if state.get("momentum_buffer") is not None
    }
    about = {"identity": identity, "history": json.dumps([asdict(epoch) for epoch in history])}
    with written(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, about)


def _resume(
    path: Path, identity: str, network: nn.Module, optimiser: torch.optim.Optimizer
) -> list[Epoch]:
    """Load a checkpoint into network and optimiser; the epochs done, none if it does not fit."""
    if not path.exists():
        return []
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata()
            if about["identity"] != identity:
                warnings.warn(
                    f"{path} is of another configuration or code: training starts anew",
                    stacklevel=3,
                )
                return []
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    network.load_state_dict(_under("network/", tensors))
    state = optimiser.state_dict()
    state["state"] = {
        int(number): {"momentum_buffer": momentum}
        for number, momentum in _under("momentum/", tensors).items()
    }
    optimiser.load_state_dict(state)
    return [Epoch(**epoch) for epoch in json.loads(about["history"])]


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
