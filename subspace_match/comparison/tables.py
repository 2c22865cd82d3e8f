"""The pipeline's tables and figures of a comparison."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..figures import FIGURES
from ..matching.backends.base import Device
from ..matching.backends.numpy_ import threads_for
from ..matching.validation import FewSamplesWarning
from ..progress import Progress
from ..results import tables
from ..results.heat_map import match_all_layers
from ..results.many_networks import consensus_table, with_consensus
from ..results.registry import NO_SEED
from ..results.tables import LayerResult, PairNames
from ..storage.match_files import LayerMatch, NewImages
from ..storage.network_results import HeatMap, HeatMapLayer
from ..storage.result_origin import LayerOrigin, Origin
from .layer_result import resampled
from .layers import matching_work

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .layer_result import LayerComparison


def names_of(models: Sequence[str]) -> PairNames:
    """Name one or two models as the pipeline names its networks."""
    one = len(models) == 1
    a, b = (models[0], models[0]) if one else (f"A: {models[0]}", f"B: {models[1]}")
    return PairNames(f"{a} and {b}", a, NO_SEED, "", b, NO_SEED, "")


def matches_of(names: PairNames, layers: Mapping[str, LayerComparison]) -> dict[str, LayerMatch]:
    """Return the match of each layer in the form of the pipeline's files."""
    return {
        name: _match_of(names, depth, layer)
        for depth, (name, layer) in enumerate(layers.items(), start=1)
    }


def _match_of(names: PairNames, depth: int, layer: LayerComparison) -> LayerMatch:
    nodes = dict.fromkeys((layer.layer_a.node, layer.layer_b.node))
    kind, samples = layer.layer_a.kind, layer.pair.samples
    # A model in memory has neither a digest nor a checkpoint.
    networks = names.model_a, names.model_b
    origin = LayerOrigin(
        *("", networks, ("", ""), layer.name, " ~ ".join(nodes), kind, depth, samples, 0)
    )
    new = NewImages.from_paths(layer.cross_fitted, layer.held_out, layer.inputs)
    return LayerMatch.from_path(layer.path, origin, new)


def all_tables(
    names: PairNames,
    layers: Mapping[str, LayerComparison],
    epsilons: Sequence[float],
    left_out: Sequence[str],
    heat_map: HeatMap | None,
    accuracies: Sequence[float | None],
    device: Device,
) -> dict[str, pd.DataFrame]:
    """Build the pipeline's tables: of layers, the heat map, networks and left-out layers.

    Args:
        names: of the models.
        layers: the matches, from input to output.
        epsilons: the grid, ascending.
        left_out: names of layers that are in no pair.
        heat_map: None if there is none.
        accuracies: of the models; None for a model of which none is known.
        device: where to prove the matches.
    """
    results = []
    work = {name: matching_work(len(layer.pair.sums)) for name, layer in layers.items()}
    with Progress("certificates and measures", len(layers), sum(work.values())) as progress:
        for depth, (name, layer) in enumerate(layers.items(), start=1):
            with threads_for(len(layer.pair.sums)):
                results.append(
                    LayerResult(
                        names,
                        _match_of(names, depth, layer),
                        layer.path.verify(list(epsilons), device=device),
                        resampled(layer),
                        layer.measures,
                    )
                )
            progress.update(1, work[name])
    models = dict.fromkeys((names.model_a, names.model_b))
    known = {"seed": NO_SEED, "stage": "", "checkpoint": ""}
    networks = {
        model: {"model": model, "accuracy": accuracy, **known}
        for model, accuracy in zip(models, accuracies, strict=True)
    }
    of_layers = tables.layer_tables(results)
    no_consensus = consensus_table([], epsilons)
    return {
        "networks": tables.network_table(networks),
        **of_layers,
        "summary": with_consensus(of_layers["summary"], no_consensus),
        "heat_map": tables.heat_map_table([(names, heat_map)] if heat_map else [], epsilons),
        "left_out": tables.left_out_table([vars(names) | {"left_out": left_out}]),
    }


def heat_map_of(
    names: PairNames, kept: Sequence[Mapping[str, np.ndarray]], device: Device
) -> HeatMap:
    """Match every layer of A with every layer of B on their samples at the same places."""
    xs, ys = (list(own.values()) for own in kept)
    widths = [x.shape[1] + y.shape[1] for x in xs for y in ys]
    with (
        warnings.catch_warnings(),
        threads_for(max(widths)),
        Progress("heat map", len(widths), sum(map(matching_work, widths))) as progress,
    ):
        warnings.simplefilter("ignore", FewSamplesWarning)  # ``compare`` warned
        found = match_all_layers(
            xs, ys, device=device, done=lambda neurons: progress.update(1, matching_work(neurons))
        )
    a, b = (
        [
            HeatMapLayer(name, depth, rows.shape[1])
            for depth, (name, rows) in enumerate(own.items(), 1)
        ]
        for own in kept
    )
    return HeatMap(Origin("", (names.model_a, names.model_b), ("", "")), a, b, *found)


def figures_of(made: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """Draw the pipeline's figures for which there is data."""
    return {
        name: FIGURES[name].draw(made)
        for name in figure_names()
        if not any(made[table].empty for table in FIGURES[name].tables)
    }


def figure_names() -> list[str]:
    """Return the names of the figures that a comparison can have."""
    return [
        name
        for name, spec in FIGURES.items()
        if spec.min_comparisons == spec.min_others == 1 and not spec.takes_images
    ]
