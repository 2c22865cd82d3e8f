"""Slow reference implementations, written from the paper's definitions only."""

from __future__ import annotations

import numpy as np


def relative_distance(targets: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Return r(v | S) = dist(z_v, span z_S) / |z_v| for each column v of targets, by least squares.

    Columns are scaled to norm 1, because lstsq is wrong with columns of size 1e-6 and 1e6 together.
    Scaling changes no span and no relative distance.
    """
    targets = targets / np.linalg.norm(targets, axis=0)
    if span.shape[1] == 0:
        return np.ones(targets.shape[1])
    span = span / np.linalg.norm(span, axis=0)
    tolerance = 1e-13 * span.shape[1]
    coefficients = np.linalg.lstsq(span, targets, rcond=tolerance)[0]
    return np.linalg.norm(targets - span @ coefficients, axis=0)


def maximum_match(x: np.ndarray, y: np.ndarray, epsilon: float) -> tuple[list[int], list[int]]:
    """Run the authors' loop: drop violators of one side, then of the other, until none remain."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept_x = np.flatnonzero(np.abs(x).max(0) > 0)
    kept_y = np.flatnonzero(np.abs(y).max(0) > 0)
    while True:
        before = len(kept_x), len(kept_y)
        if len(kept_x):
            kept_x = kept_x[relative_distance(x[:, kept_x], y[:, kept_y]) <= epsilon]
        if len(kept_y):
            kept_y = kept_y[relative_distance(y[:, kept_y], x[:, kept_x]) <= epsilon]
        if (len(kept_x), len(kept_y)) == before:
            return kept_x.tolist(), kept_y.tolist()


class GreedyMinimalMatches:
    """The authors' greedy search for minimal matches: try to remove each other neuron in turn.

    Neurons are columns of [X Y], and sets of neurons are boolean rows. Maximum matches are cached,
    so that many neurons of one pair can be compared.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, epsilon: float) -> None:
        self.x, self.y, self.epsilon = x, y, epsilon
        self.n_x, self.n = x.shape[1], x.shape[1] + y.shape[1]
        self._known: dict[bytes, np.ndarray] = {}
        self.maximum = self.maximum_of(np.ones(self.n, dtype=bool))

    def maximum_of(self, kept: np.ndarray) -> np.ndarray:
        """Return the maximum match of the kept neurons."""
        if kept.tobytes() not in self._known:
            in_x, in_y = np.flatnonzero(kept[: self.n_x]), np.flatnonzero(kept[self.n_x :])
            match = np.zeros(self.n, dtype=bool)
            if len(in_x) and len(in_y):
                x, y = maximum_match(self.x[:, in_x], self.y[:, in_y], self.epsilon)
                match[in_x[x]], match[self.n_x + in_y[y]] = True, True
            self._known[kept.tobytes()] = match
        return self._known[kept.tobytes()]

    def without(self, match: np.ndarray, neuron: int) -> np.ndarray:
        """Return the maximum match of a match without one of its neurons."""
        return self.maximum_of(match & (np.arange(self.n) != neuron))

    def minimal_match(self, v: int, order: np.ndarray | None = None) -> np.ndarray | None:
        """Return a minimal match of v, or None if v is not in the maximum match."""
        match = self.maximum
        if not match[v]:
            return None
        for u in range(self.n) if order is None else order:
            if u != v and match[u]:
                smaller = self.without(match, u)
                if smaller[v]:
                    match = smaller
        return match
