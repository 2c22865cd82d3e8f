"""Tables of what many networks share: universal neurons, consensus matches, networks by networks.

A neuron's critical epsilon in one other network is here the mean over draws of positions; a dead
neuron counts 1, as it matches at no epsilon.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..matching.path import area
from ..storage.result_origin import LayerOrigin
from .registry import layers_in_order, share_column
from .tables import LayerResult

NETWORK_COLUMNS = ("comparison", "model", "seed", "stage")
LAYER_COLUMNS = ("layer", "node", "depth", "kind")


@dataclass(frozen=True)
class ConsensusResult:
    """The consensus match of one layer in one draw: critical epsilons (neurons,) by network."""

    comparison: str
    networks: Sequence[Mapping[str, Any]]  # model, seed and stage of each
    critical_epsilons: Sequence[np.ndarray]
    origin: LayerOrigin


def universality_table(
    results: Iterable[LayerResult],
    consensus: Iterable[ConsensusResult],
    epsilons: Sequence[float],
) -> pd.DataFrame:
    """One row per (comparison, network, layer, neuron): how many other networks have it.

    Columns after the comparison, the network's model, seed and stage, and the layer's:
        neuron: the neuron's index.
        dead: whether all its activations are zero, in every draw.
        others: number of other networks with which the comparison pairs this network.
        median_critical_epsilon: median over these networks of its critical epsilon; NaN if dead.
        share_0.3 and so on, for each epsilon of the grid: share of these networks in which the
            neuron is matched.
        consensus_epsilon: the smallest epsilon at which the neuron is in the consensus match of all
            networks (see ``matching.consensus``), mean over draws; NaN if it is dead, or if the
            comparison has no consensus: it needs three networks, all compared with each other.
    """
    draws: dict[tuple[Any, ...], dict[tuple[Any, ...], list[np.ndarray]]] = {}
    for result in results:
        pair = result.pair
        a = pair.model_a, pair.seed_a, pair.stage_a
        b = pair.model_b, pair.seed_b, pair.stage_b
        layer = tuple(getattr(result.match.origin, key) for key in LAYER_COLUMNS)
        sides = zip((a, b), (b, a), result.match.critical_epsilon, strict=True)
        for own, other, critical in sides:
            found = draws.setdefault((pair.comparison, *own, *layer), {})
            found.setdefault(other, []).append(critical)
    together: dict[tuple[Any, ...], list[np.ndarray]] = {}
    for each in consensus:
        for network, critical in zip(each.networks, each.critical_epsilons, strict=True):
            key = each.comparison, *_names(network), each.origin.layer
            together.setdefault(key, []).append(critical)
    parts = []
    for key, found in draws.items():
        about = dict(zip(NETWORK_COLUMNS + LAYER_COLUMNS, key, strict=True))
        by_other = np.stack([_over_draws(own) for own in found.values()])
        dead = np.isnan(np.stack([np.stack(own) for own in found.values()])).all((0, 1))
        columns = {
            "neuron": np.arange(by_other.shape[1]),
            "dead": dead,
            "others": len(found),
            "median_critical_epsilon": np.where(dead, np.nan, np.median(by_other, axis=0)),
            **{share_column(bound): (by_other <= bound).mean(0) for bound in epsilons},
            "consensus_epsilon": np.nan,
        }
        if critical_by_draw := together.get((*key[:4], about["layer"])):
            over_draws = _over_draws(critical_by_draw)
            columns["consensus_epsilon"] = np.where(dead, np.nan, over_draws)
        parts.append(pd.DataFrame(about | columns))
    return pd.concat(parts, ignore_index=True)


def consensus_table(
    consensus: Iterable[ConsensusResult], epsilons: Sequence[float]
) -> pd.DataFrame:
    """One row per (comparison, layer, epsilon): the consensus match of all its networks.

    Only comparisons of at least three networks, all compared with each other, have a consensus.

    Columns after these:
        networks, draws: number of networks, and of draws of positions.
        neurons: number of all networks' neurons.
        matched: number of those in the consensus match, mean over draws.
        similarity: matched / neurons.
        area: area under the similarity as a function of epsilon, the same at every epsilon.
    """
    names = ("comparison", *LAYER_COLUMNS, "epsilon")
    own = ("networks", "draws", "neurons", "matched", "similarity", "area")
    by_layer: dict[tuple[Any, ...], list[np.ndarray]] = {}
    networks = {}
    for each in consensus:
        key = each.comparison, *(getattr(each.origin, name) for name in LAYER_COLUMNS)
        by_layer.setdefault(key, []).append(np.concatenate(list(each.critical_epsilons)))
        networks[key] = len(each.networks)
    rows = []
    for key, found in by_layer.items():
        critical = np.stack(found)
        draws, neurons = critical.shape
        for bound in epsilons:
            matched = float((critical <= bound).sum(1).mean())
            numbers = draws, neurons, matched, matched / neurons, float(area(critical).mean())
            rows.append((*key, bound, networks[key], *numbers))
    return pd.DataFrame(rows, columns=[*names, *own])


def with_consensus(summary: pd.DataFrame, consensus: pd.DataFrame) -> pd.DataFrame:
    """Add the column ``consensus`` to the summary: its similarity, NaN where there is none."""
    keys = ["comparison", "layer", "epsilon"]
    own = consensus[[*keys, "similarity"]].rename(columns={"similarity": "consensus"})
    if own.empty:
        return summary.assign(consensus=np.nan)
    return summary.merge(own, on=keys, how="left", validate="one_to_one")


def network_matrix_table(
    similarity: pd.DataFrame, networks: Iterable[Mapping[str, Any]]
) -> pd.DataFrame:
    """One row per (layer, network A, network B), in both orders: networks by networks.

    Holds all pairs of the experiment, of every comparison. If every two networks that have a layer
    are compared, that layer's networks are clustered by 1 - area with average linkage (SciPy).

    Args:
        similarity: ``tables.similarity_table``.
        networks: model, seed and stage of each network, in the order of the configuration.

    Columns after the layer's:
        model_a, seed_a, stage_a, model_b, seed_b, stage_b: the two networks.
        area: area under their similarity curve, mean over draws.
        position_a, position_b: place of each network in the order of the clusters, from 0; without
            clusters in the order of the configuration.
        joined_at: height, as 1 - area, at which their clusters join; NaN without clusters. These
            heights determine the whole tree.
    """
    sides = [[f"{name}_{side}" for name in ("model", "seed", "stage")] for side in "ab"]
    one_way = similarity.groupby([*LAYER_COLUMNS, *sides[0], *sides[1]], sort=False)["area"]
    both = one_way.mean().reset_index()
    a_then_b, b_then_a = [*sides[0], *sides[1]], [*sides[1], *sides[0]]
    exchanged = both.rename(columns=dict(zip(a_then_b, b_then_a, strict=True)))
    table = pd.concat([both, exchanged[both.columns]], ignore_index=True)
    order = [_names(network) for network in networks]
    parts = []
    for layer in layers_in_order(table):
        rows = table[table["layer"] == layer]
        pairs = [tuple(zip(*(rows[name] for name in side), strict=True)) for side in sides]
        present = [network for network in order if network in set(pairs[0])]
        places = {network: place for place, network in enumerate(present)}
        a, b = (np.array([places[network] for network in side]) for side in pairs)
        distance = np.full((len(present), len(present)), np.nan)
        distance[a, b] = 1 - rows["area"].to_numpy()
        position, joined = _clusters(distance)
        parts.append(
            rows.assign(position_a=position[a], position_b=position[b], joined_at=joined[a, b])
        )
    return pd.concat(parts, ignore_index=True)


def _clusters(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each network's place in the order of clusters, and where every two networks join."""
    count = len(distance)
    np.fill_diagonal(distance, 0.0)
    if count < 3 or np.isnan(distance).any():
        return np.arange(count), np.full((count, count), np.nan)
    # Imported here, because two networks need neither.
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    condensed = squareform(distance, checks=False)
    tree = hierarchy.linkage(condensed, method="average", optimal_ordering=True)
    position = np.empty(count, dtype=np.int64)
    position[hierarchy.leaves_list(tree)] = np.arange(count)
    return position, squareform(hierarchy.cophenet(tree))


def _over_draws(critical: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean over draws; the NaN of a dead neuron counts 1."""
    return np.asarray(np.nan_to_num(np.stack(critical), nan=1.0).mean(0))


def _names(network: Mapping[str, Any]) -> tuple[Any, ...]:
    return network["model"], network["seed"], network["stage"]
