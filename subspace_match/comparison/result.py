"""What ``compare`` returns: a match for each pair of layers, and tables, figures and a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..extras import MissingExtraError, needs
from ..matching.backends.base import Device
from ..matching.epsilons import EPSILONS
from ..matching.validation import as_epsilon, as_epsilons
from ..storage.outputs import check_file, check_folder
from .layer_result import LayerComparison

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results.tables import PairNames

Epsilons = float | Sequence[float] | np.ndarray

SHOWN = 0.3  # the epsilon of ``print(result)``
FIRST_COLUMNS = (
    *("layer", "kind", "neurons_a", "neurons_b", "samples", "epsilon", "similarity"),
    *("cross_fitted", "null_threshold", "p_value", "class_null_threshold", "class_p_value"),
    *("linear_cka", "median_critical_epsilon", "few_samples"),
)


@dataclass(eq=False, repr=False)
class Comparison(Mapping[str, LayerComparison]):
    """Two models, or the layers of one, compared: layers by name, in order of computation.

    Attributes:
        models: class names of the models, one or two.
        layers: the matches of layers by name. A pair of layers with two names is "conv1~conv2".
        inputs: number of inputs.
        classes: number of classes of the inputs' labels; 0 if there are none.
        labels: the same in words, or why there are none.
        accuracies: of the models on the inputs, the share whose highest score is at their label;
            None without labels, and for a model that does not give one score for each class.
        left_out: names of layers that are in no pair.
        notes: what was decided, as in the log: how layers were reached, what was left out, what is
            kept.
        settings: arguments of ``compare`` that decide the layers and their samples.

    Example:
        >>> import torch, subspace_match as sm
        >>> from torch import nn
        >>> def model():
        ...     return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU())
        >>> result = sm.compare(model(), model(), [torch.randn(500, 8)], permutations=19)
        >>> list(result.similarity(0.5)["layer"])
        ['fc1', 'fc2']
        >>> result["fc1"].null.shape
        (19, 12)
    """

    models: tuple[str, ...]
    layers: dict[str, LayerComparison]
    inputs: int
    classes: int
    labels: str
    accuracies: tuple[float | None, ...]
    left_out: list[str]
    notes: list[str]
    settings: dict[str, Any]
    _kept: list[dict[str, np.ndarray]]
    _device: Device
    _tables: dict[tuple[float, ...], dict[str, pd.DataFrame]] = field(default_factory=dict)

    def __getitem__(self, layer: str) -> LayerComparison:
        """Return a layer's match by its name, or by that of its node in either model."""
        if layer in self.layers:
            return self.layers[layer]
        found = [r for r in self.values() if layer in (r.layer_a.node, r.layer_b.node)]
        if len(found) != 1:
            raise KeyError(f"expected one of {', '.join(self)}, found {layer!r}")
        return found[0]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of layers."""
        return iter(self.layers)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self.layers)

    def __repr__(self) -> str:
        what = f"{self.models[0]} with itself"
        if len(self.models) == 2:
            what = f"{self.models[0]} (A) and {self.models[1]} (B)"
        count = (
            f"{len(self)} {'layer' if len(self.models) == 2 else 'pair'}{'s' * (len(self) != 1)}"
        )
        left_out = f" ({len(self.left_out)} left out)" if self.left_out else ""
        return f"<Comparison of {what}: {count}{left_out}, {self.inputs} inputs>"

    def __str__(self) -> str:
        """Return what matters at epsilon 0.3, and how to get all."""
        try:
            table = short_table(self.similarity(SHOWN))
        except MissingExtraError as error:
            table = str(error)
        about = self.about_labels()
        lines = [repr(self), table, *([f"Labels: {about}"] if about else [])]
        return "\n".join([*lines, f"At epsilon {SHOWN}; all columns: similarity({SHOWN})"])

    def about_labels(self) -> str:
        """Say what the labels are, and which layers lack a level within classes; and accuracies.

        Empty if there are no labels, and no permutations that could use them.
        """
        if not self.classes and not self.settings["permutations"]:
            return ""
        sides = [""] if len(self.models) == 1 else [" (A)", " (B)"]
        known = [
            f"{accuracy:.3f}{side}"
            for accuracy, side in zip(self.accuracies, sides, strict=True)
            if accuracy is not None
        ]
        return self._classes_in_words() + (f"; accuracy {', '.join(known)}" if known else "")

    def _classes_in_words(self) -> str:
        lacking = [name for name, own in self.items() if own.class_null is None]
        if not (self.classes and self.settings["permutations"] and lacking):
            return self.labels
        return (
            f"{self.labels}; no level within classes in {', '.join(lacking)}, because too few"
            " inputs of a class are sampled at the same positions"
        )

    def similarity(self, epsilon: Epsilons = 0.3) -> pd.DataFrame:
        """Return one row per layer and epsilon: similarity, chance and what limits them.

        The columns are those of ``to_frame``, without those that name an experiment's networks,
        with ``median_critical_epsilon`` of all neurons (a dead neuron's is infinite) and
        ``linear_cka``. Those that ``print(result)`` shows come first.

        Raises:
            ValueError: if an epsilon is not in [0, 1).
            MissingExtraError: without pandas.
        """
        table = self.to_frame("similarity", epsilon)
        from ..results.tables import PAIR_COLUMNS

        table = table.drop(columns=[*PAIR_COLUMNS, "draw"])
        medians, ckas = {}, {}
        for name, result in self.items():
            critical = result.path.critical_epsilon
            medians[name] = float(np.median(np.where(np.isnan(critical), np.inf, critical)))
            ckas[name] = result.measures["linear_cka"].value
        table = table.assign(
            median_critical_epsilon=table["layer"].map(medians), linear_cka=table["layer"].map(ckas)
        )
        return table[[*FIRST_COLUMNS, *(name for name in table if name not in FIRST_COLUMNS)]]

    def to_frame(self, table: str = "similarity", epsilon: Epsilons = EPSILONS) -> pd.DataFrame:
        """Return one of the pipeline's tables, with its columns.

        Args:
            table: "similarity", "summary", "neurons", "measures", "null", "heat_map" or another one
                of the pipeline's tables of layers.
            epsilon: one or several, in [0, 1); the default is the paper's grid.

        Raises:
            ValueError: if an epsilon is not in [0, 1), or there is no such table.
            MissingExtraError: without pandas.
        """
        made = self._tables_at(epsilon)
        if table not in made:
            raise ValueError(f"table: expected one of {', '.join(made)}, found {table!r}")
        return made[table].copy()

    def _tables_at(self, epsilon: Epsilons) -> dict[str, pd.DataFrame]:
        """Build all tables, once for each grid."""
        key = tuple(sorted({float(each) for each in as_epsilons(epsilon).ravel()}))
        if not key:
            raise ValueError("epsilon: expected at least one number in [0, 1), found none")
        if key not in self._tables:
            with needs("plots", "a table"):
                from .tables import all_tables, names_of
            names = names_of(self.models)
            self._tables[key] = all_tables(
                *(names, self.layers, key, self.left_out, self._heat_map, self.accuracies),
                self._device,
            )
        return self._tables[key]

    @cached_property
    def _heat_map(self) -> Any:
        """Match every layer of A with every layer of B."""
        from .tables import heat_map_of, names_of

        return heat_map_of(names_of(self.models), self._kept, self._device) if self._kept else None

    def heat_map(self, axes: Axes | None = None, *, epsilon: float = 0.3) -> Axes:
        """Draw the similarity of every layer of A with every layer of B.

        ``to_frame("heat_map")`` has the numbers, with linear CKA. All layers are matched when they
        are first needed.

        Args:
            axes: matplotlib axes; None for those of a new figure.
            epsilon: in [0, 1).

        Returns:
            The axes.

        Raises:
            ValueError: if ``compare`` was called with ``heat_map=0``.
            MissingExtraError: without matplotlib.
        """
        epsilon = as_epsilon(epsilon)
        table = self.to_frame("heat_map", epsilon)
        if table.empty:
            raise ValueError(
                "heat_map: expected samples of all layers, found none, because compare was called"
                " with heat_map=0; call it again with heat_map=4000"
            )
        from ..figures.layer_pairs import draw_heat_map
        from ..matching.curve import new_axes

        own = new_axes("heat_map") if axes is None else axes
        image = draw_heat_map(own, table, "similarity")
        own.set_title(rf"Match, $\epsilon$ = {epsilon:g}")
        if axes is None and (figure := own.get_figure(root=True)) is not None:
            figure.colorbar(image, ax=own, label="Similarity")
        return own

    def plot(self, axes: Axes | None = None, *, epsilon: Epsilons = EPSILONS) -> Axes:
        """Draw the similarity of every layer, from input to output, a curve for each epsilon.

        Args:
            axes: matplotlib axes; None for those of a new figure.
            epsilon: one or several, in [0, 1).

        Returns:
            The axes.

        Raises:
            MissingExtraError: without matplotlib.
        """
        from ..matching.curve import new_axes

        axes = new_axes("plot") if axes is None else axes
        table = self.to_frame("summary", epsilon)
        from ..figures.depth import draw_similarity_by_depth

        draw_similarity_by_depth(axes, table)
        return axes

    def figures(self) -> dict[str, Figure]:
        """Return the pipeline's figures by name.

        Raises:
            MissingExtraError: without matplotlib.
        """
        with needs("plots", "figures"):
            from .tables import figures_of
        return figures_of(self._tables_at(EPSILONS))

    def report(self, path: str | Path) -> None:
        """Write the pipeline's page of this comparison: one HTML file that needs no network.

        Raises:
            ValueError: if the path is a folder, or cannot be written to.
            MissingExtraError: without the packages of the extra "workflow".
        """
        check_file("path", Path(path))
        with needs("workflow", "report"):
            from .saving import write_page
        write_page(*self._written(), Path(path))

    def save(self, folder: str | Path) -> None:
        """Write tables, figures, match paths, moments and nulls to a folder.

        The files have the pipeline's formats and names. ``subspace-match report FOLDER ...`` makes
        a page of one or several such folders and of runs of the pipeline.

        Raises:
            ValueError: if the folder is a file, or cannot be written to.
            MissingExtraError: without the packages of the extra "plots".
        """
        check_folder("folder", Path(folder))
        with needs("plots", "save"):
            import pyarrow  # noqa: F401  # pandas imports it only to write

            from .saving import write_folder
        write_folder(*self._written(), self.layers, Path(folder))

    def _written(self) -> tuple[dict[str, pd.DataFrame], PairNames, dict[str, Any]]:
        """Return what pages and folders show: tables, the models' names and the configuration."""
        from .saving import config_of
        from .tables import names_of

        names = names_of(self.models)
        config = config_of(names, self.settings, self._classes_in_words())
        return self._tables_at(EPSILONS), names, config


def short_table(similarity: pd.DataFrame) -> str:
    """Return the columns that matter of ``Comparison.similarity`` at one epsilon, as text."""
    columns = [name for name in FIRST_COLUMNS if name != "epsilon"]
    chance = ("null_threshold", "p_value", "class_null_threshold", "class_p_value")
    unknown = [name for name in chance if similarity[name].isna().all()]
    columns = [name for name in columns if name not in unknown]
    return similarity[columns].to_string(index=False, float_format="{:.3f}".format)
