"""What several tests of matching share."""

from __future__ import annotations

import re

import numpy as np
import pytest

import subspace_match as sm


def pair_of(x, y) -> sm.PairMoments:
    return sm.reduce(x, y, device="cpu")


def path_of(x, y, device="cpu", **options) -> sm.MatchPath:
    return sm.match_path(sm.reduce(x, y, device=device, **options), device=device)


def raises(*parts: str):
    """Expect a ValueError whose message has these parts in this order."""
    return pytest.raises(ValueError, match=".*".join(map(re.escape, parts)))


class Recorder:
    """An array-like that records the slices read from it."""

    def __init__(self, layer: np.ndarray) -> None:
        self.shape, self.dtype = layer.shape, layer.dtype
        self.slices: list[tuple[int, int]] = []
        self._layer = layer

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        self.slices.append((start, stop))
        return self._layer[rows]

    @property
    def reads(self) -> float:
        """Number of reads of each sample, on average."""
        return sum(stop - start for start, stop in self.slices) / self.shape[0]
