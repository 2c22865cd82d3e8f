"""Intervals of mean similarities: over networks by the jackknife, over images by half-sampling.

Pairs share networks, so they are not independent: seven pairs of a network say no more of it than
one. The independent units are the seeds, so a unit leaves with all its pairs. With N units, the
mean without each and the t distribution with N - 1 degrees of freedom, the interval covers the mean
over networks that the experiment could have trained. It needs three units, because two networks are
one pair. An interval over images holds the networks fixed (see ``matching.half_samples``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import special  # scipy.stats takes a second to import

from ..matching.path import area

LEAST_UNITS = 3
COVERAGE = 0.95
LAYER_KEYS = ["comparison", "layer", "node", "depth", "kind"]
SUMMARY_KEYS = [*LAYER_KEYS, "epsilon"]
Halves = Mapping[tuple[Any, ...], Sequence[np.ndarray | None]]
BOUNDS = ("low_networks", "high_networks", "low_images", "high_images")
_AREA = np.inf  # stands for the area, which has no epsilon, among the epsilons
_NETWORKS = [f"{key}_{side}" for side in "ab" for key in ("model", "seed", "stage")]
_ROUNDING = 1e-12  # a smaller standard error is rounding


def jackknife_error(leave_one_out: np.ndarray) -> np.ndarray:
    """Return the standard error: se^2 = (N - 1) / N sum (theta_-i - mean)^2 (Tukey 1958).

    Args:
        leave_one_out: (N, ...) the estimate without each unit.

    Returns:
        (...) float64.

    Example:
        >>> values = np.array([1.0, 2.0, 6.0])
        >>> without = np.array([np.delete(values, i).mean() for i in range(3)])
        >>> bool(np.isclose(jackknife_error(without), values.std(ddof=1) / 3**0.5))
        True
    """
    count = len(leave_one_out)
    squares = ((leave_one_out - leave_one_out.mean(0)) ** 2).sum(0)
    return np.asarray(np.sqrt((count - 1) / count * squares))


def half_width(leave_one_out: np.ndarray) -> np.ndarray:
    """Return half the width of the interval of an estimate, (...) float64."""
    return _quantile(len(leave_one_out) - 1) * jackknife_error(leave_one_out)


def half_width_of_halves(halves: np.ndarray) -> np.ndarray:
    """Return half the width of the interval over images, (...) float64.

    The halves of one division deviate from their mean in opposite directions, so there are as many
    degrees of freedom as divisions.

    Args:
        halves: (2 divisions, ...) the estimate on each half of the images.
    """
    return np.asarray(_quantile(len(halves) // 2) * halves.std(0, ddof=1))


def _quantile(degrees: int) -> float:
    return float(special.stdtrit(degrees, (1 + COVERAGE) / 2))


def units_of_pairs(pairs: pd.DataFrame) -> list[frozenset[Any]]:
    """Return the independent units of each pair of one comparison: the seeds of its networks.

    A network that is in every pair, such as a pretrained one, is fixed and no unit.

    Args:
        pairs: model, seed and stage of both networks of each pair.
    """
    networks = [
        {(row[f"model_{s}"], row[f"seed_{s}"], row[f"stage_{s}"]) for s in "ab"}
        for row in pairs.to_dict("records")
    ]
    fixed = set.intersection(*networks)
    return [frozenset(seed for _, seed, _ in own - fixed) for own in networks]


def summary_intervals(similarity: pd.DataFrame, halves: Halves) -> pd.DataFrame:
    """Return the intervals of the mean similarity and of the mean area.

    Args:
        similarity: ``tables.similarity_table``.
        halves: ``Resampled.half_images`` of each pair of networks, by the layer's values of
            ``LAYER_KEYS``; layers may be missing.

    Returns:
        By ``SUMMARY_KEYS``: ``networks``, the number of units, and ``BOUNDS`` of the similarity
        and, as ``area_...``, of the area. Those over networks are NaN below three units, those over
        images without ``halves`` of every pair.
    """
    known = _with_area(similarity)
    found = network_intervals(known)
    estimate = known.groupby(SUMMARY_KEYS, sort=False)["similarity"].mean()
    half = pd.Series([_image_half_width(halves, key) for key in found.index], found.index)
    found["low_images"] = np.clip(estimate - half, 0, 1)
    found["high_images"] = np.clip(estimate + half, 0, 1)
    of_area = found.index.get_level_values("epsilon") == _AREA
    areas = found.loc[of_area, list(BOUNDS)].add_prefix("area_").droplevel("epsilon")
    return found[~of_area].join(areas)


def network_intervals(similarity: pd.DataFrame) -> pd.DataFrame:
    """Return the number of units and the interval over networks, by ``SUMMARY_KEYS``.

    Args:
        similarity: columns of ``tables.similarity_table``.
    """
    parts = []
    for _, rows in similarity.groupby("comparison", sort=False):
        means, units = _pair_means(rows)
        estimate, without = means.mean(), _leave_one_out(means, units)
        enough = len(without) >= LEAST_UNITS
        half = half_width(without) if enough else np.full(len(estimate), np.nan)
        bounds = {"low": np.clip(estimate - half, 0, 1), "high": np.clip(estimate + half, 0, 1)}
        parts.append(pd.DataFrame(bounds).add_suffix("_networks").assign(networks=len(without)))
    return pd.concat(parts)


def _image_half_width(halves: Halves, key: tuple[Any, ...]) -> float:
    """Return half the width of the interval over images at one of ``SUMMARY_KEYS``.

    All pairs of networks are matched on the same halves, so their mean is a mean on each half. The
    width is that of the first draw of positions.
    """
    *layer, epsilon = key
    own = halves.get(tuple(layer), [None])
    if any(critical is None for critical in own):
        return np.nan
    values = [
        area(critical) if epsilon == _AREA else (critical <= epsilon).mean(1)
        for critical in own
        if critical is not None
    ]
    return float(half_width_of_halves(np.mean(values, axis=0)))


def _with_area(similarity: pd.DataFrame) -> pd.DataFrame:
    """Add the areas as rows of one more epsilon, ``_AREA``."""
    layers = [*_NETWORKS, *LAYER_KEYS, "draw"]
    areas = similarity.drop_duplicates(layers)
    areas = areas.assign(epsilon=_AREA, similarity=areas["area"])
    return pd.concat([similarity, areas], ignore_index=True)


def difference_table(similarity: pd.DataFrame) -> pd.DataFrame:
    """One row per (two comparisons, layer of both, epsilon or area): paired tests over networks.

    Both comparisons lose a seed together, so networks that share one are compared with each other.

    Columns:
        comparison_1, comparison_2: for example of untrained and of trained networks.
        layer: its name.
        quantity: "similarity" at an epsilon, or "area".
        epsilon: from the grid; NaN for the area.
        value_1, value_2: means over the pairs of the seeds that both comparisons have.
        difference: the first minus the second.
        networks: number of these seeds, the independent units; 0 if one is in all pairs of a
            comparison.
        low, high: 95% interval of the difference (jackknife); NaN below three units.
        p_value: two-sided, t distribution with ``networks`` - 1 degrees of freedom; NaN below three
            units, or if the difference is the same without any unit.
        family_p_value: corrected for the layers, at one epsilon or for the area (Holm 1979).
    """
    known = _with_area(similarity)
    comparisons = {str(name): rows for name, rows in known.groupby("comparison", sort=False)}
    names, parts = list(comparisons), []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            parts += _differences(first, comparisons[first], second, comparisons[second])
    columns = ["comparison_1", "comparison_2", "layer", "quantity", "epsilon", "value_1", "value_2"]
    columns += ["difference", "networks", "low", "high", "p_value", "family_p_value"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    of_area = table["epsilon"] == _AREA
    table["quantity"] = np.where(of_area, "area", "similarity")
    table["epsilon"] = table["epsilon"].where(~of_area, np.nan).astype(float)
    return table[columns]


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected for several tests (Holm 1979); NaN is not counted as a test.

    Example:
        >>> holm(np.array([0.04, 0.01, np.nan, 0.03]))
        array([0.06, 0.03,  nan, 0.06])
    """
    order = np.argsort(p_values, kind="stable")[: int((~np.isnan(p_values)).sum())]
    corrected = np.full(len(p_values), np.nan)
    steps = np.arange(len(order), 0, -1) * p_values[order]
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def _differences(
    first: str, rows_1: pd.DataFrame, second: str, rows_2: pd.DataFrame
) -> list[pd.DataFrame]:
    """Return the rows of two comparisons, or none if they have no layer or no seed in common."""
    sides = [_pair_means(rows) for rows in (rows_1, rows_2)]
    shared = frozenset.intersection(*(frozenset().union(*units) for _, units in sides))
    kept = []
    for means, units in sides:
        own = np.array([bool(unit) and unit <= shared for unit in units])
        if not own.any():
            return []
        means = means[own].T.groupby(["layer", "epsilon"], sort=False).first().T
        kept.append((means, [unit for unit, keep in zip(units, own, strict=True) if keep]))
    columns = kept[0][0].columns.intersection(kept[1][0].columns, sort=False)
    if not len(columns):
        return []
    (means_1, units_1), (means_2, units_2) = ((m[columns], units) for m, units in kept)
    estimates = means_1.mean(), means_2.mean()
    difference = estimates[0] - estimates[1]
    without = _leave_one_out(means_1, units_1), _leave_one_out(means_2, units_2)
    count = min(map(len, without))
    half = error = np.full(len(columns), np.nan)
    if count >= LEAST_UNITS and len(without[0]) == len(without[1]):
        half = half_width(without[0] - without[1])
        error = jackknife_error(without[0] - without[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.where(error > _ROUNDING, np.abs(difference) / error, np.nan)
    p_value = 2 * special.stdtr(max(count - 1, 1), -statistic)  # of Student's t
    found = pd.DataFrame(
        {
            "comparison_1": first,
            "comparison_2": second,
            "layer": columns.get_level_values("layer"),
            "epsilon": columns.get_level_values("epsilon"),
            "value_1": estimates[0].to_numpy(),
            "value_2": estimates[1].to_numpy(),
            "difference": difference.to_numpy(),
            "networks": count,
            "low": (difference - half).to_numpy(),
            "high": (difference + half).to_numpy(),
            "p_value": p_value,
        }
    )
    found["family_p_value"] = np.nan
    for _, rows in found.groupby("epsilon"):
        found.loc[rows.index, "family_p_value"] = holm(rows["p_value"].to_numpy())
    return [found]


def _pair_means(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[frozenset[Any]]]:
    """Return the mean over draws, a row per pair and a column per layer and epsilon; the units."""
    means = rows.groupby([*_NETWORKS, *SUMMARY_KEYS], sort=False)["similarity"].mean()
    table = means.unstack(SUMMARY_KEYS)
    # Unstacking sorts the pairs and the columns.
    pairs = rows[_NETWORKS].drop_duplicates()
    table = table.loc[list(pairs.itertuples(index=False, name=None))]
    order = rows[SUMMARY_KEYS].drop_duplicates().itertuples(index=False, name=None)
    return table[list(order)], units_of_pairs(pairs)


def _leave_one_out(means: pd.DataFrame, units: Sequence[frozenset[Any]]) -> np.ndarray:
    """Return the mean over the pairs without each unit, (units, columns).

    No rows if the pairs without some unit are none, as for a single pair.
    """
    all_units = sorted(frozenset().union(*units))
    kept = [np.array([unit not in own for own in units]) for unit in all_units]
    if not all(keep.any() for keep in kept):
        return np.empty((0, means.shape[1]))
    values = means.to_numpy()
    return np.stack([values[keep].mean(0) for keep in kept]) if kept else values[:0]
