"""Similarity by depth: Figures 1 and 3 of Wang et al. (2018), and Figure 4 for training stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..results.registry import layers_in_order
from ..results.wording import listed
from .captions import band, chance, comparisons, few_samples, pairs_and_draws
from .style import (
    LEGEND_AT_RIGHT,
    Panel,
    colour,
    ink,
    layer_axis,
    layer_label,
    layer_panels,
    layers_of,
    legend,
    line_points,
    marker,
    middle_epsilon,
    similarity_axis,
    styled,
)

_SAME_SEED = ", same seed"  # ends the name of a comparison of a network with itself
_AREA: Any = {"linestyle": "--", "linewidth": 1.5}
# What fills the small panels, the lower level in front.
_FILLS: dict[str, tuple[str, Any]] = {
    "labels alone": ("class_null_threshold", {"color": "0.5", "alpha": 0.3, "linewidth": 0}),
    "chance": ("null_threshold", {"color": "0.5", "alpha": 0.8, "linewidth": 0}),
}
_SMALL, _GAP = 0.3, 0.12  # height of the small panels above a panel, and the space below them
_LEVELS: dict[str, tuple[str, Any]] = {
    "chance": ("null_threshold", {"linestyle": ":", "linewidth": 1}),
    "labels alone": ("class_null_threshold", {"linestyle": "-.", "linewidth": 1}),
}
_CONSENSUS: Any = {"linestyle": "-.", "linewidth": 1.2}
_SIMILARITY = "Maximum matching similarity"


@styled
def similarity_by_depth(summary: pd.DataFrame) -> Figure:
    """Draw the maximum matching similarity of every layer (Wang et al. 2018, Figure 1).

    One panel per comparison, one curve per epsilon, and the area under the curve of all epsilons,
    dashed. A curve is the mean over pairs of networks and draws of positions. Its band is the 95%
    interval of this mean: over networks from three on, otherwise over images. An asterisk marks
    layers with few images for their neurons. Where all of at least three networks are compared, the
    share of neurons in their consensus match is dash-dotted in the curve's colour.

    Small panels above show each curve again with areas up to its chance level and, behind, up to
    the level of permutations within classes, if the run has permutations.
    """
    epsilons = sorted(summary["epsilon"].unique(), reverse=True)
    with_chance = bool(summary["null_threshold"].notna().any())
    figure, parts = layer_panels(
        summary, _SIMILARITY, height=2.9 * (1 + (_SMALL + 1.5 * _GAP) * with_chance)
    )
    for panel in parts:
        rows = panel.rows(summary)
        _curves(panel, rows, epsilons)
        if with_chance:
            _small_panels(panel, rows, epsilons)
    handles, labels = _legend_entries(parts[0].axes, summary)
    for name, (column, fill) in reversed(_FILLS.items()):
        if with_chance and summary[column].notna().any():
            handles.append(Patch(**fill))
            labels.append(name)
    legend(figure, handles, labels, r"$\epsilon$")
    return figure


@styled
def draw_similarity_by_depth(axes: Axes, summary: pd.DataFrame) -> None:
    """Draw the curves of a single comparison on given axes, with their own legend.

    The chance level is dotted in the curve's colour where it is above 0, and the level of
    permutations within classes dash-dotted.
    """
    layers = layers_of(summary)
    figure = axes.get_figure(root=True)
    width = 5.8 if figure is None else figure.get_figwidth() * axes.get_position().width
    layer_axis(axes, layers, width)
    (comparison,) = summary["comparison"].unique()
    epsilons = sorted(summary["epsilon"].unique(), reverse=True)
    panel = Panel(comparison, axes, layers)
    _curves(panel, summary, epsilons)
    handles, labels = _legend_entries(axes, summary)
    for name, (column, line) in _LEVELS.items():
        for number, (_, own) in enumerate(_by_epsilon(summary, epsilons)):
            if (own[column] > 0).any():
                shade = colour(number, len(epsilons))
                points = line_points(panel.positions(own["depth"]), own[column])
                axes.plot(*points, color=shade, **line)
        if (summary[column] > 0).any():
            handles.append(Line2D([], [], color="grey", **line))
            labels.append(name)
    axes.set_xlabel(layer_label([layers]))
    axes.set_ylabel(_SIMILARITY)
    axes.legend(handles, labels, title=r"$\epsilon$")


def _by_epsilon(
    rows: pd.DataFrame, epsilons: Sequence[float]
) -> Iterator[tuple[float, pd.DataFrame]]:
    for epsilon in epsilons:
        yield epsilon, rows[rows["epsilon"] == epsilon].sort_values("depth")


def _curves(panel: Panel, rows: pd.DataFrame, epsilons: Sequence[float]) -> None:
    """Draw a curve for each epsilon, and the area."""
    for number, (epsilon, own) in enumerate(_by_epsilon(rows, epsilons)):
        _curve(panel, own, number, len(epsilons), f"{epsilon:g}")
        if own["consensus"].notna().any():
            shade = colour(number, len(epsilons))
            points = line_points(panel.positions(own["depth"]), own["consensus"])
            panel.axes.plot(*points, color=shade, **_CONSENSUS)
    areas = rows.drop_duplicates("depth").sort_values("depth")
    points = line_points(panel.positions(areas["depth"]), areas["area"])
    panel.axes.plot(*points, label="area", color=ink(), **_AREA)
    similarity_axis(panel.axes)


def _small_panels(panel: Panel, rows: pd.DataFrame, epsilons: Sequence[float]) -> None:
    """Draw each curve, and the area, above what chance and labels alone explain."""
    areas = rows.drop_duplicates("depth").sort_values("depth")
    shown: list[tuple[str, pd.DataFrame, str, Any]] = [
        (rf"$\epsilon$ = {epsilon:g}", own, "", {"color": colour(number, len(epsilons))})
        for number, (epsilon, own) in enumerate(_by_epsilon(rows, epsilons))
    ]
    shown.append(("area", areas, "area_", {"color": ink(), **_AREA}))
    width = 1 / len(shown)
    panel.axes.set_title(panel.axes.get_title(), pad=20)  # above the titles of the small panels
    for place, (title, own, of, line) in enumerate(shown):
        small = panel.axes.inset_axes((place * width, 1 + _GAP, 0.88 * width, _SMALL))
        positions = panel.positions(own["depth"])
        for column, fill in _FILLS.values():
            points, level = line_points(positions, own[f"{of}{column}"])
            small.fill_between(points, 0, level, **fill)
        small.plot(*line_points(positions, own["area" if of else "similarity"]), **line)
        small.set_title(title, fontsize=8, color=line["color"], pad=3)
        small.set(xlim=panel.axes.get_xlim(), xticks=[], yticks=[0, 1])
        small.tick_params(labelleft=place == 0, labelsize=8, length=2)
        small.grid(visible=False)
        similarity_axis(small)


def _legend_entries(axes: Axes, summary: pd.DataFrame) -> tuple[list[Any], list[str]]:
    """Return the handles and labels of a legend, with the consensus if it is drawn."""
    handles, labels = axes.get_legend_handles_labels()
    if summary["consensus"].notna().any():
        handles.append(Line2D([], [], color="grey", **_CONSENSUS))
        labels.append("consensus")
    return handles, labels


def describe_similarity_by_depth(summary: pd.DataFrame) -> str:
    """Describe ``similarity_by_depth``."""
    epsilons = listed(f"{epsilon:g}" for epsilon in sorted(summary["epsilon"].unique()))
    return (
        f"One curve per epsilon: {epsilons}. Dashed: the area under the similarity as a function"
        f" of epsilon, the mean of 1 - critical epsilon. Mean over {pairs_and_draws(summary)}."
        f" {band(summary)}{_consensus(summary)}"
        f" {chance(summary, 'Lower area of the small panels', 'Higher area')}"
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
            for level, (column, line) in _LEVELS.items():
                if (curve[column] > 0).any():
                    points = line_points(positions, curve[column])
                    panel.axes.plot(*points, color=shade, **line)
                    drawn.add(level)
        similarity_axis(panel.axes)
        handles, labels = panel.axes.get_legend_handles_labels()
        for level, (_, line) in _LEVELS.items():
            if level in drawn:
                handles.append(Line2D([], [], color="grey", **line))
                labels.append(level)
        panel.axes.legend(handles, labels, title="Compared", **LEGEND_AT_RIGHT)
    return figure


def describe_stages(summary: pd.DataFrame) -> str:
    """Describe ``stages``."""
    own = _at_middle_epsilon(summary)
    level = chance(own.assign(comparison=own["shown"]), "Dotted", "Dash-dotted")  # by curve
    return (
        f"At epsilon {middle_epsilon(summary):g}. Mean over {pairs_and_draws(own)}. {band(own)}"
        f" {level}{few_samples(own)}{comparisons(own)}"
    )


def _at_middle_epsilon(summary: pd.DataFrame) -> pd.DataFrame:
    """Select the middle epsilon; ``comparison`` becomes a panel's title, ``shown`` its curves."""
    own = summary[summary["epsilon"] == middle_epsilon(summary)]
    # Curves of several architectures share a panel, where a layer has one place.
    places = {layer: place for place, layer in enumerate(layers_in_order(own), 1)}
    own = own.assign(depth=own["layer"].map(places)).sort_values("depth", kind="stable")
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
        points, below, above = line_points(positions, low, high)
        panel.axes.fill_between(points, below, above, color=shade, alpha=0.15, linewidth=0)
