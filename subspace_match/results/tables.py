"""Tidy tables of an experiment.

A table of pairs of networks begins with ``PAIR_COLUMNS``: the comparison, and the model, seed and
stage of both networks. A table of layers begins with ``LAYER_COLUMNS``: ``PAIR_COLUMNS``, and the
layer's name, graph node, depth (from 1) and kind ("conv", "tokens" or "fc").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ..matching.certificate import Certificate
from ..matching.minimal.result import MinimalMatches
from ..matching.path import area
from ..matching.validation import FEW_SAMPLES, LARGE_GAP
from ..storage.match_files import LayerMatch, Measures, NewImages, Resampled
from ..storage.network_results import HeatMap, TopImages, WithinNetwork
from .chance import (
    CHANCE_COLUMNS,
    LEVEL_COLUMNS,
    chance_columns,
    level_columns,
    neuron_columns,
    null_statistics,
)
from .intervals import SUMMARY_KEYS, difference_table, summary_intervals


@dataclass(frozen=True)
class PairNames:
    """What is compared, in words, and the model, seed and stage of training of both networks."""

    comparison: str
    model_a: str
    seed_a: int
    stage_a: str
    model_b: str
    seed_b: int
    stage_b: str


PAIR_COLUMNS = tuple(field.name for field in fields(PairNames))
_LAYER = ("layer", "node", "depth", "kind")
LAYER_COLUMNS = PAIR_COLUMNS + _LAYER
# Epsilons of the chance levels between those of the grid; near 1 the levels rise steeply.
_LEVELS = np.concatenate([np.arange(99) / 100, np.arange(990, 1001) / 1000])
_NEW_IMAGES = ("cross_fitted", "held_out", "gap", "cross_fitted_area", "held_out_area")


@dataclass(frozen=True)
class LayerResult:
    """The results of one layer of a pair of networks, in one draw of positions.

    Only the first draw has a null, measures and minimal matches, and only if they were asked for.
    """

    pair: PairNames
    match: LayerMatch
    certificates: Sequence[Certificate] = ()  # one per epsilon of the grid, ascending
    null: Resampled | None = None
    measures: Measures = field(default_factory=dict)
    minimal: Mapping[float, MinimalMatches] = field(default_factory=dict)  # by epsilon


def layer_tables(results: Sequence[LayerResult]) -> dict[str, pd.DataFrame]:
    """Build all tables of layers and their neurons, by name."""
    similarity = similarity_table(results)
    return {
        "similarity": similarity,
        "summary": summary_table(similarity, results),
        "differences": difference_table(similarity),
        "neurons": neuron_table(results),
        "measures": measure_table(results),
        "minimal_matches": minimal_match_table(results),
        "minimal_match_members": member_table(results),
        "null": null_table(results),
    }


def similarity_table(results: Iterable[LayerResult]) -> pd.DataFrame:
    """One row per (pair, layer, draw, epsilon): observed and null similarity.

    Columns after the layer's:
        neurons_a, neurons_b, dead_a, dead_b: numbers of all neurons and of dead neurons.
        draw, samples: index of the draw, and its number of samples.
        neurons_per_sample: number of neurons of the wider layer, divided by ``samples``.
        images: number of images of the samples, or of samples if their images are not known.
        neurons_per_image: number of neurons of the wider layer, divided by ``images``.
        few_samples: whether ``neurons_per_image`` is more than ``FEW_SAMPLES``, or the area more
            than ``LARGE_GAP`` above the cross-fitted area; then some of the match is chance.
        epsilon: from the grid.
        matched_a, matched_b: number of neurons in the maximum match.
        similarity: (matched_a + matched_b) / (neurons_a + neurons_b) (Wang et al. 2018, Definition
            3); dead neurons count in the denominator, as in the authors' code.
        area: area under the similarity curve (see ``MatchPath.area``), the same at every epsilon.
        cross_fitted, held_out: similarity by cross-fitted and by held-out distances, which new
            images determine (see ``cross_fitted_path``); NaN where ``note`` says why.
        gap: ``similarity`` minus ``cross_fitted``, an estimate of how much is due to fitting and
            measuring on the same images.
        cross_fitted_area, held_out_area: areas under these two curves.
        note: why there is no cross-fitted and held-out similarity; otherwise empty.
        permutations: number of permutations of the null; 0 without a null.
        null_mean, null_threshold: mean similarity after permuting B's images, and the similarity
            that must be exceeded for p <= 0.05 (see ``permutation_test.threshold``). These and all
            columns down to ``verified`` are NaN without a null.
        p_value: see ``permutation_test.p_values``.
        family_p_value: corrected for the layers of the pair, at one epsilon (see
            ``permutation_test.family_wise_p_values``).
        adjusted: (similarity - null_mean) / (1 - null_mean).
        class_null_mean, ... class_adjusted: the same after permuting B's images within classes, so
            what the labels do not explain. NaN also if the images have no labels.
        area_null_mean, ... area_class_adjusted: the same for the area.
        verified: whether a fresh factorisation proves the match.
        margin: smallest |distance - epsilon| of all decisions.
        certain: whether the margin is larger than rounding errors, and no decision is a tie.
    """
    rows = [(result, _similarity_columns(result)) for result in results]
    pairs: dict[tuple[Any, ...], list[int]] = {}
    for number, (result, own) in enumerate(rows):
        pairs.setdefault((result.pair, tuple(own["epsilon"])), []).append(number)
    # The p-values of a layer are corrected for the other layers of its pair.
    for numbers in pairs.values():
        for number, found in zip(numbers, _chance([rows[n] for n in numbers]), strict=True):
            rows[number][1].update(found)
    table = _layer_table(rows)
    last = ["verified", "margin", "certain"]
    return table[[column for column in table if column not in last] + last]


def _similarity_columns(result: LayerResult) -> dict[str, Any]:
    origin, proofs, new = result.match.origin, result.certificates, result.match.new_images
    bounds = np.array([proof.epsilon for proof in proofs])
    a, b = result.match.critical_epsilon
    images = new.images if new else origin.samples
    widest = max(len(a), len(b))
    matched_a, matched_b = _counts(a, bounds), _counts(b, bounds)
    similarity = (matched_a + matched_b) / (len(a) + len(b))
    own_area = float(area(np.concatenate([a, b])))
    cross_fitted, held_out = _on_new_images(new, bounds)
    large_gap = own_area - cross_fitted["area"] > LARGE_GAP
    return {
        "neurons_a": len(a),
        "neurons_b": len(b),
        "dead_a": int(np.isnan(a).sum()),
        "dead_b": int(np.isnan(b).sum()),
        "draw": origin.draw,
        "samples": origin.samples,
        "neurons_per_sample": widest / origin.samples,
        "images": images,
        "neurons_per_image": widest / images,
        "few_samples": widest > FEW_SAMPLES * images or bool(large_gap),
        "epsilon": bounds,
        "matched_a": matched_a,
        "matched_b": matched_b,
        "similarity": similarity,
        "area": own_area,
        "cross_fitted": cross_fitted["similarity"],
        "held_out": held_out["similarity"],
        "gap": similarity - cross_fitted["similarity"],
        "cross_fitted_area": cross_fitted["area"],
        "held_out_area": held_out["area"],
        "note": new.note if new else "the images of the samples are not known",
        "permutations": 0 if result.null is None else len(result.null.any_image),
        "verified": [proof.sound and proof.complete for proof in proofs],
        "margin": [proof.margin for proof in proofs],
        "certain": [proof.certain for proof in proofs],
    }


def _chance(
    rows: Sequence[tuple[LayerResult, Mapping[str, Any]]],
) -> Iterator[dict[str, np.ndarray | float]]:
    """Yield the columns of chance of each layer of a pair: of every epsilon, and of the area."""
    bounds = rows[0][1]["epsilon"]

    def similarities_and_area(critical: np.ndarray) -> np.ndarray:
        return np.append(_counts(critical, bounds) / len(critical), area(critical))

    observed = [
        similarities_and_area(np.concatenate(result.match.critical_epsilon)) for result, _ in rows
    ]
    nulls = [null_statistics(result.null, similarities_and_area) for result, _ in rows]
    for found in chance_columns(observed, nulls):
        yield {name: values[:-1] for name, values in found.items()} | {
            f"area_{name}": values[-1] for name, values in found.items()
        }


def summary_table(similarity: pd.DataFrame, results: Sequence[LayerResult] = ()) -> pd.DataFrame:
    """One row per (comparison, layer, epsilon): similarity over pairs of networks and draws.

    Args:
        similarity: ``similarity_table``.
        results: what it was made from; without them there are no intervals over images.

    Columns after these:
        similarity: mean over draws and pairs.
        pairs, draws: number of pairs, and of draws per pair.
        networks: number of independent units, the seeds of the networks that are not in every
            pair (see ``intervals``); 0 if a seed is in all pairs.
        low_networks, high_networks: 95% interval of the mean over networks, by the jackknife over
            these units; NaN below three, as two networks are a single pair.
        low_images, high_images: 95% interval over images for these networks, from halves of the
            images (see ``matching.half_samples``); NaN without a null, or if samples are too few.
        sd_pairs: standard deviation of the pairs' means; NaN for one pair.
        sd_draws: standard deviation of the draws around the mean of their pair; NaN for one draw.
        area, cross_fitted, held_out, gap, cross_fitted_area, held_out_area: means over draws and
            pairs that have them; the areas are the same at every epsilon.
        area_low_networks, ... area_high_images: the same intervals, of the area.
        null_mean, null_threshold, adjusted, class_..., area_...: means over pairs; NaN without a
            null.
        p_value, family_p_value, class_..., area_...: largest of all pairs.
        samples: number of samples of a draw.
        images: number of images of a draw.
        few_samples: whether any draw has few samples.
        certain, verified: whether all draws are certain, and verified.
    """
    keys = SUMMARY_KEYS
    pair = [column for column in PAIR_COLUMNS if column != "comparison"]
    grouped = similarity.groupby(keys, sort=False)
    summary = grouped.agg(
        similarity=("similarity", "mean"),
        **{key: (key, "mean") for key in ("area", *_NEW_IMAGES)},
        **{
            f"{of}{name}": (f"{of}{name}", "max" if name.endswith("p_value") else "mean")
            for of in ("", "area_")
            for name in CHANCE_COLUMNS
        },
        samples=("samples", "first"),
        images=("images", "first"),
        few_samples=("few_samples", "any"),
        certain=("certain", "all"),
        verified=("verified", "all"),
    )
    of_pairs = similarity.groupby([*keys, *pair], sort=False)["similarity"]
    counts, means, variances = of_pairs.count(), of_pairs.mean(), of_pairs.var()
    summary.insert(1, "pairs", counts.groupby(keys, sort=False).count())
    summary.insert(2, "draws", counts.groupby(keys, sort=False).first())
    summary.insert(3, "sd_pairs", means.groupby(keys, sort=False).std())
    summary.insert(4, "sd_draws", variances.groupby(keys, sort=False).mean() ** 0.5)
    halves: dict[tuple[Any, ...], list[np.ndarray | None]] = {}
    for result in results:
        if result.match.origin.draw == 0:
            own = [getattr(result.match.origin, key) for key in _LAYER]
            found = None if result.null is None else result.null.half_images
            halves.setdefault((result.pair.comparison, *own), []).append(found)
    return summary.join(summary_intervals(similarity, halves)).reset_index()


def measure_table(results: Iterable[LayerResult]) -> pd.DataFrame:
    """One row per (pair, layer, measure): other measures of similarity, of the first draw.

    Columns after the layer's:
        measure: its name; "linear_regression_a" predicts A from B.
        value: NaN where the measure is not defined.
        note: why the value is NaN or not determined; otherwise empty.
    """
    rows = []
    for result in results:
        columns = {
            "measure": list(map(_of_networks, result.measures)),
            "value": [value for value, _ in result.measures.values()],
            "note": [_of_networks(note) for _, note in result.measures.values()],
        }
        rows.append((result, columns))
    return _layer_table(rows, "measure", "value", "note")


def minimal_match_table(results: Iterable[LayerResult]) -> pd.DataFrame:
    """One row per neuron of a maximum match: a minimal match that contains it.

    Columns after the layer's:
        epsilon: of the maximum match.
        network, neuron: "a" or "b", and the neuron's index.
        match: number of the minimal match in ``member_table``; neurons can share one.
        size_a, size_b: number of neurons of each network in the minimal match.
        orders: number of orders of the search; of their matches this is the smallest.
        median_size, largest_size: of both networks together, over the orders.
    """
    rows = []
    for result in results:
        for epsilon, found in sorted(result.minimal.items()):
            neurons = np.flatnonzero(found.match_of >= 0)
            of_a = neurons < found.neurons_x
            members = found.distinct[found.match_of[neurons]]
            by_order = found.sizes[None] if found.sizes_by_order is None else found.sizes_by_order
            columns = {
                "epsilon": epsilon,
                "network": np.where(of_a, "a", "b"),
                "neuron": np.where(of_a, neurons, neurons - found.neurons_x),
                "match": found.match_of[neurons],
                "size_a": members[:, : found.neurons_x].sum(1),
                "size_b": members[:, found.neurons_x :].sum(1),
                "orders": len(by_order),
                "median_size": np.median(by_order[:, neurons], axis=0),
                "largest_size": by_order[:, neurons].max(0),
            }
            rows.append((result, columns))
    sizes = ("size_a", "size_b", "orders", "median_size", "largest_size")
    return _layer_table(rows, "epsilon", "network", "neuron", "match", *sizes)


def member_table(results: Iterable[LayerResult]) -> pd.DataFrame:
    """One row per distinct minimal match: its members.

    Columns after the layer's:
        epsilon: of the maximum match.
        match: number of the minimal match, as in ``minimal_match_table``.
        neurons_a, neurons_b: list of the indices of each network's members.
    """
    rows = []
    for result in results:
        for epsilon, found in sorted(result.minimal.items()):
            columns: dict[str, Any] = {"epsilon": epsilon, "match": np.arange(len(found.distinct))}
            a, b = np.hsplit(found.distinct, [found.neurons_x])
            columns["neurons_a"] = list(map(np.flatnonzero, a))
            columns["neurons_b"] = list(map(np.flatnonzero, b))
            rows.append((result, columns))
    return _layer_table(rows, "epsilon", "match", "neurons_a", "neurons_b")


def heat_map_table(
    heat_maps: Iterable[tuple[PairNames, HeatMap]], epsilons: Sequence[float]
) -> pd.DataFrame:
    """One row per (pair, layer of A, layer of B, epsilon): their similarity.

    Columns after the pair's:
        layer_a, depth_a, layer_b, depth_b: the two layers.
        epsilon: from the grid.
        similarity: as in ``similarity_table``.
        linear_cka: equal for all epsilons.
    """
    parts = []
    bounds = np.array(epsilons)
    for pair, heat_map in heat_maps:
        layers_a, layers_b = heat_map.layers_a, heat_map.layers_b
        matched = (heat_map.critical_epsilon[..., None] <= bounds).sum(2)
        neurons = np.add.outer(*([x.neurons for x in own] for own in (layers_a, layers_b)))
        a, b, epsilon = np.indices(matched.shape).reshape(3, -1)
        columns = {
            "layer_a": [layers_a[place].name for place in a],
            "depth_a": [layers_a[place].depth for place in a],
            "layer_b": [layers_b[place].name for place in b],
            "depth_b": [layers_b[place].depth for place in b],
            "epsilon": bounds[epsilon],
            "similarity": (matched / neurons[..., None]).ravel(),
            "linear_cka": heat_map.linear_cka[a, b],
        }
        parts.append(pd.DataFrame(asdict(pair) | columns))
    own = ("layer_a", "depth_a", "layer_b", "depth_b", "epsilon", "similarity", "linear_cka")
    return _table(parts, *PAIR_COLUMNS, *own)


def within_network_table(
    networks: Iterable[tuple[Mapping[str, Any], WithinNetwork]], epsilons: Sequence[float]
) -> pd.DataFrame:
    """One row per (network, two of its layers, measure): their similarity.

    Args:
        networks: model, seed and stage of each network, and its layers.
        epsilons: the grid.

    Columns after the network's model, seed and stage:
        layer_a, depth_a, layer_b, depth_b: the two layers, the one nearer to the input first.
        measure: "area", "similarity_0.3" and so on for each epsilon of the grid,
            "cross_fitted_area", or a name of ``measure_table``.
        value: NaN where the measure is not defined.
    """
    parts = []
    for network, found in networks:
        pairs = list(combinations(found.layers, 2))
        neurons = np.array([a.neurons + b.neurons for a, b in pairs])
        critical = found.critical_epsilon
        values = {"area": np.nansum(1 - critical, axis=1) / neurons}
        for bound in epsilons:
            values[f"similarity_{bound:g}"] = (critical <= bound).sum(1) / neurons
        values |= {_of_networks(name): own for name, own in found.measures.items()}
        for name, own in values.items():
            columns = {
                "layer_a": [a.name for a, _ in pairs],
                "depth_a": [a.depth for a, _ in pairs],
                "layer_b": [b.name for _, b in pairs],
                "depth_b": [b.depth for _, b in pairs],
                "measure": name,
                "value": own,
            }
            parts.append(pd.DataFrame(dict(network) | columns))
    own_columns = ("layer_a", "depth_a", "layer_b", "depth_b", "measure", "value")
    return _table(parts, "model", "seed", "stage", *own_columns)


def left_out_table(pairs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per (pair, layer that only one of its networks has).

    Args:
        pairs: ``PAIR_COLUMNS`` of each pair, and the names of these layers under "left_out".
    """
    rows = [
        {key: pair[key] for key in PAIR_COLUMNS} | {"layer": layer}
        for pair in pairs
        for layer in pair["left_out"]
    ]
    return pd.DataFrame(rows, columns=[*PAIR_COLUMNS, "layer"])


