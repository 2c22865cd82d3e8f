"""The pipeline's tables and figures of a comparison."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ..figures import FIGURES
from ..matching.validation import FewSamplesWarning
from ..results import tables
from ..results.heat_map import match_all_layers
from ..results.tables import LayerResult, PairNames
from ..storage.match_files import LayerMatch
from ..storage.network_results import HeatMap, HeatMapLayer
from ..storage.result_origin import LayerOrigin, Origin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .result import Comparison

NO_SEED = -1  # of a model whose training is not known
_NETWORKS = ("A", "B")


def names_of(comparison: Comparison) -> PairNames:
    """Name the models as the pipeline names its networks."""
    a, *_, b = [f"{letter}: {model}" for letter, model in zip(_NETWORKS, comparison.models * 2)]
    if len(comparison.models) == 1:
        a = b = comparison.models[0]
    return PairNames(f"{a} and {b}", a, NO_SEED, "", b, NO_SEED, "")


def origins_of(comparison: Comparison) -> dict[str, LayerOrigin]:
    """Return the origin of each layer's result; a model in memory has no checkpoint."""
    names = names_of(comparison)
    networks = names.model_a, names.model_b
    return {
        name: LayerOrigin(
            *("", networks, ("", ""), name),
            node=" ~ ".join(dict.fromkeys((result.layer_a.node, result.layer_b.node))),
            kind=result.layer_a.kind,
            depth=depth,
            samples=result.pair.samples,
            draw=0,
        )
        for depth, (name, result) in enumerate(comparison.items(), start=1)
    }


def all_tables(comparison: Comparison, epsilons: Sequence[float]) -> dict[str, pd.DataFrame]:
    """Build all tables of layers, the heat map, and the tables of networks and of left-out layers.

    Args:
        comparison: two models, or the layers of one.
        epsilons: the grid, ascending.
    """
    names, origins = names_of(comparison), origins_of(comparison)
    results = [
        LayerResult(
            names,
            LayerMatch.from_path(result.path, origins[name]),
            result.path.verify(list(epsilons), device=comparison._device),
            result.null,
            result.measures,
        )
        for name, result in comparison.items()
    ]
    heat_map = comparison._heat_map
    models = dict.fromkeys((names.model_a, names.model_b))
    known = {"seed": NO_SEED, "stage": "", "accuracy": None, "checkpoint": ""}
    return {
        "networks": tables.network_table({model: {"model": model, **known} for model in models}),
        **tables.layer_tables(results),
        "heat_map": tables.heat_map_table([(names, heat_map)] if heat_map else [], epsilons),
        "left_out": tables.left_out_table([vars(names) | {"left_out": comparison.left_out}]),
    }


def heat_map_of(comparison: Comparison) -> HeatMap | None:
    """Match every layer of A with every layer of B on the samples that were kept for it."""
    if not comparison._kept:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewSamplesWarning)  # ``compare`` warned
        found = match_all_layers(
            *(list(own.values()) for own in comparison._kept), device=comparison._device
        )
    layers = (
        [HeatMapLayer(name, depth, rows.shape[1]) for depth, (name, rows) in enumerate(own, 1)]
        for own in (kept.items() for kept in comparison._kept)
    )
    names = names_of(comparison)
    return HeatMap(Origin("", (names.model_a, names.model_b), ("", "")), *layers, *found)


def all_figures(made: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the pipeline's figures for which there is data."""
    return {
        name: spec.draw(made)
        for name, spec in FIGURES.items()
        if spec.min_comparisons == 1
        and not spec.takes_images
        and not any(made[table].empty for table in spec.tables)
    }
