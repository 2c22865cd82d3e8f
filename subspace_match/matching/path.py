"""The match path: the maximum matches of all epsilons from one peeling.

A neuron's distance from the other side's span can only grow when that side shrinks. So maximum
matches are nested in epsilon, and every neuron has a critical epsilon: the smallest epsilon whose
maximum match contains it. To find them, remove the neuron with the largest distance again and
again. The critical epsilon of a removed neuron is the smallest distance of all removals so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .backends import resolve_device
from .backends.base import Device, DeviceLike
from .certificate import Certificate, certify
from .content import EqualByContent
from .curve import EPSILON_LABEL, SIMILARITY_LABEL, draw_curve, finish_curves, new_axes
from .peeling.peel import peel
from .reduction.moments import PairMoments, reduce
from .ties import lower_by_margin
from .validation import as_epsilon, as_epsilons, check_type

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Match(EqualByContent):
    """Two sets of neurons, one of each side.

    Attributes:
        x: sorted int64 indices into X's columns.
        y: sorted int64 indices into Y's columns.
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class CriticalEpsilons(EqualByContent):
    """Nested sets of neurons, one for every epsilon in [0, 1), and their similarity.

    Two of them are equal if all their numbers are, bit for bit.

    Attributes:
        critical_epsilon_x: (n_x,) float64, the smallest epsilon at which the neuron is in the set;
            NaN for a dead neuron, which is in none.
        critical_epsilon_y: (n_y,) float64, the same for Y's neurons.
    """

    critical_epsilon_x: np.ndarray
    critical_epsilon_y: np.ndarray

    def __repr__(self) -> str:
        dead = int(np.isnan(self.critical_epsilon).sum())
        sizes = f"{len(self.critical_epsilon_x)} + {len(self.critical_epsilon_y)} neurons"
        shares = ", ".join(f"{self.similarity(e):.1%} at {e:g}" for e in (0.2, 0.3, 0.5))
        return f"<{type(self).__name__} of {sizes}{f' ({dead} dead)' if dead else ''}: {shares}>"

    @property
    def critical_epsilon(self) -> np.ndarray:
        """Critical epsilons of X's neurons, then of Y's, (n_x + n_y,) float64."""
        return np.concatenate([self.critical_epsilon_x, self.critical_epsilon_y])

    @property
    def area(self) -> float:
        """Area under the similarity curve, the integral of s(epsilon) over [0, 1) (ours).

        A neuron counts in s from its critical epsilon on, so the area is the mean of 1 - critical
        epsilon over all neurons, where dead neurons count 0. It needs no epsilon, and is 1 for
        exact copies and 0 if no neuron is nearer than 1 to the other side.

        Example:
            >>> import numpy as np, subspace_match as sm
            >>> x = np.eye(4)[:, :2]                       # neurons e0 and e1
            >>> y = np.array([[1.0, 0, 0.75, 0]]).T        # distance 0.6 from e0
            >>> round(sm.match_path(sm.reduce(x, y)).area, 6)    # (0.4 + 0 + 0.4) / 3
            0.266667
        """
        return float(area(self.critical_epsilon))

    def similarity(self, epsilon: float | Sequence[float] | np.ndarray) -> float | np.ndarray:
        """Return the maximum matching similarity s = (|X*| + |Y*|) / (n_x + n_y).

        Dead neurons count in n_x and n_y.

        Args:
            epsilon: a number or an array of numbers in [0, 1).

        Returns:
            A float, or a float64 array of epsilon's shape.

        Raises:
            ValueError: if an epsilon is not in [0, 1).

        Example:
            >>> import numpy as np, subspace_match as sm
            >>> x = np.eye(4)[:, :2]                       # neurons e0 and e1
            >>> y = np.array([[1.0, 0, 0.75, 0]]).T        # distance 0.6 from e0
            >>> sm.match_path(sm.reduce(x, y)).similarity([0.5, 0.6001])
            array([0.        , 0.66666667])
        """
        return similarity_at(self.critical_epsilon, epsilon)

    def plot(self, axes: Axes | None = None, **line: Any) -> Axes:
        """Draw the similarity at every epsilon.

        Args:
            axes: matplotlib axes; None for those of a new figure.
            line: properties of the line, such as ``color`` and ``label``.

        Returns:
            The axes.

        Raises:
            MissingExtraError: without matplotlib.
        """
        if axes is None:
            axes = new_axes(f"{type(self).__name__}.plot")
            axes.set_xlabel(EPSILON_LABEL)
            axes.set_ylabel(SIMILARITY_LABEL)
        draw_curve(axes, self.critical_epsilon, **line)
        finish_curves(axes)
        return axes

    def matched(self, epsilon: float) -> Match:
        """Return the neurons whose critical epsilon is at most epsilon.

        Raises:
            ValueError: if epsilon is not one number in [0, 1).
        """
        bound = as_epsilon(epsilon)
        # NaN <= epsilon is False, which leaves out dead neurons.
        return Match(
            np.flatnonzero(self.critical_epsilon_x <= bound),
            np.flatnonzero(self.critical_epsilon_y <= bound),
        )


