"""Slow references, written from the paper's definitions and nothing else."""

from __future__ import annotations

import numpy as np


def relative_distance(targets: np.ndarray, span: np.ndarray) -> np.ndarray:
    """r(v | S) = dist(z_v, span z_S) / |z_v| for every column v of targets, by least squares.

    Columns are scaled to norm 1 first: it changes no span and no relative distance, and without it
    lstsq goes wrong on columns of 1e-6 beside columns of 1e6.
    """
    targets = targets / np.linalg.norm(targets, axis=0)
    if span.shape[1] == 0:
        return np.ones(targets.shape[1])
    span = span / np.linalg.norm(span, axis=0)
    tolerance = 1e-13 * span.shape[1]
    coefficients = np.linalg.lstsq(span, targets, rcond=tolerance)[0]
    return np.linalg.norm(targets - span @ coefficients, axis=0)


def maximum_match(x: np.ndarray, y: np.ndarray, epsilon: float) -> tuple[list[int], list[int]]:
    """The authors' loop: drop every violator of one side, then of the other, until none drops."""
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
