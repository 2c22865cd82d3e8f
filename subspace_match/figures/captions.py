"""Phrases that the captions share: epsilons, numbers of pairs and draws, chance, source tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..matching.validation import FEW_SAMPLES, LARGE_GAP
from ..results.wording import listed

if TYPE_CHECKING:
    import pandas as pd

_NOT_WITHIN_CLASSES = (
    "There is none within classes, which needs images with labels, several of each class."
)


def source(tables: Iterable[str], experiment: str, config: Mapping[str, Any]) -> str:
    """Return the end of every caption: the experiment and the tables behind the figure."""
    network, data = config["network"]["name"], config["data"]["name"]
    models = f" (models {', '.join(config['models'])})" if config["models"] else ""
    files = listed(f"tables/{table}" for table in tables)
    return (
        f"Experiment {experiment}: {network}{models} on {data}; see its config.json. Drawn from"
        f" {files}."
    )


def pairs_and_draws(summary: pd.DataFrame) -> str:
    """Return for example "1 pair of networks and 2 to 4 draws of positions"."""
    pairs, draws = count_range(summary["pairs"], "pair"), count_range(summary["draws"], "draw")
    return f"{pairs} of networks and {draws} of positions"


def network_pairs(table: pd.DataFrame) -> str:
    """Return how many pairs of networks each comparison has, as "1 to 3 pairs of networks"."""
    pair = [f"{key}_{side}" for side in "ab" for key in ("model", "seed", "stage")]
    counts = [len(rows[pair].drop_duplicates()) for _, rows in table.groupby("comparison")]
    return f"{count_range(counts, 'pair')} of networks"


def count_range(counts: Iterable[int], noun: str) -> str:
    """Return the range of some counts in words.

    Example:
        >>> count_range([1], "pair"), count_range([4, 1], "draw")
        ('1 pair', '1 to 4 draws')
    """
    known = sorted(set(counts))
    words = str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"
    return f"{words} {noun}{'' if known[-1] == 1 else 's'}"


def band(summary: pd.DataFrame) -> str:
    """Explain the band around a mean: over networks from three on, otherwise over images."""
    over_networks = summary["low_networks"].notna()
    kinds = []
    if over_networks.any():
        networks = count_range(summary.loc[over_networks, "networks"], "network")
        kinds.append(f"over networks ({networks}, jackknife)")
    if summary.loc[~over_networks, "low_images"].notna().any():
        kinds.append("over images, for these networks (half-sampling)")
    if not kinds:
        return "There is no band: an interval needs three networks, or a null distribution."
    words = " or, with fewer than three networks, ".join(kinds)
    return f"The band is the 95% interval of the mean {words}."


def chance(summary: pd.DataFrame, mark: str, mark_within: str) -> str:
    """Explain how the figure marks the two null distributions ("Hatched", "Dotted")."""
    if summary["null_threshold"].isna().all():
        return "The run has no permutations, so the chance level is not shown."
    level = f"{mark}: the chance level, where it is above 0. {_tested(summary)}"
    if summary["class_null_threshold"].isna().all():
        return f"{level} {_NOT_WITHIN_CLASSES}"
    within = (
        f"{mark_within}: the same level when images are permuted within classes, which is what the"
        " labels alone explain."
    )
    layers = layers_without(summary[summary["null_threshold"].notna()], "class_null_threshold")
    gaps = f" It is not known for {listed(layers)}." if layers else ""
    return f"{level} {within}{gaps}"


def _tested(summary: pd.DataFrame) -> str:
    """Say what a similarity above the chance level means; permutations test a pair's first draw."""
    permuted = "has p <= 0.05 when the images of one network are permuted"
    first = " in the first draw" if summary["draws"].max() > 1 else ""
    if summary["pairs"].max() == 1:
        return f"A similarity above it{first} {permuted}."
    return (
        f"It is the mean over pairs: a pair whose similarity{first} is above its own level"
        f" {permuted}."
    )


def layers_without(summary: pd.DataFrame, column: str) -> list[str]:
    """Name the layers without a value, with their comparisons if others have one."""
    names = []
    for layer, rows in summary.groupby("layer", sort=False):
        unknown = rows.loc[rows[column].isna(), "comparison"].unique()
        if len(unknown):
            of_all = len(unknown) == rows["comparison"].nunique()
            names.append(str(layer) if of_all else f"{layer} ({'; '.join(unknown)})")
    return names


def few_samples(summary: pd.DataFrame) -> str:
    """Explain the asterisk, if any layer has one."""
    if not summary["few_samples"].any():
        return ""
    return (
        f" An asterisk marks layers with more than {FEW_SAMPLES:g} neurons per image, or whose area"
        f" is more than {LARGE_GAP:g} above the cross-fitted area: part of the similarity is due to"
        " chance."
    )


def comparisons(table: pd.DataFrame, parts: str = "Panels") -> str:
    """Name the comparisons of a table: one, or one for each panel."""
    names = list(table["comparison"].unique())
    return f" {parts}: {'; '.join(names)}." if len(names) > 1 else f" Compared: {names[0]}."
