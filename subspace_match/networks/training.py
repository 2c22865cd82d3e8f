"""Training by SGD or AdamW. It keeps checkpoints at several stages and resumes after a kill.

All randomness comes from generators seeded by (seed, epoch), so the state to resume from is the
weights, the optimiser's averages and the number of finished epochs. On the CPU a resumed training
and its checkpoints are bit for bit those of an uninterrupted one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .architectures import built_again
from .items import Items
from .memory_order import move_to
from .repeatability import check_repeatable, check_saved
from .resume import ResumeFile
from .stages import Epoch, Stages
from .tasks import choices, evaluate, scores_of


def check_checkpoint_is_whole(
    network: nn.Module, architecture: Mapping[str, Any], inputs: Tensor
) -> None:
    """Refuse a user's own network that learned something which its state dict does not hold.

    Args:
        network: made by ``build(**architecture)``, in any mode.
        architecture: arguments of ``build``.
        inputs: a few inputs, on the network's device.

    Raises:
        ValueError: if its output is another one when it is built again with the same state dict.
    """
    again = built_again(network, architecture)
    if again is None:
        return
    again = move_to(again.eval(), inputs.device)
    run, run_again = (
        lambda batch, sink, own=own: sink("its output", scores_of(own(batch)))
        for own in (network, again)
    )
    was_training = network.training
    network.eval()
    try:
        check_saved(run, run_again, inputs)
    finally:
        network.train(was_training)


def learning_rate(settings: Mapping[str, Any], steps_per_epoch: int, step: int) -> float:
    """Return the learning rate of a step, counted from 0.

    After a linear warm-up it follows a cosine to 0, or is divided by 10 at each milestone.

    Example:
        >>> settings = {"learning_rate": 0.1, "warmup_epochs": 0, "epochs": 2, "schedule": "cosine"}
        >>> [round(learning_rate(settings, 2, step), 3) for step in range(4)]
        [0.1, 0.085, 0.05, 0.015]
    """
    peak, warmup = settings["learning_rate"], settings["warmup_epochs"] * steps_per_epoch
    if step < warmup:
        return float(peak * (step + 1) / warmup)
    if settings["schedule"] == "step":
        passed = sum(step // steps_per_epoch >= milestone for milestone in settings["milestones"])
        return float(peak / 10**passed)
    total = settings["epochs"] * steps_per_epoch
    return float(peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2)


def train(
    network: nn.Module,
    inputs: Items,
    test: Items,
    settings: Mapping[str, Any],
    *,
    seed: int,
    stages: Stages,
    resume_file: Path,
    identity: str,
    step_done: Callable[[], object],
    epoch_done: Callable[[Epoch], None],
) -> list[Epoch]:
    """Train a network in place; resume if there is a resume file.

    Args:
        network: on the inputs' device, with its initial weights: random, or those of a network to
            fine-tune.
        inputs: the training split.
        test: the test split, for the accuracy and the loss after each epoch.
        settings: the section ``training`` of the configuration. With ``amp`` the forward pass of a
            training step uses bfloat16 where autocast considers it safe, on any device; with
            ``compile`` a training step runs a compiled network, in one graph. Weights and
            evaluation always use float32 without compilation.
        seed: seed of the order of inputs, their augmentation and dropout.
        stages: which checkpoints to keep.
        resume_file: read at the start and written after each epoch. If it is damaged, it is renamed
            and training starts from the beginning.
        identity: of the ``ResumeFile``; it must depend on the inputs and stages too.
        step_done: called after each step.
        epoch_done: called after each epoch, and for those before a resumption.

    Returns:
        All epochs, including those before a resumption.

    Raises:
        ValueError: if there are no inputs, a stage lies beyond the last epoch, the device does not
            support the settings, or the network's output for an input changes between runs.
    """
    _check(inputs, settings, stages)
    # Otherwise chance would decide the best epoch, and extraction would refuse the network later.
    network.eval()
    few = test.evenly_spaced(4)
    check_repeatable(lambda batch, sink: sink("its output", scores_of(network(batch))), few)
    optimiser = _optimiser(network, settings)
    # It shares the weights. One graph, because parts that fail to compile would go unnoticed.
    # No layout optimisation: it chooses channels last even where ``memory_order`` avoids it.
    compiled: Any = network
    if settings["compile"]:
        compiled = torch.compile(network, fullgraph=True, options={"layout_optimization": False})
    saved = ResumeFile(resume_file, identity)
    history = _resume(saved, network, optimiser, stages)
    trained_on = f"{inputs.device.type}, torch {torch.__version__}"
    if not history:
        stages.begin(network)
    elif len(history) < settings["epochs"] and (before := history[-1].trained_on) != trained_on:
        warnings.warn(
            f"epochs up to {len(history)} were trained on {before}, the others are trained on"
            f" {trained_on}: the weights will not be exactly those of an uninterrupted training",
            stacklevel=2,
        )
    for finished in history:
        epoch_done(finished)
    for epoch in range(len(history), settings["epochs"]):
        loss, train_accuracy = _one_epoch(
            compiled, optimiser, inputs, settings, seed, epoch, step_done
        )
        rate = optimiser.param_groups[0]["lr"]
        found = evaluate(network, test, settings["task"], settings["batch_size"])
        results = (loss, train_accuracy, found.accuracy, found.loss)
        history.append(Epoch(epoch + 1, rate, *results, trained_on))
        # Before the resume file is written, because finished epochs are not repeated.
        stages.after_epoch(network, history)
        progress = {"history": list(map(asdict, history)), "stages": stages.checksums}
        saved.save(_state(network, optimiser), progress)
        stages.remove_previous_best(history)
        epoch_done(history[-1])
    stages.keep("last", network, history)
    return history


def steps_per_epoch(inputs: int, settings: Mapping[str, Any]) -> int:
    """Return the number of steps in an epoch: ``epoch_steps``, or all whole batches.

    An epoch skips the inputs that remain; each epoch has another random order.

    Example:
        >>> steps_per_epoch(70, {"batch_size": 16, "epoch_steps": None})
        4
    """
    whole = max(1, inputs // int(settings["batch_size"]))
    return min(whole, int(settings["epoch_steps"] or whole))


def _optimiser(network: nn.Module, settings: Mapping[str, Any]) -> torch.optim.Optimizer:
    momentum = settings["momentum"]
    common: dict[str, Any] = {
        "lr": settings["learning_rate"],
        "weight_decay": settings["weight_decay"],
        "fused": True,  # nine times as fast as torch's default on a CPU
    }
    if settings["optimizer"] == "adamw":
        return torch.optim.AdamW(network.parameters(), betas=(momentum, 0.999), **common)
    # torch refuses Nesterov without momentum; both are plain gradient descent then.
    nesterov = settings["nesterov"] and momentum > 0
    return torch.optim.SGD(network.parameters(), momentum=momentum, nesterov=nesterov, **common)


def _check(inputs: Items, settings: Mapping[str, Any], stages: Stages) -> None:
    if not len(inputs):
        raise ValueError("training: expected training images, found none in the data set")
    if wrong := [epoch for epoch in stages.epochs if not 1 <= epoch <= settings["epochs"]]:
        raise ValueError(
            f"stages: expected epochs from 1 to training.epochs ({settings['epochs']}), found"
            f" {', '.join(map(str, wrong))}"
        )
    on_cuda = inputs.device.type == "cuda"
    if settings["amp"] and on_cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(
            "training.amp: expected a GPU that supports bfloat16, found"
            f" {torch.cuda.get_device_name(inputs.device)}; set it to false"
        )


def _one_epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    inputs: Items,
    settings: Mapping[str, Any],
    seed: int,
    epoch: int,
    step_done: Callable[[], object],
) -> tuple[float, float]:
    network.train()
    criterion = nn.CrossEntropyLoss(label_smoothing=settings["label_smoothing"])
    device, size, task = inputs.device, settings["batch_size"], settings["task"]
    steps = steps_per_epoch(len(inputs), settings)
    # Hashed to 32 bits, because torch's CPU generator ignores higher ones.
    draw_seed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    generator = torch.Generator().manual_seed(draw_seed)
    order = torch.randperm(len(inputs), generator=generator)[: steps * size]
    batches = inputs.training_batches(order, size, settings, generator)
    total_loss = torch.zeros((), device=device)
    correct, count = torch.zeros((), dtype=torch.int64, device=device), 0
    # Dropout draws from the global generators, which are restored afterwards.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(draw_seed)
        for step, (batch, targets) in enumerate(batches, start=epoch * steps):
            optimiser.param_groups[0]["lr"] = learning_rate(settings, steps, step)
            optimiser.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=settings["amp"]):
                output = network(batch)
            scores, right = choices(task, output, targets)
            loss = criterion(scores.float(), right)
            loss.backward()
            optimiser.step()
            total_loss += loss.detach()
            correct += (scores.argmax(1) == right).sum()
            count += len(right)
            step_done()
    return float(total_loss) / steps, int(correct) / count


def _state(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the tensors to resume from, by name."""
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    return tensors | {
        f"optimiser/{number}/{name}": tensor
        for number, state in optimiser.state_dict()["state"].items()
        for name, tensor in state.items()
        if tensor is not None  # a momentum of 0 keeps none
    }


def _resume(
    saved: ResumeFile, network: nn.Module, optimiser: torch.optim.Optimizer, stages: Stages
) -> list[Epoch]:
    """Load the resume file into network and optimiser; return the epochs, none if unusable."""
    found = saved.load()
    if found is None:
        return []
    tensors, progress = found
    history = [Epoch(**epoch) for epoch in progress["history"]]
    stages.checksums.update(progress["stages"])
    if (fault := stages.find_fault(history)) is not None:
        warnings.warn(
            f"{saved.path} cannot be used ({fault}): training starts from the beginning",
            stacklevel=3,
        )
        return []
    network.load_state_dict(_with_prefix("network/", tensors))
    state, weights = optimiser.state_dict(), list(network.parameters())
    averages: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _with_prefix("optimiser/", tensors).items():
        number, _, kind = name.partition("/")
        own = weights[int(number)]
        # An average needs the memory format of its weight, which the fused kernel assumes.
        kept = torch.empty_like(own).copy_(tensor) if tensor.shape == own.shape else tensor
        averages.setdefault(int(number), {})[kind] = kept
    optimiser.load_state_dict(state | {"state": averages})
    return history


def _with_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
