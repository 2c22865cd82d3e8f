"""Training by SGD with momentum, kept at several stages; resumed after a kill.

Everything random is drawn from generators seeded by (seed, epoch), so the state to resume from is
the weights, the optimiser's momenta and the number of epochs done: on the CPU a training that was
killed and resumed is bit for bit the one that was not, and so is what it kept.
"""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..artefacts import damaged, written
from .images import Images, strict_float32
from .repeatability import check_repeatable


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: the rate of its last step, and accuracies from 0 to 1."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_accuracy: float


@dataclass(frozen=True)
class Stages:
    """Where a training keeps its network: before the first step, after some epochs, best and last.

    A killed training goes on from its checkpoint and does not come by earlier stages again. So they
    lie beside the checkpoint, until the training is done and somebody takes what they want.

    Attributes:
        folder: the training's own; what else is in it goes.
        epochs: after which a network is kept, from 1.
        save: writes a network to a file, all of it or nothing.
    """

    folder: Path
    epochs: Sequence[int]
    save: Callable[[Path, nn.Module], None]

    def file(self, stage: str) -> Path:
        """Of a stage: "initial", "epoch_3" and so on, "best" (the first of equals) or "last"."""
        return self.folder / f"{stage}.safetensors"

    def begin(self, network: nn.Module) -> None:
        """Keep the initial network and nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.save(self.file("initial"), network)

    def reached(self, network: nn.Module, history: Sequence[Epoch]) -> None:
        """Keep the network after the last epoch of a history, if it is at a stage."""
        epoch = history[-1].epoch
        if epoch in self.epochs:
            self.save(self.file(f"epoch_{epoch}"), network)
        if best_epoch(history).epoch == epoch:
            self.save(self.file("best"), network)

    def complete(self, epochs: int) -> bool:
        """Whether all that a training keeps up to so many epochs, of at least one, is there."""
        names = ["initial", "best", *(f"epoch_{epoch}" for epoch in self.epochs if epoch <= epochs)]
        return all(self.file(name).exists() for name in names)


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The epoch of the highest test accuracy, the first of equals."""
    return max(history, key=lambda epoch: epoch.test_accuracy)


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
    stages: Stages,
    checkpoint: Path,
    identity: str,
    progress: Progress,
) -> list[Epoch]:
    """Train a network in place, from the checkpoint if there is one.

    Args:
        network: on the images' device, with the weights to begin with: drawn at random, or of a
            network that is to be fine-tuned.
        images: training images.
        test: evaluation images, for the accuracy after each epoch.
        settings: the configuration's section ``training``. With ``amp`` the forward pass of a step
            is in bfloat16 where autocast takes it for safe, on whichever device; with ``compile``
            the network of a step is compiled, all of it in one graph. Weights and evaluation are
            float32 and not compiled in any case.
        seed: of the order of images, of their augmentation and of dropout.
        stages: what to keep.
        checkpoint: file to resume from and to write after each epoch.
        identity: what the training depends on, its stages included; a checkpoint of another
            identity is not used.
        progress: told of each step and epoch.

    Returns:
        The epochs, those before a resumption included.

    Raises:
        ValueError: if there are no images, a stage is beyond the last epoch, the device cannot do
            what the settings ask for, the network evaluates an image another way each time, or the
            checkpoint is damaged, naming it.
    """
    _check(images, settings, stages)
    # Else the accuracy that decides the best epoch is chance, and the recording refuses in the end.
    check_repeatable(partial(_output, network.eval()), test)
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=settings["learning_rate"],
        momentum=settings["momentum"],
        # Nesterov's form needs a momentum; without one both are plain gradient descent.
        nesterov=settings["nesterov"] and settings["momentum"] > 0,
        weight_decay=settings["weight_decay"],
        fused=True,  # a ninth of the time of torch's default on a CPU
    )
    # Of the same weights. In one graph or not at all: parts that are left out would go unnoticed.
    # In the memory order of the weights: the compiler's own choice is channels last, safe or not.
    compiled = (
        torch.compile(network, fullgraph=True, options={"layout_optimization": False})
        if settings["compile"]
        else network
    )
    history = _resume(checkpoint, identity, network, optimiser, stages)
    if not history:
        stages.begin(network)
    for done in history:
        progress.epoch(done)
    for epoch in range(len(history), settings["epochs"]):
        loss, train_accuracy = _one_epoch(
            cast(nn.Module, compiled), optimiser, images, settings, seed, epoch, progress.step
        )
        rate = optimiser.param_groups[0]["lr"]
        test_accuracy = accuracy(network, test, settings["batch_size"])
        history.append(Epoch(epoch + 1, rate, loss, train_accuracy, test_accuracy))
        # Before the checkpoint: what it says is done is never done again.
        stages.reached(network, history)
        _save(checkpoint, identity, network, optimiser, history)
        progress.epoch(history[-1])
    stages.save(stages.file("last"), network)
    return history


