"""What many networks share: how universal neurons are, and networks against networks."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..results.registry import layers_in_order, share_column
from ..results.wording import listed
from .captions import comparisons, count_range
from .style import (
    MANY_LAYERS,
    colour,
    label_axes,
    layer_colour_bar,
    layers_of,
    legend,
    marker,
    message_figure,
    middle_epsilon,
    panels,
    similarity_axis,
    styled,
)

_FEWEST_OTHERS = 2  # with one other network, a neuron is matched in it or not: no curve
_TREE = 0.3  # height of a tree as a fraction of its matrix
_MOST_LABELS = 30


@styled
def universality(neurons: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw the share of neurons matched in at least q of the other networks, for every q.

    One panel per comparison with at least three networks, one curve per layer, at the middle
    epsilon. Neurons of all networks are counted together; at q only those of networks that are
    compared with at least q others.
    """
    own = _with_others(neurons)
    if own.empty:
        return message_figure("No comparison compares a network with at least two others.")
    share = share_column(middle_epsilon(summary))
    names = list(own["comparison"].unique())
    figure, grid = panels(names, 6.4 if len(names) == 1 else 3.6)
    most_layers = max(len(layers_of(rows)) for _, rows in own.groupby("comparison"))
    for axes, name in zip(grid, names, strict=True):
        rows = own[own["comparison"] == name]
        layers = layers_of(rows)
        for number, (depth, layer) in enumerate(layers.items()):
            numbers = np.arange(1, rows["others"].max() + 1)
            shares = _at_least(rows[rows["depth"] == depth], share, numbers)
            shade, many = colour(number, len(layers)), most_layers > MANY_LAYERS
            shape: Any = {"marker": None if many else marker(number), "markersize": 4}
            axes.plot(numbers, shares, color=shade, linewidth=1, label=layer, **shape)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        similarity_axis(axes)
    label_axes(figure, grid, "Other networks, at least", "Share of neurons matched in them")
    if most_layers > MANY_LAYERS:
        layer_colour_bar(figure, grid, most_layers)
    else:
        legend(figure, *grid[0].get_legend_handles_labels(), "Layer")
    return figure


