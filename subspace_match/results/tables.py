"""Tidy tables of an experiment.

A table of pairs of networks begins with ``PAIR_COLUMNS``: the comparison, and the model, seed and
stage of both networks. A table of layers begins with ``LAYER_COLUMNS``: ``PAIR_COLUMNS``, and the
layer's name, graph node, depth (from 1) and kind ("conv", "tokens" or "fc").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from ..matching.certificate import Certificate
from ..matching.minimal.result import MinimalMatches
from ..matching.null import p_values
from ..matching.validation import FEW_SAMPLES
from ..storage.match_files import LayerMatch, Measures
from ..storage.network_results import HeatMap, TopImages


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


@dataclass(frozen=True)
class LayerResult:
    """The results of one layer of a pair of networks, in one draw of positions.

    Only the first draw has a null, measures and minimal matches, and only if they were asked for.
    """

    pair: PairNames
    match: LayerMatch
    certificates: Sequence[Certificate] = ()  # one per epsilon of the grid, ascending
    null: np.ndarray | None = None  # critical epsilons (permutations, n_a + n_b)
    measures: Measures = field(default_factory=dict)
    minimal: Mapping[float, MinimalMatches] = field(default_factory=dict)  # by epsilon


def layer_tables(results: Sequence[LayerResult]) -> dict[str, pd.DataFrame]:
    """Build all tables of layers and their neurons, by name."""
    similarity = similarity_table(results)
    return {
        "similarity": similarity,
        "summary": summary_table(similarity),
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
        few_samples: whether that is more than ``FEW_SAMPLES``; then some of the match is chance.
        epsilon: from the grid.
        matched_a, matched_b: number of neurons in the maximum match.
        similarity: (matched_a + matched_b) / (neurons_a + neurons_b) (Wang et al. 2018, Definition
            3); dead neurons count in the denominator, as in the authors' code.
        null_95: similarity that at most 5% of the permutations exceed; NaN without a null.
        p_value: see ``p_values``; NaN without a null.
        verified: whether a fresh factorisation proves the match.
        margin: smallest |distance - epsilon| of all decisions.
        certain: whether the margin is larger than rounding errors, and no decision is a tie.
    """
    rows = []
    for result in results:
        origin, proofs = result.match.origin, result.certificates
        bounds = np.array([proof.epsilon for proof in proofs])
        a, b = result.match.critical_epsilon
        neurons_per_sample = max(len(a), len(b)) / origin.samples
        matched_a, matched_b = _counts(a, bounds), _counts(b, bounds)
        similarity = (matched_a + matched_b) / (len(a) + len(b))
        columns: dict[str, Any] = {
            "neurons_a": len(a),
            "neurons_b": len(b),
            "dead_a": int(np.isnan(a).sum()),
            "dead_b": int(np.isnan(b).sum()),
            "draw": origin.draw,
            "samples": origin.samples,
            "neurons_per_sample": neurons_per_sample,
            "few_samples": neurons_per_sample > FEW_SAMPLES,
            "epsilon": bounds,
            "matched_a": matched_a,
            "matched_b": matched_b,
            "similarity": similarity,
            "null_95": np.nan,
            "p_value": np.nan,
            "verified": [proof.sound and proof.complete for proof in proofs],
            "margin": [proof.margin for proof in proofs],
            "certain": [proof.certain for proof in proofs],
        }
        if result.null is not None:
            by_chance = _null_similarity(result.null, bounds)
            columns["null_95"] = _upper_quantile(by_chance)
            columns["p_value"] = p_values(similarity, by_chance)
        rows.append((result, columns))
    return _layer_table(rows)


