"""Rows that arrive in small pieces, batch after batch, gathered in arrays of one size.

A piece of its own for each batch would be a small object that stays between the large maps of a
model, so that the memory of freed maps could not be used again for maps. The more batches, the more
memory a process would take.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

ROWS = 1024


class Gathered:
    """Rows of some layers on the same samples: (rows, neurons) each."""

    def __init__(self) -> None:
        """Begin without rows."""
        self._arrays: list[Tensor] = []
        self._count = 0

    def add(self, *pieces: Tensor) -> Iterator[list[Tensor]]:
        """Copy the next rows of every layer; yield arrays that are full, in order.

        Args:
            pieces: (rows, neurons) of each layer, or (rows,).
        """
        start, rows = 0, len(pieces[0])
        while start < rows:
            if not self._arrays:
                self._arrays = [piece.new_empty((ROWS, *piece.shape[1:])) for piece in pieces]
            use = min(rows - start, ROWS - self._count)
            for array, piece in zip(self._arrays, pieces, strict=True):
                array[self._count : self._count + use] = piece[start : start + use]
            self._count += use
            start += use
            if self._count == ROWS:
                yield from self.rest()

    def rest(self) -> Iterator[list[Tensor]]:
        """Yield the rows that fill no array yet, if there are any."""
        if self._count:
            full = [array[: self._count] for array in self._arrays]
            self._arrays, self._count = [], 0
            yield full
