"""Sums over each of two halves of the samples, which may arrive in pieces of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..backends.base import Array, Device
from .block_sums import Blocks
from .moments import MomentSum
from .reading import LayerReader


@dataclass(frozen=True)
class Sums:
    """The sums over some samples: E'E, (n + 2, n + 2), and the column sums of E, (n + 2,)."""

    moments: Array
    columns: Array


class HalvedSum:
    """The sums over both halves of samples that arrive in pieces.

    The pieces change no sum: samples of a half wait until they fill a block, or a step of all
    samples ends.

    Attributes:
        counts: number of samples in the first and in the second half.
    """

    def __init__(
        self,
        x: LayerReader,
        y: LayerReader,
        blocks: Blocks,
        device: Device,
        followers: Sequence[Callable[[Array], object]] = (),
    ) -> None:
        """Prepare for the samples.

        Args:
            x: X's layer.
            y: Y's layer.
            blocks: how all samples are divided.
            device: where to compute.
            followers: for each half, a function that is called with each of its blocks of E, which
                the next block overwrites.
        """
        self._x, self._blocks, self._device = x, blocks, device
        self._followers = followers
        self._halves = [MomentSum(x, y, blocks, device) for _ in range(2)]
        self._waiting = [_Waiting(device) for _ in range(2)]
        self.counts = [0, 0]

    def add(self, x: Array, y: Array, in_first: np.ndarray) -> None:
        """Add the next samples of both layers, and whether each is in the first half."""
        start, step = 0, self._blocks.step
        while start < len(in_first):
            stop = min(len(in_first), start + step - sum(self.counts) % step)
            chosen = in_first[start:stop]
            for half, mask in enumerate((chosen, ~chosen)):
                places = start + np.flatnonzero(mask)
                self._waiting[half].add(*(self._device.take(rows, places) for rows in (x, y)))
                self.counts[half] += len(places)
            self._take_blocks(last=sum(self.counts) % step == 0)
            start = stop

    def _take_blocks(self, *, last: bool) -> None:
        for half, waiting in enumerate(self._waiting):
            while waiting.count >= self._blocks.length or (waiting.count and last):
                block = self._halves[half].add_block(*waiting.pop(self._blocks.length))
                if self._followers:
                    self._followers[half](block)
            if self._x.shift is None and not last:
                return  # the first half's first block decides the rough means

    def finish(self) -> tuple[Sums, Sums, Sums]:
        """Return the sums over all samples, and over the first and the second half."""
        self._take_blocks(last=True)
        first, second = (Sums(half.moments(), half.sums()) for half in self._halves)
        whole = Sums(first.moments + second.moments, first.columns + second.columns)
        return whole, first, second


class _Waiting:
    """Samples of both layers that do not fill a block yet."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._parts: list[tuple[Array, Array]] = []
        self.count = 0

    def add(self, x: Array, y: Array) -> None:
        if len(x):
            self._parts.append((x, y))
            self.count += len(x)

    def pop(self, most: int) -> tuple[Array, Array]:
        """Remove the first samples, at most so many, and return them."""
        parts, left = [], min(most, self.count)
        self.count -= left
        while left:
            x, y = self._parts.pop(0)
            use = min(len(x), left)
            parts.append((x[:use], y[:use]))
            if use < len(x):
                self._parts.insert(0, (x[use:], y[use:]))
            left -= use
        if len(parts) == 1:
            return parts[0]
        x, y = (self._device.concatenate(list(side)) for side in zip(*parts, strict=True))
        return x, y
