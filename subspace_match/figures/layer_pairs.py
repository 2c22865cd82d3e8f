"""Heat map of every layer of one network against every layer of another."""

from __future__ import annotations

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

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
            image = draw_heat_map(axes, rows, column, side - 0.4)
            axes.set_title(title if len(names) == 1 else f"{name}: {title}")
    figure.colorbar(image, ax=grid, label="Similarity", aspect=30, shrink=min(1, 1.6 / len(names)))
    return figure


def draw_heat_map(
    axes: Axes, table: pd.DataFrame, column: str, side: float | None = None
) -> AxesImage:
    """Draw one column of a heat map at one epsilon, of one comparison.

    Args:
        axes: matplotlib axes.
        table: rows of the table ``heat_map``.
        column: "similarity" or "linear_cka".
        side: length in inches of the axes' sides; None to measure it.
    """
    if side is None:
        figure = axes.get_figure(root=True)
        size = (6.0, 4.5) if figure is None else figure.get_size_inches()
        side = min(size[0] * axes.get_position().width, size[1] * axes.get_position().height)
    values = table.pivot_table(column, "depth_a", "depth_b", "mean", dropna=False)
    axes.grid(visible=False)  # readers could take grid lines for values
    image = axes.imshow(
        values, mpl.colormaps["viridis"], vmin=0, vmax=1, origin="lower", aspect="auto"
    )
    for network, axis in (("b", axes.xaxis), ("a", axes.yaxis)):
        listed = table.drop_duplicates(f"depth_{network}").sort_values(f"depth_{network}")
        layers = list(listed[f"layer_{network}"])
        step = math.ceil(len(layers) * _LABEL_HEIGHT / side)
        axis.set_ticks(range(0, len(layers), step), layers[::step])
        axis.set_label_text(f"Layer of network {network.upper()}")
    axes.tick_params("x", rotation=90)
    return image


def describe_heat_map(table: pd.DataFrame) -> str:
    """Describe ``heat_map``."""
    unknown = ""
    if table["linear_cka"].isna().any():
        unknown = " Linear CKA is not defined for a layer whose neurons are all constant."
    return (
        f"At epsilon {middle_epsilon(table):g}. Mean over {network_pairs(table)}, on one draw of"
        f" positions that all layers share.{unknown}{comparisons(table, 'Rows')}"
    )
