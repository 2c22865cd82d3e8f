"""Sums over the samples, grouped so that each product passes few additions.

If every product passes at most h additions, the error of a sum of products is at most h 2^-53 times
the sum of their absolute values (Higham 2002, section 4.2): for columns of norm 1, at most h 2^-53.
BLAS may add the products of a block of b samples in any order, so a product passes up to b
additions. Adding d / b blocks one by one needs d / b more. Here blocks have a bounded length and
are added in groups of sqrt(d / b): at most b + 2 sqrt(d / b) additions for any chunk size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..backends.base import Array, Device

SMALLEST_GROUP = 32  # few additions compared with a block's; most sums need only one group


@dataclass(frozen=True)
class Blocks:
    """How samples are divided into blocks, and blocks into groups.

    Attributes:
        samples: number of samples in all.
        step: samples read at a time; each step has blocks of its own.
        length: samples in a block; the last block of a step may be shorter.
    """

    samples: int
    step: int
    length: int

    @classmethod
    def for_device(cls, device: Device, samples: int, step: int, width: int) -> Blocks:
        """Choose the block length that suits the device for samples of ``width`` numbers."""
        return cls(samples, step, min(samples, step, device.block_samples(width)))

    @property
    def count(self) -> int:
        """Number of blocks."""
        steps, rest = divmod(self.samples, self.step)
        return steps * -(-self.step // self.length) + -(-rest // self.length)

    @property
    def group(self) -> int:
        """Number of blocks in a group."""
        return max(SMALLEST_GROUP, math.isqrt(self.count))

    @property
    def additions(self) -> int:
        """Largest number of additions that a product passes, inside and outside its block."""
        return self.length + self.block_additions

    @property
    def block_additions(self) -> int:
        """Largest number of additions that a block passes, in its group and in the total."""
        return min(self.count, self.group) + -(-self.count // self.group)

    def slices(self, rows: int) -> Iterator[slice]:
        """Yield the blocks of a step of ``rows`` rows."""
        return (slice(start, start + self.length) for start in range(0, rows, self.length))


class GroupedSum:
    """A total that adds up blocks in groups."""

    def __init__(self, blocks: Blocks, device: Device, *shape: int) -> None:
        self._group, self._device, self._shape = blocks.group, device, shape
        self._total: Array | None = None
        self._part, self._added = device.zeros(*shape), 0

    def next(self) -> Array:
        """Return the array to which the next block must be added, in place."""
        if self._added == self._group:
            self._total = self.total()
            self._part, self._added = self._device.zeros(*self._shape), 0
        self._added += 1
        return self._part

    def total(self) -> Array:
        """Return the sum of all blocks."""
        return self._part if self._total is None else self._total + self._part
