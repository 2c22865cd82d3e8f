"""Grounding tests: does a measure of similarity see what is known about networks?

The tests of the ReSi benchmark (Klabunde et al. 2024, arXiv 2408.00531), from the tables of
finished experiments. Every value here is larger for more similar layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .registry import TABLES

COLUMNS = (
    *("run", "test", "models", "layer", "depth", "measure", "quality"),
    *("value", "low", "high", "chance", "count"),
)
_NETWORK = ("model", "seed", "stage")
_SIDES = [[f"{name}_{side}" for name in _NETWORK] for side in "ab"]
ENOUGH_PAIRS = 15  # of six networks; a rank correlation of fewer says nothing
_DIRECTIONS = {f"linear_regression_{side}": "linear_regression" for side in "ab"}


def grounding_table(folders: Sequence[str | Path]) -> pd.DataFrame:
    """Return the results of all tests that finished experiments allow.

    An experiment with several models tests whether networks of one model are more alike than
    networks of two (``separation``); one with a single model and at least ``ENOUGH_PAIRS`` pairs
    whether similarity follows accuracy and predictions (``correlation``); one with
    ``heat_map.within_networks`` whether it falls with the distance of layers (``monotonicity``).

    Args:
        folders: ``results/experiments/NAME`` of each.

    Returns:
        One row per (experiment, test, layer, measure, quality), with the columns
            run: name of the folder.
            test: "separation", "accuracy", "disagreement" or "monotonicity".
            models: the models of the experiment.
            layer, depth: of both networks; "" and 0 for monotonicity, which has all layers.
            measure: a name of the table of measures, with the mean of both directions of linear
                regression; "area", "cross_fitted_area", or "similarity_0.3" and so on.
            quality: "auprc", "violation_rate" or "spearman".
            value: NaN if the measure has no value for any pair, or the same for all.
            low, high: smallest and largest value if the networks of any one seed are left out.
            chance: value of a measure that knows nothing.
            count: number of pairs of networks with a value; of networks for monotonicity.

    Raises:
        ValueError: if a folder lacks a table, or its experiment allows no test.
    """
    found = [_of_run(Path(folder)) for folder in folders]
    return pd.concat(found, ignore_index=True)[list(COLUMNS)]


def _of_run(folder: Path) -> pd.DataFrame:
    names = ("similarity", "measures", "outputs", "within_networks")
    files = {name: folder / "tables" / f"{name}.{TABLES[name][0]}" for name in names}
    if missing := [str(file) for file in files.values() if not file.exists()]:
        raise ValueError(
            f"{folder}: expected the folder of a finished experiment, found no {missing[0]}; give"
            " results/experiments/NAME, and run an experiment of an earlier version again"
        )
    tables = {name: pd.read_parquet(file) for name, file in files.items()}
    values = values_of_pairs(tables["similarity"], tables["measures"])
    models = list(dict.fromkeys([*values["model_a"], *values["model_b"]]))
    parts = [monotonicity(tables["within_networks"])]
    if len(models) > 1:
        parts.insert(0, separation(values))
    elif len(tables["outputs"]) >= ENOUGH_PAIRS:
        parts.insert(0, correlation(values, tables["outputs"]))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    if table["value"].isna().all():
        raise ValueError(
            f"{folder}: expected several models with at least two seeds each, one model with at"
            f" least {ENOUGH_PAIRS} pairs of networks, or heat_map.within_networks, found none"
        )
    return table.assign(run=folder.name, models=", ".join(models))


def values_of_pairs(similarity: pd.DataFrame, measures: pd.DataFrame) -> pd.DataFrame:
    """Return every measure of every pair of networks and layer, one row each.

    Args:
        similarity: ``tables.similarity_table``; values are means over draws.
        measures: ``tables.measure_table``.

    Returns:
        The networks' model, seed and stage, ``layer``, ``depth``, ``measure`` and ``value``. A
        layer that is deeper in some architectures has the depth where it is deepest.
    """
    keys = [*_SIDES[0], *_SIDES[1], "layer", "depth"]
    grouped = similarity.groupby([*keys, "epsilon"], sort=False)
    means = grouped[["similarity", "area", "cross_fitted_area"]].mean().reset_index()
    areas = means.drop_duplicates(keys)
    parts = [
        areas[keys].assign(measure=name, value=areas[name])
        for name in ("area", "cross_fitted_area")
    ]
    at_epsilon = means["epsilon"].map(lambda epsilon: f"similarity_{epsilon:g}")
    parts.append(means[keys].assign(measure=at_epsilon, value=means["similarity"]))
    # The order of the two networks of a pair means nothing.
    others = measures.assign(measure=measures["measure"].replace(_DIRECTIONS))
    by_measure = others.groupby([*keys, "measure"], sort=False)["value"]
    parts.append(by_measure.agg(lambda own: own.mean(skipna=False)).reset_index())
    table = pd.concat(parts, ignore_index=True)
    return table.assign(depth=table.groupby("layer")["depth"].transform("max"))


def separation(values: pd.DataFrame) -> pd.DataFrame:
    """Test whether networks of one model are more alike than networks of two models.

    For each model, the pairs of its networks should have larger values than the pairs of one of its
    networks with one of another model. Qualities are means over models: "auprc", the area under the
    curve of precision and recall (average precision), and "violation_rate", the share of all
    choices of one pair of either kind in which the first is not larger. A model at another stage
    counts as another model. Compare different seeds: networks of one seed begin with equal weights,
    whatever their model, which makes them more alike.

    Args:
        values: ``values_of_pairs``.
    """
    names = ("auprc", "violation_rate", "chance")

    def qualities(rows: pd.DataFrame) -> dict[str, float]:
        known = rows[rows["value"].notna()]
        a, b = (_groups(known, side) for side in "ab")
        value, found = known["value"].to_numpy(), []
        for group in sorted({*_groups(rows, "a"), *_groups(rows, "b")}):
            within, across = (a == group) & (b == group), (a == group) ^ (b == group)
            if not (within.any() and across.any()):
                return dict.fromkeys(names, math.nan)
            one, two = value[within], value[across]
            share = len(one) / (len(one) + len(two))
            found.append((average_precision(one, two), violation_rate(one, two), share))
        return dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))

    rows = []
    for about, own in _by_layer_and_measure(values):
        all_networks = qualities(own)
        without = [qualities(rest) for rest in _without_each_seed(own)]
        for quality, chance in (("auprc", all_networks["chance"]), ("violation_rate", 0.5)):
            rows.append(
                {**about, "test": "separation", "quality": quality, "value": all_networks[quality]}
                | {**_spread([each[quality] for each in without]), "chance": chance}
                | {"count": int(own["value"].notna().sum())}
            )
    return _as_table(rows)


def average_precision(within: np.ndarray, across: np.ndarray) -> float:
    """Return the average precision of values within groups as the positive ones.

    The sum over thresholds of precision times the gain in recall; equal values are one threshold,
    so that values that are all equal have the share of ``within`` among all.

    Example:
        >>> average_precision(np.array([0.9, 0.4]), np.array([0.5, 0.1]))
        0.8333333333333333
    """
    thresholds = np.unique(within)[::-1]
    above = [(within >= bound).sum() for bound in thresholds]
    found = [hits + (across >= bound).sum() for hits, bound in zip(above, thresholds, strict=True)]
    precision = np.divide(above, found)
    return float(np.diff([0, *above]) @ precision / len(within))


def violation_rate(within: np.ndarray, across: np.ndarray) -> float:
    """Return the share of all (within, across) of which the first is not larger.

    Example:
        >>> violation_rate(np.array([0.9, 0.4]), np.array([0.5, 0.4]))
        0.5
    """
    return float((within[:, None] <= across).mean())


def correlation(values: pd.DataFrame, outputs: pd.DataFrame) -> pd.DataFrame:
    """Test whether less similar networks differ more in accuracy and in their predictions.

    The quality "spearman" is the rank correlation, over pairs of networks, of minus the value with
    the difference of accuracies ("accuracy") and with the share of images that get different
    classes ("disagreement").

    Args:
        values: ``values_of_pairs``.
        outputs: ``tables.output_table``.
    """
    both = [*_SIDES[0], *_SIDES[1]]
    columns = {"accuracy": "accuracy_difference", "disagreement": "disagreement"}
    joined = values.merge(outputs[[*both, *columns.values()]], on=both, validate="many_to_one")
    rows = []
    for about, own in _by_layer_and_measure(joined):
        for test, column in columns.items():
            known = own[own[["value", column]].notna().all(axis=1)]
            all_pairs, *without = (
                rank_correlation(-part["value"].to_numpy(), part[column].to_numpy())
                for part in (known, *_without_each_seed(known))
            )
            rows.append(
                {**about, "test": test, "quality": "spearman", "value": all_pairs}
                | {**_spread(without), "chance": 0.0, "count": len(known)}
            )
    return _as_table(rows)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rho; NaN for fewer than three values, or if x or y are all equal."""
    from scipy.stats import spearmanr

    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(spearmanr(x, y).statistic)


