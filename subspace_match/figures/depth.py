"""Similarity by depth: the paper's Figures 1 and 3, and 4 for stages of training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .style import (
    BESIDE,
    Panel,
    colour,
    layer_panels,
    legend,
    marker,
    middle_epsilon,
    share_axis,
    styled,
)

SAME_SEED = ", same seed"  # ends the words for a comparison of networks of one seed
_CHANCE: Any = {"alpha": 0.25, "hatch": "////", "linewidth": 0}
_SIMILARITY = "Maximum matching similarity"


@styled
def similarity_by_depth(summary: pd.DataFrame) -> Figure:
    """Maximum matching similarity of every layer, a curve an epsilon (Wang et al. 2018, Figure 1).

    A panel a comparison. The curve is the mean over pairs of networks and draws of positions, the
    band holds 95% of all pairs' draws. What 95% of the permutations of images do not exceed is
    hatched in the curve's colour, where it is not 0. Layers of more than 0.2 neurons a sample are
    marked with an asterisk.
    """
    figure, parts = layer_panels(summary, _SIMILARITY)
    epsilons = sorted(summary["epsilon"].unique(), reverse=True)
    chance = False
    for panel in parts:
        rows = panel.rows(summary)
        for number, epsilon in enumerate(epsilons):
            own = rows[rows["epsilon"] == epsilon].sort_values("depth")
            _curve(panel, own, number, len(epsilons), f"{epsilon:g}")
            if (own["null_95"] > 0).any():
                places, shade = panel.places(own["depth"]), colour(number, len(epsilons))
                panel.axes.fill_between(places, 0, own["null_95"], color=shade, **_CHANCE)
                chance = True
        share_axis(panel.axes)
    handles, labels = parts[0].axes.get_legend_handles_labels()
    if chance:
        handles.append(Patch(facecolor="grey", **_CHANCE))
        labels.append("chance, 95%")
    legend(figure, handles, labels, r"$\epsilon$")
    return figure


@styled
def stages(summary: pd.DataFrame) -> Figure:
    """Similarity by depth at the middle epsilon, a curve a comparison (Wang et al. 2018, Figure 4).

    One panel for two networks, and one for a network against itself at another stage, if the
    experiment has both. Bands as in ``similarity_by_depth``; dotted in a curve's colour is what 95%
    of the permutations of images do not exceed.
    """
    own = summary[summary["epsilon"] == middle_epsilon(summary)].sort_values("depth", kind="stable")
    groups = stage_groups(own["comparison"].unique())
    grouped = own.assign(comparison=own["comparison"].map(groups), shown=own["comparison"])
    figure, parts = layer_panels(grouped, _SIMILARITY, beside=1.6)
    for panel in parts:
        rows = panel.rows(grouped)
        shown = list(rows["shown"].unique())
        for number, name in enumerate(shown):
            curve = rows[rows["shown"] == name]
            _curve(panel, curve, number, len(shown), name.removesuffix(SAME_SEED))
            if (curve["null_95"] > 0).any():
                shade = colour(number, len(shown))
                places = panel.places(curve["depth"])
                panel.axes.plot(places, curve["null_95"], color=shade, linestyle=":", linewidth=1)
        share_axis(panel.axes)
        handles, labels = panel.axes.get_legend_handles_labels()
        if (rows["null_95"] > 0).any():
            handles.append(Line2D([], [], color="grey", linestyle=":", linewidth=1))
            labels.append("chance, 95%")
        panel.axes.legend(handles, labels, title="Compared", **BESIDE)
    return figure


def stage_groups(comparisons: Iterable[str]) -> dict[str, str]:
    """The title of the panel of ``stages`` that each comparison is in.

    Example:
        >>> stage_groups(["last", "initial to last, same seed"])  # doctest: +NORMALIZE_WHITESPACE
        {'last': 'Two networks at equal stages',
         'initial to last, same seed': 'A network against itself'}
    """
    names = list(comparisons)
    of_two = [name for name in names if not name.endswith(SAME_SEED)]
    equal = " at equal stages" if all(" to " not in name for name in of_two) else ""
    return {
        name: f"Two networks{equal}" if name in of_two else "A network against itself"
        for name in names
    }


def _curve(panel: Panel, rows: pd.DataFrame, number: int, count: int, label: str) -> None:
    """The mean of every layer, and the band around it where there is one."""
    places, shade, many = panel.places(rows["depth"]), colour(number, count), len(rows) > 30
    panel.axes.plot(
        places,
        rows["similarity"],
        color=shade,
        marker=marker(number),
        markersize=3 if many else 5,
        linewidth=1 if many else 1.5,
        label=label,
    )
    if (rows["high"] > rows["low"]).any():
        low, high = rows["low"], rows["high"]
        panel.axes.fill_between(places, low, high, color=shade, alpha=0.15, linewidth=0)
