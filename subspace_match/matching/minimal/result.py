"""The result of a search for minimal matches: one match per neuron, equal matches stored once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..path import Match

Neuron = tuple[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class MinimalMatches(Mapping[Neuron, Match]):
    """Minimal matches by neuron: a mapping from ("x", i) or ("y", j) to ``Match``.

    Neurons often share a minimal match, so each is stored once. Only the attributes need saving.

    Attributes:
        neurons_x: n_x. Of the n columns, 0 to n_x - 1 are X's neurons, the others Y's.
        distinct: membership of each distinct match, (k, n) bool.
        match_of: row of ``distinct`` with each neuron's match, (n,) int64; -1 for a neuron outside
            the maximum match, or not searched for.
        sizes_by_order: number of neurons in the match that each of several orders found, (orders,
            n) int64, 0 without a match; None if there was only one search.
    """

    neurons_x: int
    distinct: np.ndarray
    match_of: np.ndarray
    sizes_by_order: np.ndarray | None = None

    def __repr__(self) -> str:
        sizes = self.distinct.sum(1)
        words = [f"{len(self)} neurons have one"]
        if len(sizes):
            words += [f"{len(sizes)} are different", f"of {sizes.min()} to {sizes.max()} neurons"]
        if self.sizes_by_order is not None:
            words.append(f"the smallest of {len(self.sizes_by_order)} orders")
        neurons = f"{self.neurons_x} + {len(self.match_of) - self.neurons_x} neurons"
        return f"<MinimalMatches of {neurons}: {', '.join(words)}>"

    @property
    def sizes(self) -> np.ndarray:
        """Number of neurons in each neuron's match, both sides; (n,) int64, 0 without a match."""
        sizes: np.ndarray = np.append(self.distinct.sum(1), 0)[self.match_of]
        return sizes

    @property
    def sizes_x(self) -> np.ndarray:
        """``sizes`` of X's neurons, (n_x,)."""
        return self.sizes[: self.neurons_x]

    @property
    def sizes_y(self) -> np.ndarray:
        """``sizes`` of Y's neurons, (n_y,)."""
        return self.sizes[self.neurons_x :]

    def distinct_matches(self) -> list[Match]:
        """Return the matches of ``distinct``, smallest first."""
        rows = self.distinct[np.argsort(self.distinct.sum(1), kind="stable")]
        return [_match(np.flatnonzero(row), self.neurons_x) for row in rows]

    def __getitem__(self, neuron: Neuron) -> Match:
        """Return the minimal match of a neuron.

        Raises:
            ValueError: if there is no such neuron.
            KeyError: if the neuron is not in the maximum match and so has no minimal match, or was
                not searched for.
        """
        column = column_of(neuron, self.neurons_x, len(self.match_of) - self.neurons_x)
        row = self.match_of[column]
        if row < 0:
            raise KeyError(
                f"neuron {neuron} is not in the maximum match, or was not searched for;"
                " .get returns None for it"
            )
        return _match(np.flatnonzero(self.distinct[row]), self.neurons_x)

    def __iter__(self) -> Iterator[Neuron]:
        for column in np.flatnonzero(self.match_of >= 0).tolist():
            of_x = column < self.neurons_x
            yield ("x", column) if of_x else ("y", column - self.neurons_x)

    def __len__(self) -> int:
        return int((self.match_of >= 0).sum())


def deduplicate(neurons_x: int, rows: np.ndarray, row_of: np.ndarray) -> MinimalMatches:
    """Store equal rows once and drop unused rows; ``row_of`` is -1 for a neuron without a row."""
    found = np.flatnonzero(row_of >= 0)
    keys = [rows[row].tobytes() for row in row_of[found]]
    order = {key: place for place, key in enumerate(sorted(set(keys)))}
    distinct = np.zeros((len(order), len(row_of)), dtype=bool)
    match_of = np.full(len(row_of), -1)
    match_of[found] = [order[key] for key in keys]
    distinct[match_of[found]] = rows[row_of[found]]
    return MinimalMatches(neurons_x, distinct, match_of)


def _match(columns: np.ndarray, neurons_x: int) -> Match:
    """Convert sorted columns of [X Y] to a match."""
    of_x = columns < neurons_x
    return Match(columns[of_x], columns[~of_x] - neurons_x)


def column_of(neuron: Any, neurons_x: int, neurons_y: int) -> int:
    """Return the column of [X Y] of ("x", i) or ("y", j).

    Raises:
        ValueError: if there is no such neuron.
    """
    try:
        side, index = neuron
    except (TypeError, ValueError):
        side, index = None, None
    named = isinstance(side, str) and side in ("x", "y")
    if not named or not isinstance(index, (int, np.integer)):
        raise ValueError(
            f"neuron: expected ('x', index) or ('y', index), found {neuron!r}; give a side and an"
            " integer"
        )
    width = neurons_x if side == "x" else neurons_y
    if not 0 <= index < width:
        raise ValueError(
            f"neuron: expected an index from 0 to {width - 1}, since {side} has {width} neurons,"
            f" found {neuron!r}; count neurons from 0, in the order of the columns"
        )
    return int(index) if side == "x" else neurons_x + int(index)
