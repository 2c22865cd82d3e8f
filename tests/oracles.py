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


def cross_fitted_distance(
    targets: tuple[np.ndarray, np.ndarray],
    span: tuple[np.ndarray, np.ndarray],
    *,
    held_out_only: bool = False,
) -> np.ndarray:
    """Return the cross-fitted distance of each target: r^2 = r_in r_out, both directions averaged.

    Args:
        targets: the same columns on either half of the images.
        span: the other side's columns on either half.
        held_out_only: whether to use r_out in place of r_in.
    """
    product = np.ones(targets[0].shape[1])
    for fit, measured in ((0, 1), (1, 0)):
        sizes = np.linalg.norm(span[fit], axis=0)
        tolerance = 1e-13 * max(1, len(sizes))
        weights = np.linalg.lstsq(span[fit] / sizes, targets[fit], rcond=tolerance)[0]
        for half in (measured, measured) if held_out_only else (fit, measured):
            rest = targets[half] - span[half] / sizes @ weights
            product *= np.linalg.norm(rest, axis=0) / np.linalg.norm(targets[half], axis=0)
    return product**0.25


def cross_fitted_critical(
    x: tuple[np.ndarray, np.ndarray],
    y: tuple[np.ndarray, np.ndarray],
    *,
    held_out_only: bool = False,
) -> np.ndarray:
    """Peel one neuron at a time by cross-fitted distance; return the critical epsilons.

    A neuron that is dead on one half is in no set, so its critical epsilon is 1; NaN if on both.
    """
    n_x = x[0].shape[1]
    live = np.hstack([[half.any(0) for half in side] for side in (x, y)])
    critical = np.where(live.any(0), 1.0, np.nan)
    kept, level = np.flatnonzero(live.all(0)), 1.0
    while True:
        kept_x, kept_y = kept[kept < n_x], kept[kept >= n_x] - n_x
        if not (len(kept_x) and len(kept_y)):
            critical[kept] = level
            return critical
        own_x, own_y = tuple(h[:, kept_x] for h in x), tuple(h[:, kept_y] for h in y)
        distances = np.concatenate(
            [
                cross_fitted_distance(own_x, own_y, held_out_only=held_out_only),
                cross_fitted_distance(own_y, own_x, held_out_only=held_out_only),
            ]
        )
        farthest = int(distances.argmax())
        level = min(level, distances[farthest])
        critical[kept[farthest]] = level
        kept = np.delete(kept, farthest)