@dataclass(frozen=True, eq=False, repr=False)
class MatchPath(CriticalEpsilons):
    """Maximum matches for every epsilon in [0, 1), and the moments that prove them.

    Attributes:
        critical_epsilon_x: (n_x,) float64, the smallest epsilon at which the neuron is in the
            maximum match. Accurate to 1e-8 and never too large: ``PairMoments.tie_margin`` is
            subtracted, so that a neuron exactly at an epsilon is in its match. NaN for a dead
            neuron, which is in no match.
        critical_epsilon_y: (n_y,) float64, the same for Y's neurons.
        removal_order: (live neurons,) int64 in the order of removal; X's neurons are 0 to n_x - 1,
            Y's n_x to n_x + n_y - 1.
        pair: the moments that the path was computed from. Only ``verify`` reads them; the three
            arrays are the whole result.
    """

    removal_order: np.ndarray
    pair: PairMoments

    def maximum_match(self, epsilon: float) -> Match:
        """Return the maximum epsilon-approximate match (Wang et al. 2018, Definition 3).

        Args:
            epsilon: relative distance in [0, 1). A neuron exactly at epsilon is in the match (see
                ``ties``), so exact copies match at 0. Rounding activations to float32 makes exact
                linear combinations inexact: for exact matches of these use about 1e-6.

        Returns:
            The match; its sets are empty if nothing matches.

        Raises:
            ValueError: if epsilon is not one number in [0, 1).
        """
        return self.matched(epsilon)

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
        """Prove a maximum match independently, from new factorisations of its sets.

        Sound: each member's distance from the other side's members is at most epsilon. Complete:
        each other live neuron was farther than epsilon from the other side's remaining neurons when
        it was removed (ours; ``certificate`` explains why this proves the match). Certain: no
        distance is so close to epsilon that rounding could have changed a decision, and none is a
        tie. Costs O(n^3) for all epsilons together and little more for each. Ranks use
        ``rank.RANK_TOLERANCE``.

        Args:
            epsilon: a number in [0, 1), or a sequence of such numbers.
            device: "cpu", "cuda" or "auto", where to compute the factorisations.

        Returns:
            A certificate, or for a sequence a list of them in the same order. The match is proved
            if it is ``sound`` and ``complete``. If it is not ``certain``, one of its distances
            equals epsilon up to rounding; a slightly different epsilon avoids this.

        Raises:
            ValueError: if an epsilon is not in [0, 1), the device is unavailable, or the path does
                not belong to its moments.

        Example:
            >>> import numpy as np, subspace_match as sm
            >>> x = np.eye(4)[:, :2]                       # neurons e0 and e1
            >>> y = np.array([[1.0, 0, 0.75, 0]]).T        # distance 0.6 from e0
            >>> certificate = sm.match_path(sm.reduce(x, y)).verify(0.65)
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


def similarity_at(
    critical_epsilon: np.ndarray, epsilon: float | Sequence[float] | np.ndarray
) -> float | np.ndarray:
    """Return the share of critical epsilons that are at most epsilon, as ``MatchPath.similarity``.

    Args:
        critical_epsilon: of all neurons; NaN (dead) neurons count but never match.
        epsilon: a number or an array of numbers in [0, 1).

    Raises:
        ValueError: if an epsilon is not in [0, 1).
    """
    bounds = as_epsilons(epsilon)
    # NaN sorts last, so dead neurons are never counted.
    matched = np.searchsorted(np.sort(critical_epsilon), bounds, side="right")
    similarity = matched / len(critical_epsilon)
    return float(similarity) if bounds.ndim == 0 else similarity


def area(critical_epsilon: np.ndarray) -> np.ndarray:
    """Return the area under the similarity curve of each path, as ``MatchPath.area``.

    Args:
        critical_epsilon: (..., n_x + n_y) float64; NaN for dead neurons.

    Returns:
        (...) float64.
    """
    return np.asarray(np.nan_to_num(1.0 - critical_epsilon, nan=0.0).mean(-1))


def match_path(pair: PairMoments, *, device: DeviceLike = "auto") -> MatchPath:
    """Compute the match path of a pair: all epsilons at once, exactly.

    Let rho_k be the largest relative distance r(v | other side) among the neurons that remain after
    k removals. The neuron removed next has critical epsilon min(rho_0, ..., rho_k) (ours). The
    maximum match of Wang et al. 2018, Definition 3, is then the set with critical epsilon <=
    epsilon. Costs O(n^3) for any number of samples. Decisions are made in float64, with the
    tolerances in ``peeling.spans`` and ``peeling.updates``. Critical epsilons are accurate to
    ``factor.ACCURACY`` = 1e-8 if no neuron is closer than about 1e-8 to the rest of its side.
    ``MatchPath.verify`` tells whether the match of one epsilon is certain.

    Args:
        pair: moments of the two sides, from ``reduce``.
        device: "cpu", "cuda" or "auto", where to compute. If near copies cost digits, the rest is
            computed on the CPU (see ``peeling.peel``).

    Returns:
        The path, on the CPU.

    Raises:
        ValueError: if the device is unknown, absent or without float64.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.eye(4)[:, :2]                       # neurons e0 and e1
        >>> y = np.array([[1.0, 0, 0.75, 0]]).T        # 0.6 from e0 and from the span of both
        >>> path = sm.match_path(sm.reduce(x, y))
        >>> path.critical_epsilon_x.round(3), path.critical_epsilon_y.round(3)
        (array([0.6, 1. ]), array([0.6]))
    """
    check_type("pair", pair, PairMoments, "the moments of two layers, reduce(x, y)")
    return path_and_distances(pair, resolve_device(device))[0]


def path_and_distances(pair: PairMoments, device: Device) -> tuple[MatchPath, np.ndarray]:
    """Return the match path, and each neuron's distance from all of the other side.

    Args:
        pair: moments of the two sides.
        device: where to compute.

    Returns:
        The path, and relative distances, (n_x + n_y,) float64; NaN for dead neurons.
    """
    live = np.flatnonzero(pair.live)
    width_x = int((live < pair.neurons_x).sum())
    peeled = peel(pair.factor, width_x, pair.unit_products_on(device), device)
    order = live[peeled.order]
    critical, from_all = np.full((2, len(pair.sums)), np.nan)
    critical[order] = lower_by_margin(np.minimum.accumulate(peeled.distances), pair.tie_margin)
    from_all[live] = peeled.from_all
    path = MatchPath(critical[: pair.neurons_x], critical[pair.neurons_x :], order, pair)
    return path, from_all


def moments_of(pair: PairMoments | MatchPath) -> PairMoments:
    """Return a pair's moments, also of its path; raise a ValueError if it is neither."""
    expected = "the moments of two layers, reduce(x, y), or their match_path"
    check_type("pair", pair, (PairMoments, MatchPath), expected)
    return pair.pair if isinstance(pair, MatchPath) else pair


def maximum_match(
    x: Any,
    y: Any,
    epsilon: float,
    *,
    device: DeviceLike = "auto",
    chunk_samples: int | None = None,
) -> Match:
    """Compute the maximum epsilon-approximate match of two layers' activations in one call.

    For more than one epsilon, compute the path once: ``match_path(reduce(x, y))``.

    Args:
        x: (samples, n_x) activations.
        y: (samples, n_y) activations on the same samples.
        epsilon: relative distance in [0, 1).
        device: "cpu", "cuda" or "auto".
        chunk_samples: samples held at a time; None for about 32 MB, on a GPU 256 MB.

    Returns:
        The match.

    Raises:
        ValueError: as ``reduce``, or if epsilon is not one number in [0, 1).

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> y = np.random.default_rng(1).random((50, 2))
        >>> y[:, 1] = x @ [1, 2, 3]
        >>> sm.maximum_match(x, np.hstack([x, y]), 0.01).x
        array([0, 1, 2])
    """
    epsilon = as_epsilon(epsilon)
    pair = reduce(x, y, device=device, chunk_samples=chunk_samples)
    return match_path(pair, device=device).maximum_match(epsilon)
