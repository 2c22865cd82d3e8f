"""The checkpoints kept during a training, each with a checksum."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from ..storage.files import atomic_write, check_content, damaged, sha256
from .tasks import CLASSIFY, LANGUAGE_MODEL


@dataclass(frozen=True)
class Epoch:
    """Results of an epoch: learning rate of its last step, accuracies from 0 to 1, and losses.

    Losses are mean cross-entropies in nats; that of the training is with label smoothing.
    ``trained_on`` names the type of device and the version of torch, which a resumed training can
    change.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    test_loss: float
    trained_on: str


def best_epoch(history: Sequence[Epoch], task: str) -> Epoch:
    """Return the best epoch on the test split, the first one in case of a tie.

    It has the highest accuracy, or, for a language model, the lowest loss.
    """
    if task == LANGUAGE_MODEL:
        return min(history, key=lambda epoch: epoch.test_loss)
    return max(history, key=lambda epoch: epoch.test_accuracy)


@dataclass(frozen=True)
class Stages:
    """The checkpoints of a training: initial, after chosen epochs, best and last.

    A resumed training does not repeat earlier stages. Their checkpoints therefore stay beside the
    resume file until the training is complete and they are copied.

    Attributes:
        folder: used by this training only; other files in it are deleted.
        epochs: epochs, from 1, after which a checkpoint is kept.
        save: writes a network to a file, atomically.
        task: of the training; decides which epoch is the best.
        checksums: SHA-256 of each file by its stem.
    """

    folder: Path
    epochs: Sequence[int]
    save: Callable[[Path, nn.Module], None]
    task: str = CLASSIFY
    checksums: dict[str, str] = field(default_factory=dict)

    def file(self, stage: str, history: Sequence[Epoch]) -> Path:
        """Return the file of a stage: "initial", "epoch_3", ..., "best" or "last".

        The file of the best stage has the epoch in its name. If a training is killed after a better
        epoch and before the resume file is written, the epoch is repeated, on a GPU perhaps with
        another result; the previous best must still exist then.
        """
        name = f"best_{best_epoch(history, self.task).epoch}" if stage == "best" else stage
        return self.folder / f"{name}.safetensors"

    def begin(self, network: nn.Module) -> None:
        """Empty the folder and keep the initial network."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.checksums.clear()
        self.keep("initial", network, [])

    def after_epoch(self, network: nn.Module, history: Sequence[Epoch]) -> None:
        """Keep the network if the last epoch of the history is a stage."""
        epoch = history[-1].epoch
        if epoch in self.epochs:
            self.keep(f"epoch_{epoch}", network, history)
        if best_epoch(history, self.task).epoch == epoch:
            self.keep("best", network, history)

    def keep(self, stage: str, network: nn.Module, history: Sequence[Epoch]) -> None:
        """Write the network as the checkpoint of a stage."""
        file = self.file(stage, history)
        self.save(file, network)
        self.checksums[file.stem] = sha256(file)

    def remove_previous_best(self, history: Sequence[Epoch]) -> None:
        """Remove earlier best checkpoints; call it after the resume file is written."""
        for file in self.folder.glob("best_*.safetensors"):
            if file != self.file("best", history):
                file.unlink()
                self.checksums.pop(file.stem, None)

    def find_fault(self, history: Sequence[Epoch]) -> str | None:
        """Return what is missing or damaged among the checkpoints of a history, if anything."""
        epochs = (f"epoch_{epoch}" for epoch in self.epochs if epoch <= len(history))
        for stage in ("initial", "best", *epochs):
            try:
                self._check(self.file(stage, history))
            except ValueError as error:
                return str(error)
        return None

    def copy(self, stage: str, history: Sequence[Epoch], path: Path) -> None:
        """Copy the checkpoint of a stage.

        Raises:
            ValueError: if it was damaged after it was written.
        """
        file = self.file(stage, history)
        try:
            self._check(file)
        except ValueError as error:
            raise damaged(self.folder, error) from error
        with atomic_write(path) as temporary:
            shutil.copyfile(file, temporary)

    def _check(self, file: Path) -> None:
        check_content(file, self.checksums.get(file.stem, "the one in the resume file"))
