"""Every layer of one network against every layer of another."""

from __future__ import annotations

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from .style import in_words, middle_epsilon, styled

NO_HEAT_MAP = "This run has no heat map: none was asked for."
_TICK = 0.16  # inches that a layer's name needs


@styled
def heat_map(table: pd.DataFrame) -> Figure:
    """Similarity at the middle epsilon of every layer of A with every one of B, and linear CKA.

    A row of panels a comparison. Means over pairs of networks.
    """
    if table.empty:
        return in_words(NO_HEAT_MAP)
    epsilon = middle_epsilon(table)
    own = table[table["epsilon"] == epsilon]
    names = list(own["comparison"].unique())
    most = max(own.groupby("comparison")[side].nunique().max() for side in ("depth_a", "depth_b"))
    side = min(6.0, max(3.0, 0.17 * most))
    figure = Figure(figsize=(2 * side + 2.2, len(names) * (side + 0.8)), layout="constrained")
    grid = figure.subplots(len(names), 2, squeeze=False)
    for row, name in zip(grid, names, strict=True):
        measured = {
            rf"Match, $\epsilon$ = {epsilon:g}": "similarity",
            "Linear CKA": "linear_cka",
        }
        for axes, (title, column) in zip(row, measured.items(), strict=True):
            rows = own[own["comparison"] == name]
            values = rows.pivot_table(column, "depth_a", "depth_b", "mean", dropna=False)
            # Not drawn on a grid, whose lines would be taken for values.
            axes.grid(visible=False)
            image = axes.imshow(
                values, mpl.colormaps["viridis"], vmin=0, vmax=1, origin="lower", aspect="auto"
            )
            for which, axis in (("b", axes.xaxis), ("a", axes.yaxis)):
                listed = rows.drop_duplicates(f"depth_{which}").sort_values(f"depth_{which}")
                layers = list(listed[f"layer_{which}"])
                named = range(0, len(layers), math.ceil(len(layers) * _TICK / (side - 0.4)))
                axis.set_ticks(named, [layers[place] for place in named])
                axis.set_label_text(f"Layer of network {which.upper()}")
            axes.tick_params("x", rotation=90)
            axes.set_title(title if len(names) == 1 else f"{name}: {title}")
    figure.colorbar(image, ax=grid, label="Similarity", aspect=30, shrink=min(1, 1.6 / len(names)))
    return figure
