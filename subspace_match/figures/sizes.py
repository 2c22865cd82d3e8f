"""Sizes of minimal matches: the paper's Figure 2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import (
    BESIDE,
    Panel,
    colour,
    in_words,
    layer_axis,
    layer_label,
    layers_of,
    share_axis,
    styled,
)

NO_MATCHES = "This run has no minimal matches:\nnone were asked for, or no layer had a match."
_NEAR = 2  # layers near the input, and near the output, whose distributions are drawn


@styled
def minimal_matches(minimal: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Sizes of minimal matches, every neuron's (Wang et al. 2018, Figure 2).

    At the largest epsilon in the table. A row a comparison: on the left every neuron is a point by
    layer; a layer without points has no match, or its minimal matches were not asked for. On the
    right is the distribution in the layers nearest the input and nearest the output.
    """
    if minimal.empty:
        return in_words(NO_MATCHES)
    own = minimal[minimal["epsilon"] == minimal["epsilon"].max()]
    own = own.assign(size=(own["size_a"] + own["size_b"]).astype(int), depth=own["depth"])
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


def _points(panel: Panel, rows: pd.DataFrame) -> None:
    """Every neuron's size over its layer, and medians."""
    axes, place = panel.axes, panel.places(rows["depth"])
    aside = np.random.default_rng(0).uniform(-0.3, 0.3, len(rows))
    points: Any = {"s": 7, "color": colour(2, 5), "alpha": 0.4, "linewidths": 0}
    # Thousands of points would make a vector file of megabytes.
    axes.scatter(place + aside, rows["size"], rasterized=True, label="of a neuron", **points)
    median = rows["size"].groupby(place).median()
    axes.hlines(median, median.index - 0.35, median.index + 0.35, color="black", label="median")
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)


def _distributions(axes: Axes, rows: pd.DataFrame, largest: float) -> None:
    """Share of neurons whose minimal match has at most so many neurons, layers at both ends."""
    found = layers_of(rows)
    near_output = found.iloc[max(_NEAR, len(found) - _NEAR) :]
    chosen = pd.concat([found.iloc[:_NEAR], near_output])
    for number, (depth, name) in enumerate(chosen.items()):
        sizes = np.sort(rows.loc[rows["depth"] == depth, "size"])
        axes.step(
            [1, *sizes, largest],
            [0, *np.arange(1, len(sizes) + 1) / len(sizes), 1],
            where="post",
            color=colour(number, len(chosen)),
            linestyle="-" if number < _NEAR else "--",
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(1.6, largest)
    share_axis(axes)
    axes.set_xlabel("Neurons in the minimal match, at most")
    axes.set_ylabel("Share of matched neurons")
    axes.legend(title="Layer", **BESIDE)
