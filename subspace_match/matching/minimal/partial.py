"""The matches that an unfinished search has found, so that another call can go on from there."""

from __future__ import annotations

import numpy as np

from .result import MinimalMatches, deduplicate


class PartialMatches:
    """Minimal matches found so far; ``minimal_matches`` goes on with it and adds to it.

    The n neurons are X's, then Y's. Save ``arrays()`` at any time, and continue with
    ``from_arrays``, the same pair and the same options.

    Attributes:
        orders: number of orders of tests that are finished.
        done: neurons that are finished in the next order, (n,) bool.
        count: number of neurons finished, in all orders together, as ``progress`` counts.

    Example:
        >>> import subspace_match as sm
        >>> pair, partial = sm.reduce(np.eye(4)[:, :3], np.eye(4)), PartialMatches(7)
        >>> len(sm.minimal_matches(pair, 0.1, neurons=[("x", 0)], partial=partial))
        1
        >>> saved = partial.arrays()
        >>> partial.count, saved["match_of"]
        (1, array([ 0, -1, -1, -1, -1, -1, -1]))
    """

    def __init__(self, neurons: int) -> None:
        self.orders, self.count = 0, 0
        self.done = np.zeros(neurons, dtype=bool)
        self._rows: list[np.ndarray] = []
        self._row_of = np.full(neurons, -1)
        self._sizes = np.full(neurons, neurons + 1)

    def add(self, members: np.ndarray, match: np.ndarray) -> None:
        """Add a match, (size,) int64, found for some neurons; keep it where it is the smallest."""
        better = members[len(match) < self._sizes[members]]
        if len(better):
            # In this order: a signal can interrupt at any line, and what is left must be valid.
            self._rows.append(np.isin(np.arange(len(self.done)), match))
            self._row_of[better] = len(self._rows) - 1
            self._sizes[better] = len(match)
        self.count += int((~self.done[members]).sum())
        self.done[members] = True

    def finish_order(self) -> None:
        """Begin with the next order of tests."""
        self.done[:] = False
        self.orders += 1

    def matches(self, neurons_x: int) -> MinimalMatches:
        """Return what is found so far."""
        rows = np.array(self._rows).reshape(-1, len(self.done))
        return deduplicate(neurons_x, rows, self._row_of)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays, by name."""
        found = self.matches(0)
        return {
            "orders": np.array(self.orders),
            "count": np.array(self.count),
            "done": self.done,
            "distinct": np.packbits(found.distinct, axis=1),
            "match_of": found.match_of,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> PartialMatches:
        """Build from ``arrays()``."""
        partial = cls(len(arrays["done"]))
        partial.orders, partial.count = int(arrays["orders"]), int(arrays["count"])
        partial.done = arrays["done"].copy()
        distinct = np.unpackbits(arrays["distinct"], axis=1, count=len(partial.done))
        partial._rows = list(distinct.astype(bool))
        partial._row_of = arrays["match_of"].copy()
        found = partial._row_of >= 0
        partial._sizes[found] = distinct.sum(1, dtype=np.int64)[partial._row_of[found]]
        return partial