def top_image_table(top_images: Iterable[TopImages]) -> pd.DataFrame:
    """One row per (network, layer, neuron, rank): one of the images that activate the neuron most.

    Columns:
        key: the network's key, as in ``network_table``.
        layer, neuron: the layer's name and the neuron's index.
        rank: 0 for the highest activation.
        image: index of the image in the evaluation split.
        activation: the neuron's highest activation in the image.
    """
    parts = []
    for found in top_images:
        for layer, (images, activations) in found.layers.items():
            neuron, rank = np.indices(images.shape).reshape(2, -1)
            columns = {
                "key": found.origin.networks[0],
                "layer": layer,
                "neuron": neuron,
                "rank": rank,
                "image": images.ravel(),
                "activation": activations.ravel(),
            }
            parts.append(pd.DataFrame(columns))
    return _table(parts, "key", "layer", "neuron", "rank", "image", "activation")


def network_table(networks: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per network; ``registry.read_networks`` reads its CSV.

    Args:
        networks: model, seed, stage, accuracy, loss, most_chosen and checkpoint of each network, by
            its key. Accuracy, loss (mean cross-entropy in nats) and the share of the class that the
            network chooses most often are measured on the images or texts on which networks are
            compared; None for a network without scores for its task (NaN in the table). The
            checkpoint is the SHA-256 of the weights.
    """
    scores = ["accuracy", "loss", "most_chosen"]
    columns = ["model", "seed", "stage", *scores, "checkpoint", "key"]
    rows = [{**own, "key": key} for key, own in networks.items()]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(scores, float))


def output_table(
    pairs: Iterable[Mapping[str, Any]],
    networks: Mapping[str, Mapping[str, Any]],
    predictions: Mapping[str, np.ndarray | None],
) -> pd.DataFrame:
    """One row per pair of networks: how much their outputs differ.

    Args:
        pairs: ``PAIR_COLUMNS`` of each pair, and the networks' keys under "network_a" and
            "network_b".
        networks: as for ``network_table``.
        predictions: (images,) int64 of each network, by its key; None if it chooses no class.

    Columns after the pair's:
        accuracy_difference: absolute difference of their accuracies.
        disagreement: share of the images for which they choose different classes.
        Both are NaN where a network has none.
    """
    rows = []
    for pair in pairs:
        a, b = pair["network_a"], pair["network_b"]
        accuracies = [networks[key]["accuracy"] for key in (a, b)]
        chosen = predictions[a], predictions[b]
        known = all(accuracy is not None for accuracy in accuracies)
        rows.append(
            {key: pair[key] for key in PAIR_COLUMNS}
            | {
                "accuracy_difference": abs(accuracies[0] - accuracies[1]) if known else np.nan,
                "disagreement": np.nan
                if chosen[0] is None or chosen[1] is None
                else float(np.mean(chosen[0] != chosen[1])),
            }
        )
    return pd.DataFrame(rows, columns=[*PAIR_COLUMNS, "accuracy_difference", "disagreement"])


def null_table(results: Iterable[LayerResult]) -> pd.DataFrame:
    """One row per (pair, layer, epsilon): null similarity; no rows without a null.

    Columns after the layer's:
        epsilon: 0, 0.01, ... 0.99, 0.991, ... 1, and those of the grid.
        null_mean, null_threshold, class_null_mean, class_null_threshold: as in
            ``similarity_table``.
    """
    rows = []
    for result in results:
        if result.null is not None:
            grid = [proof.epsilon for proof in result.certificates]
            bounds = np.unique(np.concatenate([_LEVELS, grid]))
            rows.append((result, {"epsilon": bounds} | _null_levels(result.null, bounds)))
    return _layer_table(rows, "epsilon", *LEVEL_COLUMNS)


def _null_levels(null: Resampled, bounds: np.ndarray) -> dict[str, Any]:
    def similarities(critical: np.ndarray) -> np.ndarray:
        return _counts(critical, bounds) / len(critical)

    return level_columns(null_statistics(null, similarities), len(bounds))


def neuron_table(results: Iterable[LayerResult]) -> pd.DataFrame:
    """One row per (pair, layer, draw, network, neuron): its critical epsilon.

    The distribution function of a layer's critical epsilons is the layer's similarity.

    Columns after the layer's:
        draw: index of the draw.
        network, neuron: "a" or "b", and the neuron's index.
        norm: Euclidean norm of its activation vector.
        dead: whether all its activations are zero.
        critical_epsilon: smallest epsilon at which it is in the maximum match; NaN if it is dead.
        cross_fitted_critical_epsilon: the same by cross-fitted distances; NaN also where
            ``similarity_table`` has a ``note``.
        null_critical_epsilon: a neuron with a smaller critical epsilon has p <= 0.05, by permuting
            B's images (see ``chance.neuron_columns``); NaN without a null.
        p_value: of this neuron, whatever the other ones share; not corrected for them.
        class_null_critical_epsilon, class_p_value: the same after permuting within classes.
    """
    rows = []
    for result in results:
        match = result.match
        critical_epsilons = np.concatenate(match.critical_epsilon)
        new = match.new_images
        chance = neuron_columns(critical_epsilons, result.null)
        cross_fitted = np.full(len(critical_epsilons), np.nan) if new is None else new.cross_fitted
        neurons_a = len(match.critical_epsilon[0])
        for side, critical, norm in zip("ab", match.critical_epsilon, match.norm, strict=True):
            own = slice(neurons_a) if side == "a" else slice(neurons_a, None)
            columns = {
                "draw": match.origin.draw,
                "network": side,
                "neuron": np.arange(len(critical)),
                "norm": norm,
                "dead": np.isnan(critical),
                "critical_epsilon": critical,
                "cross_fitted_critical_epsilon": cross_fitted[own],
                **{name: values[own] for name, values in chance.items()},
            }
            rows.append((result, columns))
    return _layer_table(rows)


def metrics(summary: pd.DataFrame, networks: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers by which experiments are compared.

    Returns:
        ``{"accuracy": {"seed_0": ...}, "loss": {"seed_0": ...}, "similarity": {"conv1": {"0.15":
        ...}}, "area": {"conv1": ...}, "cross_fitted_area": {"conv1": ...}, "chance": {"conv1":
        {"0.15": ..., "area": ...}}, "chance_within_class": ...}``. Chance is the mean
        ``null_threshold``, which a similarity must exceed; without a null it is left out. With
        several models or stages, they are part of the networks' names. With several comparisons,
        all but accuracy and loss are grouped by comparison. A value that is not known is None, as
        JSON has no NaN: accuracy and loss of a network without scores for its task, and the
        cross-fitted area of a layer with too few images.
    """
    several = [key for key in ("model", "stage") if networks[key].nunique() > 1]
    names = {
        ".".join([*(str(row[key]) for key in several), f"seed_{row['seed']}"]): row
        for row in networks.to_dict("records")
    }
    scores = {
        score: {name: None if np.isnan(row[score]) else row[score] for name, row in names.items()}
        for score in ("accuracy", "loss")
    }
    similarity: dict[str, dict[str, dict[str, float]]] = {}
    areas: dict[str, dict[str, float]] = {}
    cross_fitted: dict[str, dict[str, float | None]] = {}
    for row in summary.to_dict("records"):
        comparison, layer = row["comparison"], row["layer"]
        of_layer = similarity.setdefault(comparison, {}).setdefault(layer, {})
        of_layer[f"{row['epsilon']:g}"] = row["similarity"]
        areas.setdefault(comparison, {})[layer] = row["area"]
        known = None if np.isnan(row["cross_fitted_area"]) else row["cross_fitted_area"]
        cross_fitted.setdefault(comparison, {})[layer] = known
    found: dict[str, dict[str, Any]]
    found = {"similarity": similarity, "area": areas, "cross_fitted_area": cross_fitted}
    for name, prefix in (("chance", ""), ("chance_within_class", "class_")):
        if levels := _chance_levels(summary, f"{prefix}null_threshold"):
            found[name] = levels
    if len(similarity) == 1:
        found = {name: next(iter(values.values())) for name, values in found.items()}
    return {**scores, **found}


def _chance_levels(summary: pd.DataFrame, column: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return the chance levels at each epsilon and of the area, by comparison and layer."""
    levels: dict[str, dict[str, dict[str, float]]] = {}
    for row in summary[summary[column].notna()].to_dict("records"):
        of_layer = levels.setdefault(row["comparison"], {}).setdefault(row["layer"], {})
        of_layer[f"{row['epsilon']:g}"] = row[column]
        of_layer["area"] = row[f"area_{column}"]
    return levels


def _layer_table(
    rows: Iterable[tuple[LayerResult, Mapping[str, Any]]], *columns: str
) -> pd.DataFrame:
    """Build a table of layers from values of its own columns; without any, name these columns."""
    parts = []
    for result, own in rows:
        layer = {key: getattr(result.match.origin, key) for key in _LAYER}
        parts.append(pd.DataFrame(asdict(result.pair) | layer | dict(own)))
    return _table(parts, *LAYER_COLUMNS, *columns)


def _table(parts: Iterable[pd.DataFrame], *columns: str) -> pd.DataFrame:
    """Join parts of a table; without any rows, return only the columns."""
    # An empty part would change the types of the columns to object.
    filled = [part for part in parts if len(part)]
    return pd.concat(filled or [pd.DataFrame(columns=list(columns))], ignore_index=True)


def _of_networks(text: str) -> str:
    """Rename the sides x and y, in a measure's name or note, to the networks a and b."""
    return re.sub("(?<![a-z])[xy](?![a-z])", lambda side: {"x": "a", "y": "b"}[side[0]], text)


def _counts(critical: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Count the critical epsilons <= each bound; the NaN of dead neurons never counts."""
    return np.asarray((critical[:, None] <= bounds).sum(0))


def _on_new_images(new: NewImages | None, bounds: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield similarity and area by cross-fitted and by held-out distance; NaN if unknown."""
    unknown = {"similarity": np.full(len(bounds), np.nan), "area": np.nan}
    for critical in (new.cross_fitted, new.held_out) if new else (None, None):
        if critical is None or (new and new.note):
            yield unknown
        else:
            similarity = _counts(critical, bounds) / len(critical)
            yield {"similarity": similarity, "area": float(area(critical))}
