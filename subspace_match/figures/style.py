"""What the figures share: style, panels, the axis of layers, saving.

Colours run through viridis, whose order can be told with any colour vision and in grey; where few
curves are told apart, their markers differ too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
    "savefig.bbox": "tight",
    # Text stays text, and the same table gives the same bytes.
    "svg.fonttype": "none",
    "svg.hashsalt": "subspace-match",
}
MANY_LAYERS = 12  # more than this, and a colour bar reads better than a legend
BESIDE: Any = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
_MARKERS = "osD^vPX*<>"
_PAGE = 16.0  # inches, the widest that a figure gets
_TICK = 0.19  # inches that a label of the axis of layers needs

# Every function that draws is decorated with it.
styled = mpl.rc_context(_STYLE)


class Panel(NamedTuple):
    """The part of a figure that is one comparison's.

    Attributes:
        comparison: in words.
        axes: to draw on; a layer's place on the horizontal axis is its number, from 0.
        layers: names by depth, from input to output.
    """

    comparison: str
    axes: Axes
    layers: pd.Series[str]

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """What a table holds of this comparison."""
        return table[table["comparison"] == self.comparison]

    def places(self, depths: Any) -> np.ndarray:
        """On the horizontal axis."""
        return np.searchsorted(self.layers.index, np.asarray(depths, dtype=int))


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of the path's ending, without the time of day."""
    path = Path(path)
    kind = path.suffix.removeprefix(".")
    no_date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    with atomic_write(path) as temporary, mpl.rc_context(_STYLE):
        figure.savefig(temporary, format=kind, metadata=no_date)


def panels(titles: Sequence[str], width: float, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A figure with a panel a title, on a common vertical axis; a single one needs no title.

    Args:
        titles: of the panels, row by row.
        width: of a panel in inches.
        height: likewise.
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


def layer_panels(table: pd.DataFrame, label: str, beside: float = 0) -> tuple[Figure, list[Panel]]:
    """A panel a comparison, layers on its horizontal axis.

    Args:
        table: with a row of every layer of every comparison; its column ``few_samples``, if it has
            it, puts an asterisk to a layer.
        label: of the vertical axis.
        beside: inches that a panel needs for a legend of its own.
    """
    names = list(table["comparison"].unique())
    every = [layers_of(table[table["comparison"] == name]) for name in names]
    most = max(map(len, every))
    width = 1.7 + 0.5 * most if len(names) == 1 else 0.9 + 0.27 * most
    width = min(_PAGE, max(5.8 if len(names) == 1 else 3.4, width))
    figure, grid = panels(names, width + beside)
    columns = _columns(len(names), width + beside)
    alike = all(own.equals(every[0]) for own in every)
    for number, (axes, own) in enumerate(zip(grid, every, strict=True)):
        below = number + columns < len(names)
        layer_axis(axes, own, width - 1, labelled=not (alike and below))
    label_axes(figure, grid, layer_label(every), label)
    return figure, [Panel(*parts) for parts in zip(names, grid, every, strict=True)]


def layer_axis(axes: Axes, layers: pd.Series[str], inches: float, *, labelled: bool = True) -> None:
    """Name layers below an axis that is so many inches long, as many as fit."""
    named = range(0, len(layers), math.ceil(len(layers) * _TICK / inches))
    upright = inches / len(named) > 0.09 * layers.str.len().max()
    labels = [layers.iloc[place] for place in named] if labelled else []
    axes.set_xticks(named, labels or [""] * len(named), rotation=0 if upright else 90)
    axes.set_xticks(range(len(layers)), minor=True)
    axes.set_xlim(-0.5, len(layers) - 0.5)


def label_axes(figure: Figure, grid: Sequence[Axes], horizontal: str, vertical: str) -> None:
    """Name the axes, once for all panels."""
    if len(grid) == 1:
        grid[0].set(xlabel=horizontal, ylabel=vertical)
    else:
        figure.supxlabel(horizontal, fontsize=10)
        figure.supylabel(vertical, fontsize=10)


def layer_label(layers: Iterable[pd.Series[str]]) -> str:
    """The label of the axis of layers, which explains their asterisks."""
    marked = any(own.str.endswith("*").any() for own in layers)
    return "Layer, from input to output" + ("; * more than 0.2 neurons a sample" if marked else "")


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], title: str) -> Legend:
    """One legend for all panels, beside them."""
    return figure.legend(handles, labels, title=title, loc="outside right center")


def layer_colours(figure: Figure, grid: Sequence[Axes], count: int) -> None:
    """A colour bar in place of a legend of very many layers."""
    scale = ScalarMappable(mpl.colors.Normalize(1, max(2, count)), colours())
    figure.colorbar(scale, ax=list(grid), label="Layer, from input to output", aspect=30)


def share_axis(axes: Axes) -> None:
    """A vertical axis from 0 to 1 on which neither is cut."""
    axes.set_ylim(-0.02, 1.02)


def in_words(words: str) -> Figure:
    """A figure of a table without rows: it says why there is nothing to see."""
    figure = Figure(figsize=(5.8, 1.2))
    figure.text(0.5, 0.5, words, ha="center", va="center", wrap=True)
    return figure


def layers_of(table: pd.DataFrame) -> pd.Series[str]:
    """Layer names by depth, from input to output, marked if samples were few."""
    own = table.drop_duplicates("depth").sort_values("depth").set_index("depth")
    if "few_samples" not in table:
        return own["layer"]
    marked = table.groupby("depth")["few_samples"].any().loc[own.index]
    return own["layer"] + np.where(marked, "*", "")


def middle_epsilon(table: pd.DataFrame) -> float:
    """The middle one of the grid, that of a figure which shows but one."""
    epsilons = np.sort(table["epsilon"].unique())
    return float(epsilons[len(epsilons) // 2])


def colours() -> mpl.colors.ListedColormap:
    """Viridis for lines on white: its lightest yellows are too faint for them."""
    return mpl.colors.ListedColormap(mpl.colormaps["viridis"](np.linspace(0, 0.9, 256)))


def colour(number: int, count: int) -> tuple[float, float, float, float]:
    """Of one curve among several."""
    return colours()(number / max(1, count - 1))


def marker(number: int) -> str:
    """Likewise."""
    return _MARKERS[number % len(_MARKERS)]


def _columns(count: int, width: float) -> int:
    """Of a grid of so many panels: as few as give no more rows than the page needs."""
    rows = math.ceil(count / max(1, int(_PAGE / width)))
    return math.ceil(count / rows)