def monotonicity(within: pd.DataFrame) -> pd.DataFrame:
    """Test whether layers of one network are the less similar the farther apart they are.

    Of three layers in the order of the network, the outer two should be less similar than the first
    two, and than the last two. The quality "violation_rate" is the share of all these inequalities
    that fail, the mean over networks. An equality is half a violation: it says nothing. (ReSi
    counts it as none, so that a measure without any differences would be perfect.)

    Args:
        within: ``tables.within_network_table``.
    """
    symmetric = within.assign(measure=within["measure"].replace(_DIRECTIONS))
    rows = []
    for measure, of_measure in symmetric.groupby("measure", sort=False):
        rates = {}
        for network, own in of_measure.groupby(list(_NETWORK), sort=False):
            by_pair = own.groupby(["depth_a", "depth_b"], sort=False)["value"]
            means = by_pair.agg(lambda both: both.mean(skipna=False))
            pairs = zip(*(means.index.get_level_values(level) for level in (0, 1)), strict=True)
            rates[network] = layer_violations(dict(zip(pairs, means, strict=True)))
        known = {network: rate for network, rate in rates.items() if not math.isnan(rate)}
        seeds = dict.fromkeys(network[1] for network in known)
        without = [
            _mean([rate for network, rate in known.items() if network[1] != seed]) for seed in seeds
        ]
        rows.append(
            {"layer": "", "depth": 0, "measure": measure, "test": "monotonicity"}
            | {"quality": "violation_rate", "value": _mean(list(known.values()))}
            | {**_spread(without), "chance": 0.5, "count": len(known)}
        )
    return _as_table(rows)


