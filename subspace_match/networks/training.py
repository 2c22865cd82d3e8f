"""Training by SGD with momentum, kept at several stages; resumed after a kill.

Everything random is drawn from generators seeded by (seed, epoch), so the state to resume from is
the weights, the optimiser's momenta and the number of epochs done: on the CPU a training that was
killed and resumed is bit for bit the one that was not, and so is what it kept.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from .images import Images, strict_float32
from .repeatability import check_repeatable
from .resume import Checkpoint
from .stages import Epoch, Stages


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
        checkpoint: file to resume from and to write after each epoch. One that is damaged is set
            aside, and training starts anew.
        identity: what the training depends on, its images and stages included; a checkpoint of
            another identity is not used.
        progress: told of each step and epoch.

    Returns:
        The epochs, those before a resumption included.

    Raises:
        ValueError: if there are no images, a stage is beyond the last epoch, the device cannot do
            what the settings ask for, or the network evaluates an image another way each time.
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
    saved = Checkpoint(checkpoint, identity)
    history = _resume(saved, network, optimiser, stages)
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
        progress_so_far = {"history": list(map(asdict, history)), "stages": stages.checksums}
        saved.save(_state(network, optimiser), progress_so_far)
        stages.forget(history)
        progress.epoch(history[-1])
    stages.keep("last", network, history)
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


def _state(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What a training goes on from, by name."""
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    momenta = optimiser.state_dict()["state"]
    return tensors | {
        f"momentum/{number}": state["momentum_buffer"]
        for number, state in momenta.items()
        if state.get("momentum_buffer") is not None
    }


def _resume(
    checkpoint: Checkpoint, network: nn.Module, optimiser: torch.optim.Optimizer, stages: Stages
) -> list[Epoch]:
    """Load a checkpoint into network and optimiser; the epochs done, none if it does not fit."""
    found = checkpoint.load()
    if found is None:
        return []
    tensors, progress = found
    history = [Epoch(**epoch) for epoch in progress["history"]]
    stages.checksums.update(progress["stages"])
    if (lacking := stages.lacking(history)) is not None:
        warnings.warn(
            f"{checkpoint.path} cannot be resumed from ({lacking}): training starts anew",
            stacklevel=3,
        )
        return []
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
