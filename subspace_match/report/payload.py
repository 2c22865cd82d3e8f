"""A run's tables as the data that its page carries: plain JSON, arrays as base64 of their bytes.

Critical epsilons stay float64, so that the page counts exactly what a match path counts, at every
epsilon. All arrays are little-endian; the page's script names the type of each as it decodes it.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..experiment.comparisons import models_of
from .atlas import atlas, tiles_of_neurons
from .run_info import origin
from .runs import Run

MEMBERS = 3_000_000  # bytes of the members of one layer's minimal matches, at one epsilon
_NETWORK = ("model", "seed", "stage")
_PAIR = ("comparison", *(f"{key}_{side}" for side in "ab" for key in _NETWORK))
_GROUP = [*_PAIR, "layer"]


def payload(run: Run) -> dict[str, Any]:
    """Everything that the page shows of a run, but for its images."""
    similarity = run.tables["similarity"]
    networks = run.tables["networks"]
    keys = list(networks[list(_NETWORK)].itertuples(index=False, name=None))
    place = {key: number for number, key in enumerate(keys)}
    pairs = list(similarity[list(_PAIR)].drop_duplicates().itertuples(index=False, name=None))
    layers = similarity.drop_duplicates("layer").sort_values("depth", kind="stable")
    several = [key for key in ("model", "stage") if networks[key].nunique() > 1]
    return {
        "name": run.name,
        "data": run.config["data"]["name"],
        "models": _models(run),
        "left_out": _left_out(run),
        "recorded": {
            "positions": run.config["extraction"]["positions"],
            "images": None if run.images is None else len(run.images.labels),
            "permutations": run.config["chance"]["permutations"] if run.has("null") else 0,
        },
        "networks": [
            {
                "name": network_words(row, several),
                "accuracy": _number(row["accuracy"]),
                "checkpoint": row["checkpoint"],
            }
            for row in networks.to_dict("records")
        ],
        "pairs": [
            {"comparison": pair[0], "a": place[pair[1:4]], "b": place[pair[4:7]]} for pair in pairs
        ],
        "layers": layers[["layer", "node", "kind"]].to_dict("records"),
        "epsilons": sorted(float(epsilon) for epsilon in similarity["epsilon"].unique()),
        "matches": _matches(run, pairs, list(layers["layer"])),
        "measures": _measures(run, pairs, list(layers["layer"])),
        "heat_maps": _heat_maps(run, pairs),
        "provenance": origin(run),
    }


def images(run: Run, budget: int) -> dict[str, Any]:
    """The images that activate neurons most, which the page shows beside them.

    Args:
        run: with its images, or without.
        budget: bytes that their picture may take.

    Returns:
        ``images``, one picture of them all, and ``tiles``, of each network and layer those of its
        neurons.
    """
    keys = run.tables["networks"]["key"]
    if run.images is None:
        return {"images": None, "tiles": [{} for _ in keys]}
    strongest = run.tables["top_images"]
    made = atlas(strongest, run.images, budget)
    of_neurons = tiles_of_neurons(strongest, made["place"])
    tiles = [
        {layer: _packed(own, "u2") for layer, own in of_neurons.get(key, {}).items()}
        for key in keys
    ]
    return {"images": made | {"ranks": int(strongest["rank"].max()) + 1}, "tiles": tiles}


def network_words(row: dict[Hashable, Any], differing: Sequence[str]) -> str:
    """A network for a reader: its seed, and its model and stage if there are several.

    Example:
        >>> network_words({"model": "base", "seed": 0, "stage": "5"}, ["stage"])
        'seed 0, epoch 5'
    """
    stage = f"epoch {row['stage']}" if row["stage"].isdigit() else row["stage"]
    words = {"model": row["model"], "seed": f"seed {row['seed']}", "stage": stage}
    return ", ".join(word for key, word in words.items() if key == "seed" or key in differing)


def architecture_words(network: Mapping[str, Any]) -> str:
    """A section ``network`` for a reader: a width only where there is one.

    Example:
        >>> architecture_words({"name": "vgg11_bn", "width": 0.5, "weights": None})
        'vgg11_bn, width 0.5'
        >>> architecture_words({"name": "torchvision:vgg16", "width": 0.5, "weights": "DEFAULT"})
        'torchvision:vgg16, weights DEFAULT'
    """
    # Neither torchvision's models nor one's own have the width that is set.
    width = "" if ":" in network["name"] else f", width {network['width']:g}"
    weights = "" if network["weights"] is None else f", weights {network['weights']}"
    return f"{network['name']}{width}{weights}"


def _models(run: Run) -> list[dict[str, str]]:
    """What each model is whose networks were compared."""
    compared = set(run.tables["networks"]["model"])
    return [
        {"name": name, "is": architecture_words(model.network), "data": model.data["name"]}
        for name, model in models_of(run.config).items()
        if name in compared
    ]


def _left_out(run: Run) -> list[dict[str, Any]] | None:
    """Of each two models the layers without a counterpart; None if that was not recorded."""
    table = run.tables["left_out"]
    if table.columns.empty:
        return None
    found = table.groupby(["model_a", "model_b"], sort=False)["layer"].unique()
    return [{"models": list(pair), "layers": list(layers)} for pair, layers in found.items()]  # type: ignore[call-overload]


def _packed(values: Any, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()).decode()


def _number(value: Any) -> float | None:
    """A number for JSON, which has neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None


