"""Similarity by depth: Figures 1 and 3 of Wang et al. (2018), and Figure 4 for training stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .captions import BAND, chance, comparisons, few_samples, listed, pairs_and_draws
from .style import (
    LEGEND_AT_RIGHT,
    Panel,
    colour,
    layer_axis,
    layer_label,
    layer_panels,
    layers_of,
    legend,
    marker,
    middle_epsilon,
    similarity_axis,
    styled,
)

_SAME_SEED = ", same seed"  # ends the name of a comparison of a network with itself
_CHANCE: Any = {"alpha": 0.25, "hatch": "////", "linewidth": 0}
_AREA: Any = {"color": "black", "linestyle": "--", "linewidth": 1.5}
_SIMILARITY = "Maximum matching similarity"


@styled
def similarity_by_depth(summary: pd.DataFrame) -> Figure:
    """Draw the maximum matching similarity of every layer (Wang et al. 2018, Figure 1).

    One panel per comparison, one curve per epsilon, and the area under the curve of all epsilons in
    black. A curve is the mean over pairs of networks and
    draws of positions; its band covers the middle 95% of them. Where the 95% quantile of the null
    distribution is above 0, it is hatched in the curve's colour. An asterisk marks layers with few
    images for their neurons.
    """
    figure, parts = layer_panels(summary, _SIMILARITY)
    epsilons = sorted(summary["epsilon"].unique(), reverse=True)
    has_chance = False
    for panel in parts:
        has_chance |= _curves(panel, panel.rows(summary), epsilons)
    legend(figure, *_with_chance(parts[0].axes, has_chance), r"$\epsilon$")
    return figure


@styled
def draw_similarity_by_depth(axes: Axes, summary: pd.DataFrame) -> None:
    """Draw ``similarity_by_depth`` of a single comparison on given axes, with their own legend."""
    layers = layers_of(summary)
    figure = axes.get_figure(root=True)
    width = 5.8 if figure is None else figure.get_figwidth() * axes.get_position().width
    layer_axis(axes, layers, width)
    (comparison,) = summary["comparison"].unique()
    epsilons = sorted(summary["epsilon"].unique(), reverse=True)
    has_chance = _curves(Panel(comparison, axes, layers), summary, epsilons)
    axes.set_xlabel(layer_label([layers]))
    axes.set_ylabel(_SIMILARITY)
    axes.legend(*_with_chance(axes, has_chance), title=r"$\epsilon$")


def _curves(panel: Panel, rows: pd.DataFrame, epsilons: Sequence[float]) -> bool:
    """Draw a curve for each epsilon, and the area; return whether chance is above 0 anywhere."""
    has_chance = False
    for number, epsilon in enumerate(epsilons):
        own = rows[rows["epsilon"] == epsilon].sort_values("depth")
        _curve(panel, own, number, len(epsilons), f"{epsilon:g}")
        if (own["null_95"] > 0).any():
            positions, shade = panel.positions(own["depth"]), colour(number, len(epsilons))
            panel.axes.fill_between(positions, 0, own["null_95"], color=shade, **_CHANCE)
            has_chance = True
    areas = rows.drop_duplicates("depth").sort_values("depth")
    panel.axes.plot(panel.positions(areas["depth"]), areas["area"], label="area", **_AREA)
    similarity_axis(panel.axes)
    return has_chance


def _with_chance(axes: Axes, has_chance: bool) -> tuple[list[Any], list[str]]:
    """Return the handles and labels of a legend, with an entry for chance if it is shown."""
    handles, labels = axes.get_legend_handles_labels()
    if has_chance:
        handles.append(Patch(facecolor="grey", **_CHANCE))
        labels.append("chance, 95%")
    return handles, labels


def describe_similarity_by_depth(summary: pd.DataFrame) -> str:
    """Describe ``similarity_by_depth``."""
    epsilons = listed(f"{epsilon:g}" for epsilon in sorted(summary["epsilon"].unique()))
    return (
        f"One curve per epsilon: {epsilons}. Dashed: the area under the similarity as a function"
        f" of epsilon, the mean of 1 - critical epsilon. Mean over {pairs_and_draws(summary)}."
        f" {BAND} {chance(summary, 'Hatched')}{few_samples(summary)}{comparisons(summary)}"
    )


@styled
def stages(summary: pd.DataFrame) -> Figure:
    """Draw similarity by depth at the middle epsilon (Wang et al. 2018, Figure 4).

    One curve per comparison. Comparisons of two networks and of a network with itself at another
    stage have a panel each. Bands as in ``similarity_by_depth``; the 95% quantile of the null
    distribution is dotted in the curve's colour.
    """
    own = _at_middle_epsilon(summary)
    figure, parts = layer_panels(own, _SIMILARITY, beside=1.6)
    for panel in parts:
        rows = panel.rows(own)
        shown = list(rows["shown"].unique())
        for number, name in enumerate(shown):
            curve = rows[rows["shown"] == name]
            _curve(panel, curve, number, len(shown), name.removesuffix(_SAME_SEED))
            if (curve["null_95"] > 0).any():
                shade = colour(number, len(shown))
                positions = panel.positions(curve["depth"])
                panel.axes.plot(
                    positions, curve["null_95"], color=shade, linestyle=":", linewidth=1
                )
        similarity_axis(panel.axes)
        handles, labels = panel.axes.get_legend_handles_labels()
        if (rows["null_95"] > 0).any():
            handles.append(Line2D([], [], color="grey", linestyle=":", linewidth=1))
            labels.append("chance, 95%")
        panel.axes.legend(handles, labels, title="Compared", **LEGEND_AT_RIGHT)
    return figure


def describe_stages(summary: pd.DataFrame) -> str:
    """Describe ``stages``."""
    own = _at_middle_epsilon(summary)
    return (
        f"At epsilon {middle_epsilon(summary):g}. Mean over {pairs_and_draws(own)}. {BAND}"
        f" {chance(own, 'Dotted')}{few_samples(own)}{comparisons(own)}"
    )


def _at_middle_epsilon(summary: pd.DataFrame) -> pd.DataFrame:
    """Select the middle epsilon; ``comparison`` becomes a panel's title, ``shown`` its curves."""
    own = summary[summary["epsilon"] == middle_epsilon(summary)].sort_values("depth", kind="stable")
    names = own["comparison"]
    with_itself = names.str.endswith(_SAME_SEED)
    equal = "" if names[~with_itself].str.contains(" to ").any() else " at equal stages"
    titles = np.where(with_itself, "A network against itself", f"Two networks{equal}")
    return own.assign(comparison=titles, shown=names)


def _curve(panel: Panel, rows: pd.DataFrame, number: int, count: int, label: str) -> None:
    """Draw the mean of every layer, and the band around it if the draws differ."""
    positions, shade, many = panel.positions(rows["depth"]), colour(number, count), len(rows) > 30
    panel.axes.plot(
        positions,
        rows["similarity"],
        color=shade,
        marker=marker(number),
        markersize=3 if many else 5,
        linewidth=1 if many else 1.5,
        label=label,
    )
    if (rows["high"] > rows["low"]).any():
        low, high = rows["low"], rows["high"]
        panel.axes.fill_between(positions, low, high, color=shade, alpha=0.15, linewidth=0)
