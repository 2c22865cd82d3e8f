"""The data of the page: a run's tables as plain JSON values.

Critical epsilons keep all digits, so that the page counts exactly what a match path counts at every
epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from ..experiment.comparisons import models_of
from ..matching.validation import FEW_SAMPLES, LARGE_GAP
from ..results.registry import layers_in_order
from ..results.wording import network_in_words
from .atlas import atlas, tiles_of_neurons
from .json_numbers import numbers
from .many_networks import network_matrix, universality
from .run_info import run_info
from .runs import Run

MAX_MEMBERS = 3_000_000  # neurons listed in the minimal matches of one layer at one epsilon
_OVER = ("networks", "images")  # what an interval is over, the better one first
# The area on the page, and its columns in the table summary, the same at every epsilon.
_AREA_COLUMNS = {
    "cross_fitted": "cross_fitted_area",
    "chance": "area_null_threshold",
    "labels": "area_class_null_threshold",
    "p_value": "area_p_value",
}
_NEURON_LEVELS = {
    "chance": "null_critical_epsilon",
    "chance_p": "p_value",
    "labels": "class_null_critical_epsilon",
    "labels_p": "class_p_value",
}
_NETWORK = ("model", "seed", "stage")
_PAIR = ("comparison", *(f"{key}_{side}" for side in "ab" for key in _NETWORK))


def payload(run: Run) -> dict[str, Any]:
    """Return everything that the page shows of a run, except its images."""
    similarity = run.tables["similarity"]
    networks = run.tables["networks"]
    keys = list(networks[list(_NETWORK)].itertuples(index=False, name=None))
    number = {key: index for index, key in enumerate(keys)}
    pairs = list(similarity[list(_PAIR)].drop_duplicates().itertuples(index=False, name=None))
    layers = layers_in_order(similarity)
    has_null = run.has("null")
    level_epsilons = sorted(run.tables["null"]["epsilon"].unique().tolist()) if has_null else []
    differing = [key for key in ("model", "stage") if networks[key].nunique() > 1]
    return {
        "name": run.name,
        "data_set": run.config["data"]["name"],
        "models": _models(run),
        "left_out": _left_out(run),
        "extraction": {
            "positions": run.config["extraction"]["positions"],
            "images": None if run.images is None else len(run.images.labels),
        },
        # Of the layer with the fewest; draws after the first have no null.
        "permutations": int(similarity.loc[similarity["draw"] == 0, "permutations"].min())
        if has_null
        else 0,
        # Of a comparison in memory: how many classes, or why there are none.
        "labels": run.config.get("chance", {}).get("labels"),
        "networks": [
            {
                "name": network_in_words(*(row[part] for part in _NETWORK), also=differing),
                "accuracy": numbers([row["accuracy"]])[0],
                "loss": numbers([row.get("loss", math.nan)])[0],
                # A network that learned nothing; folders of older versions do not tell.
                "one_class": row.get("most_chosen") == 1 and row["stage"] != "initial",
                "checkpoint": row["checkpoint"],
            }
            for row in networks.to_dict("records")
        ],
        "pairs": [
            {"comparison": pair[0], "a": number[pair[1:4]], "b": number[pair[4:7]]}
            for pair in pairs
        ],
        "layers": similarity[["layer", "node", "kind"]]
        .drop_duplicates("layer")
        .set_index("layer")
        .loc[layers]
        .reset_index()
        .to_dict("records"),
        "epsilons": sorted(float(epsilon) for epsilon in similarity["epsilon"].unique()),
        "level_epsilons": level_epsilons,
        "limits": {"neurons_per_image": FEW_SAMPLES, "gap": LARGE_GAP},
        "summary": _summary(run, pairs, layers),
        "universality": universality(run, number, layers),
        "network_matrix": network_matrix(run, number, layers),
        "matches": _matches(run, pairs, layers, level_epsilons),
        "measures": _measures(run, pairs, layers),
        "heat_maps": _heat_maps(run, pairs),
        "provenance": run_info(run),
    }


def images(run: Run, budget: int) -> dict[str, Any]:
    """Return the images that activate the neurons most.

    Args:
        run: with or without images.
        budget: maximum size of the atlas in bytes.

    Returns:
        ``images``, the atlas (None without images), and ``tiles``: for each network and layer the
        tile numbers of its neurons, one neuron after another.
    """
    keys = run.tables["networks"]["key"]
    if run.images is None:
        return {"images": None, "tiles": [{} for _ in keys]}
    ranking = run.tables["top_images"]
    made = atlas(ranking, run.images, budget)
    tiles = tiles_of_neurons(ranking, made["image"])
    return {
        "images": made | {"ranks": int(ranking["rank"].max()) + 1},
        "tiles": [tiles.get(key, {}) for key in keys],
    }


def architecture_words(network: Mapping[str, Any]) -> str:
    """Describe a ``network`` section of the configuration.

    Example:
        >>> architecture_words({"name": "vgg11_bn", "width": 0.5, "weights": None})
        'vgg11_bn, width 0.5'
        >>> architecture_words({"name": "torchvision:vgg16", "width": 0.5, "weights": "DEFAULT"})
        'torchvision:vgg16, weights DEFAULT'
    """
    # The width does not apply to torchvision's networks, the user's own, and models in memory.
    known = ":" not in network["name"] and "width" in network
    width = f", width {network['width']:g}" if known else ""
    weights = "" if network["weights"] is None else f", weights {network['weights']}"
    return f"{network['name']}{width}{weights}"


def _models(run: Run) -> list[dict[str, str]]:
    """Describe each model that has a network in a comparison."""
    compared = set(run.tables["networks"]["model"])
    return [
        {
            "name": name,
            "architecture": architecture_words(model.network),
            "data_set": model.data["name"],
        }
        for name, model in models_of(run.config).items()
        if name in compared
    ]


def _left_out(run: Run) -> list[dict[str, Any]] | None:
    """List the layers without a counterpart for each pair of models; None if unknown."""
    table = run.tables["left_out"]
    if table.columns.empty:
        return None
    found = table.groupby(["model_a", "model_b"], sort=False)["layer"].unique()
    return [{"models": list(pair), "layers": list(layers)} for pair, layers in found.items()]  # type: ignore[call-overload]


def _groups(run: Run, table: str, *columns: str) -> dict[tuple[Any, ...], pd.DataFrame]:
    """Split a table by pair and further columns; nothing if the run has no such table."""
    if not run.has(table):
        return {}
    groups: Any = run.tables[table].groupby([*_PAIR, *columns], sort=False)
    return dict(iter(groups))


def _matches(
    run: Run, pairs: list[Any], layers: list[str], level_epsilons: list[float]
) -> list[dict[str, Any]]:
    """Return critical epsilons, chance, certificates and minimal matches per pair and layer.

    ``chance`` and ``labels`` are at ``level_epsilons``. ``cross_fitted`` has the critical epsilons
    of all draws together that have any, ascending and without NaN, and ``cross_fitted_draws`` the
    number of these draws.
    """
    neurons, null, minimal, members = (
        _groups(run, table, "layer")
        for table in ("neurons", "null", "minimal_matches", "minimal_match_members")
    )
    made = []
    for key, rows in _groups(run, "similarity", "layer").items():
        first_row = rows.iloc[0]
        counts = int(first_row["neurons_a"]), int(first_row["neurons_b"])
        ordered = neurons[key].sort_values(["draw", "network", "neuron"])
        critical = ordered["critical_epsilon"].to_numpy().reshape(-1, sum(counts))
        by_draw = rows.drop_duplicates("draw").set_index("draw")
        fitted = by_draw.index[by_draw["cross_fitted_area"].notna()]
        cross_fitted = ordered.loc[
            ordered["draw"].isin(fitted), "cross_fitted_critical_epsilon"
        ].dropna()
        levels = null.get(key)
        epsilons = sorted(minimal[key]["epsilon"].unique()) if key in minimal else []
        made.append(
            {
                "pair": pairs.index(key[:-1]),
                "layer": layers.index(key[-1]),
                "neurons": counts,
                "samples": int(first_row["samples"]),
                "images": int(first_row["images"]),
                "few_samples": bool(rows["few_samples"].any()),
                "cross_fitted_area": numbers([by_draw["cross_fitted_area"].mean()])[0],
                "note": str(first_row["note"]),
                "critical": [numbers(draw) for draw in critical],
                "cross_fitted": numbers(cross_fitted.sort_values(), 7),
                "cross_fitted_draws": len(fitted),
                "norm": numbers(ordered["norm"].iloc[: sum(counts)], 7),
                "neuron_levels": _neuron_levels(ordered.iloc[: sum(counts)]),
                "chance": _level(levels, "null_threshold", level_epsilons),
                "labels": _level(levels, "class_null_threshold", level_epsilons),
                "certificates": [_certificate(own) for _, own in rows.groupby("epsilon")],
                "minimal": [
                    _minimal(float(e), _at(minimal[key], e), _at(members[key], e), counts)
                    for e in epsilons
                ],
            }
        )
    return made


def _neuron_levels(neurons: pd.DataFrame) -> dict[str, list[float | None]]:
    """Return what each neuron's critical epsilon is compared with, and p-values, where known."""
    return {
        name: numbers(neurons[column], 4)
        for name, column in _NEURON_LEVELS.items()
        if neurons[column].notna().any()
    }