def accuracy(network: nn.Module, images: Images, batch_size: int) -> float:
    """Share of the images that the network, in evaluation mode, classifies as labelled."""
    network.eval()
    device = images.labels.device
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with torch.inference_mode(), strict_float32(device):
        for inputs, labels in images.batches(batch_size):
            correct += (network(inputs).argmax(1) == labels).sum()
    return int(correct) / len(images)


def _output(network: nn.Module, batch: torch.Tensor, sink: Callable[[str, Any], None]) -> None:
    with torch.inference_mode():
        sink("its output", network(batch))


def steps_an_epoch(images: int, batch_size: int) -> int:
    """Batches of an epoch: the last images, too few for a batch, wait for another shuffle."""
    return max(1, images // batch_size)


def _check(images: Images, settings: Mapping[str, Any], stages: Stages) -> None:
    if not len(images):
        raise ValueError("training: expected training images, found none in the data set")
    if wrong := [epoch for epoch in stages.epochs if not 1 <= epoch <= settings["epochs"]]:
        raise ValueError(
            f"stages: expected epochs from 1 to training.epochs ({settings['epochs']}), found"
            f" {', '.join(map(str, wrong))}"
        )
    on_cuda = images.labels.device.type == "cuda"
    if settings["amp"] and on_cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(
            "training.amp: expected a GPU that computes in bfloat16, found"
            f" {torch.cuda.get_device_name(images.labels.device)}; set it to false"
        )


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
    device, size = images.labels.device, settings["batch_size"]
    steps = steps_an_epoch(len(images), size)
    number = _mixed(seed, epoch)
    generator = torch.Generator().manual_seed(number)
    order = torch.randperm(len(images), generator=generator)[: steps * size]
    batches = images.augmented(
        order,
        size,
        crop_padding=settings["crop_padding"],
        flip=settings["flip"],
        generator=generator,
    )
    total_loss = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with _seeded(number, device):
        for step, (inputs, labels) in enumerate(batches, start=epoch * steps):
            optimiser.param_groups[0]["lr"] = learning_rate(settings, steps, step)
            optimiser.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=settings["amp"]):
                output = network(inputs)
            loss = criterion(output.float(), labels)
            loss.backward()
            optimiser.step()
            total_loss += loss.detach()
            correct += (output.argmax(1) == labels).sum()
            step_done()
    return float(total_loss) / steps, int(correct) / len(order)


@contextmanager
def _seeded(number: int, device: torch.device) -> Iterator[None]:
    """Dropout draws from the process's generators: seeded, and left as they were found."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(number)
        yield


def _mixed(seed: int, epoch: int) -> int:
    """A generator's seed for (seed, epoch): 32 bits, torch's generators ignore the others."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


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
    path: Path,
    identity: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    stages: Stages,
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
            history = [Epoch(**epoch) for epoch in json.loads(about["history"])]
            if not stages.complete(len(history)):
                warnings.warn(
                    f"{stages.folder} lacks stages before {path}: training starts anew",
                    stacklevel=3,
                )
                return []
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    network.load_state_dict(_under("network/", tensors))
    state = optimiser.state_dict()
    weights = list(network.parameters())
    # In the memory order of its weight: the fused kernel walks through both alike.
    state["state"] = {
        int(number): {"momentum_buffer": torch.empty_like(weights[int(number)]).copy_(momentum)}
        for number, momentum in _under("momentum/", tensors).items()
    }
    optimiser.load_state_dict(state)
    return history


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
