"""Style, panels, layer axis and saving, shared by the figures.

Colours come from viridis, whose order is visible with any colour vision and in greyscale. Where
there are few curves, their markers differ too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from ..storage.files import atomic_write

_STYLE: Any = {
    "font.size": 9,
    "axes.labelsize": 10,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 200,
    # Keep text as text, and give the same bytes for the same table.
    "svg.fonttype": "none",
    "svg.hashsalt": "subspace-match",
}
MANY_LAYERS = 12  # above this, a colour bar is easier to read than a legend
LEGEND_AT_RIGHT: Any = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
_MARKERS = "osD^vPX*<>"
_MAX_WIDTH = 16.0  # inches
_LABEL_WIDTH = 0.19  # inches per layer name
_HALF_OF_A_LAYER = 0.2  # what a line shows on each side of a layer without neighbours

_DARK: Any = {
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "#0d1117"),
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), "#e6edf3"),
    **dict.fromkeys(("xtick.color", "ytick.color"), "#e6edf3"),
}

# Decorator of every function that draws.
styled = mpl.rc_context(_STYLE)


def dark() -> AbstractContextManager[None]:
    """Draw and save light figures on a dark ground within this context, for dark pages."""
    return mpl.rc_context(_DARK)


def ink() -> Any:
    """Return the colour of text, for lines that belong to no epsilon."""
    return mpl.rcParams["text.color"]


class Panel(NamedTuple):
    """The part of a figure that shows one comparison.

    The horizontal position of a layer is its number, from 0. ``layers`` has names by depth.
    """

    comparison: str
    axes: Axes
    layers: pd.Series[str]

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table for this comparison."""
        return table[table["comparison"] == self.comparison]

    def positions(self, depths: Any) -> np.ndarray:
        """Return horizontal positions."""
        return np.searchsorted(self.layers.index, np.asarray(depths, dtype=int))


def save(figure: Figure, *paths: str | Path) -> None:
    """Write a figure in the format of each path's suffix, without a time stamp.

    All formats share one layout and one frame, because to find these takes as long as to draw.
    """
    with mpl.rc_context(_STYLE):
        figure.set_dpi(mpl.rcParams["savefig.dpi"])
        figure.draw_without_rendering()
        frame = figure.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
        figure.set_layout_engine(None)
        for path in paths:
            kind = Path(path).suffix.removeprefix(".")
            no_date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
            with atomic_write(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=no_date, bbox_inches=frame)


def panels(titles: Sequence[str], width: float, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """Create a figure with one panel per title and a shared vertical axis.

    A single panel shows no title. Width and height of a panel are in inches.
    """
    columns = _columns(len(titles), width)
    rows = math.ceil(len(titles) / columns)
    size = (columns * width, rows * height + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes in grid[len(titles) :]:
        axes.remove()
    used = list(grid[: len(titles)])
    if len(titles) > 1:
        for axes, title in zip(used, titles, strict=True):
            axes.set_title(title)
    return figure, used


def layer_panels(
    table: pd.DataFrame, label: str, beside: float = 0, height: float = 2.9, legend: float = 0
) -> tuple[Figure, list[Panel]]:
    """Create one panel per comparison of the table, with layers on the horizontal axis.

    ``label`` names the vertical axis; ``beside`` is the width of a panel's own legend, ``height``
    the height of a panel, and ``legend`` how much a common legend is wider than usual, in inches.
    """
    names = list(table["comparison"].unique())
    layers = [layers_of(table[table["comparison"] == name]) for name in names]
    most = max(map(len, layers))
    width = 1.7 + 0.5 * most if len(names) == 1 else 0.9 + 0.27 * most
    width = min(_MAX_WIDTH, max(5.8 if len(names) == 1 else 3.4, width))
    figure, grid = panels(names, width + beside, height)
    figure.set_figwidth(figure.get_figwidth() + legend)
    same_layers = all(own.equals(layers[0]) for own in layers)
    columns = _columns(len(names), width + beside)
    for number, (axes, own) in enumerate(zip(grid, layers, strict=True)):
        has_panel_below = number + columns < len(names)
        layer_axis(axes, own, width - 1, labelled=not (same_layers and has_panel_below))
    label_axes(figure, grid, layer_label(layers), label)
    return figure, [Panel(*parts) for parts in zip(names, grid, layers, strict=True)]


def layer_axis(axes: Axes, layers: pd.Series[str], inches: float, *, labelled: bool = True) -> None:
    """Label as many layers as fit below an axis of this length."""
    named = range(0, len(layers), math.ceil(len(layers) * _LABEL_WIDTH / inches))
    horizontal = inches / len(named) > 0.09 * layers.str.len().max()
    labels = [layers.iloc[number] if labelled else "" for number in named]
    axes.set_xticks(named, labels, rotation=0 if horizontal else 90)
    axes.set_xticks(range(len(layers)), minor=True)
    axes.set_xlim(-0.5, len(layers) - 0.5)


def line_points(positions: Any, *values: Any) -> tuple[np.ndarray, ...]:
    """Return the points of lines through layers, in which a layer alone is a short line.

    A line through a single point would not be seen: in a run of one layer, or between layers whose
    values are not known.

    Args:
        positions: (layers,) of the layers.
        values: (layers,) each; NaN if not known.

    Returns:
        Positions and values of the points.

    Example:
        >>> line_points([0, 1, 2], [np.nan, 0.5, np.nan])
        (array([0. , 0.8, 1.2, 2. ]), array([nan, 0.5, 0.5, nan]))
    """
    columns = [np.asarray(column, dtype=float) for column in (positions, *values)]
    known = np.concatenate([[False], np.isfinite(columns).all(0), [False]])
    is_alone = known[1:-1] & ~known[:-2] & ~known[2:]
    points, *rest = (np.repeat(column, 1 + is_alone) for column in columns)
    second = np.cumsum(1 + is_alone)[is_alone] - 1
    points[second - 1] -= _HALF_OF_A_LAYER
    points[second] += _HALF_OF_A_LAYER
    return points, *rest


def label_axes(figure: Figure, grid: Sequence[Axes], horizontal: str, vertical: str) -> None:
    """Label the axes once for all panels."""
    if len(grid) == 1:
        grid[0].set(xlabel=horizontal, ylabel=vertical)
    else:
        figure.supxlabel(horizontal, fontsize=10)
        figure.supylabel(vertical, fontsize=10)


def layer_label(layers: Iterable[pd.Series[str]]) -> str:
    """Return the label of the layer axis, which explains the asterisk if there is one."""
    marked = any(own.str.endswith("*").any() for own in layers)
    return "Layer, from input to output" + ("; * few images for its neurons" if marked else "")


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], title: str) -> Legend:
    """Add one legend for all panels at the right."""
    return figure.legend(handles, labels, title=title, loc="outside right center")


