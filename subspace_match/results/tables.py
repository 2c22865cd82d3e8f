"""Tidy tables of an experiment: a row a (pair, layer, draw, epsilon), a row a neuron, and so on.

Every table names what was compared: the comparison in words, and of both networks the model, the
seed and the stage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..matching.certificate import Certificate
from ..matching.minimal.result import MinimalMatches
from ..matching.null import p_values
from ..matching.validation import FEW_SAMPLES
from ..storage.match_files import LayerMatch


def similarity_table(
    matches: Sequence[LayerMatch],
    nulls: Sequence[np.ndarray | None],
    certificates: Sequence[Sequence[Certificate]],
) -> pd.DataFrame:
    """A row a (pair, layer, draw, epsilon): how much matched, how much by chance.

    Args:
        matches: of each pair, layer and draw.
        nulls: for each match the critical epsilons (permutations, n_a + n_b) of its neurons when
            images are permuted, or None where there was no permutation (of all draws but the first
            there is none).
        certificates: for each match one an epsilon, which say the grid too.

    Similarity is (|A*| + |B*|) / (n_a + n_b) (Wang et al. 2018, Definition 3), dead neurons counted
    in the denominator as the authors do. ``null_95`` is the similarity that at most 5% of the
    permutations exceed. ``margin`` is the smallest |distance - epsilon| of all decisions;
    ``certain`` says that it is more than rounding can move, and that none is a tie; ``verified``
    that a fresh factorisation proves the match.
    """
    parts = []
    for match, null, proofs in zip(matches, nulls, certificates, strict=True):
        bounds = np.array([proof.epsilon for proof in proofs])
        a, b = match.critical_epsilon
        neurons_per_sample = max(len(a), len(b)) / match.about["samples"]
        matched_a, matched_b = _counts(a, bounds), _counts(b, bounds)
        similarity = (matched_a + matched_b) / (len(a) + len(b))
        columns = _layer_columns(match) | {
            "neurons_a": len(a),
            "neurons_b": len(b),
            "dead_a": int(np.isnan(a).sum()),
            "dead_b": int(np.isnan(b).sum()),
            "draw": match.about["draw"],
            "samples": match.about["samples"],
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
        if null is not None:
            by_chance = _null_similarity(null, bounds)
            columns["null_95"] = _upper_quantile(by_chance)
            columns["p_value"] = p_values(similarity, by_chance)
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def summary_table(similarity: pd.DataFrame) -> pd.DataFrame:
    """A row a (comparison, layer, epsilon): similarity over pairs of networks and draws.

    ``similarity`` is the mean, over draws and then over pairs. ``low`` and ``high`` are the 2.5%
    and 97.5% quantiles of all pairs' draws; ``sd_pairs`` is the standard deviation of the pairs'
    means, ``sd_draws`` that of the draws around their pair's mean (NaN where there is but one pair,
    one draw). ``null_95`` is the mean over pairs.
    """
    keys = ["comparison", "layer", "node", "depth", "kind", "epsilon"]
    pair = ["model_a", "seed_a", "stage_a", "model_b", "seed_b", "stage_b"]
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


def measure_table(
    matches: Sequence[LayerMatch], measures: Sequence[Mapping[str, tuple[float, str]]]
) -> pd.DataFrame:
    """A row a (pair, layer, measure): other measures of similarity, of the first draw.

    Args:
        matches: of each pair and layer.
        measures: of each of them the values and notes, as of ``noted_measures``.

    ``note`` says why a value is NaN or not determined; it is empty for all others.
    """
    # Of two sides x and y the networks are a and b.
    names = {
        "linear_regression_x": "linear_regression_a",
        "linear_regression_y": "linear_regression_b",
    }
    parts = []
    for match, found in zip(matches, measures, strict=True):
        measure = [names.get(name, name) for name in found]
        columns = {
            "measure": measure,
            "value": [value for value, _ in found.values()],
            "note": [_of_networks(note) for _, note in found.values()],
        }
        parts.append(pd.DataFrame(_layer_columns(match) | columns))
    return pd.concat(parts, ignore_index=True)


def _of_networks(note: str) -> str:
    """A note on sides x and y as one on networks a and b."""
    return re.sub(r"\b[xy]\b", lambda side: "ab"["xy".index(side[0])], note)


def minimal_match_table(
    minimal: Iterable[tuple[MinimalMatches, Mapping[str, Any]]],
) -> pd.DataFrame:
    """A row a neuron of a maximum match: how many neurons of either network its minimal match has.

    Args:
        minimal: minimal matches, each with the record of what they were made from, which names
            their epsilon. "match" numbers the different ones, so that neurons that share one can be
            told.
    """
    columns = ("epsilon", "network", "neuron", "match", "size_a", "size_b")
    parts = [pd.DataFrame(columns=[*LAYER_COLUMNS, *columns])]
    for found, about in minimal:
        neurons = np.flatnonzero(found.match_of >= 0)
        of_a = neurons < found.neurons_x
        members = found.distinct[found.match_of[neurons]]
        own = {
            "epsilon": about["epsilon"],
            "network": np.where(of_a, "a", "b"),
            "neuron": np.where(of_a, neurons, neurons - found.neurons_x),
            "match": found.match_of[neurons],
            "size_a": members[:, : found.neurons_x].sum(1),
            "size_b": members[:, found.neurons_x :].sum(1),
        }
        if len(neurons):
            parts.append(pd.DataFrame({key: about[key] for key in LAYER_COLUMNS} | own))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def member_table(minimal: Iterable[tuple[MinimalMatches, Mapping[str, Any]]]) -> pd.DataFrame:
    """A row a different minimal match: its neurons in network A and in network B, as lists.

    Args:
        minimal: as of ``minimal_match_table``, whose column "match" numbers these.
    """
    parts = [pd.DataFrame(columns=[*LAYER_COLUMNS, "epsilon", "match", "neurons_a", "neurons_b"])]
    for found, about in minimal:
        if len(found.distinct):
            sides = np.split(found.distinct, [found.neurons_x], axis=1)
            own = {
                "epsilon": about["epsilon"],
                "match": np.arange(len(found.distinct)),
                "neurons_a": [np.flatnonzero(members) for members in sides[0]],
                "neurons_b": [np.flatnonzero(members) for members in sides[1]],
            }
            parts.append(pd.DataFrame({key: about[key] for key in LAYER_COLUMNS} | own))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def heat_map_table(
    heat_maps: Iterable[tuple[Mapping[str, np.ndarray], Mapping[str, Any]]],
    epsilons: Sequence[float],
) -> pd.DataFrame:
    """A row a (pair, layer of A, layer of B, epsilon): similarity, and linear CKA beside it.

    Args:
        heat_maps: of each pair the arrays of its file, "critical_epsilon" (layers_a, layers_b,
            neurons) padded with NaN and "linear_cka" (layers_a, layers_b), and the record of what
            they were made from, which lists the ``layers_a`` and ``layers_b``.
        epsilons: the grid.
    """
    columns = ("layer_a", "depth_a", "layer_b", "depth_b", "epsilon", "similarity", "linear_cka")
    parts = [pd.DataFrame(columns=[*_PAIR_COLUMNS, *columns])]
    bounds = np.array(epsilons)
    for arrays, about in heat_maps:
        layers_a, layers_b = about["layers_a"], about["layers_b"]
        matched = (arrays["critical_epsilon"][..., None] <= bounds).sum(2)
        neurons_a, neurons_b = ([layer["neurons"] for layer in own] for own in (layers_a, layers_b))
        of_all = np.add.outer(neurons_a, neurons_b)
        a, b, epsilon = np.indices(matched.shape).reshape(3, -1)
        own = {
            "layer_a": [layers_a[place]["name"] for place in a],
            "depth_a": [layers_a[place]["depth"] for place in a],
            "layer_b": [layers_b[place]["name"] for place in b],
            "depth_b": [layers_b[place]["depth"] for place in b],
            "epsilon": bounds[epsilon],
            "similarity": (matched / of_all[..., None]).ravel(),
            "linear_cka": arrays["linear_cka"][a, b],
        }
        parts.append(pd.DataFrame({key: about[key] for key in _PAIR_COLUMNS} | own))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def left_out_table(pairs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per (pair, layer) of the layers that only one network of a pair has.

    Args:
        pairs: what the tables call each, and under "left_out" the names of such layers.
    """
    rows = [
        {key: pair[key] for key in _PAIR_COLUMNS} | {"layer": layer}
        for pair in pairs
        for layer in pair["left_out"]
    ]
    return pd.DataFrame(rows, columns=[*_PAIR_COLUMNS, "layer"])


