"""The figures of an experiment, drawn from its tables.

Colours run through viridis, whose order can be told with any colour vision and in grey.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .artefacts import written

_STYLE: Any = {
    "font.size": 9,
    "axes.labelsize": 10,
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
_BESIDE: Any = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
_CHANCE: Any = {"alpha": 0.25, "hatch": "////", "linewidth": 0}
_MARKERS = "osD^vPX*<>"
_MANY_LAYERS = 12  # more than this, and a colour bar reads better than a legend
_MANY_LABELS = 60  # more than this do not fit under an axis


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of the path's ending, without the time of day."""
    path = Path(path)
    kind = path.suffix.removeprefix(".")
    no_date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    with written(path) as temporary, mpl.rc_context(_STYLE):
        figure.savefig(temporary, format=kind, metadata=no_date)


def similarity_by_depth(similarity: pd.DataFrame) -> Figure:
    """Maximum matching similarity of every layer, a curve an epsilon (Wang et al. 2018, Figure 1).

    Of several pairs of networks the curve is the mean, and the band their range. What 95% of the
    permutations of images do not exceed is hatched in the curve's colour, where it is not 0. Layers
    of more than 0.2 neurons a sample are marked with an asterisk.
    """
    with mpl.rc_context(_STYLE):
        layers = _layers(similarity)
        figure, axes = _figure(len(layers))
        epsilons, chance = sorted(similarity["epsilon"].unique(), reverse=True), False
        for number, epsilon in enumerate(epsilons):
            of_layers = similarity[similarity["epsilon"] == epsilon].groupby("depth")
            of_layer, of_layer_chance = of_layers["similarity"], of_layers["null_95"]
            mean = of_layer.mean().loc[layers.index]
            colour = _colour(number, len(epsilons))
            axes.plot(
                range(len(layers)),
                mean,
                color=colour,
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=5,
                label=f"{epsilon:g}",
            )
            low, high = of_layer.min().loc[layers.index], of_layer.max().loc[layers.index]
            if (high > low).any():
                axes.fill_between(range(len(layers)), low, high, color=colour, alpha=0.15, lw=0)
            by_chance = of_layer_chance.mean().loc[layers.index]
            if (by_chance > 0).any():
                axes.fill_between(range(len(layers)), 0, by_chance, color=colour, **_CHANCE)
                chance = True
        _layer_axis(axes, layers, similarity)
        _share_axis(axes, "Maximum matching similarity")
        handles, labels = axes.get_legend_handles_labels()
        if chance:
            handles.append(Patch(facecolor="grey", **_CHANCE))
            labels.append("chance, 95%")
        axes.legend(handles, labels, title=r"$\epsilon$", **_BESIDE)
        return figure


def similarity_by_epsilon(neurons: pd.DataFrame) -> Figure:
    """The exact similarity curve of every layer against epsilon, all pairs together."""
    with mpl.rc_context(_STYLE):
        layers = _layers(neurons)
        figure, axes = _figure(8)
        for number, (depth, name) in enumerate(layers.items()):
            critical = neurons.loc[neurons["depth"] == depth, "critical_epsilon"]
            steps = np.sort(critical.dropna().to_numpy())
            share = np.arange(len(steps) + 1) / len(critical)
            axes.step(
                [0.0, *steps, 1.0],
                [*share, share[-1]],
                where="post",
                color=_colour(number, len(layers)),
                linewidth=1.4,
                label=name,
            )
        axes.set_xlim(0, 1)
        axes.set_xlabel(r"$\epsilon$ (relative distance)")
        _share_axis(axes, "Maximum matching similarity")
        if len(layers) <= _MANY_LAYERS:
            axes.legend(title="Layer", **_BESIDE)
        else:
            scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(1, len(layers)), _colours())
            figure.colorbar(scale, ax=axes, label="Layer, from input to output")
        return figure


def critical_epsilons(neurons: pd.DataFrame) -> Figure:
    """Critical epsilon of every neuron by layer, network A left, B right, and their medians."""
    with mpl.rc_context(_STYLE):
        layers = _layers(neurons)
        figure, axes = _figure(len(layers))
        rng = np.random.default_rng(0)  # spreads points sideways, nothing else
        for network, marker, colour, shift in (
            ("a", "o", _colour(0, 5), -0.2),
            ("b", "^", _colour(3, 5), 0.2),
        ):
            own = neurons[(neurons["network"] == network) & ~neurons["dead"]]
            place = np.searchsorted(layers.index, own["depth"]) + shift
            axes.scatter(
                place + rng.uniform(-0.13, 0.13, len(own)),
                own["critical_epsilon"],
                s=7,
                marker=marker,
                color=colour,
                alpha=0.5,
                linewidths=0,
                label=network.upper(),
                rasterized=True,  # thousands of points would make a vector file of megabytes
            )
            median = own.groupby("depth")["critical_epsilon"].median()
            middle = np.searchsorted(layers.index, median.index) + shift
            axes.hlines(median, middle - 0.17, middle + 0.17, color="black", linewidth=1.2)
        _layer_axis(axes, layers, neurons)
        axes.set_ylim(0, None)
        axes.set_ylabel(r"Critical $\epsilon$ of a neuron")
        legend = axes.legend(title="Network", **_BESIDE)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1)
        return figure


