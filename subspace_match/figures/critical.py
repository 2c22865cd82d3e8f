"""What critical epsilons show: the exact curve of every layer, and every neuron's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .style import (
    MANY_LAYERS,
    colour,
    label_axes,
    layer_colours,
    layer_panels,
    layers_of,
    legend,
    panels,
    share_axis,
    styled,
)

# More than a figure resolves; the steps themselves are as many as neurons in all draws and pairs.
_EPSILONS = np.linspace(0, 1, 501)


@styled
def similarity_by_epsilon(neurons: pd.DataFrame) -> Figure:
    """The similarity of every layer against epsilon, all pairs and draws together."""
    by_comparison = list(neurons.groupby("comparison", sort=False))
    names = [str(name) for name, _ in by_comparison]
    figure, grid = panels(names, 6.4 if len(names) == 1 else 3.6)
    every = [layers_of(own) for _, own in by_comparison]
    for axes, (_, rows), layers in zip(grid, by_comparison, every, strict=True):
        by_depth = rows.groupby("depth")["critical_epsilon"]
        width = 1.3 if len(layers) <= MANY_LAYERS else 0.8
        for number, (depth, layer) in enumerate(layers.items()):
            # A dead neuron's NaN comes last: it never matches, and counts among the neurons.
            critical = np.sort(by_depth.get_group(depth))
            share = np.searchsorted(critical, _EPSILONS, side="right") / len(critical)
            shade = colour(number, len(layers))
            axes.step(_EPSILONS, share, where="post", color=shade, linewidth=width, label=layer)
        axes.set_xlim(0, 1)
        share_axis(axes)
    label_axes(figure, grid, r"$\epsilon$ (relative distance)", "Maximum matching similarity")
    if len(every[0]) <= MANY_LAYERS and all(own.equals(every[0]) for own in every):
        legend(figure, *grid[0].get_legend_handles_labels(), "Layer")
    else:
        layer_colours(figure, grid, max(map(len, every)))
    return figure


@styled
def critical_epsilons(neurons: pd.DataFrame) -> Figure:
    """Critical epsilon of every neuron by layer, network A left, B right, and their medians.

    Of all pairs, at the first draw of positions.
    """
    first = neurons[neurons["draw"] == neurons["draw"].min()]
    figure, parts = layer_panels(first, r"Critical $\epsilon$ of a neuron")
    rng = np.random.default_rng(0)  # spreads points sideways, nothing else
    for panel in parts:
        rows = panel.rows(first[~first["dead"]])
        for network, shape, shade, shift in (
            ("a", "o", colour(0, 5), -0.2),
            ("b", "^", colour(3, 5), 0.2),
        ):
            own = rows[rows["network"] == network]
            panel.axes.scatter(
                panel.places(own["depth"]) + shift + rng.uniform(-0.13, 0.13, len(own)),
                own["critical_epsilon"],
                s=7,
                marker=shape,
                color=shade,
                alpha=0.5,
                linewidths=0,
                label=network.upper(),
                rasterized=True,  # thousands of points would make a vector file of megabytes
            )
            median = own.groupby("depth")["critical_epsilon"].median()
            middle = panel.places(median.index) + shift
            panel.axes.hlines(median, middle - 0.17, middle + 0.17, color="black", linewidth=1.2)
    # All panels', which share the axis.
    parts[0].axes.set_ylim(0, 1.04 * max(0.01, first["critical_epsilon"].max()))
    shown = legend(figure, *parts[0].axes.get_legend_handles_labels(), "Network")
    for handle in shown.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return figure
