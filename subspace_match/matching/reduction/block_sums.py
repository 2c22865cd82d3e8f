"""Sums over the samples, added up so that few additions lie on the way of any number.

A sum of products that each pass h additions is wrong by at most h 2^-53 times the products'
absolute values summed (Higham 2002, section 4.2): for columns of norm 1, by at most h 2^-53. BLAS
may add the products of a block of b samples up in any order, b additions at most; block upon block,
d samples need d / b more. Here blocks have a bounded length and many are added up in groups of
sqrt(d / b): at most b + 2 sqrt(d / b) additions, whatever the samples read at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..backends.base import Array, Device

BLOCK_SAMPLES = 1024  # longer blocks are hardly faster, shorter ones slower
LEAST_GROUP = 32  # few additions beside those of a block, so that most sums need but one group


@dataclass(frozen=True)
class Blocks:
    """Samples in blocks, and blocks in groups.

    Attributes:
        samples: number of all samples.
        step: samples that are read at a time, each step in blocks of its own.
        length: samples in a block, but for a shorter one at the end of a step.
    """

    samples: int
    step: int
    length: int

    @classmethod
    def on(cls, device: Device, samples: int, step: int, width: int) -> Blocks:
        """Blocks of samples of so many numbers each, of the length that suits the device."""
        return cls(samples, step, min(samples, step, device.block_samples(width), BLOCK_SAMPLES))

    @property
    def count(self) -> int:
        """Number of blocks."""
        steps, rest = divmod(self.samples, self.step)
        return steps * -(-self.step // self.length) + -(-rest // self.length)

    @property
    def group(self) -> int:
        """Blocks in a group."""
        return max(LEAST_GROUP, math.isqrt(self.count))

    @property
    def additions(self) -> int:
        """The most additions that any product passes: in its block, its group and the total."""
        return self.length + self.levels

    @property
    def levels(self) -> int:
        """The most blocks or groups that any block is added to."""
        return min(self.count, self.group) + -(-self.count // self.group)

    def within(self, rows: int) -> Iterator[slice]:
        """The blocks of so many rows of one step."""
        return (slice(start, start + self.length) for start in range(0, rows, self.length))


class GroupedSum:
    """A total to which every block's products are added, group by group."""

    def __init__(self, blocks: Blocks, device: Device, *shape: int) -> None:
        self._group, self._device, self._shape = blocks.group, device, shape
        self._total: Array | None = None
        self._part, self._added = device.zeros(*shape), 0

    def next(self) -> Array:
        """The array to which to add the next block's products, in place."""
        if self._added == self._group:
            self._total = self.total()
            self._part, self._added = self._device.zeros(*self._shape), 0
        self._added += 1
        return self._part

    def total(self) -> Array:
        """The sum of all."""
        return self._part if self._total is None else self._total + self._part