def _groups(run: Run, table: str) -> dict[tuple[Any, ...], pd.DataFrame]:
    """The rows of a table by pair and layer."""
    if not run.has(table):
        return {}
    found = {}
    for key, rows in run.tables[table].groupby(_GROUP, sort=False):
        assert isinstance(key, tuple)
        found[key] = rows
    return found


def _matches(run: Run, pairs: list[Any], layers: list[str]) -> list[dict[str, Any]]:
    """Of each pair and layer: critical epsilons, chance, proof, minimal matches."""
    neurons, null = _groups(run, "neurons"), _groups(run, "null")
    minimal, members = _groups(run, "minimal_matches"), _groups(run, "minimal_match_members")
    made = []
    for key, rows in _groups(run, "similarity").items():
        about = rows.iloc[0]
        counts = int(about["neurons_a"]), int(about["neurons_b"])
        ordered = neurons[key].sort_values(["draw", "network", "neuron"])
        by_chance = null[key].sort_values("epsilon") if key in null else None
        of_neuron = minimal.get(key, pd.DataFrame())
        epsilons = sorted(of_neuron["epsilon"].unique()) if len(of_neuron) else []
        made.append(
            {
                "pair": pairs.index(key[:-1]),
                "layer": layers.index(key[-1]),
                "neurons": counts,
                "samples": int(about["samples"]),
                "few": bool(rows["few_samples"].any()),
                "draws": int(ordered["draw"].nunique()),
                "critical": _packed(ordered["critical_epsilon"], "f8"),
                "norm": _packed(ordered["norm"].to_numpy()[: sum(counts)], "f4"),
                "chance": None if by_chance is None else _packed(by_chance["null_95"], "f8"),
                "proof": [_proof(own) for _, own in rows.groupby("epsilon")],
                "minimal": [
                    _minimal(
                        float(epsilon),
                        of_neuron[of_neuron["epsilon"] == epsilon],
                        members[key][members[key]["epsilon"] == epsilon],
                        counts,
                    )
                    for epsilon in epsilons
                ],
            }
        )
    return made


def _proof(rows: pd.DataFrame) -> dict[str, Any]:
    """Of one epsilon, over draws: all are proved, and the smallest margin."""
    return {
        "epsilon": float(rows["epsilon"].iloc[0]),
        "verified": bool(rows["verified"].all()),
        "certain": bool(rows["certain"].all()),
        "margin": _number(rows["margin"].min()),
    }


