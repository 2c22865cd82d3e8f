"""Figures of critical epsilons: the exact similarity curve of each layer, and single neurons."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..matching.curve import EPSILON_LABEL, SIMILARITY_LABEL, draw_curve, finish_curves
from .captions import comparisons, count_range, network_pairs
from .style import (
    MANY_LAYERS,
    colour,
    label_axes,
    layer_colour_bar,
    layer_panels,
    layers_of,
    legend,
    panels,
    styled,
)


@styled
def similarity_by_epsilon(neurons: pd.DataFrame) -> Figure:
    """Draw the similarity of every layer against epsilon, all pairs and draws pooled."""
    names = list(neurons["comparison"].unique())
    figure, grid = panels(names, 6.4 if len(names) == 1 else 3.6)
    by_comparison = [neurons[neurons["comparison"] == name] for name in names]
    layers_by_panel = list(map(layers_of, by_comparison))
    for axes, rows, layers in zip(grid, by_comparison, layers_by_panel, strict=True):
        by_depth = rows.groupby("depth")["critical_epsilon"]
        width = 1.3 if len(layers) <= MANY_LAYERS else 0.8
        for number, (depth, layer) in enumerate(layers.items()):
            critical = by_depth.get_group(depth).to_numpy()
            shade = colour(number, len(layers))
            draw_curve(axes, critical, color=shade, linewidth=width, label=layer)
        finish_curves(axes)
    label_axes(figure, grid, EPSILON_LABEL, SIMILARITY_LABEL)
    first = layers_by_panel[0]
    if len(first) <= MANY_LAYERS and all(layers.equals(first) for layers in layers_by_panel):
        legend(figure, *grid[0].get_legend_handles_labels(), "Layer")
    else:
        layer_colour_bar(figure, grid, max(map(len, layers_by_panel)))
    return figure


def describe_similarity_by_epsilon(neurons: pd.DataFrame) -> str:
    """Describe ``similarity_by_epsilon``."""
    draws = neurons.groupby(["comparison", "depth"])["draw"].nunique()
    return (
        f"Pooled over {network_pairs(neurons)} and {count_range(draws, 'draw')} of positions."
        f"{comparisons(neurons)}"
    )


@styled
def critical_epsilons(neurons: pd.DataFrame) -> Figure:
    """Draw critical epsilons of all neurons, and medians: all pairs, first draw of positions."""
    first = neurons[neurons["draw"] == neurons["draw"].min()]
    figure, parts = layer_panels(first, r"Critical $\epsilon$ of a neuron")
    rng = np.random.default_rng(0)  # only spreads the points sideways
    styles = {"a": ("o", colour(0, 5), -0.2), "b": ("^", colour(3, 5), 0.2)}
    for panel in parts:
        rows = panel.rows(first[~first["dead"]])
        for network, (shape, shade, shift) in styles.items():
            own = rows[rows["network"] == network]
            panel.axes.scatter(
                panel.positions(own["depth"]) + shift + rng.uniform(-0.13, 0.13, len(own)),
                own["critical_epsilon"],
                s=7,
                marker=shape,
                color=shade,
                alpha=0.5,
                linewidths=0,
                label=network.upper(),
                rasterized=True,  # thousands of points would make the vector file megabytes large
            )
            median = own.groupby("depth")["critical_epsilon"].median()
            middle = panel.positions(median.index) + shift
            panel.axes.hlines(median, middle - 0.17, middle + 0.17, color="black", linewidth=1.2)
    # The panels share this axis.
    parts[0].axes.set_ylim(0, 1.04 * max(0.01, first["critical_epsilon"].max()))
    shown = legend(figure, *parts[0].axes.get_legend_handles_labels(), "Network")
    for handle in shown.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return figure


def describe_critical_epsilons(neurons: pd.DataFrame) -> str:
    """Describe ``critical_epsilons``."""
    first = neurons[neurons["draw"] == neurons["draw"].min()]
    return (
        f"Network A left, network B right; bars are medians. {network_pairs(first)}, first draw of"
        f" positions. Dead neurons have no critical epsilon.{comparisons(first)}"
    )
