"""The labels of a loader's inputs, and how often a model's highest score is at the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..networks.inputs import Inputs, count, tensors_in
from ..networks.tasks import CLASSIFY, has_scores, scores_of
from ..networks.wording import first_few
from .batches import KnownInputs

KEYS = "label", "labels"  # of a batch that is a dictionary
SOME_ABSENT = "none: some batches have none"


@dataclass(frozen=True)
class Labels:
    """The labels of all inputs.

    Attributes:
        values: (inputs,) int64; None if they are not usable.
        classes: number of classes; 0 if they are not usable.
        words: how many classes there are, or why there are none.
    """

    values: np.ndarray | None
    classes: int
    words: str


class LabelReader:
    """Takes one label per input out of each batch."""

    def __init__(self, loader: Any) -> None:
        """Begin without batches; those of ``KnownInputs`` have words for their labels."""
        self._words = loader.labels_in_words if isinstance(loader, KnownInputs) else None
        self._parts: list[np.ndarray] = []
        self._why, self._absent = "", False

    def add(self, batch: Any, inputs: Sequence[Inputs], size: int) -> np.ndarray | None:
        """Return the labels of a batch, (size,) int64; None if those so far are not usable.

        Args:
            batch: of the loader.
            inputs: what each model receives of it.
            size: number of inputs in the batch.
        """
        if self._why and not self._absent:
            return None
        found = _labels_in(batch, inputs)
        if found is None:
            self._absent = not self._parts
            self._why = _why_absent(batch) if self._absent else SOME_ABSENT
            return None
        if self._absent:
            self._why, self._absent = SOME_ABSENT, False
            return None
        values = _one_each(found, size)
        if isinstance(values, str):
            self._why = values
            return None
        self._parts.append(values)
        return values

    def finish(self) -> Labels:
        """Return the labels of all batches."""
        labels = self._usable()
        return labels if self._words is None else replace(labels, words=self._words)

    def _usable(self) -> Labels:
        if self._why:
            return Labels(None, 0, self._why)
        values = np.concatenate(self._parts)
        classes = len(np.unique(values))
        if classes == 1:
            return Labels(None, 0, f"none: all are {values[0]}")
        if classes == len(values):
            return Labels(None, 0, "none: each input has one of its own")
        return Labels(values, classes, f"{classes} classes from the data")


def known_labels(loader: Any) -> np.ndarray | None:
    """Return the labels of all inputs, (inputs,) int64, if they are known before a model runs.

    Args:
        loader: ``KnownInputs``, which may have them, or a list or tuple of batches; the labels of
            another loader are known when its batches come.
    """
    if isinstance(loader, KnownInputs):
        return loader.labels
    if not isinstance(loader, (list, tuple)):
        return None
    reader = LabelReader(loader)
    for batch in loader:
        if size := count(batch):  # ``compare`` leaves out empty batches
            reader.add(batch, (), size)
    return reader.finish().values


class Accuracy:
    """Counts the inputs whose highest score is at their label, batch by batch."""

    def __init__(self) -> None:
        """Begin without batches."""
        self._widths: set[int] = set()  # numbers of scores; 0 for another output
        self._correct: Tensor | int = 0  # stays on the device, as reading it would wait for it

    def add(self, output: Any, labels: np.ndarray | None) -> None:
        """Add a model's output for a batch."""
        targets = None if labels is None else torch.from_numpy(labels)
        scores = scores_of(output)
        if (
            targets is None
            or not has_scores(CLASSIFY, output, targets)
            or not scores.is_floating_point()
            or len(scores) != len(targets)
        ):
            self._widths.add(0)
            return
        self._widths.add(scores.shape[1])
        self._correct = self._correct + (scores.argmax(1) == targets.to(scores.device)).sum()

    def of(self, labels: Labels) -> float | None:
        """Return the share of all inputs; None unless the model has one score for each class.

        An output with more numbers may have other classes, or none, such as features.
        """
        if labels.values is None or self._widths != {int(labels.values.max()) + 1}:
            return None
        return int(self._correct) / len(labels.values)

    def why_unknown(self, labels: Labels) -> str:
        """Say why there is no accuracy; empty if there is one, or if there are no labels."""
        if labels.values is None or self.of(labels) is not None:
            return ""
        found = "its output is no tensor (inputs, scores)"
        if len(self._widths) == 1 and 0 not in self._widths:
            found = f"it gives {next(iter(self._widths))} numbers for each input"
        least, most = labels.values.min(), labels.values.max()
        return f"no accuracy: {found}, and labels are from {least} to {most}"


def _labels_in(batch: Any, inputs: Sequence[Inputs]) -> Any:
    """Return what a batch has in the place of labels; None if nothing."""
    if isinstance(batch, Mapping):
        return next((batch[key] for key in KEYS if batch.get(key) is not None), None)
    if not _is_pair(batch) or any(batch[1] is own for own in tensors_in(list(inputs))):
        return None  # what inputs_a or inputs_b took is an input
    return batch[1]


def _is_pair(batch: Any) -> bool:
    return isinstance(batch, (tuple, list)) and len(batch) == 2


def _why_absent(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"none: found {first_few(list(map(str, batch)))}, neither label nor labels"
    if isinstance(batch, (tuple, list)) and not _is_pair(batch) and len(batch) > 1:
        return f"none: found {len(batch)} parts in a batch, not a (tensor, label) pair"
    return "none in the data"


def _one_each(found: Any, size: int) -> np.ndarray | str:
    """Return one label for each of a batch's inputs, (size,) int64; or why there are none."""
    values = _whole_numbers(found)
    if values is not None and values.size == size and values.shape in ((), (size, 1)):
        values = values.reshape(size)
    if values is None or values.shape != (size,):
        return f"none: found {_shown(found)}, not one integer for each of {size} inputs"
    if (values < 0).any():
        return f"none: some are negative ({values.min()})"
    return values


def _whole_numbers(found: Any) -> np.ndarray | None:
    """Return integers as int64 of the same shape; None if it is something else, or bool."""
    if isinstance(found, Tensor):
        whole = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool)
        dense = found.layout is torch.strided and not found.is_nested and not found.is_quantized
        return found.detach().cpu().numpy().astype(np.int64) if whole and dense else None
    if isinstance(found, (list, tuple)):
        each = [_whole_numbers(one) for one in found]
        scalars = [one for one in each if one is not None and one.ndim == 0]
        return np.array(scalars, dtype=np.int64) if len(scalars) == len(each) else None
    if isinstance(found, (int, np.integer, np.ndarray)) and not isinstance(found, bool):
        values = np.asarray(found)
        return values.astype(np.int64) if np.issubdtype(values.dtype, np.integer) else None
    return None


def _shown(found: Any) -> str:
    if isinstance(found, (Tensor, np.ndarray)):
        return f"{str(found.dtype).removeprefix('torch.')} of shape {tuple(found.shape)}"
    name = type(found).__name__
    parts = f" of {type(found[0]).__name__}" if isinstance(found, (list, tuple)) and found else ""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}{parts}"