def _minimal(
    epsilon: float, of_neuron: pd.DataFrame, members: pd.DataFrame, counts: Sequence[int]
) -> dict[str, Any]:
    """Minimal matches: of each neuron its match or -1, of each match its neurons, A's before B's.

    Members are differences of ascending numbers, seven bits a byte, the eighth says that more
    follow. Larger matches whose members have no room are left out: their sizes stay.
    """
    match_of = np.full(sum(counts), -1)
    number = of_neuron["neuron"] + counts[0] * (of_neuron["network"] == "b")
    match_of[number] = of_neuron["match"]
    members = members.sort_values("match")
    of_a, of_b = (list(map(np.asarray, members[f"neurons_{side}"])) for side in "ab")
    sizes = [np.array(list(map(len, own)), dtype=int) for own in (of_a, of_b)]
    joined = [np.concatenate([a, b + counts[0]]) for a, b in zip(of_a, of_b, strict=True)]
    encoded = _differences(joined)
    order = np.argsort(sizes[0] + sizes[1], kind="stable")
    lengths = np.array(list(map(len, encoded)), dtype=int)
    kept = np.zeros(len(encoded), bool)
    kept[order] = np.cumsum(lengths[order]) <= MEMBERS
    return {
        "epsilon": epsilon,
        "match_of": _packed(match_of, "i4"),
        "size_a": _packed(sizes[0], "u2"),
        "size_b": _packed(sizes[1], "u2"),
        "kept": _packed(kept, "u1"),
        "members": base64.b64encode(b"".join(itertools.compress(encoded, kept))).decode(),
    }


def _differences(matches: Sequence[np.ndarray]) -> list[bytes]:
    """Ascending numbers below 2**21, each match's as bytes."""
    if not matches:
        return []
    starts = np.cumsum([0, *map(len, matches)])
    members = np.concatenate(matches)
    steps = np.diff(members, prepend=0)
    steps[starts[:-1]] = members[starts[:-1]]
    lengths = 1 + (steps >= 1 << 7) + (steps >= 1 << 14)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    made = np.zeros(ends[-1], np.uint8)
    for byte in range(3):
        longer = lengths > byte
        more = 0x80 * (lengths[longer] > byte + 1)
        made[ends[:-1][longer] + byte] = steps[longer] >> 7 * byte & 0x7F | more
    cuts = ends[starts]
    return [made[a:b].tobytes() for a, b in itertools.pairwise(cuts)]


def _measures(run: Run, pairs: list[Any], layers: list[str]) -> list[dict[str, Any]]:
    """Of each pair and measure the values by layer, None where a layer has none."""
    if not run.has("measures"):
        return []
    table = run.tables["measures"]
    made = []
    for key, rows in table.groupby([*_PAIR, "measure"], sort=False):
        assert isinstance(key, tuple)
        values = rows.set_index("layer")["value"].reindex(layers)
        made.append(
            {
                "pair": pairs.index(key[:-1]),
                "measure": key[-1],
                "values": [_number(value) for value in values],
            }
        )
    return made


def _heat_maps(run: Run, pairs: list[Any]) -> list[dict[str, Any]]:
    """Of each pair every layer of A by every layer of B: similarity an epsilon, and CKA."""
    if not run.has("heat_map"):
        return []
    made = []
    for key, rows in run.tables["heat_map"].groupby(list(_PAIR), sort=False):
        assert isinstance(key, tuple)
        ordered = rows.sort_values(["epsilon", "depth_a", "depth_b"], kind="stable")
        first = ordered[ordered["epsilon"] == ordered["epsilon"].min()]
        made.append(
            {
                "pair": pairs.index(key),
                "layers_a": ordered["layer_a"].unique().tolist(),
                "layers_b": first["layer_b"].unique().tolist(),
                "epsilons": ordered["epsilon"].unique().tolist(),
                "similarity": _packed(ordered["similarity"], "f4"),
                "cka": _packed(first["linear_cka"], "f4"),
            }
        )
    return made