def describe_universality(neurons: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Describe ``universality``."""
    own = _with_others(neurons)
    if own.empty:
        return "No comparison compares a network with at least two others."
    keys = ["comparison", "model", "seed", "stage"]
    counts = [len(rows[keys].drop_duplicates()) for _, rows in own.groupby("comparison")]
    return (
        f"At epsilon {middle_epsilon(summary):g}. A neuron is matched in another network if its"
        " critical epsilon there, the mean over draws of positions, is at most epsilon. Neurons of"
        f" {count_range(counts, 'network')} are counted together.{comparisons(own)}"
    )


@styled
def network_matrix(matrix: pd.DataFrame) -> Figure:
    """Draw every network against every other, layer by layer: the area under their similarity.

    Networks that are alike are side by side, below the tree of their clusters (average linkage).
    Grey: not compared. Without all pairs there is no tree, and networks keep their order. Of very
    many layers, a dozen at equal distances is shown.
    """
    layers = _shown(matrix)
    networks = max(rows["position_a"].nunique() for _, rows in matrix.groupby("layer"))
    side = min(4.5, max(1.9, 0.13 * networks))
    columns = min(len(layers), max(1, int(15 / side)), math.ceil(len(layers) ** 0.5) + 1)
    rows_of_panels = math.ceil(len(layers) / columns)
    size = (columns * side + 2.2, rows_of_panels * side * (1 + _TREE) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(
        2 * rows_of_panels,
        columns,
        squeeze=False,
        gridspec_kw={"height_ratios": [_TREE, 1] * rows_of_panels},
    )
    colours = mpl.colormaps["viridis"].with_extremes(bad="lightgrey")
    drawn = []
    for number, layer in enumerate(layers):
        row, column = divmod(number, columns)
        above, axes = grid[2 * row, column], grid[2 * row + 1, column]
        drawn += [above, axes]
        own = matrix[matrix["layer"] == layer]
        values = own.pivot_table("area", "position_a", "position_b", "first")
        image = axes.imshow(values, colours, vmin=0, vmax=1, aspect="auto")
        labels = _labels(matrix, own)
        step = math.ceil(len(labels) / _MOST_LABELS)
        places = range(0, len(labels), step)
        axes.grid(visible=False)  # readers could take grid lines for values
        axes.set_xticks(places, labels[::step], rotation=90, fontsize=6)
        axes.set_yticks(places, labels[::step], fontsize=6)
        above.set_axis_off()
        above.set_xlim(axes.get_xlim())
        above.set_title(layer)
        _tree(above, own)
    for axes in (each for each in grid.ravel() if each not in drawn):
        axes.remove()
    figure.supxlabel("Network", fontsize=10)
    figure.colorbar(image, ax=drawn, label="Area under the similarity", aspect=30)
    return figure


def describe_network_matrix(matrix: pd.DataFrame) -> str:
    """Describe ``network_matrix``."""
    shown, all_layers = _shown(matrix), layers_in_order(matrix)
    layers = matrix[matrix["layer"].isin(shown)].groupby("layer", sort=False)
    clustered = layers["joined_at"].agg(lambda own: bool(own.notna().all()))
    # Two networks are always compared, but have nothing to cluster.
    two = layers["position_a"].nunique() == 2
    incomplete = ~clustered & ~two
    parts = []
    if len(shown) < len(all_layers):
        parts.append(f"{len(shown)} of {len(all_layers)} layers, at equal distances.")
    if clustered.any():
        parts.append(
            "Networks are in the order of their clusters by 1 - area (average linkage); a tree's"
            " height is the distance at which clusters join."
        )
    if two.any():
        parts.append(f"Only two networks are compared in {listed(two.index[two])}: no clusters.")
    if incomplete.any():
        left = "" if incomplete.all() else f" in {listed(incomplete.index[incomplete])}"
        parts.append(
            f"Not every two networks are compared{left}: grey, without clusters, in the order of"
            " the configuration."
        )
    return " ".join(["Mean over draws of positions.", *parts])


def _shown(matrix: pd.DataFrame) -> list[str]:
    """Return the layers that are drawn: all, or a dozen at equal distances."""
    layers = layers_in_order(matrix)
    places = np.linspace(0, len(layers) - 1, min(len(layers), MANY_LAYERS)).round().astype(int)
    return [layers[place] for place in places]


def _with_others(neurons: pd.DataFrame) -> pd.DataFrame:
    """Select comparisons in which some network is compared with at least two others."""
    most = neurons.groupby("comparison")["others"].transform("max")
    return neurons[most >= _FEWEST_OTHERS]


def _at_least(neurons: pd.DataFrame, share: str, numbers: np.ndarray) -> np.ndarray:
    """Return the share of neurons matched in at least q networks, for each q."""
    others = neurons["others"].to_numpy()
    matched = np.rint(neurons[share].to_numpy() * others)
    return np.array([(matched >= q).sum() / (others >= q).sum() for q in numbers])


def _labels(matrix: pd.DataFrame, own: pd.DataFrame) -> list[str]:
    """Name the networks of a layer by what differs between networks, in their order."""
    keys = [key for key in ("model", "seed", "stage") if matrix[f"{key}_a"].nunique() > 1]
    listed_once = own.drop_duplicates("position_a").sort_values("position_a")
    names = listed_once[[f"{key}_a" for key in keys]].astype(str)
    return [" ".join(row) for row in names.itertuples(index=False)]


def _tree(axes: Axes, own: pd.DataFrame) -> None:
    """Draw the tree of clusters above their matrix.

    Neighbours in the order of clusters join in order of height, each at the middle of its cluster.
    """
    heights = own[own["position_b"] == own["position_a"] + 1].sort_values("position_a")
    joined = heights["joined_at"].to_numpy()
    if not len(joined) or np.isnan(joined).any():
        return
    # By the place of each network: the cluster that contains it, as middle, height, first and last.
    clusters = [(float(place), 0.0, place, place) for place in range(len(joined) + 1)]
    for gap in np.argsort(joined, kind="stable"):
        left, right = clusters[gap], clusters[gap + 1]
        height = joined[gap]
        xs, ys = [left[0], left[0], right[0], right[0]], [left[1], height, height, right[1]]
        axes.plot(xs, ys, color="black", linewidth=0.8)
        first, last = left[2], right[3]
        merged = (left[0] + right[0]) / 2, height, first, last
        clusters[first : last + 1] = [merged] * (last - first + 1)
    axes.set_ylim(0, 1.05 * float(joined.max()) or 1.0)
