"""Draw the figure of the README from the tables of a finished run, for light and for dark pages.

    python docs/pictures/main_figure.py results/experiments/NAME

Above: the similarity of each layer at one epsilon, divided into what chance gives, what labels add,
and what is more. Below: the same at every epsilon, as the width of a shape, and each neuron of both
networks as a dot at its critical epsilon. Of the first pair of networks and its first draw.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from style import DARK, FAINT, INK, MATCHED, MUTED, B, styled

FOLDER = Path(__file__).parents[1]
EPSILON = 0.3
BACKGROUNDS = {"light": "#ffffff", "dark": "#0d1117"}  # of GitHub's pages
WIDTH = 0.8
KINDS = [
    ("more", MATCHED, "more than labels explain"),
    ("labels", B, "what labels explain"),
    ("chance", MUTED, "chance"),
]


def first_pair(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first pair of networks, and of its first draw."""
    pair = ["comparison", "model_a", "seed_a", "stage_a", "model_b", "seed_b", "stage_b"]
    first = (table[pair] == table[pair].iloc[0]).all(axis=1)
    return table[first & (table.get("draw", 0) == 0)]


def level(table: pd.DataFrame, name: str) -> pd.Series:
    """Return a level of a null distribution that is never below that of any images."""
    return np.maximum(table[name].fillna(0), table["null_threshold"].fillna(0))


@styled
def figure_of(similarity: pd.DataFrame, neurons: pd.DataFrame, null: pd.DataFrame) -> Figure:
    """Draw both parts."""
    at = similarity[np.isclose(similarity["epsilon"], EPSILON)].sort_values("depth")
    figure = Figure(figsize=(8.0, 5.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.4])
    _bars(above, at)
    rng = np.random.default_rng(0)
    for place, layer in enumerate(at["layer"]):
        own = null[null["layer"] == layer].sort_values("epsilon")
        epsilons = own["epsilon"].to_numpy()
        critical = np.sort(neurons.loc[neurons["layer"] == layer, "critical_epsilon"])  # NaN last
        observed = np.searchsorted(critical, epsilons, side="right") / len(critical)
        labels, chance = level(own, "class_null_threshold"), level(own, "null_threshold")
        widths = {"more": observed, "labels": np.minimum(labels, observed)}
        widths["chance"] = np.minimum(chance, observed)
        for kind, colour, label in KINDS:
            half = WIDTH / 2 * widths[kind]
            edges = (epsilons, place - half, place + half)
            below.fill_betweenx(*edges, color=colour, linewidth=0, label="" if place else label)
        x = place + rng.uniform(-WIDTH / 2, WIDTH / 2, len(critical)) * 0.6
        below.plot(x, critical, "o", color=INK, markersize=1.8, alpha=0.5, markeredgewidth=0)
    below.axhline(EPSILON, color=INK, linewidth=0.8, linestyle="--")
    below.set(ylim=(0, 0.8), xlim=(-0.6, len(at) - 0.4), ylabel="epsilon")
    below.set_xticks(range(len(at)), at["layer"])
    below.set_xlabel("layer, from input to output")
    below.tick_params(axis="x", length=0)
    above.tick_params(axis="x", length=0)
    handles, labels = below.get_legend_handles_labels()
    handles.append(Line2D([], [], marker="o", color=INK, markersize=3, linestyle=""))
    figure.legend(handles, [*labels, "a neuron"], loc="outside upper center", ncols=4)
    return figure


def _bars(axes: Axes, at: pd.DataFrame) -> None:
    chance = np.minimum(level(at, "null_threshold"), at["similarity"])
    labels = np.minimum(level(at, "class_null_threshold"), at["similarity"])
    parts = {"chance": chance, "labels": labels - chance, "more": at["similarity"] - labels}
    bottom = np.zeros(len(at))
    for kind, colour, _ in KINDS[::-1]:
        axes.bar(range(len(at)), parts[kind], bottom=bottom, width=WIDTH, color=colour)
        bottom += parts[kind].to_numpy()
    for number, value in enumerate(at["similarity"]):
        axes.text(number, value + 0.03, f"{value:.0%}", ha="center", color=INK, size=9)
    axes.set(ylim=(0, 1.18), yticks=[0, 0.5, 1], ylabel=f"similarity at {EPSILON:g}")
    axes.spines["bottom"].set_color(FAINT)


def main() -> None:
    """Write both files."""
    tables = Path(sys.argv[1]) / "tables"
    names = ("similarity", "neurons", "null")
    figure = figure_of(*(first_pair(pd.read_parquet(tables / f"{name}.parquet")) for name in names))
    for axes in figure.axes:
        axes.patch.set_visible(False)
    for name, background in BACKGROUNDS.items():
        if name == "dark":
            for part in figure.findobj():
                _recolour(part)
        file = FOLDER / f"neurons_by_depth-{name}.png"
        figure.savefig(file, dpi=200, facecolor=background, metadata={"Software": None})


def _recolour(part: mpl.artist.Artist) -> None:
    """Replace the colours of light pages by those of dark ones."""
    for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
        get, change = (getattr(part, f"{verb}_{name}", None) for verb in ("get", "set"))
        if get is None or change is None:
            continue
        found = np.atleast_1d(np.asarray(mpl.colors.to_rgba_array(get())))
        if len(found) and (light := mpl.colors.to_hex(found[0])) in DARK:
            change(mpl.colors.to_rgba(DARK[light], found[0][3]))


if __name__ == "__main__":
    main()
