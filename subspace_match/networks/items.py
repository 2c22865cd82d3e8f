"""What networks read: the interface that images and texts share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Generator, Tensor, device

Batch = tuple[Tensor, Tensor]


class Items(ABC):
    """The items of a split as one network reads them, each with what the network should find.

    A target is an image's class, or the window of text itself, in which each token is the target of
    the tokens before it (``tasks``).
    """

    @property
    @abstractmethod
    def device(self) -> device:
        """Where the inputs and targets are."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

    def _spaced(self, count: int) -> list[int]:
        """Return at most ``count`` positions in the split, evenly spaced."""
        count = min(count, len(self))
        return [number * len(self) // count for number in range(count)]

    @abstractmethod
    def evenly_spaced(self, count: int) -> Tensor:
        """Return at most ``count`` inputs, evenly spaced, as a batch on the device."""

    @abstractmethod
    def batches(self, size: int) -> Iterator[Batch]:
        """Yield inputs and targets of all items in order, ``size`` items at a time."""

    @abstractmethod
    def training_batches(
        self, order: Tensor, size: int, settings: Mapping[str, Any], generator: Generator
    ) -> Iterator[Batch]:
        """Yield inputs, perhaps randomly changed, and targets in a given order.

        Args:
            order: (items,) int64 positions in the split, on the CPU.
            size: batch size.
            settings: the section ``training`` of the configuration.
            generator: on the CPU; decides every draw, for any device.
        """
