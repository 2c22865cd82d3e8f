"""What networks are trained for: to classify images, or to predict the next token of a text.

Both choose one class after another from scores. An image has one class. In a window of text every
token but the first is the class of the tokens before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .items import Items
from .repeatability import strict_float32

CLASSIFY, LANGUAGE_MODEL = "classify", "language_model"  # values of ``training.task``


@dataclass(frozen=True)
class Performance:
    """How well a network does its task.

    Attributes:
        accuracy: share of the classes that have the highest score, from 0 to 1.
        loss: mean cross-entropy in nats per class.
    """

    accuracy: float
    loss: float


def scores_of(output: Any) -> Any:
    """Return the scores in a network's output: ``logits`` of a transformers model, or all of it."""
    return getattr(output, "logits", output)


def choices(task: str, output: Any, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scores of every choice that a network makes, and the right classes.

    Args:
        task: "classify" or "language_model".
        output: of the network, with scores (images, classes) or (windows, tokens, classes).
        targets: of ``Items``.

    Returns:
        (choices, classes) and (choices,) int64.

    Example:
        >>> windows = torch.tensor([[2, 0, 1]])
        >>> scores, right = choices("language_model", functional.one_hot(windows), windows)
        >>> scores.tolist(), right.tolist()
        ([[0, 0, 1], [1, 0, 0]], [0, 1])
    """
    scores = scores_of(output)
    if task == CLASSIFY:
        return scores, targets
    return scores[:, :-1].flatten(0, 1), targets[:, 1:].flatten()


class Tally:
    """Adds up how well a network does a task, batch by batch."""

    def __init__(self, task: str, device: torch.device) -> None:
        self.task = task
        self._correct = torch.zeros((), dtype=torch.int64, device=device)
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._count = 0

    def add(self, output: Any, targets: torch.Tensor) -> None:
        """Add the network's output for a batch."""
        scores, right = choices(self.task, output, targets)
        self._correct += (scores.argmax(1) == right).sum()
        self._loss += functional.cross_entropy(scores.float(), right, reduction="sum").double()
        self._count += len(right)

    @property
    def performance(self) -> Performance:
        """The performance on all batches so far."""
        return Performance(int(self._correct) / self._count, float(self._loss) / self._count)


def evaluate(network: nn.Module, inputs: Items, task: str, batch_size: int) -> Performance:
    """Return how well a network does its task on all inputs, in evaluation mode."""
    network.eval()
    tally = Tally(task, inputs.device)
    with torch.inference_mode(), strict_float32(inputs.device):
        for batch, targets in inputs.batches(batch_size):
            tally.add(network(batch), targets)
    return tally.performance
