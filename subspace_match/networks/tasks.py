"""What networks are trained for: to classify images, or to predict the next token of a text.

Both choose one class after another from scores. An image has one class. In a window of text every
token but the first is the class of the tokens before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
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
        loss: mean cross-entropy in nats per class; NaN if there are classes without a score.
        predictions: (images,) int64, the class of each image that has the highest score; None for a
            language model, which makes many choices for an input.
    """

    accuracy: float
    loss: float
    predictions: np.ndarray | None = field(default=None, compare=False, repr=False)


def scores_of(output: Any) -> Any:
    """Return the scores in a network's output: what a mapping calls "logits", or all of it.

    Models of transformers return mappings.
    """
    return output.get("logits", output) if isinstance(output, Mapping) else output


def has_scores(task: str, output: Any, targets: torch.Tensor) -> bool:
    """Return whether the output and the targets have the axes of a task, as in ``choices``."""
    scores = scores_of(output)
    axes = 2 if task == LANGUAGE_MODEL else 1
    return isinstance(scores, torch.Tensor) and (scores.ndim, targets.ndim) == (axes + 1, axes)


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
    if task == LANGUAGE_MODEL:
        return scores[:, :-1].flatten(0, 1), targets[:, 1:].flatten()
    return scores, targets


class Tally:
    """Adds up how well a network does a task, batch by batch.

    Attributes:
        has_scores: whether all outputs so far were scores for the task.
    """

    def __init__(self, task: str, device: torch.device) -> None:
        self._task, self.has_scores = task, True
        self._correct = torch.zeros((), dtype=torch.int64, device=device)
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._count = 0
        self._chosen: list[torch.Tensor] = []

    def add(self, output: Any, targets: torch.Tensor) -> None:
        """Add the network's output for a batch."""
        self.has_scores = self.has_scores and has_scores(self._task, output, targets)
        if not self.has_scores:
            return
        scores, right = choices(self._task, output, targets)
        chosen = scores.argmax(1)
        self._correct += (chosen == right).sum()
        self._count += len(right)
        if self._task == CLASSIFY:
            self._chosen.append(chosen)
        # Without a branch, for which a GPU would have to finish the batch first.
        known = right < scores.shape[1]
        loss = functional.cross_entropy(scores.float(), right * known, reduction="sum")
        self._loss += torch.where(known.all(), loss.double(), torch.nan)

    @property
    def performance(self) -> Performance:
        """The performance on all batches so far, which must have scores."""
        accuracy, loss = int(self._correct) / self._count, float(self._loss) / self._count
        chosen = torch.cat(self._chosen).cpu().numpy() if self._chosen else None
        return Performance(accuracy, loss, chosen)


def evaluate(network: nn.Module, items: Items, task: str, batch_size: int) -> Performance:
    """Return how well a network that ``check_task`` accepts does its task, in evaluation mode."""
    network.eval()
    tally = Tally(task, items.device)
    with torch.inference_mode(), strict_float32(items.device):
        for inputs, targets in items.batches(batch_size):
            tally.add(network(inputs), targets)
    return tally.performance
