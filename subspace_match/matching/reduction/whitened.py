"""Factors of permuted pairs with nearly dependent neurons, without a QR of the samples for each.

If neurons of a side are nearly dependent, the moments of a pair do not determine the joint factor
(``factor``), and the samples are read again for a QR. A null would need one for each permutation of
Y's samples. But a permutation does not change the directions within a side. Let

    X = P R,  Y = Q S,  C = P'Q

with the unit columns X and Y of the live neurons, and R and S from the pair's joint factor. Their
columns P and Q are far from dependent, so their moments [P'P C; C' Q'Q] have an accurate Cholesky
factor U, and

    F = U [R 0; 0 S]

has F'F = [X'X X'Y; Y'X Y'Y]. Only C depends on the permutation. A row p of P solves p R = x, which
moves the row by a few roundings of |p| |R| (Higham 2002, Theorem 8.5): so P R differs from X by
roundings of its columns, as after a QR, however near to dependent these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from ..backends.numpy_ import Cpu
from ..validation import as_chunk_samples
from .factor import factor_from_moments
from .moments import PairMoments
from .reading import read_ahead

# Smallest diagonal entry of R and S. Along shorter directions samples in float64 have few digits.
SHORTEST = 1e-8


@dataclass(frozen=True)
class Whitened:
    """P, which is computed when it is read, and Q of a pair.

    Attributes:
        pair: the pair.
        uppers: R and S, (live, live) float64 each.
        sides: P and Q, (samples, live) float64 each.
        own: P'P and Q'Q.
    """

    pair: PairMoments
    uppers: tuple[np.ndarray, np.ndarray]
    sides: tuple[WhitenedSide, np.ndarray]
    own: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of_pair(cls, pair: PairMoments, x: Any, y: Any) -> Whitened | None:
        """Read both sides; None if the moments determine the factor, or a side is dependent.

        Args:
            pair: the moments of x and y.
            x: (samples, n_x).
            y: (samples, n_y).
        """
        width, width_x = int(pair.live.sum()), int(pair.live[: pair.neurons_x].sum())
        if pair.well_conditioned or len(pair.factor) < width or width_x in (0, width):
            return None
        (upper_y,) = scipy.linalg.qr(pair.factor[:, width_x:], mode="r", check_finite=False)
        uppers = pair.factor[:width_x, :width_x], upper_y[: width - width_x]
        if min(np.abs(np.diagonal(upper)).min() for upper in uppers) < SHORTEST:
            return None
        live, norms, n_x = pair.live, pair.norms, pair.neurons_x
        side_x = WhitenedSide(x, live[:n_x], norms[:n_x], uppers[0])
        side_y = WhitenedSide(y, live[n_x:], norms[n_x:], uppers[1])
        step = as_chunk_samples(None, width, Cpu())
        own_x, held = np.zeros((width_x, width_x)), np.empty(side_y.shape)
        for start, (rows_x, rows_y) in read_ahead((side_x, side_y), step, Cpu()):
            own_x += rows_x.T @ rows_x
            held[start : start + len(rows_y)] = rows_y
        return cls(pair, uppers, (side_x, held), (own_x, held.T @ held))

    def cross_moments(self, white: np.ndarray) -> np.ndarray:
        """Return the moments of both sides' neurons, (n_x, n_y) float64, from C."""
        n_x, live, norms = self.pair.neurons_x, self.pair.live, self.pair.norms
        cross = np.zeros((n_x, self.pair.neurons_y))
        cross[np.ix_(live[:n_x], live[n_x:])] = self.uppers[0].T @ white @ self.uppers[1]
        cross *= norms[:n_x, None]
        cross *= norms[n_x:]
        return cross

    def joint_factor(self, white: np.ndarray, error: float) -> np.ndarray | None:
        """Return F, (live, live) float64 upper triangular; None if P and Q are nearly dependent.

        Args:
            white: C, (live of X, live of Y) float64.
            error: ``moment_error`` of its entries.
        """
        moments = np.block([[self.own[0], white], [white.T, self.own[1]]])
        found = factor_from_moments(moments, error, Cpu())
        if found is None:
            return None
        return np.asarray(found.upper @ scipy.linalg.block_diag(*self.uppers))


class WhitenedSide:
    """The columns X R^-1 of a side's live neurons, (samples, live) float64, computed when read.

    Example:
        >>> x = np.array([[3.0, 0.0, 3.0], [0.0, 0.0, 4.0]])
        >>> live, norms = np.array([True, False, True]), np.array([3.0, 0.0, 5.0])
        >>> side = WhitenedSide(x, live, norms, np.array([[1.0, 0.6], [0.0, 0.8]]))
        >>> side[:].round(12).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, array: Any, live: np.ndarray, norms: np.ndarray, upper: np.ndarray) -> None:
        self._array, self._upper = array, upper
        self._live, self._norms = np.flatnonzero(live), norms[live]
        self.shape, self.dtype = (array.shape[0], len(upper)), np.dtype(np.float64)
        self.chunks = getattr(array, "chunks", None)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return some samples."""
        unit = np.asarray(Cpu().rows(self._array[rows]), dtype=np.float64)[:, self._live]
        unit /= self._norms
        solved = scipy.linalg.solve_triangular(self._upper, unit.T, trans="T", check_finite=False)
        return np.ascontiguousarray(solved.T)
