"""Other similarity measures next to the maximum matching similarity."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from .captions import comparisons, count_range, few_samples, network_pairs
from .style import colour, layer_panels, legend, marker, middle_epsilon, similarity_axis, styled


@styled
def measures(values: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw other measures by layer next to the matching similarity at the middle epsilon.

    All curves are means over pairs of networks. The matching similarity is also averaged over draws
    of positions; the other measures use the first draw.
    """
    epsilon = middle_epsilon(summary)
    match = summary[summary["epsilon"] == epsilon].rename(columns={"similarity": "value"})
    curves = pd.concat([match.assign(measure=rf"match, $\epsilon$ = {epsilon:g}"), values])
    names = list(curves["measure"].unique())
    figure, parts = layer_panels(summary, "Similarity", legend=1)  # long names
    for panel in parts:
        rows = panel.rows(curves)
        many = len(panel.layers) > 30
        for number, name in enumerate(names):
            mean = rows[rows["measure"] == name].groupby("depth")["value"].mean()
            panel.axes.plot(
                panel.positions(mean.index),
                mean,
                color="black" if number == 0 else colour(number - 1, len(names) - 1),
                linewidth=2.2 if number == 0 else 1.2,
                marker=marker(number),
                markersize=2.5 if many else 4,
                label=" ".join(map(_word, name.split("_"))),
            )
        similarity_axis(panel.axes)
    legend(figure, *parts[0].axes.get_legend_handles_labels(), "Measure")
    return figure


def describe_measures(values: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Describe ``measures``."""
    unknown = ""
    if values["value"].isna().any():
        unknown = " Some measures are not known of every pair and layer; the table's note says why."
    return (
        f"Means over {network_pairs(values)}. The matching similarity, at epsilon"
        f" {middle_epsilon(summary):g}, is also averaged over"
        f" {count_range(summary['draws'], 'draw')} of positions; the other measures use the first"
        f" draw.{unknown}{few_samples(summary)}{comparisons(summary)}"
    )


def _word(word: str) -> str:
    if word in ("a", "b") or word.endswith(("cca", "cka")):
        return word.upper()
    return word.title() if word == "procrustes" else word