def top_image_table(
    top_images: Iterable[tuple[Mapping[str, np.ndarray], Mapping[str, Any]]],
) -> pd.DataFrame:
    """A row a (network, layer, neuron, rank): an image that activates the neuron most.

    Args:
        top_images: of each network the arrays of its file, "<layer>/images" and
            "<layer>/activations" (neurons, ranks), and the record, which names the network.
    """
    parts = [pd.DataFrame(columns=["key", "layer", "neuron", "rank", "image", "activation"])]
    for arrays, about in top_images:
        for name, images in arrays.items():
            layer, _, kind = name.partition("/")
            if kind == "images":
                neuron, rank = np.indices(images.shape).reshape(2, -1)
                own = {
                    "neuron": neuron,
                    "rank": rank,
                    "image": images.ravel(),
                    "activation": arrays[f"{layer}/activations"].ravel(),
                }
                parts.append(pd.DataFrame({"key": about["network"], "layer": layer} | own))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def network_table(records: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row a network: which it is, how accurate, and the checkpoint it is.

    Args:
        records: of each network by its key: model, seed, stage, accuracy on the images on which
            networks are compared (None for one that is no classifier, NaN in the table), and the
            checkpoint's SHA-256.
    """
    columns = ("model", "seed", "stage", "accuracy", "checkpoint")
    rows = [{key: record[key] for key in columns} | {"key": own} for own, record in records.items()]
    return pd.DataFrame(rows).astype({"accuracy": float})


def null_table(matches: Sequence[LayerMatch], nulls: Sequence[np.ndarray | None]) -> pd.DataFrame:
    """A row a (pair, layer, hundredth of epsilon): similarity by chance, its mean and 95%."""
    bounds = np.arange(100) / 100
    parts = [pd.DataFrame(columns=[*LAYER_COLUMNS, "epsilon", "null_mean", "null_95"])]
    for match, null in zip(matches, nulls, strict=True):
        if null is not None:
            by_chance = _null_similarity(null, bounds)
            curves = {"null_mean": by_chance.mean(0), "null_95": _upper_quantile(by_chance)}
            parts.append(pd.DataFrame(_layer_columns(match) | {"epsilon": bounds} | curves))
    # An empty part would turn the columns' types into object.
    return pd.concat(parts[1:] or parts, ignore_index=True)


def neuron_table(matches: Iterable[LayerMatch]) -> pd.DataFrame:
    """A row a (neuron of either network, draw): its critical epsilon, from which on it matches.

    The exact similarity curve of a layer is the distribution of its critical epsilons.
    """
    parts = []
    for match in matches:
        for side, critical, norm in zip("ab", match.critical_epsilon, match.norm, strict=True):
            own = {
                "draw": match.about["draw"],
                "network": side,
                "neuron": np.arange(len(critical)),
                "norm": norm,
                "dead": np.isnan(critical),
                "critical_epsilon": critical,
            }
            parts.append(pd.DataFrame(_layer_columns(match) | own))
    return pd.concat(parts, ignore_index=True)


def metrics(summary: pd.DataFrame, networks: pd.DataFrame) -> dict[str, Any]:
    """Numbers to compare experiments by: accuracies, and similarities.

    Returns:
        ``{"accuracy": {"seed_0": ...}, "similarity": {"conv1": {"0.15": ...}}}``; where there are
        several models or stages a network's name says those too, and where there are several
        comparisons, similarities are under each one's name. The accuracy of a network that is no
        classifier is None, for JSON has no NaN.
    """
    several = [key for key in ("model", "stage") if networks[key].nunique() > 1]
    accuracy = {
        ".".join([*(str(row[key]) for key in several), f"seed_{row['seed']}"]): (
            None if np.isnan(row["accuracy"]) else row["accuracy"]
        )
        for row in networks.to_dict("records")
    }
    similarity: dict[str, dict[str, dict[str, float]]] = {}
    for row in summary.to_dict("records"):
        of_layer = similarity.setdefault(row["comparison"], {}).setdefault(row["layer"], {})
        of_layer[f"{row['epsilon']:g}"] = row["similarity"]
    one = next(iter(similarity.values())) if len(similarity) == 1 else similarity
    return {"accuracy": accuracy, "similarity": one}


def _counts(critical: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Neurons of a critical epsilon <= each bound; a dead neuron's NaN is not <= anything."""
    return np.asarray((critical[:, None] <= bounds).sum(0))


def _null_similarity(critical: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """(permutations, bounds)."""
    counts = np.stack([_counts(permutation, bounds) for permutation in critical])
    return np.asarray(counts / critical.shape[1])


def _upper_quantile(by_chance: np.ndarray) -> np.ndarray:
    # A similarity that occurred, and never one too low: 19 permutations give the largest of them.
    return np.asarray(np.quantile(by_chance, 0.95, axis=0, method="higher"))


_PAIR_COLUMNS = (
    "comparison",
    *(f"{key}_{side}" for side in "ab" for key in ("model", "seed", "stage")),
)
LAYER_COLUMNS = (*_PAIR_COLUMNS, "layer", "node", "depth", "kind")


def _layer_columns(match: LayerMatch) -> dict[str, Any]:
    return {key: match.about[key] for key in LAYER_COLUMNS}
