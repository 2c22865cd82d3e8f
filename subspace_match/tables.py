"""Tidy tables of an experiment: a row a (pair, layer, epsilon), and a row a neuron."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .matches import LayerMatch

# Unrelated activations of n neurons over d samples come within sqrt(1 - n/d) of a span, so from
# here on a part of the similarity is chance.
FEW_SAMPLES = 0.2  # neurons a sample


def similarity_table(matches: Iterable[LayerMatch], epsilons: Sequence[float]) -> pd.DataFrame:
    """A row a (pair, layer, epsilon): what was compared, how much of it matched.

    Similarity is (|A*| + |B*|) / (n_a + n_b) (Wang et al. 2018, Definition 3), dead neurons counted
    in the denominator as the authors do.
    """
    rows = []
    for match in matches:
        a, b = match.critical_epsilon
        neurons_per_sample = max(len(a), len(b)) / match.about["samples"]
        layer = _layer_columns(match) | {
            "neurons_a": len(a),
            "neurons_b": len(b),
            "dead_a": int(np.isnan(a).sum()),
            "dead_b": int(np.isnan(b).sum()),
            "samples": match.about["samples"],
            "neurons_per_sample": neurons_per_sample,
            "few_samples": neurons_per_sample > FEW_SAMPLES,
        }
        for epsilon in epsilons:
            # A dead neuron's NaN is not <= anything.
            matched = int((a <= epsilon).sum()), int((b <= epsilon).sum())
            rows.append(
                layer
                | {
                    "epsilon": epsilon,
                    "matched_a": matched[0],
                    "matched_b": matched[1],
                    "similarity": sum(matched) / (len(a) + len(b)),
                }
            )
    return pd.DataFrame(rows)


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


def _layer_columns(match: LayerMatch) -> dict[str, Any]:
    keys = ("seed_a", "seed_b", "layer", "node", "depth", "kind")
    return {key: match.about[key] for key in keys}