def layer_colour_bar(figure: Figure, grid: Sequence[Axes], count: int) -> None:
    """Add a colour bar, in place of a legend with very many layers."""
    scale = ScalarMappable(mpl.colors.Normalize(1, max(2, count)), colours())
    figure.colorbar(scale, ax=list(grid), label="Layer, from input to output", aspect=30)


def similarity_axis(axes: Axes) -> None:
    """Set the vertical axis to 0..1, with a margin so that curves at 0 and 1 are not clipped."""
    axes.set_ylim(-0.02, 1.02)


def message_figure(message: str) -> Figure:
    """Create a figure that only says why there is nothing to draw."""
    figure = Figure(figsize=(5.8, 1.2))
    figure.text(0.5, 0.5, message, ha="center", va="center", wrap=True)
    return figure


def layers_of(table: pd.DataFrame) -> pd.Series[str]:
    """Return layer names by depth, with an asterisk where ``few_samples`` is true."""
    own = table.drop_duplicates("depth").sort_values("depth").set_index("depth")
    if "few_samples" not in table:
        return own["layer"]
    marked = table.groupby("depth")["few_samples"].any().loc[own.index]
    return own["layer"] + np.where(marked, "*", "")


def middle_epsilon(table: pd.DataFrame) -> float:
    """Return the middle epsilon of the grid, for figures that show only one."""
    epsilons = np.sort(table["epsilon"].unique())
    return float(epsilons[len(epsilons) // 2])


def colours() -> mpl.colors.ListedColormap:
    """Return viridis without the end that is too faint on the ground: light yellows on white."""
    is_dark = mpl.colors.to_rgb(mpl.rcParams["axes.facecolor"]) < (0.5, 0.5, 0.5)
    first, last = (0.3, 1) if is_dark else (0, 0.9)
    return mpl.colors.ListedColormap(mpl.colormaps["viridis"](np.linspace(first, last, 256)))


def colour(number: int, count: int) -> tuple[float, float, float, float]:
    """Return the colour of curve ``number`` of ``count``."""
    return colours()(number / max(1, count - 1))


def marker(number: int) -> str:
    """Return the marker of curve ``number``."""
    return _MARKERS[number % len(_MARKERS)]


def _columns(count: int, width: float) -> int:
    """Return the fewest columns that need no more rows than the widest grid does."""
    rows = math.ceil(count / max(1, int(_MAX_WIDTH / width)))
    return math.ceil(count / rows)
