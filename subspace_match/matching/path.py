"""The match path: the maximum matches of every epsilon from one peeling.

A neuron's distance from the other side's span can only grow as that side shrinks, so maximum
matches are nested in epsilon and every neuron has a critical epsilon, the smallest at which it is
in the maximum match. Remove the neuron of largest distance, again and again; the smallest of the
distances seen so far is the critical epsilon of the one that goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from .backends import resolve_device
from .backends.base import DeviceLike
from .certificate import Certificate, certify
from .peeling.peel import peel
from .reduction.moments import PairMoments, reduce
from .ties import lowered
from .validation import as_epsilon, as_epsilons

EPSILONS = (0.15, 0.2, 0.25, 0.3, 0.5)  # the authors' grid, the default everywhere


@dataclass(frozen=True)
class Match:
    """A pair of sets of neurons: sorted int64 indices into X's and Y's columns."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class MatchPath:
    """Maximum matches for every epsilon in [0, 1), and the moments that prove them.

    Attributes:
        critical_epsilon_x: (n_x,) float64, smallest epsilon at which the neuron is in the maximum
            match, to 1e-8 and rather too small than too large: less ``PairMoments.tie_margin``, so
            that a neuron exactly at an epsilon has one that is not larger. NaN for a dead neuron,
            which is in no match.
        critical_epsilon_y: (n_y,) float64, likewise.
        removal_order: (live neurons,) int64 in the order of removal; X's neurons are 0 to n_x - 1,
            Y's n_x to n_x + n_y - 1.
        pair: the moments that the path was made from. Only ``verify`` reads them: what a path says
            is in its three arrays.
    """

    critical_epsilon_x: np.ndarray
    critical_epsilon_y: np.ndarray
    removal_order: np.ndarray
    pair: PairMoments

    @property
    def critical_epsilon(self) -> np.ndarray:
        """Of X's neurons, then of Y's, (n_x + n_y,) float64."""
        return np.concatenate([self.critical_epsilon_x, self.critical_epsilon_y])

    def maximum_match(self, epsilon: float) -> Match:
        """The maximum epsilon-approximate match (Wang et al. 2018, Definition 3).

        Args:
            epsilon: relative distance in [0, 1); a neuron exactly at epsilon is in (see ``ties``),
                so exact copies are at 0. Activations that were rounded to float32 are no exact
                mixes of others any more: ask for exact matches of those with about 1e-6.

        Returns:
            The match; empty sets where nothing matches.

        Raises:
            ValueError: if epsilon is not one number in [0, 1).
        """
        bound = as_epsilon(epsilon)
        # NaN <= epsilon is False, so dead neurons are left out.
        return Match(
            np.flatnonzero(self.critical_epsilon_x <= bound),
            np.flatnonzero(self.critical_epsilon_y <= bound),
        )

    def similarity(self, epsilon: float | Sequence[float] | np.ndarray) -> float | np.ndarray:
        """Maximum matching similarity s = (|X*| + |Y*|) / (n_x + n_y), dead neurons counted in n.

        Args:
            epsilon: a number or an array of numbers in [0, 1).

        Returns:
            A float, or a float64 array of epsilon's shape.

        Raises:
            ValueError: if an epsilon is not in [0, 1).

        Example:
            >>> x = np.eye(4)[:, :2]                       # neurons e0 and e1
            >>> y = np.array([[1.0, 0, 0.75, 0]]).T        # e0 and y are 0.6 from each other
            >>> match_path(reduce(x, y)).similarity([0.5, 0.6001])
            array([0.        , 0.66666667])
        """
        bounds = as_epsilons(epsilon)
        critical = self.critical_epsilon
        matched = np.searchsorted(np.sort(critical[~np.isnan(critical)]), bounds, side="right")
        similarity = matched / len(critical)
        return float(similarity) if bounds.ndim == 0 else similarity

    @overload
    def verify(self, epsilon: float, *, device: DeviceLike = "auto") -> Certificate: ...

    @overload
    def verify(
        self, epsilon: Sequence[float] | np.ndarray, *, device: DeviceLike = "auto"
    ) -> list[Certificate]: ...

    def verify(
        self,
        epsilon: float | Sequence[float] | np.ndarray,
        *,
        device: DeviceLike = "auto",
    ) -> Certificate | list[Certificate]:
        """Prove a maximum match again, from fresh factorisations of its sets.

        Sound: each member's distance from the other side's members is at most epsilon. Complete:
        each other neuron was farther than epsilon from what was left when it was removed (ours; why
        that proves the maximum match is in ``certificate``). Certain: no distance is so near
        epsilon that rounding could have turned a decision, nor is any a tie. O(n^3) for all
        epsilons together and little more for each; rank is told by ``spans.RANK_TOLERANCE``.

        Args:
            epsilon: a number in [0, 1), or a sequence of such numbers.
            device: "cpu", "cuda" or "auto", where the factorisations are made.

        Returns:
            A certificate, or for a sequence a list of them in its order. A match stands if it is
            ``sound`` and ``complete``; where it is not ``certain``, one of its decisions is closer
            than rounding or exactly at epsilon, and another epsilon near by is the better question.

        Raises:
            ValueError: if an epsilon is not in [0, 1), the device is not to be had, or the path is
                not one of its moments.

        Example:
            >>> x = np.eye(4)[:, :2]                       # neurons e0 and e1
            >>> y = np.array([[1.0, 0, 0.75, 0]]).T        # e0 and y are 0.6 from each other
            >>> certificate = match_path(reduce(x, y)).verify(0.65)
            >>> certificate.sound, certificate.complete, certificate.certain
            (True, True, True)
            >>> round(certificate.margin, 3)
            0.05
        """
        bounds = as_epsilons(epsilon)
        certificates = certify(
            self.pair,
            self.critical_epsilon,
            self.removal_order,
            bounds.ravel(),
            device=resolve_device(device),
        )
        return certificates[0] if bounds.ndim == 0 else certificates


