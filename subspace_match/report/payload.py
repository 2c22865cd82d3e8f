"""The data of the page: a run's tables as plain JSON values.

Critical epsilons keep all digits, so that the page counts exactly what a match path counts at every
epsilon. JSON has neither NaN nor infinity: both become None.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..experiment.comparisons import models_of
from ..results.registry import NO_SEED
from .atlas import atlas, tiles_of_neurons
from .run_info import run_info
from .runs import Run

MAX_MEMBERS = 3_000_000  # neurons listed in the minimal matches of one layer at one epsilon
_NETWORK = ("model", "seed", "stage")
_PAIR = ("comparison", *(f"{key}_{side}" for side in "ab" for key in _NETWORK))


def payload(run: Run) -> dict[str, Any]:
    """Return everything that the page shows of a run, except its images."""
    similarity = run.tables["similarity"]
    networks = run.tables["networks"]
    keys = list(networks[list(_NETWORK)].itertuples(index=False, name=None))
    number = {key: index for index, key in enumerate(keys)}
    pairs = list(similarity[list(_PAIR)].drop_duplicates().itertuples(index=False, name=None))
    layers = similarity.drop_duplicates("layer").sort_values("depth", kind="stable")
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
        if run.has("null")
        else 0,
        "networks": [
            {
                "name": network_words(row, differing),
                "accuracy": _numbers([row["accuracy"]])[0],
                "loss": _numbers([row.get("loss", math.nan)])[0],
                "checkpoint": row["checkpoint"],
            }
            for row in networks.to_dict("records")
        ],
        "pairs": [
            {"comparison": pair[0], "a": number[pair[1:4]], "b": number[pair[4:7]]}
            for pair in pairs
        ],
        "layers": layers[["layer", "node", "kind"]].to_dict("records"),
        "epsilons": sorted(float(epsilon) for epsilon in similarity["epsilon"].unique()),
        "matches": _matches(run, pairs, list(layers["layer"])),
        "measures": _measures(run, pairs, list(layers["layer"])),
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


def network_words(row: dict[Hashable, Any], differing: Sequence[str]) -> str:
    """Name a network by its seed, if known, and by its model and stage where these differ.

    Example:
        >>> network_words({"model": "base", "seed": 0, "stage": "5"}, ["stage"])
        'seed 0, epoch 5'
    """
    stage = f"epoch {row['stage']}" if row["stage"].isdigit() else row["stage"]
    if row["seed"] == NO_SEED:
        return str(row["model"])
    words = {"model": row["model"], "seed": f"seed {row['seed']}", "stage": stage}
    return ", ".join(word for key, word in words.items() if key == "seed" or key in differing)


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


def _numbers(values: Any, digits: int | None = None) -> list[float | None]:
    """Convert numbers for JSON, rounded to significant digits if these are given."""
    numbers = np.asarray(values, dtype=float).tolist()
    if digits is not None:
        numbers = [float(f"{value:.{digits}g}") for value in numbers]
    return [value if math.isfinite(value) else None for value in numbers]


def _groups(run: Run, table: str, *columns: str) -> dict[tuple[Any, ...], pd.DataFrame]:
    """Split a table by pair and further columns; nothing if the run has no such table."""
    if not run.has(table):
        return {}
    groups: Any = run.tables[table].groupby([*_PAIR, *columns], sort=False)
    return dict(iter(groups))


def _matches(run: Run, pairs: list[Any], layers: list[str]) -> list[dict[str, Any]]:
    """Return critical epsilons, chance, certificates and minimal matches per pair and layer."""
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
        chance = null[key].sort_values("epsilon")["null_threshold"] if key in null else None
        epsilons = sorted(minimal[key]["epsilon"].unique()) if key in minimal else []
        made.append(
            {
                "pair": pairs.index(key[:-1]),
                "layer": layers.index(key[-1]),
                "neurons": counts,
                "samples": int(first_row["samples"]),
                "few_samples": bool(rows["few_samples"].any()),
                "critical": [_numbers(draw) for draw in critical],
                "norm": _numbers(ordered["norm"].iloc[: sum(counts)], 7),
                "chance": None if chance is None else _numbers(chance),
                "certificates": [_certificate(own) for _, own in rows.groupby("epsilon")],
                "minimal": [
                    _minimal(float(e), _at(minimal[key], e), _at(members[key], e), counts)
                    for e in epsilons
                ],
            }
        )
    return made


def _at(table: pd.DataFrame, epsilon: float) -> pd.DataFrame:
    return table[table["epsilon"] == epsilon]


def _certificate(rows: pd.DataFrame) -> dict[str, Any]:
    """Combine the draws at one epsilon: all verified, all certain, the smallest margin."""
    return {
        "epsilon": float(rows["epsilon"].iloc[0]),
        "verified": bool(rows["verified"].all()),
        "certain": bool(rows["certain"].all()),
        "margin": _numbers([rows["margin"].min()])[0],
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


def _measures(run: Run, pairs: list[Any], layers: list[str]) -> list[dict[str, Any]]:
    """Return the values by layer for each pair and measure; None where a layer has none."""
    return [
        {
            "pair": pairs.index(key[:-1]),
            "measure": key[-1],
            "values": _numbers(rows.set_index("layer")["value"].reindex(layers)),
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
                "similarity": [_numbers(_at(ordered, e)["similarity"], 7) for e in epsilons],
                "cka": _numbers(first["linear_cka"], 7),
            }
        )
    return made
