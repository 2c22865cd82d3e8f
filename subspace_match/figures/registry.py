"""Every figure of an experiment, declared once, without importing matplotlib.

To add a figure NAME, write two functions in a module of this package: ``NAME`` draws it and
``describe_NAME`` returns the details of its caption, both from the same tables. Declare it in
``FIGURES``, and import a new module in ``_function``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class FigureSpec:
    """The declaration of one figure.

    Attributes:
        name: of the figure, its file and the function that draws it.
        summary: what the figure shows, in a sentence; the caption begins with it.
        tables: names of the tables that its functions take, in this order.
        takes_images: whether the drawing function also takes the images of the data set.
        min_comparisons: the figure exists only if the experiment has this many comparisons.
    """

    name: str
    summary: str
    tables: tuple[str, ...]
    takes_images: bool = False
    min_comparisons: int = 1

    def draw(self, tables: Tables, images: Any = None) -> Figure:
        """Draw the figure from tables by name, and from images if it takes any."""
        more = [images] if self.takes_images else []
        figure: Figure = _function(self.name)(*(tables[name] for name in self.tables), *more)
        return figure

    def caption(self, tables: Tables, experiment: str, config: Mapping[str, Any]) -> str:
        """Return the figure's caption.

        ``experiment`` is the name of the experiment's folder, which contains its digest.
        """
        from .captions import source

        own = [tables[name] for name in self.tables]
        if any(table.empty for table in own):
            text = "The run has no data for this figure."
        else:
            text = f"{self.summary} {_function(f'describe_{self.name}')(*own)}"
        return f"{text} {source(self.tables, experiment, config)}"


FIGURES = {
    spec.name: spec
    for spec in (
        FigureSpec(
            "similarity_by_depth",
            "Maximum matching similarity of every layer, from input to output: the fraction of both"
            " networks' neurons that are in the maximum match.",
            ("summary",),
        ),
        FigureSpec(
            "cross_fitted",
            "Maximum matching similarity of every layer, from input to output, on the images on"
            " which it was fitted and cross-fitted on two halves of the images.",
            ("summary",),
        ),
        FigureSpec(
            "similarity_by_epsilon",
            "Maximum matching similarity of every layer at every epsilon: the fraction of neurons"
            " whose critical epsilon is at most epsilon.",
            ("neurons",),
        ),
        FigureSpec(
            "critical_epsilons",
            "Critical epsilon of every neuron, by layer from input to output: the smallest epsilon"
            " at which the neuron is in the maximum match.",
            ("neurons",),
        ),
        FigureSpec(
            "minimal_matches",
            "Size of the minimal match of every matched neuron, by layer from input to output,"
            " neurons of both networks counted together.",
            ("minimal_matches", "summary"),
        ),
        FigureSpec(
            "measures",
            "Other similarity measures by layer, from input to output, and the maximum matching"
            " similarity (black).",
            ("measures", "summary"),
        ),
        FigureSpec(
            "heat_map",
            "Every layer of network A against every layer of network B: maximum matching similarity"
            " on the left, linear CKA on the right.",
            ("heat_map",),
        ),
        FigureSpec(
            "top_images",
            "Images that activate the neurons of small minimal matches most: one row per neuron,"
            " strongest activation first.",
            ("minimal_match_members", "networks", "top_images"),
            takes_images=True,
        ),
        FigureSpec(
            "stages",
            "Maximum matching similarity of every layer, from input to output, at one epsilon: one"
            " curve per comparison.",
            ("summary",),
            min_comparisons=2,
        ),
    )
}


def figure_names(comparisons: int) -> list[str]:
    """Return the names of the figures of an experiment with this many comparisons."""
    return [spec.name for spec in FIGURES.values() if comparisons >= spec.min_comparisons]


def _function(name: str) -> Callable[..., Any]:
    # The digest of a job's code follows import statements only, not importlib.
    from . import (
        critical,
        depth,
        layer_pairs,
        new_images,
        other_measures,
        preferred_images,
        sizes,
    )

    modules = (critical, depth, layer_pairs, new_images, other_measures, preferred_images, sizes)
    found: Callable[..., Any] = next(getattr(m, name) for m in modules if hasattr(m, name))
    return found
