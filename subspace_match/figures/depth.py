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

from ..results.wording import listed
from .captions import band, chance, comparisons, few_samples, pairs_and_draws
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
_WITHIN: Any = {"alpha": 0.15, "hatch": "....", "linewidth": 0}
_AREA: Any = {"color": "black", "linestyle": "--", "linewidth": 1.5}
_LEVELS: dict[str, tuple[str, Any]] = {
    "chance": ("null_threshold", {"linestyle": ":", "linewidth": 1}),
    "labels alone": ("class_null_threshold", {"linestyle": "-.", "linewidth": 1}),
}
_CONSENSUS: Any = {"linestyle": "-.", "linewidth": 1.2}
_SIMILARITY = "Maximum matching similarity"


@styled
def similarity_by_depth(summary: pd.DataFrame) -> Figure:
    """Draw the maximum matching similarity of every layer (Wang et al. 2018, Figure 1).

    One panel per comparison, one curve per epsilon, and the area under the curve of all epsilons in
    black. A curve is the mean over pairs of networks and draws of positions. Its band is the 95%
    interval of this mean: over networks from three on, otherwise over images. The chance level is
    hatched in the curve's colour, and the level of permutations within classes above it is dotted.
    An asterisk marks layers with few images for their neurons. Where all of at least three networks
    are compared, the share of neurons in their consensus match is dash-dotted in the curve's
    colour.
    """
    figure, parts = layer_panels(summary, _SIMILARITY)
    epsilons = sorted(summary["epsilon"].unique(), reverse=True)
    for panel in parts:
        _curves(panel, panel.rows(summary), epsilons)
    legend(figure, *_legend_entries(parts[0].axes, summary), r"$\epsilon$")
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
    _curves(Panel(comparison, axes, layers), summary, epsilons)
    axes.set_xlabel(layer_label([layers]))
    axes.set_ylabel(_SIMILARITY)
    axes.legend(*_legend_entries(axes, summary), title=r"$\epsilon$")


def _curves(panel: Panel, rows: pd.DataFrame, epsilons: Sequence[float]) -> None:
    """Draw a curve and the chance levels of each epsilon, and the area."""
    for number, epsilon in enumerate(epsilons):
        own = rows[rows["epsilon"] == epsilon].sort_values("depth")
        _curve(panel, own, number, len(epsilons), f"{epsilon:g}")
        positions, shade = panel.positions(own["depth"]), colour(number, len(epsilons))
        if own["consensus"].notna().any():
            panel.axes.plot(positions, own["consensus"], color=shade, **_CONSENSUS)
        level, within = own["null_threshold"], own["class_null_threshold"]
        if (level > 0).any():
            panel.axes.fill_between(positions, 0, level, color=shade, **_CHANCE)
        if (within > level).any():
            top = np.maximum(level, within)
            panel.axes.fill_between(positions, level, top, color=shade, **_WITHIN)
    areas = rows.drop_duplicates("depth").sort_values("depth")
    panel.axes.plot(panel.positions(areas["depth"]), areas["area"], label="area", **_AREA)
    similarity_axis(panel.axes)


def _legend_entries(axes: Axes, summary: pd.DataFrame) -> tuple[list[Any], list[str]]:
    """Return the handles and labels of a legend, with entries for what is drawn but not named."""
    handles, labels = axes.get_legend_handles_labels()
    level, within = summary["null_threshold"], summary["class_null_threshold"]
    drawn = {
        "consensus": (
            summary["consensus"].notna().any(),
            Line2D([], [], color="grey", **_CONSENSUS),
        ),
        "chance": ((level > 0).any(), Patch(facecolor="grey", **_CHANCE)),
        "labels alone": ((within > level).any(), Patch(facecolor="grey", **_WITHIN)),
    }
    for label, (present, handle) in drawn.items():
        if present:
            handles.append(handle)
            labels.append(label)
    return handles, labels


def describe_similarity_by_depth(summary: pd.DataFrame) -> str:
    """Describe ``similarity_by_depth``."""
    epsilons = listed(f"{epsilon:g}" for epsilon in sorted(summary["epsilon"].unique()))
    return (
        f"One curve per epsilon: {epsilons}. Dashed: the area under the similarity as a function"
        f" of epsilon, the mean of 1 - critical epsilon. Mean over {pairs_and_draws(summary)}."
        f" {band(summary)}{_consensus(summary)} {chance(summary, 'Hatched', 'Dotted')}"
        f"{few_samples(summary)}{comparisons(summary)}"
    )


def _consensus(summary: pd.DataFrame) -> str:
    if summary["consensus"].isna().all():
        return ""
    return (
        " Dash-dotted: the share of all networks' neurons in their consensus match, the largest"
        " sets, one per network, that match each other in all pairs."
    )


@styled
def stages(summary: pd.DataFrame) -> Figure:
    """Draw similarity by depth at the middle epsilon (Wang et al. 2018, Figure 4).

    One curve per comparison. Comparisons of two networks and of a network with itself at another
    stage have a panel each. Bands as in ``similarity_by_depth``; the chance level is dotted in the
    curve's colour, and the level of permutations within classes dash-dotted.
    """
    own = _at_middle_epsilon(summary)
    figure, parts = layer_panels(own, _SIMILARITY, beside=1.6)
    for panel in parts:
        rows = panel.rows(own)
        shown, drawn = list(rows["shown"].unique()), set()
        for number, name in enumerate(shown):
            curve = rows[rows["shown"] == name]
            _curve(panel, curve, number, len(shown), name.removesuffix(_SAME_SEED))
            shade, positions = colour(number, len(shown)), panel.positions(curve["depth"])
            for name, (column, line) in _LEVELS.items():
                if (curve[column] > 0).any():
                    panel.axes.plot(positions, curve[column], color=shade, **line)
                    drawn.add(name)
        similarity_axis(panel.axes)
        handles, labels = panel.axes.get_legend_handles_labels()
        for name, (_, line) in _LEVELS.items():
            if name in drawn:
                handles.append(Line2D([], [], color="grey", **line))
                labels.append(name)
        panel.axes.legend(handles, labels, title="Compared", **LEGEND_AT_RIGHT)
    return figure


def describe_stages(summary: pd.DataFrame) -> str:
    """Describe ``stages``."""
    own = _at_middle_epsilon(summary)
    return (
        f"At epsilon {middle_epsilon(summary):g}. Mean over {pairs_and_draws(own)}. {band(own)}"
        f" {chance(own, 'Dotted', 'Dash-dotted')}{few_samples(own)}{comparisons(own)}"
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
    """Draw the mean of every layer, and its interval."""
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
    low, high = (
        rows[f"{bound}_networks"].fillna(rows[f"{bound}_images"]) for bound in ("low", "high")
    )
    if (high > low).any():
        panel.axes.fill_between(positions, low, high, color=shade, alpha=0.15, linewidth=0)
