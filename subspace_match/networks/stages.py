"""The networks that a training keeps on its way, each with a checksum."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from ..storage.files import atomic_write, check_content, damaged, sha256


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: the rate of its last step, and accuracies from 0 to 1."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_accuracy: float


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The epoch of the highest test accuracy, the first of equals."""
    return max(history, key=lambda epoch: epoch.test_accuracy)


@dataclass(frozen=True)
class Stages:
    """Where a training keeps its network: before the first step, after some epochs, best and last.

    A killed training goes on from its checkpoint and does not come by earlier stages again. So they
    lie beside the checkpoint, until the training is done and somebody takes what they want.

    Attributes:
        folder: the training's own; what else is in it goes.
        epochs: after which a network is kept, from 1.
        save: writes a network to a file, all of it or nothing.
        checksums: SHA-256 of each file by its stem.
    """

    folder: Path
    epochs: Sequence[int]
    save: Callable[[Path, nn.Module], None]
    checksums: dict[str, str] = field(default_factory=dict)

    def file(self, stage: str, history: Sequence[Epoch]) -> Path:
        """Of a stage: "initial", "epoch_3" and so on, "best" (the first of equals) or "last".

        The best has its epoch in its name: if a training is killed after a better epoch and before
        its checkpoint, the epoch is done again, and on a GPU may end as another.
        """
        name = f"best_{best_epoch(history).epoch}" if stage == "best" else stage
        return self.folder / f"{name}.safetensors"

    def begin(self, network: nn.Module) -> None:
        """Keep the initial network and nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.checksums.clear()
        self.keep("initial", network, [])

    def reached(self, network: nn.Module, history: Sequence[Epoch]) -> None:
        """Keep the network after the last epoch of a history, if it is at a stage."""
        epoch = history[-1].epoch
        if epoch in self.epochs:
            self.keep(f"epoch_{epoch}", network, history)
        if best_epoch(history).epoch == epoch:
            self.keep("best", network, history)

    def keep(self, stage: str, network: nn.Module, history: Sequence[Epoch]) -> None:
        """Keep the network as that of a stage."""
        file = self.file(stage, history)
        self.save(file, network)
        self.checksums[file.stem] = sha256(file)

    def forget(self, history: Sequence[Epoch]) -> None:
        """Remove what was best before; for when no killed training can go back to it."""
        for file in self.folder.glob("best_*.safetensors"):
            if file != self.file("best", history):
                file.unlink()
                self.checksums.pop(file.stem, None)

    def lacking(self, history: Sequence[Epoch]) -> str | None:
        """What is missing or damaged of all that is kept up to a history's end, if anything."""
        epochs = (f"epoch_{epoch}" for epoch in self.epochs if epoch <= len(history))
        for stage in ("initial", "best", *epochs):
            try:
                self._check(self.file(stage, history))
            except ValueError as error:
                return str(error)
        return None

    def take(self, stage: str, history: Sequence[Epoch], path: Path) -> None:
        """Copy the network of a stage.

        Raises:
            ValueError: if it was damaged since it was kept.
        """
        file = self.file(stage, history)
        try:
            self._check(file)
        except ValueError as error:
            raise damaged(self.folder, error) from error
        with atomic_write(path) as temporary:
            shutil.copyfile(file, temporary)

    def _check(self, file: Path) -> None:
        check_content(file, self.checksums.get(file.stem, "that a checkpoint knows"))