def layer_violations(similarity: Mapping[tuple[int, int], float]) -> float:
    """Return the share of inequalities that fail, by the depths of two layers, lower one first.

    Returns:
        NaN if there are no three layers, or a value is NaN.

    Example:
        >>> layer_violations({(1, 2): 0.9, (2, 3): 0.4, (1, 3): 0.5})
        0.5
    """
    depths = sorted({depth for pair in similarity for depth in pair})
    violations = []
    for first, middle, last in combinations(depths, 3):
        outer = similarity[first, last]
        for nearer in (similarity[first, middle], similarity[middle, last]):
            if math.isnan(outer) or math.isnan(nearer):
                return math.nan
            violations.append(float(nearer < outer) + 0.5 * float(nearer == outer))
    return _mean(violations)


def _by_layer_and_measure(
    values: pd.DataFrame,
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    keys = ["layer", "depth", "measure"]
    for found, own in values.groupby(keys, sort=False):
        yield dict(zip(keys, found, strict=True)), own


def _groups(rows: pd.DataFrame, side: str) -> np.ndarray:
    """Return what the networks of one group share: model and stage."""
    return np.asarray(rows[f"model_{side}"] + " " + rows[f"stage_{side}"], dtype=str)


def _without_each_seed(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows without the networks of each seed in turn."""
    for seed in sorted({*rows["seed_a"], *rows["seed_b"]}):
        yield rows[(rows["seed_a"] != seed) & (rows["seed_b"] != seed)]


def _spread(without: Sequence[float]) -> dict[str, float]:
    known = [value for value in without if not math.isnan(value)]
    return {"low": min(known, default=math.nan), "high": max(known, default=math.nan)}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _as_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    columns = [column for column in COLUMNS if column not in ("run", "models")]
    return pd.DataFrame(rows, columns=columns)


def overview(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per measure and one column per test, of the layer nearest to the output.

    Columns are named by the test and the models; larger values are better in all of them. They hold
    "auprc", "spearman", and for monotonicity one less "violation_rate", the conformity. A cell is
    text, with ``low`` and ``high`` in brackets if they are known, or "-" without a value.
    """
    main = table[(table["quality"] != "violation_rate") | (table["test"] == "monotonicity")]
    by_depth = main.sort_values("depth", kind="stable")
    last = by_depth.groupby(["run", "test"])["layer"].transform("last")
    main = main[main["layer"] == last[main.index]]
    conformity = main["test"] == "monotonicity"
    one_less = {name: 1 - main[name] for name in ("value", "low", "high")}
    value = main["value"].where(~conformity, one_less["value"])
    low = main["low"].where(~conformity, one_less["high"])
    high = main["high"].where(~conformity, one_less["low"])
    cells = map(_cell, value, low, high)
    shown = main.assign(cell=list(cells), column=main["test"] + ": " + main["models"])
    # Equal models can have other settings.
    several = shown.groupby("column")["run"].transform("nunique") > 1
    shown.loc[several, "column"] += " (" + shown["run"] + ")"
    order = {name: list(dict.fromkeys(shown[name])) for name in ("measure", "column")}
    wide = shown.pivot(index="measure", columns="column", values="cell")
    return wide.loc[order["measure"], order["column"]].fillna("-")


def _cell(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if math.isnan(low) else f"{value:.2f} ({low:.2f} to {high:.2f})"