def summary_table(similarity: pd.DataFrame) -> pd.DataFrame:
    """One row per (comparison, layer, epsilon): similarity over pairs of networks and draws.

    Columns after these:
        similarity: mean over draws and pairs.
        pairs, draws: number of pairs, and of draws per pair.
        low, high: 2.5% and 97.5% quantiles over all draws of all pairs.
        sd_pairs: standard deviation of the pairs' means; NaN for one pair.
        sd_draws: standard deviation of the draws around the mean of their pair; NaN for one draw.
        null_95: mean over pairs; NaN without a null.
        samples: number of samples of a draw.
        few_samples: whether any draw has few samples.
        certain, verified: whether all draws are certain, and verified.
    """
    keys = ["comparison", "layer", "node", "depth", "kind", "epsilon"]
    pair = [column for column in PAIR_COLUMNS if column != "comparison"]
    grouped = similarity.groupby(keys, sort=False)
    summary = grouped.agg(
        similarity=("similarity", "mean"),
        low=("similarity", lambda values: values.quantile(0.025)),
        high=("similarity", lambda values: values.quantile(0.975)),
        null_95=("null_95", "mean"),
        samples=("samples", "first"),
        few_samples=("few_samples", "any"),
        certain=("certain", "all"),
        verified=("verified", "all"),
    )
    of_pairs = similarity.groupby([*keys, *pair], sort=False)["similarity"]
    counts, means, variances = of_pairs.count(), of_pairs.mean(), of_pairs.var()
    summary.insert(1, "pairs", counts.groupby(keys, sort=False).count())
    summary.insert(2, "draws", counts.groupby(keys, sort=False).first())
    summary.insert(5, "sd_pairs", means.groupby(keys, sort=False).std())
    summary.insert(6, "sd_draws", variances.groupby(keys, sort=False).mean() ** 0.5)
    return summary.reset_index()


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
    """One row per neuron of a maximum match: the smallest match that contains it.

    Columns after the layer's:
        epsilon: of the maximum match.
        network, neuron: "a" or "b", and the neuron's index.
        match: number of the minimal match in ``member_table``; neurons can share one.
        size_a, size_b: number of neurons of each network in the minimal match.
    """
    rows = []
    for result in results:
        for epsilon, found in sorted(result.minimal.items()):
            neurons = np.flatnonzero(found.match_of >= 0)
            of_a = neurons < found.neurons_x
            members = found.distinct[found.match_of[neurons]]
            columns = {
                "epsilon": epsilon,
                "network": np.where(of_a, "a", "b"),
                "neuron": np.where(of_a, neurons, neurons - found.neurons_x),
                "match": found.match_of[neurons],
                "size_a": members[:, : found.neurons_x].sum(1),
                "size_b": members[:, found.neurons_x :].sum(1),
            }
            rows.append((result, columns))
    return _layer_table(rows, "epsilon", "network", "neuron", "match", "size_a", "size_b")


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
        networks: model, seed, stage, accuracy, loss and checkpoint of each network, by its key.
            Accuracy and loss (mean cross-entropy in nats) are measured on the images or texts on
            which networks are compared; None for a network without scores for its task (NaN in the
            table). The checkpoint is the SHA-256 of the weights.
    """
    columns = ["model", "seed", "stage", "accuracy", "loss", "checkpoint", "key"]
    rows = [{**own, "key": key} for key, own in networks.items()]
    return pd.DataFrame(rows, columns=columns).astype({"accuracy": float, "loss": float})


def null_table(results: Iterable[LayerResult]) -> pd.DataFrame:
    """One row per (pair, layer, hundredth of epsilon): null similarity; no rows without a null.

    Columns after the layer's:
        epsilon: 0, 0.01, ... 0.99.
        null_mean: mean over the permutations.
        null_95: similarity that at most 5% of the permutations exceed.
    """
    bounds = np.arange(100) / 100
    rows = []
    for result in results:
        if result.null is not None:
            by_chance = _null_similarity(result.null, bounds)
            curves = {"null_mean": by_chance.mean(0), "null_95": _upper_quantile(by_chance)}
            rows.append((result, {"epsilon": bounds} | curves))
    return _layer_table(rows, "epsilon", "null_mean", "null_95")


def neuron_table(results: Iterable[LayerResult]) -> pd.DataFrame:
    """One row per (pair, layer, draw, network, neuron): its critical epsilon.

    The distribution function of a layer's critical epsilons is the layer's similarity.

    Columns after the layer's:
        draw: index of the draw.
        network, neuron: "a" or "b", and the neuron's index.
        norm: Euclidean norm of its activation vector.
        dead: whether all its activations are zero.
        critical_epsilon: smallest epsilon at which it is in the maximum match; NaN if it is dead.
    """
    rows = []
    for result in results:
        match = result.match
        for side, critical, norm in zip("ab", match.critical_epsilon, match.norm, strict=True):
            columns = {
                "draw": match.origin.draw,
                "network": side,
                "neuron": np.arange(len(critical)),
                "norm": norm,
                "dead": np.isnan(critical),
                "critical_epsilon": critical,
            }
            rows.append((result, columns))
    return _layer_table(rows)


def metrics(summary: pd.DataFrame, networks: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers by which experiments are compared.

    Returns:
        ``{"accuracy": {"seed_0": ...}, "loss": {"seed_0": ...}, "similarity": {"conv1": {"0.15":
        ...}}}``. With several models or stages, they are part of the networks' names. With several
        comparisons, similarities are grouped by comparison. Accuracy and loss of a network without
        scores for its task are None, as JSON has no NaN.
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
    for row in summary.to_dict("records"):
        of_layer = similarity.setdefault(row["comparison"], {}).setdefault(row["layer"], {})
        of_layer[f"{row['epsilon']:g}"] = row["similarity"]
    one = next(iter(similarity.values())) if len(similarity) == 1 else similarity
    return {**scores, "similarity": one}


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


def _null_similarity(critical: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return the similarity of each permutation at each bound, (permutations, bounds)."""
    counts = np.stack([_counts(permutation, bounds) for permutation in critical])
    return np.asarray(counts / critical.shape[1])


def _upper_quantile(by_chance: np.ndarray) -> np.ndarray:
    # "higher" gives a similarity that occurred and is never too low: of 19, the largest.
    return np.asarray(np.quantile(by_chance, 0.95, axis=0, method="higher"))
