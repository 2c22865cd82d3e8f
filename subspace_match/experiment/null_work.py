"""The work of null distributions, which take longer than all else about a pair of networks.

Wider layers take far longer than narrow ones, so jobs of equal work use all cores until the end.
Paths name the layers of each job, so only the configuration and the widths of the layers may decide
how they are divided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..matching.permutation_counts import affordable_permutations

# Floating-point operations in a job, about 20 s; starting a job takes 1 s.
JOB_WORK = 8e11
REMOVAL_WORK = 1e6  # as many operations as the time of a removal besides its arithmetic allows


def null_permutations(wanted: int | str, samples: int, a: int, b: int) -> int:
    """Return the number of permutations of a layer in each of its two nulls.

    Args:
        wanted: the configuration's ``chance.permutations``.
        samples: number of samples.
        a: number of neurons of network A.
        b: the same of network B.
    """
    return affordable_permutations(samples, a, b) if isinstance(wanted, str) else wanted


def null_work(wanted: int | str, samples: int, a: int, b: int) -> float:
    """Return the operations of a layer's nulls, with the arguments of ``null_permutations``.

    For each permutation a product of both sides, a factorisation, and a removal of every neuron.
    """
    permutations = null_permutations(wanted, samples, a, b)
    neurons = a + b
    return 2 * permutations * (2 * samples * a * b + 10 * neurons**3 + REMOVAL_WORK * neurons)


def jobs_of_equal_work(work: Mapping[str, float], most: float = JOB_WORK) -> list[list[str]]:
    """Divide layers into jobs of about ``most`` operations, as equal as their sizes allow.

    The heaviest layer that is left goes to the job with the least work so far.

    Args:
        work: operations of each layer, by name.
        most: operations of a job; a layer that takes more has a job of its own.

    Returns:
        The names of each job's layers, in their order.

    Example:
        >>> jobs_of_equal_work({"conv1": 1, "conv2": 2, "conv3": 4, "fc1": 1}, most=4)
        [['conv3'], ['conv1', 'conv2', 'fc1']]
    """
    count = min(len(work), max(1, math.ceil(sum(work.values()) / most)))
    jobs: list[list[str]] = [[] for _ in range(count)]

    def load(job: Sequence[str]) -> float:
        return sum(work[name] for name in job)

    for name in sorted(work, key=lambda name: -work[name]):
        min(jobs, key=load).append(name)
    order = list(work)
    return [sorted(job, key=order.index) for job in jobs]