def minimal_matches(minimal: pd.DataFrame, similarity: pd.DataFrame) -> Figure:
    """Sizes of minimal matches by layer, every neuron a point (Wang et al. 2018, Figure 2).

    Of the largest epsilon in the table. A layer without points has an empty maximum match there.
    """
    with mpl.rc_context(_STYLE):
        layers = _layers(similarity)
        figure, axes = _figure(len(layers))
        largest = minimal["epsilon"].max()
        own = minimal[minimal["epsilon"] == largest]
        size = (own["size_a"] + own["size_b"]).to_numpy(dtype=float)
        place = np.searchsorted(layers.index, own["depth"].to_numpy(dtype=int))
        aside = np.random.default_rng(0).uniform(-0.3, 0.3, len(own))
        axes.scatter(
            place + aside,
            size,
            s=7,
            color=_colour(2, 5),
            alpha=0.4,
            linewidths=0,
            rasterized=True,
            label="of a neuron",
        )
        median = pd.Series(size).groupby(place).median()
        axes.hlines(median, median.index - 0.35, median.index + 0.35, color="black", label="median")
        _layer_axis(axes, layers, similarity)
        axes.set_yscale("log", base=2)
        axes.set_ylim(1.6, 2.2 * max(2, similarity[["neurons_a", "neurons_b"]].to_numpy().max()))
        axes.yaxis.set_major_formatter("{x:g}")
        at = rf" at $\epsilon$ = {largest:g}" if len(own) else ""
        axes.set_ylabel(f"Neurons in the minimal match{at}")
        axes.legend(title="Size", **_BESIDE)
        return figure


def measures(values: pd.DataFrame, similarity: pd.DataFrame) -> Figure:
    """Other measures by layer beside the maximum matching similarity at the middle epsilon."""
    with mpl.rc_context(_STYLE):
        layers = _layers(similarity)
        figure, axes = _figure(len(layers))
        epsilons = np.sort(similarity["epsilon"].unique())
        middle = epsilons[len(epsilons) // 2]
        match = similarity[similarity["epsilon"] == middle].assign(
            measure=rf"match, $\epsilon$ = {middle:g}", value=similarity["similarity"]
        )
        curves = pd.concat([match, values])
        names = list(curves["measure"].unique())
        for number, name in enumerate(names):
            by_depth = curves[curves["measure"] == name].groupby("depth")["value"].mean()
            axes.plot(
                range(len(layers)),
                by_depth.loc[layers.index],
                color="black" if number == 0 else _colour(number - 1, len(names) - 1),
                linewidth=2.2 if number == 0 else 1.2,
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=4,
                label=" ".join(map(_word, name.split("_"))),
            )
        _layer_axis(axes, layers, similarity)
        _share_axis(axes, "Similarity")
        axes.legend(title="Measure", **_BESIDE)
        return figure


def _word(word: str) -> str:
    return word.upper() if word.endswith(("cca", "cka")) else word


def _figure(layers: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(min(16.0, max(5.5, 1.5 + 0.5 * layers)), 3.6))
    return figure, figure.add_subplot()


def _layers(table: pd.DataFrame) -> pd.Series[str]:
    """Layer names by depth, from input to output."""
    return table.drop_duplicates("depth").sort_values("depth").set_index("depth")["layer"]


def _colours() -> mpl.colors.ListedColormap:
    # The lightest yellows are too faint for a line on white.
    return mpl.colors.ListedColormap(mpl.colormaps["viridis"](np.linspace(0, 0.9, 256)))


def _colour(number: int, count: int) -> tuple[float, float, float, float]:
    return _colours()(number / max(1, count - 1))


def _layer_axis(axes: Axes, layers: pd.Series[str], table: pd.DataFrame) -> None:
    flagged = set(table.loc[table["few_samples"], "depth"]) if "few_samples" in table else set()
    labels = [f"{name}*" if depth in flagged else name for depth, name in layers.items()]
    named = range(0, len(layers), -(-len(layers) // _MANY_LABELS))
    axes.set_xticks(
        named, [labels[place] for place in named], rotation=90 if len(named) > 10 else 0
    )
    axes.set_xticks(range(len(layers)), minor=True)
    axes.set_xlim(-0.5, len(layers) - 0.5)
    note = "; * more than 0.2 neurons a sample" if flagged else ""
    axes.set_xlabel(f"Layer, from input to output{note}")


def _share_axis(axes: Axes, label: str) -> None:
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel(label)
