"""Similarity by depth on images on which nothing was fitted, beside the similarity in-sample."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..results.wording import listed
from .captions import comparisons, few_samples, layers_without, pairs_and_draws
from .style import colour, layer_panels, legend, line_points, similarity_axis, styled

_LINES: dict[str, Any] = {"in-sample": "-", "cross-fitted": "--", "held-out": ":"}
_LINE: Any = {"linewidth": 1.3}


@styled
def cross_fitted(summary: pd.DataFrame) -> Figure:
    """Draw in-sample and cross-fitted similarity of every layer.

    One panel per comparison, one colour per epsilon: in-sample solid, cross-fitted dashed. The area
    under the similarity curve is black; its held-out value is dotted.
    """
    figure, parts = layer_panels(summary, "Maximum matching similarity")
    epsilons = sorted(summary["epsilon"].unique(), reverse=True)
    shades = [colour(number, len(epsilons)) for number in range(len(epsilons))]
    for panel in parts:
        rows = panel.rows(summary).sort_values("depth")
        for epsilon, shade in zip(epsilons, shades, strict=True):
            own = rows[rows["epsilon"] == epsilon]
            for name, column in zip(_LINES, ("similarity", "cross_fitted"), strict=False):
                style = {"color": shade, "linestyle": _LINES[name], **_LINE}
                panel.axes.plot(*line_points(panel.positions(own["depth"]), own[column]), **style)
        areas = rows.drop_duplicates("depth")
        columns = ("area", "cross_fitted_area", "held_out_area")
        for line, column in zip(_LINES.values(), columns, strict=True):
            style = {"color": "black", "linestyle": line, **_LINE, "linewidth": 2.0}
            panel.axes.plot(*line_points(panel.positions(areas["depth"]), areas[column]), **style)
        similarity_axis(panel.axes)
    handles = [Line2D([], [], color=shade, **_LINE) for shade in shades]
    handles.append(Line2D([], [], color="black", linewidth=2.0))
    handles += [Line2D([], [], color="grey", linestyle=line, **_LINE) for line in _LINES.values()]
    labels = [*(f"{epsilon:g}" for epsilon in epsilons), "area", *_LINES]
    legend(figure, handles, labels, r"$\epsilon$")
    return figure


def describe_cross_fitted(summary: pd.DataFrame) -> str:
    """Describe ``cross_fitted``."""
    epsilons = listed(f"{epsilon:g}" for epsilon in sorted(summary["epsilon"].unique()))
    unknown = layers_without(summary, "cross_fitted")
    missing = f" Too few images for dashed lines: {listed(unknown)}." if unknown else ""
    return (
        "Solid: distances measured on the images on which they were fitted, which makes them too"
        " small. Dashed: cross-fitted, each distance being the geometric mean of the distance on"
        " the half of the images on which it was fitted and on the other half. Dotted: measured on"
        " the other half only, which makes distances too large. One colour per epsilon:"
        f" {epsilons}; black: area under the similarity curve. Mean over"
        f" {pairs_and_draws(summary)}.{missing}{few_samples(summary)}{comparisons(summary)}"
    )
