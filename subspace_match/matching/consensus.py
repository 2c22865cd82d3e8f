"""The consensus match: what every one of many networks has in common (ours).

Let a layer be given in K networks. A consensus match at epsilon is one set of neurons per network,
S_1 ... S_K, that match each other in all pairs: r(v | S_j) <= epsilon for every v in S_i and every
j other than i. For K = 2 it is an epsilon-approximate match (Wang et al. 2018, Definition 1).

The union of two consensus matches, taken network by network, is one too. Let v be in S_i or in T_i,
say in S_i. The span of the union of S_j and T_j contains that of S_j, so the distance of v from it
is at most r(v | S_j) <= epsilon. So there is a unique largest consensus match, the union of all,
and it is largest in every network at once. If one of its sets is empty, all are: the distance from
an empty set is 1.

All epsilons from one peeling, as in ``path``. Let rho(v) be the largest of the distances of v, a
neuron of network i, from the remaining neurons of each other network. rho can only grow when
neurons are removed. So if rho(v) > epsilon, v is in no consensus match among the remaining neurons,
and if no rho exceeds epsilon, the remaining neurons are the largest one. Remove the neuron with the
largest rho again and again: its critical epsilon is the smallest rho of all removals so far.

Any two of the K sets are a match of their networks. So a neuron's critical epsilon is at least the
largest of those of its pairs, and usually larger: what each pair shares need not be the same.

Cost: after ``reduce_many``, O(K^2 n^3) for K networks of n neurons, as much as K^2 / 8 pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from .backends.base import DeviceLike
from .path import similarity_at
from .peeling.peel import removals_until_empty
from .reduction.many import ManyMoments, reduce_many
from .ties import lower_by_margin
from .validation import as_epsilon


@dataclass(frozen=True, repr=False)
class ConsensusPath:
    """The largest consensus matches of every epsilon in [0, 1).

    Attributes:
        critical_epsilons: for each network (neurons,) float64, the smallest epsilon at which the
            neuron is in the largest consensus match. Accurate to 1e-8 and never too large, as in
            ``MatchPath``. NaN for a dead neuron, which is in no match.
    """

    critical_epsilons: tuple[np.ndarray, ...]

    def __repr__(self) -> str:
        sizes = " + ".join(str(len(own)) for own in self.critical_epsilons)
        shares = ", ".join(f"{self.similarity(e):.1%} at {e:g}" for e in (0.2, 0.3, 0.5))
        return f"<ConsensusPath of {sizes} neurons: {shares}>"

    def consensus_match(self, epsilon: float) -> tuple[np.ndarray, ...]:
        """Return the largest consensus match: for each network its neurons, sorted int64.

        Args:
            epsilon: relative distance in [0, 1). A neuron exactly at epsilon is in the match.

        Raises:
            ValueError: if epsilon is not one number in [0, 1).
        """
        bound = as_epsilon(epsilon)
        return tuple(np.flatnonzero(critical <= bound) for critical in self.critical_epsilons)

    def similarity(self, epsilon: float | Sequence[float] | np.ndarray) -> float | np.ndarray:
        """Return the share of all networks' neurons that are in the largest consensus match.

        Dead neurons count as neurons. For two networks this is the maximum matching similarity.

        Args:
            epsilon: a number or an array of numbers in [0, 1).

        Returns:
            A float, or a float64 array of epsilon's shape.

        Raises:
            ValueError: if an epsilon is not in [0, 1).
        """
        return similarity_at(np.concatenate(self.critical_epsilons), epsilon)


def consensus_path(
    layers: Sequence[Any], *, device: DeviceLike = "auto", chunk_samples: int | None = None
) -> ConsensusPath:
    """Compute the consensus matches of one layer of many networks: all epsilons at once, exactly.

    Activations are read once (see ``reduce_many``). Decisions are made in float64 by rotations,
    which lose no digits (see ``peeling.updates_rotation``).

    Args:
        layers: activations of each of at least two networks, (samples, neurons), on the same
            samples in the same order: NumPy arrays, torch tensors or Zarr arrays.
        device: "cpu", "cuda" or "auto", where to compute the moments. Peeling runs on the CPU.
        chunk_samples: samples of all networks held at a time; None for about 32 MB, on a GPU
            256 MB.

    Returns:
        The path.

    Raises:
        ValueError: for fewer than two networks, and as ``reduce``.

    Warns:
        FewSamplesWarning: as ``reduce``, for the widest network.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> rng = np.random.default_rng(0)
        >>> shared, own = rng.normal(size=(90, 2)), rng.normal(size=(3, 90, 1))
        >>> networks = [np.hstack([shared @ rng.normal(size=(2, 2)), each]) for each in own]
        >>> path = sm.consensus_path(networks)
        >>> [neurons.tolist() for neurons in path.consensus_match(0.1)]
        [[0, 1], [0, 1], [0, 1]]
        >>> round(path.similarity(0.1), 3)
        0.667
    """
    return path_of_moments(reduce_many(layers, device=device, chunk_samples=chunk_samples))


def consensus_match(
    layers: Sequence[Any],
    epsilon: float,
    *,
    device: DeviceLike = "auto",
    chunk_samples: int | None = None,
) -> tuple[np.ndarray, ...]:
    """Compute the largest sets of neurons, one per network, that match each other in all pairs.

    For more than one epsilon, compute ``consensus_path`` once.

    Args:
        layers: as in ``consensus_path``.
        epsilon: relative distance in [0, 1).
        device: as in ``consensus_path``.
        chunk_samples: as in ``consensus_path``.

    Returns:
        For each network its neurons, sorted int64; all empty if nothing matches.

    Raises:
        ValueError: as ``consensus_path``, or if epsilon is not one number in [0, 1).

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.random.default_rng(0).random((50, 3))
        >>> [found.tolist() for found in sm.consensus_match([x, x[:, :2], x[:, 1:]], 0.1)]
        [[1], [1], [0]]
    """
    bound = as_epsilon(epsilon)
    path = consensus_path(layers, device=device, chunk_samples=chunk_samples)
    return path.consensus_match(bound)


def path_of_moments(moments: ManyMoments) -> ConsensusPath:
    """Peel all networks at once; see the module for why this gives every consensus match."""
    sides, live = moments.sides, np.flatnonzero(moments.live)
    critical = np.where(moments.live, 1.0, np.nan)
    if all(map(len, sides)):  # otherwise all distances from one network are 1
        columns, distances = _peel(moments, sides)
        lowest = lower_by_margin(np.minimum.accumulate(distances), moments.tie_margin)
        critical[live] = lowest[-1]  # these remain until a network has no neurons left
        critical[live[columns]] = lowest
    ends = list(accumulate(moments.neurons))[:-1]
    return ConsensusPath(tuple(np.split(critical, ends)))


def _peel(moments: ManyMoments, sides: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Remove neurons, the farthest first, until one network has none left.

    Returns:
        The removed columns, (removals,) int64, and their distances when they were removed.
    """
    from .peeling.updates_rotation import RotationUpdates  # imports numba

    if moments.factor is None:
        updates = RotationUpdates.from_products(moments.products, *sides)
    else:
        updates = RotationUpdates.from_factor(moments.factor, *sides)
    network_of = np.repeat(np.arange(len(sides)), [len(side) for side in sides])
    left = np.array([len(side) for side in sides])
    order, squares = [], []
    while left.all():
        removed, removed_squares, _ = updates.remove_block()
        count = removals_until_empty(network_of[removed], left)
        order.append(removed[:count])
        squares.append(removed_squares[:count])
        left -= np.bincount(network_of[order[-1]], minlength=len(left))
    return np.concatenate(order), np.sqrt(np.clip(np.concatenate(squares), 0.0, 1.0))
