"""What many networks share, for the page: universal neurons, and networks by networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..results.registry import share_column
from .json_numbers import numbers
from .runs import Run

MOST_UNIVERSAL = 6  # neurons listed at either end, of each comparison and layer
_FEWEST_OTHERS = 2  # with one other network, a neuron is as universal as its critical epsilon
_NETWORK = ("model", "seed", "stage")


def universality(
    run: Run, number: Mapping[tuple[Any, ...], int], layers: list[str]
) -> list[dict[str, Any]]:
    """Return the most and the least universal neurons per comparison and layer, without dead ones.

    A comparison is left out if no network is compared with at least two others. Neurons of all
    networks are listed together, by their median critical epsilon. ``everywhere`` is the share of
    neurons that are matched in every other network, by epsilon.
    """
    if not run.has("universality"):
        return []
    table = run.tables["universality"]
    table = table[table.groupby("comparison")["others"].transform("max") >= _FEWEST_OTHERS]
    epsilons = sorted(run.tables["similarity"]["epsilon"].unique())
    made = []
    for (comparison, layer), rows in table.groupby(["comparison", "layer"]):
        alive = rows[~rows["dead"]].sort_values(["median_critical_epsilon", *_NETWORK, "neuron"])
        half = (len(alive) + 1) // 2
        ends = {"most": alive[:half][:MOST_UNIVERSAL], "least": alive[half:][::-1][:MOST_UNIVERSAL]}
        made.append(
            {
                "comparison": comparison,
                "layer": layers.index(str(layer)),
                "neurons": len(alive),
                # Dead neurons count, as in the similarity.
                "everywhere": numbers([(rows[share_column(e)] == 1).mean() for e in epsilons]),
            }
            | {
                name: [
                    {
                        "network": number[row["model"], row["seed"], row["stage"]],
                        "neuron": row["neuron"],
                        "others": row["others"],
                        "median": numbers([row["median_critical_epsilon"]], 7)[0],
                        "shares": numbers([row[share_column(epsilon)] for epsilon in epsilons]),
                        "consensus": numbers([row["consensus_epsilon"]], 7)[0],
                    }
                    for row in own.to_dict("records")
                ]
                for name, own in ends.items()
            }
        )
    return made


def network_matrix(
    run: Run, number: Mapping[tuple[Any, ...], int], layers: list[str]
) -> list[dict[str, Any]]:
    """Return the area of every two networks, in the order of their clusters, per layer.

    Only of layers that at least three networks have. ``areas`` lists row after row; None where two
    networks are not compared.
    """
    if not run.has("network_matrix"):
        return []
    made = []
    for layer, rows in run.tables["network_matrix"].groupby("layer"):
        networks = rows.drop_duplicates("position_a").sort_values("position_a")
        if len(networks) <= _FEWEST_OTHERS:
            continue
        areas = np.full((len(networks), len(networks)), np.nan)
        areas[rows["position_a"], rows["position_b"]] = rows["area"]
        keys = networks[[f"{key}_a" for key in _NETWORK]].itertuples(index=False, name=None)
        made.append(
            {
                "layer": layers.index(str(layer)),
                "networks": [number[key] for key in keys],
                "clustered": bool(rows["joined_at"].notna().all()),
                "areas": numbers(areas.ravel(), 7),
            }
        )
    return made