def _level(
    levels: pd.DataFrame | None, column: str, epsilons: list[float]
) -> list[float | None] | None:
    """Return a chance level at these epsilons; None if it is not known."""
    if levels is None or levels[column].isna().all():
        return None
    return numbers(levels.set_index("epsilon")[column].reindex(epsilons))


def _at(table: pd.DataFrame, epsilon: float) -> pd.DataFrame:
    return table[table["epsilon"] == epsilon]


def _certificate(rows: pd.DataFrame) -> dict[str, Any]:
    """Combine the draws at one epsilon: all verified, all certain, the smallest margin."""
    return {
        "epsilon": float(rows["epsilon"].iloc[0]),
        "verified": bool(rows["verified"].all()),
        "certain": bool(rows["certain"].all()),
        "margin": numbers([rows["margin"].min()])[0],
    }


def _minimal(
    epsilon: float, of_neuron: pd.DataFrame, members: pd.DataFrame, counts: Sequence[int]
) -> dict[str, Any]:
    """Return the minimal matches at one epsilon.

    Returns:
        ``match_of``: the match of each neuron, or -1. ``size_a``, ``size_b``: the number of neurons
        in each match. ``members``: the neurons of each match, A's before B's, in ascending order
        and as differences, which compress better; None for the largest matches if all together have
        more than ``MAX_MEMBERS`` neurons.
    """
    match_of = np.full(sum(counts), -1)
    number = of_neuron["neuron"] + counts[0] * (of_neuron["network"] == "b")
    match_of[number] = of_neuron["match"]
    members = members.sort_values("match")
    of_a, of_b = (list(map(np.asarray, members[f"neurons_{side}"])) for side in "ab")
    size_a, size_b = (np.array(list(map(len, own)), dtype=int) for own in (of_a, of_b))
    order = np.argsort(size_a + size_b, kind="stable")
    kept = np.zeros(len(order), bool)
    kept[order] = np.cumsum((size_a + size_b)[order]) <= MAX_MEMBERS
    return {
        "epsilon": epsilon,
        "match_of": match_of.tolist(),
        "size_a": size_a.tolist(),
        "size_b": size_b.tolist(),
        "members": [
            np.diff(np.concatenate([a, b + counts[0]]), prepend=0).tolist() if keep else None
            for a, b, keep in zip(of_a, of_b, kept, strict=True)
        ],
    }


