"""Columns of the tables that compare a layer with its nulls.

A layer of a pair has up to two nulls: network B's images are permuted among any images
(``null_...``) or among images of one label (``class_null_...``), which keeps what labels explain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..matching.permutation_test import (
    adjusted_similarity,
    family_wise_p_values,
    p_values,
    threshold,
    without_rounding,
)
from ..storage.match_files import Resampled

Statistic = Callable[[np.ndarray], np.ndarray]  # critical epsilons (n,) -> values (m,)
# The start of the names of a null's columns, by the name of the null in ``Resampled``.
PREFIXES = {"any_image": "", "within_class": "class_"}
LEVELS = ("null_mean", "null_threshold")
TESTS = ("p_value", "family_p_value", "adjusted")
CHANCE_COLUMNS = tuple(f"{prefix}{name}" for prefix in PREFIXES.values() for name in LEVELS + TESTS)
LEVEL_COLUMNS = tuple(f"{prefix}{name}" for prefix in PREFIXES.values() for name in LEVELS)


def null_statistics(null: Resampled | None, statistic: Statistic) -> dict[str, np.ndarray]:
    """Return a statistic of each permutation, (permutations, m), by the prefix of each null."""
    return {
        prefix: np.stack([statistic(critical) for critical in permutations])
        for name, prefix in PREFIXES.items()
        if null is not None and (permutations := getattr(null, name)) is not None
    }


def level_columns(nulls: Mapping[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Return mean and threshold of each null, (size,) each; NaN without the null."""
    columns = {name: np.full(size, np.nan) for name in LEVEL_COLUMNS}
    for prefix, values in nulls.items():
        columns[f"{prefix}null_mean"] = values.mean(0)
        columns[f"{prefix}null_threshold"] = threshold(values)
    return columns


def chance_columns(
    observed: Sequence[np.ndarray], nulls: Sequence[Mapping[str, np.ndarray]]
) -> list[dict[str, np.ndarray]]:
    """Return the columns that compare each layer of one pair of networks with its nulls.

    The correction for several layers uses as many permutations as every layer has, the first ones.
    A corrected p-value is never below the plain one. Layers whose images are permuted in the same
    groups share their permutations. If layers with other groups have independent ones, the level of
    the family is at most -log(1 - a), 5.13% for a = 5%, however layers depend on each other.

    Args:
        observed: statistics (m,) of each layer, the same ones in every layer.
        nulls: ``null_statistics`` of each layer; layers without a null are left out of the
            correction.

    Returns:
        ``CHANCE_COLUMNS`` of each layer, (m,) each; NaN without the null.
    """
    columns = []
    # Also for the threshold, so that only a value above it has p <= 0.05.
    nulls = [
        {prefix: without_rounding(values, null) for prefix, null in own.items()}
        for values, own in zip(observed, nulls, strict=True)
    ]
    for values, own in zip(observed, nulls, strict=True):
        found = {name: np.full(len(values), np.nan) for name in CHANCE_COLUMNS}
        found |= level_columns(own, len(values))
        for prefix, null in own.items():
            found[f"{prefix}p_value"] = p_values(values, null)
            found[f"{prefix}adjusted"] = adjusted_similarity(values, null)
        columns.append(found)
    for prefix in PREFIXES.values():
        with_null = [number for number, own in enumerate(nulls) if prefix in own]
        if not with_null:
            continue
        shared = min(len(nulls[number][prefix]) for number in with_null)
        both = [(observed[number], nulls[number][prefix][:shared]) for number in with_null]
        for place in range(len(both[0][0])):
            corrected = family_wise_p_values(
                np.array([values[place] for values, _ in both]),
                np.stack([null[:, place] for _, null in both], axis=1),
            )
            for number, p_value in zip(with_null, corrected, strict=True):
                found = columns[number]
                # The plain one may be larger: it has permutations that not all layers have.
                plain = found[f"{prefix}p_value"][place]
                found[f"{prefix}family_p_value"][place] = max(p_value, plain)
    return columns


def neuron_columns(critical: np.ndarray, null: Resampled | None) -> dict[str, np.ndarray]:
    """Return what compares each neuron's critical epsilon with its nulls.

    A neuron's critical epsilon is compared with its distance from all of the other network's
    permuted neurons, not with its permuted critical epsilon. No critical epsilon is below the
    neuron's own distance from all, and that distance is exchangeable if the neuron has nothing to
    do with the other network, whatever the other neurons have to do with it. Permuted critical
    epsilons are not: where no neuron matches, each is about the largest distance of all neurons,
    but where the others match, a neuron that does not leaves first, at its own distance, which is
    smaller.

    Args:
        critical: observed critical epsilons of both networks, (n,) float64; NaN if dead.
        null: with the same neurons.

    Returns:
        For each null the m-th smallest distance of K = 20 m - 1 (a smaller critical epsilon has
        p <= 0.05), and the p-value; NaN without the null and for dead neurons.
    """
    columns: dict[str, np.ndarray] = {}
    for name, prefix in PREFIXES.items():
        found = None if null is None else getattr(null, f"{name}_distance")
        limit = p_value = np.full(len(critical), np.nan)
        if found is not None:
            found = without_rounding(critical, found)
            limit = -threshold(-found)
            p_value = np.where(np.isnan(critical), np.nan, p_values(-critical, -found))
        columns |= {f"{prefix}null_critical_epsilon": limit, f"{prefix}p_value": p_value}
    return columns
