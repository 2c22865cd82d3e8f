"""Heat map of every layer of one network against every layer of another."""

from __future__ import annotations

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from .captions import comparisons, network_pairs
from .style import message_figure, middle_epsilon, styled

_LABEL_HEIGHT = 0.16  # inches per layer name


@styled
def heat_map(table: pd.DataFrame) -> Figure:
    """Draw the similarity of all pairs of layers at the middle epsilon, and their linear CKA.

    One row of panels per comparison; values are means over pairs of networks.
    """
    if table.empty:
        return message_figure("This run has no heat map: none was asked for.")
    epsilon = middle_epsilon(table)
    own = table[table["epsilon"] == epsilon]
    names = list(own["comparison"].unique())
    most = max(own.groupby("comparison")[side].nunique().max() for side in ("depth_a", "depth_b"))
    side = min(6.0, max(3.0, 0.17 * most))
    figure = Figure(figsize=(2 * side + 2.2, len(names) * (side + 0.8)), layout="constrained")
    grid = figure.subplots(len(names), 2, squeeze=False)
    columns = {rf"Match, $\epsilon$ = {epsilon:g}": "similarity", "Linear CKA": "linear_cka"}
    for row, name in zip(grid, names, strict=True):
        rows = own[own["comparison"] == name]
        for axes, (title, column) in zip(row, columns.items(), strict=True):
            values = rows.pivot_table(column, "depth_a", "depth_b", "mean", dropna=False)
            axes.grid(visible=False)  # readers could take grid lines for values
            image = axes.imshow(
                values, mpl.colormaps["viridis"], vmin=0, vmax=1, origin="lower", aspect="auto"
            )
            for network, axis in (("b", axes.xaxis), ("a", axes.yaxis)):
                listed = rows.drop_duplicates(f"depth_{network}").sort_values(f"depth_{network}")
                layers = list(listed[f"layer_{network}"])
                step = math.ceil(len(layers) * _LABEL_HEIGHT / (side - 0.4))
                axis.set_ticks(range(0, len(layers), step), layers[::step])
                axis.set_label_text(f"Layer of network {network.upper()}")
            axes.tick_params("x", rotation=90)
            axes.set_title(title if len(names) == 1 else f"{name}: {title}")
    figure.colorbar(image, ax=grid, label="Similarity", aspect=30, shrink=min(1, 1.6 / len(names)))
    return figure


def describe_heat_map(table: pd.DataFrame) -> str:
    """Describe ``heat_map``."""
    return (
        f"At epsilon {middle_epsilon(table):g}. Mean over {network_pairs(table)}, on one draw of"
        f" positions that all layers share.{comparisons(table, 'Rows')}"
    )
