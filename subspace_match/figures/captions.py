"""What is seen in each figure: of which epsilons, pairs and draws, from which tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from .depth import stage_groups
from .preferred_images import chosen_matches, network_words
from .style import middle_epsilon

_BAND = "The band holds the middle 95% of all pairs' draws."


def caption(
    name: str,
    tables: Mapping[str, pd.DataFrame],
    experiment: str,
    config: Mapping[str, Any],
) -> str:
    """A figure's caption.

    Args:
        name: of the figure's function.
        tables: by name, those that the function takes, in order.
        experiment: name of the folder of its tables, which carries the digest of what made them.
        config: the experiment's configuration.
    """
    if any(table.empty for table in tables.values()):
        seen = "The run made none of what this figure would show."
    else:
        seen = _SEEN[name](*tables.values())
    network, data = config["network"]["name"], config["data"]["name"]
    models = f" (models {', '.join(config['models'])})" if config["models"] else ""
    behind = _list(f"tables/{table}" for table in tables)
    return (
        f"{seen} Experiment {experiment}: {network}{models} on {data}, as its config.json says."
        f" Drawn from {behind}."
    )


def _similarity_by_depth(summary: pd.DataFrame) -> str:
    return (
        "Maximum matching similarity of every layer, from input to output: the share of both"
        f" networks' neurons that are in the maximum match, at epsilon {_grid(summary)}."
        f" Mean over {_pairs_and_draws(summary)}. {_BAND} {_chance(summary, 'Hatched')}"
        f"{_few_samples(summary)}{_panels(summary)}"
    )


def _stages(summary: pd.DataFrame) -> str:
    own = summary[summary["epsilon"] == middle_epsilon(summary)]
    groups = own.assign(comparison=own["comparison"].map(stage_groups(own["comparison"].unique())))
    return (
        "Maximum matching similarity of every layer, from input to output, at epsilon"
        f" {middle_epsilon(summary):g}, a curve a comparison. Mean over"
        f" {_pairs_and_draws(own)}. {_BAND} {_chance(own, 'Dotted')}{_few_samples(own)}"
        f"{_panels(groups)}"
    )


def _similarity_by_epsilon(neurons: pd.DataFrame) -> str:
    return (
        "Maximum matching similarity of every layer at every epsilon: the share of neurons whose"
        f" critical epsilon is not larger. All of {_range(_pairs(neurons), 'pair')} of networks and"
        f" {_range(_draws(neurons), 'draw')} of positions together.{_panels(neurons)}"
    )


def _critical_epsilons(neurons: pd.DataFrame) -> str:
    first = neurons[neurons["draw"] == neurons["draw"].min()]
    return (
        "Critical epsilon of every neuron, the smallest at which it is in the maximum match, by"
        " layer from input to output; network A left, network B right, bars are medians. Of"
        f" {_range(_pairs(first), 'pair')} of networks, at the first draw of positions; dead"
        f" neurons have none.{_panels(first)}"
    )


def _minimal_matches(minimal: pd.DataFrame, summary: pd.DataFrame) -> str:
    epsilon = minimal["epsilon"].max()
    own = minimal[minimal["epsilon"] == epsilon]
    return (
        "Size of every matched neuron's minimal match, neurons of both networks together, at"
        f" epsilon {epsilon:g}. Left: by layer from input to output, bars are medians; a layer"
        " without points has no match, or was not asked for. Right: the share of neurons with at"
        " most that size, in the layers nearest the input and nearest the output that have any. Of"
        f" {_range(_pairs(own), 'pair')} of networks, at the first draw of positions."
        f"{_few_samples(summary)}{_panels(own, 'Rows')}"
    )


def _measures(values: pd.DataFrame, summary: pd.DataFrame) -> str:
    return (
        "Other measures of similarity by layer, from input to output, beside the maximum matching"
        f" similarity at epsilon {middle_epsilon(summary):g} (black). Means over"
        f" {_range(_pairs(values), 'pair')} of networks; the match over"
        f" {_range(summary['draws'], 'draw')} of positions too, the others at the first draw."
        f"{_few_samples(summary)}{_panels(summary)}"
    )


def _heat_map(table: pd.DataFrame) -> str:
    return (
        "Every layer of network A with every layer of network B: maximum matching similarity at"
        f" epsilon {middle_epsilon(table):g} on the left, linear CKA on the right. Mean over"
        f" {_range(_pairs(table), 'pair')} of networks, on one draw of places that are the same for"
        f" all layers.{_panels(table, 'Rows')}"
    )


def _top_images(members: pd.DataFrame, *_: pd.DataFrame) -> str:
    first = chosen_matches(members).iloc[0]
    of_a, of_b = (network_words(first, side) for side in "ab")
    return (
        f"The images of the evaluation split that activate neurons of layer {first['layer']} most,"
        " the strongest first, a row a neuron. A block is a minimal match at epsilon"
        f" {first['epsilon']:g}: its neurons in network A ({of_a}) on the left, in network B"
        f" ({of_b}) on the right. Shown are small minimal matches, of different sizes if there are"
        " such."
    )


_SEEN: dict[str, Callable[..., str]] = {
    "similarity_by_depth": _similarity_by_depth,
    "stages": _stages,
    "similarity_by_epsilon": _similarity_by_epsilon,
    "critical_epsilons": _critical_epsilons,
    "minimal_matches": _minimal_matches,
    "measures": _measures,
    "heat_map": _heat_map,
    "top_images": _top_images,
}


def _pairs_and_draws(summary: pd.DataFrame) -> str:
    pairs, draws = _range(summary["pairs"], "pair"), _range(summary["draws"], "draw")
    return f"{pairs} of networks and {draws} of positions"


def _pairs(table: pd.DataFrame) -> list[int]:
    """Of networks, in each comparison."""
    pair = [f"{key}_{side}" for side in "ab" for key in ("model", "seed", "stage")]
    return [len(rows[pair].drop_duplicates()) for _, rows in table.groupby("comparison")]


def _draws(neurons: pd.DataFrame) -> pd.Series[int]:
    return neurons.groupby(["comparison", "depth"])["draw"].nunique()


def _range(counts: Iterable[int], noun: str) -> str:
    """For example "1 pair" or "1 to 4 draws"."""
    known = sorted(set(counts))
    words = str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"
    return f"{words} {noun}{'' if known[-1] == 1 else 's'}"


def _grid(table: pd.DataFrame) -> str:
    return _list(f"{epsilon:g}" for epsilon in sorted(table["epsilon"].unique()))


def _list(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _chance(summary: pd.DataFrame, drawn: str) -> str:
    if summary["null_95"].isna().all():
        return "No images were permuted, so chance is not shown."
    return (
        f"{drawn}, where it is not 0: what at most 5% of the permutations of one network's images"
        " exceed."
    )


def _few_samples(summary: pd.DataFrame) -> str:
    if not summary["few_samples"].any():
        return ""
    return " Layers with an asterisk have more than 0.2 neurons a sample: some of it is chance."


def _panels(table: pd.DataFrame, parts: str = "Panels") -> str:
    names: Sequence[str] = list(table["comparison"].unique())
    return f" {parts}: {'; '.join(names)}." if len(names) > 1 else f" Compared: {names[0]}."
