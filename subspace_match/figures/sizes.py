"""Sizes of minimal matches: Figure 2 of Wang et al. (2018)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .captions import comparisons, few_samples, network_pairs
from .style import (
    LEGEND_AT_RIGHT,
    Panel,
    colour,
    layer_axis,
    layer_label,
    layers_of,
    message_figure,
    similarity_axis,
    styled,
)

NO_MATCHES = "This run has no minimal matches:\nnone were asked for, or no layer had a match."
_AT_EACH_END = 2  # layers near the input, and near the output, with a distribution


@styled
def minimal_matches(minimal: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw the size of every neuron's minimal match (Wang et al. 2018, Figure 2).

    At the largest epsilon of the table, one row of panels per comparison. Left: one point per
    neuron, by layer; a layer without points has no match, or its minimal matches were not asked
    for. Right: the distribution in the layers nearest the input and nearest the output.
    """
    if minimal.empty:
        return message_figure(NO_MATCHES)
    own = minimal[minimal["epsilon"] == minimal["epsilon"].max()]
    own = own.assign(size=(own["size_a"] + own["size_b"]).astype(int))
    names = [name for name in summary["comparison"].unique() if (own["comparison"] == name).any()]
    layers = [layers_of(summary[summary["comparison"] == name]) for name in names]
    width = min(10.5, max(4.2, 1.2 + 0.42 * max(map(len, layers))))
    figure = Figure(figsize=(width + 4.4, 3.2 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), 2, width_ratios=(width, 3), squeeze=False)
    largest = 1.3 * own["size"].max()
    for (left, right), name, listed in zip(grid, names, layers, strict=True):
        panel = Panel(name, left, listed)
        rows = panel.rows(own)
        _points(panel, rows)
        left.set_ylim(1.6, largest)
        layer_axis(left, listed, width - 1)
        _distributions(right, rows, largest)
        if len(names) > 1:
            left.set_title(name, loc="left")
    at = rf"at $\epsilon$ = {own['epsilon'].max():g}"
    grid[-1, 0].set_xlabel(layer_label(layers))
    for left in grid[:, 0]:
        left.set_ylabel(f"Neurons in the minimal match\n{at}")
    return figure


def describe_minimal_matches(minimal: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Describe ``minimal_matches``."""
    epsilon = minimal["epsilon"].max()
    own = minimal[minimal["epsilon"] == epsilon]
    return (
        f"At epsilon {epsilon:g}. Left: bars are medians; a layer without points has no match, or"
        " its minimal matches were not asked for. Right: the fraction of neurons whose minimal"
        " match has at most that size, in the layers nearest the input and nearest the output that"
        f" have minimal matches. {network_pairs(own)}, first draw of positions."
        f"{few_samples(summary)}{comparisons(own, 'Rows')}"
    )


def _points(panel: Panel, rows: pd.DataFrame) -> None:
    """Draw the size of every neuron's match above its layer, and medians."""
    axes, position = panel.axes, panel.positions(rows["depth"])
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(rows))
    points: Any = {"s": 7, "color": colour(2, 5), "alpha": 0.4, "linewidths": 0}
    # Thousands of points would make the vector file megabytes large.
    axes.scatter(position + jitter, rows["size"], rasterized=True, label="of a neuron", **points)
    median = rows["size"].groupby(position).median()
    axes.hlines(median, median.index - 0.35, median.index + 0.35, color="black", label="median")
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)


def _distributions(axes: Axes, rows: pd.DataFrame, largest: float) -> None:
    """Draw the cumulative distribution of sizes for the first and the last layers."""
    found = layers_of(rows)
    near_output = found.iloc[max(_AT_EACH_END, len(found) - _AT_EACH_END) :]
    chosen = pd.concat([found.iloc[:_AT_EACH_END], near_output])
    for number, (depth, name) in enumerate(chosen.items()):
        sizes = np.sort(rows.loc[rows["depth"] == depth, "size"])
        axes.step(
            [1, *sizes, largest],
            [0, *np.arange(1, len(sizes) + 1) / len(sizes), 1],
            where="post",
            color=colour(number, len(chosen)),
            linestyle="-" if number < _AT_EACH_END else "--",
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(1.6, largest)
    similarity_axis(axes)
    axes.set_xlabel("Neurons in the minimal match, at most")
    axes.set_ylabel("Share of matched neurons")
    axes.legend(title="Layer", **LEGEND_AT_RIGHT)