def _summary(run: Run, pairs: list[Any], layers: list[str]) -> list[dict[str, Any]]:
    """Return intervals and consensus on the grid, and the area, per comparison and layer.

    ``over`` says what the intervals are over: "networks" from three on, otherwise "images", or None
    if there are none.
    """
    groups = dict(iter(run.tables["summary"].groupby(["comparison", "layer"])))
    comparisons = dict.fromkeys(pair[0] for pair in pairs)
    made = []
    for comparison, layer in product(comparisons, layers):
        if (comparison, layer) not in groups:
            continue
        rows = groups[comparison, layer]
        ordered = rows.sort_values("epsilon")
        over = next((own for own in _OVER if ordered[f"low_{own}"].notna().any()), None)
        first_row = ordered.iloc[0]
        bounds = {} if over is None else {side: f"{side}_{over}" for side in ("low", "high")}
        of_area = {side: f"area_{column}" for side, column in bounds.items()} | _AREA_COLUMNS
        made.append(
            {
                "comparison": comparison,
                "layer": layers.index(layer),
                "over": over,
                "consensus": numbers(ordered["consensus"]),
                **{side: numbers(ordered[column]) for side, column in bounds.items()},
                "area": {name: numbers([first_row[column]])[0] for name, column in of_area.items()},
            }
        )
    return made


def _measures(run: Run, pairs: list[Any], layers: list[str]) -> list[dict[str, Any]]:
    """Return the values by layer for each pair and measure; None where a layer has none."""
    return [
        {
            "pair": pairs.index(key[:-1]),
            "measure": key[-1],
            "values": numbers(rows.set_index("layer")["value"].reindex(layers)),
        }
        for key, rows in _groups(run, "measures", "measure").items()
    ]


def _heat_maps(run: Run, pairs: list[Any]) -> list[dict[str, Any]]:
    """Return similarity by epsilon, and CKA, of all layers of A with all layers of B, per pair."""
    made = []
    for key, rows in _groups(run, "heat_map").items():
        ordered = rows.sort_values(["depth_a", "depth_b"], kind="stable")
        epsilons = sorted(ordered["epsilon"].unique())
        first = _at(ordered, epsilons[0])
        made.append(
            {
                "pair": pairs.index(key),
                "layers_a": first["layer_a"].unique().tolist(),
                "layers_b": first["layer_b"].unique().tolist(),
                "epsilons": [float(e) for e in epsilons],
                "similarity": [numbers(_at(ordered, e)["similarity"], 7) for e in epsilons],
                "cka": numbers(first["linear_cka"], 7),
            }
        )
    return made
