"""Tidy tables of an experiment: a row a (pair, layer, epsilon), and a row a neuron."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .matches import LayerMatch
from .matching.certificate import Certificate
from .matching.minimal_sets import MinimalMatches
from .matching.null import p_values

# Unrelated activations of n neurons over d samples come within sqrt(1 - n/d) of a span, so from
# here on a part of the similarity is chance.
FEW_SAMPLES = 0.2  # neurons a sample


def similarity_table(
    matches: Sequence[LayerMatch],
    nulls: Sequence[np.ndarray | None],
    certificates: Sequence[Sequence[Certificate]],
) -> pd.DataFrame:
    """A row a (pair, layer, epsilon): what was compared, how much matched, how much by chance.

    Args:
        matches: of each pair and layer.
        nulls: for each match the critical epsilons (permutations, n_a + n_b) of its neurons when
            images are permuted, or None where there was no permutation.
        certificates: for each match one an epsilon, which say the grid too.

    Similarity is (|A*| + |B*|) / (n_a + n_b) (Wang et al. 2018, Definition 3), dead neurons counted
    in the denominator as the authors do. ``null_95`` is the similarity that at most 5% of the
    permutations exceed. ``margin`` is the smallest |distance - epsilon| of all decisions;
    ``certain`` says that it is more than rounding can move, ``verified`` that a fresh factorisation
    proves the match.
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


def measure_table(
    matches: Sequence[LayerMatch], measures: Sequence[Mapping[str, float]]
) -> pd.DataFrame:
    """A row a (pair, layer, measure): other measures of similarity, each as it is defined."""
    # Of two sides x and y the networks are a and b.
    names = {
        "linear_regression_x": "linear_regression_a",
        "linear_regression_y": "linear_regression_b",
    }
    parts = []
    for match, found in zip(matches, measures, strict=True):
        measure = [names.get(name, name) for name in found]
        columns = {"measure": measure, "value": list(found.values())}
        parts.append(pd.DataFrame(_layer_columns(match) | columns))
    return pd.concat(parts, ignore_index=True)


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
    parts = [pd.DataFrame(columns=[*_LAYER_COLUMNS, *columns])]
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
            parts.append(pd.DataFrame({key: about[key] for key in _LAYER_COLUMNS} | own))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def null_table(matches: Sequence[LayerMatch], nulls: Sequence[np.ndarray | None]) -> pd.DataFrame:
    """A row a (pair, layer, hundredth of epsilon): similarity by chance, its mean and 95%."""
    bounds = np.arange(100) / 100
    parts = [pd.DataFrame(columns=[*_LAYER_COLUMNS, "epsilon", "null_mean", "null_95"])]
    for match, null in zip(matches, nulls, strict=True):
        if null is not None:
            by_chance = _null_similarity(null, bounds)
            curves = {"null_mean": by_chance.mean(0), "null_95": _upper_quantile(by_chance)}
            parts.append(pd.DataFrame(_layer_columns(match) | {"epsilon": bounds} | curves))
    # An empty part would turn the columns' types into object.
    return pd.concat(parts[1:] or parts, ignore_index=True)


def neuron_table(matches: Iterable[LayerMatch]) -> pd.DataFrame:
    """A row a neuron of either network: from ``critical_epsilon`` on it is in the maximum match.

    The exact similarity curve of a layer is the distribution of its critical epsilons.
    """
    parts = []
    for match in matches:
        for side, critical, norm in zip("ab", match.critical_epsilon, match.norm, strict=True):
            own = {
                "network": side,
                "neuron": np.arange(len(critical)),
                "norm": norm,
                "dead": np.isnan(critical),
                "critical_epsilon": critical,
            }
            parts.append(pd.DataFrame(_layer_columns(match) | own))
    return pd.concat(parts, ignore_index=True)


def metrics(similarity: pd.DataFrame, accuracies: Mapping[int, float]) -> dict[str, Any]:
    """Numbers to compare experiments by: accuracies, and mean similarity over pairs.

    Returns:
        ``{"test_accuracy": {"seed_0": ...}, "similarity": {"conv1": {"0.15": ...}}}``.
    """
    mean = similarity.groupby(["layer", "epsilon"], sort=False)["similarity"].mean()
    by_layer: dict[str, dict[str, float]] = {}
    for layer, epsilon in mean.index:
        by_layer.setdefault(layer, {})[f"{epsilon:g}"] = float(mean[layer, epsilon])
    return {
        "test_accuracy": {f"seed_{seed}": accuracy for seed, accuracy in accuracies.items()},
        "similarity": by_layer,
    }


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


_LAYER_COLUMNS = ("seed_a", "seed_b", "layer", "node", "depth", "kind")


def _layer_columns(match: LayerMatch) -> dict[str, Any]:
    return {key: match.about[key] for key in _LAYER_COLUMNS}