def match_path(pair: PairMoments, *, device: DeviceLike = "auto") -> MatchPath:
    """Peel a pair into its match path: every epsilon at once, exactly.

    With rho_k the largest relative distance r(v | other side) among the neurons left after k
    removals, the neuron that then goes has critical epsilon min(rho_0, ..., rho_k) (ours; the
    maximum match of Wang et al. 2018, Definition 3, is where all of critical epsilon <= epsilon
    remain). O(n^3) in all, whatever the number of samples. Decisions are made in float64; rank and
    dependence are told by the tolerances in ``spans`` and ``peeling``. A critical epsilon is right
    to ``factor.ACCURACY``, 1e-8, where no neuron is nearer to the others of its side than about
    1e-8; what is certain beyond that at one epsilon, ``MatchPath.verify`` says.

    Args:
        pair: moments of the two sides, from ``reduce``.
        device: "cpu", "cuda" or "auto", where the path is computed; where near copies cost digits,
            the rest of it is on the CPU (see ``peeling``).

    Returns:
        The path, on the CPU.

    Raises:
        ValueError: if the device is unknown, absent or without float64.

    Example:
        >>> import numpy as np
        >>> x = np.eye(4)[:, :2]                       # neurons e0 and e1
        >>> y = np.array([[1.0, 0, 0.75, 0]]).T        # 0.6 from e0, 0.6 from the span of both
        >>> path = match_path(reduce(x, y))
        >>> path.critical_epsilon_x.round(3), path.critical_epsilon_y.round(3)
        (array([0.6, 1. ]), array([0.6]))
    """
    live = np.flatnonzero(pair.live)
    columns, distances = peel(
        pair.factor,
        int((live < pair.neurons_x).sum()),
        pair.unit_products,
        resolve_device(device),
    )
    order = live[columns]
    critical = np.full(len(pair.sums), np.nan)
    critical[order] = lowered(np.minimum.accumulate(distances), pair.tie_margin)
    return MatchPath(critical[: pair.neurons_x], critical[pair.neurons_x :], order, pair)


def maximum_match(
    x: Any,
    y: Any,
    epsilon: float,
    *,
    device: DeviceLike = "auto",
    chunk_samples: int | None = None,
) -> Match:
    """The maximum epsilon-approximate match of two layers' activations, in one call.

    For more than one epsilon, keep the path: ``match_path(reduce(x, y))``.

    Args:
        x: (samples, n_x) activations.
        y: (samples, n_y) activations on the same samples.
        epsilon: relative distance in [0, 1).
        device: "cpu", "cuda" or "auto".
        chunk_samples: samples held at once; None for about 32 MB of them.

    Returns:
        The match.

    Raises:
        ValueError: as ``reduce``, or if epsilon is not one number in [0, 1).

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> y = np.random.default_rng(1).random((50, 2))
        >>> y[:, 1] = x @ [1, 2, 3]
        >>> maximum_match(x, np.hstack([x, y]), 0.01).x
        array([0, 1, 2])
    """
    epsilon = as_epsilon(epsilon)
    pair = reduce(x, y, device=device, chunk_samples=chunk_samples)
    return match_path(pair, device=device).maximum_match(epsilon)
