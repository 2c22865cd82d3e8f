from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from subspace_match.matching.certificate import Certificate
from subspace_match.matching.minimal.result import MinimalMatches
from subspace_match.results.gather import gather, warnings_of
from subspace_match.results.registry import TABLES
from subspace_match.results.tables import network_table
from subspace_match.storage.files import write_record
from subspace_match.storage.match_files import (
    LayerMatch,
    NewImages,
    Resampled,
    save_certificates,
    save_consensus,
    save_matches,
    save_measures,
    save_minimal_matches,
    save_nulls,
)
from subspace_match.storage.network_results import (
    HeatMap,
    HeatMapLayer,
    TopImages,
    WithinNetwork,
    save_heat_map,
    save_top_images,
    save_within_network,
)
from subspace_match.storage.result_origin import LayerOrigin, Origin

Files = dict[str, list[str]]
EPSILONS = [0.2, 0.5]
CHECKPOINTS = {"n0": "aa", "n1": "bb", "n2": "cc"}
# In the order of depth and draw.
PARTS = [("conv1", 1, 0), ("conv1", 1, 1), ("fc1", 2, 0)]
KINDS = (
    "matches",
    "certificates",
    "measures",
    "nulls",
    "minimal",
    "heat_maps",
    "within_networks",
    "top_images",
    "consensus",
)


def settings() -> SimpleNamespace:
    sides = {
        f"{key}_{side}": value
        for side in "ab"
        for key, value in {"model": "base", "stage": "last", "seed": 0}.items()
    }
    pairs = [
        {"network_a": a, "network_b": b, "comparison": "last", "left_out": left_out, **sides}
        | {"seed_a": int(a[1]), "seed_b": int(b[1])}
        for a, b, left_out in (("n1", "n2", ["fc9"]), ("n0", "n1", []))
    ]
    names = ("matching", "certificate", "null", "heat_map", "top_images", "consensus")
    names += ("within_network",)
    return SimpleNamespace(
        epsilons=EPSILONS,
        networks={
            key: {"model": "base", "seed": int(key[1]), "stage": "last"} for key in CHECKPOINTS
        },
        pairs=pairs,
        together=[("last", ["n0", "n1", "n2"])],
        **{f"{name}_digest": name for name in names},
    )


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Results of two pairs, 2 + 2 neurons, in no particular order."""
    monkeypatch.chdir(tmp_path)
    paths: dict[str, list[str]] = {kind: [] for kind in (*KINDS, "records")}

    def new(kind: str, name: str) -> str:
        paths[kind].append(f"{kind}.{name}.npz")
        return paths[kind][-1]

    for key, checkpoint in CHECKPOINTS.items():
        write_record(new("records", key), {"sha256": checkpoint})
        origin = Origin("top_images", (key,), (checkpoint,))
        layers = {"fc1": (np.array([[int(key[1])]]), np.ones((1, 1)))}
        predictions = np.array([0, 1, 2, int(key[1])])
        found = TopImages(origin, 0.5, layers, 1.25, predictions)
        save_top_images(new("top_images", key), found)
        inside = replace(origin, digest="within_network")
        layers_inside = [HeatMapLayer("conv1", 1, 1), HeatMapLayer("fc1", 2, 1)]
        critical = np.array([[0.1, int(key[1]) / 10]])
        both = WithinNetwork(inside, layers_inside, critical, {"pwcca": np.array([0.7])})
        save_within_network(new("within_networks", key), both)
    together = Origin("consensus", tuple(CHECKPOINTS), tuple(CHECKPOINTS.values()))
    fc1 = {"layer": "fc1", "node": "", "kind": "fc", "depth": 2, "samples": 20, "draw": 0}
    critical = [np.array([0.4, np.nan]), np.array([0.6, 0.7]), np.array([0.1, 0.2])]
    save_consensus(new("consensus", "fc1"), {LayerOrigin(**vars(together), **fc1): critical})
    for a, b in (("n0", "n1"), ("n1", "n2")):
        pair = Origin("matching", (a, b), (CHECKPOINTS[a], CHECKPOINTS[b]))
        origins = [
            LayerOrigin(
                **vars(pair), layer=layer, node="", kind="fc", depth=depth, samples=20, draw=draw
            )
            for layer, depth, draw in reversed(PARTS)
        ]
        first = [origin for origin in origins if origin.draw == 0]
        critical = (np.array([0.1, 0.4]), np.array([0.6, 0.7]))
        fares = NewImages(20, np.concatenate(critical), np.array([0.2, 0.5, 0.6, 0.7]), "")
        matches = [
            LayerMatch(critical, critical, np.arange(4), origin, fares) for origin in origins
        ]
        save_matches(new("matches", a), matches)
        proofs = [Certificate(epsilon, True, True, 0.1, ("x", 0), 0.0) for epsilon in EPSILONS]
        proved = {replace(origin, digest="certificate"): proofs for origin in origins}
        save_certificates(new("certificates", a), proved)
        save_measures(new("measures", a), {o: {"pwcca": (o.depth / 4, "")} for o in first})
        null = {
            replace(o, digest="null"): Resampled(*np.full((2, 3, 4), o.depth / 10)) for o in first
        }
        save_nulls(new("nulls", a), null)
        found = MinimalMatches(2, np.array([[True, False, True, False]]), np.array([0, -1, 0, -1]))
        for epsilon in reversed(EPSILONS):
            minimal = {first[0]: found}
            save_minimal_matches(new("minimal", f"{a}.{epsilon}"), epsilon, minimal)
        grid = np.full((1, 1, 3), 0.3)
        layers = [HeatMapLayer("fc1", 1, 1)], [HeatMapLayer("fc1", 1, 2)]
        own = replace(pair, digest="heat_map")
        save_heat_map(new("heat_maps", a), HeatMap(own, *layers, grid, np.ones((1, 1))))
    return paths


def test_results_are_joined_in_the_order_of_pairs_depths_and_draws(files: Files) -> None:
    made = gather(files, settings())
    assert list(made) == list(TABLES)
    similarity = made["similarity"].drop_duplicates(["seed_a", "layer", "draw"])
    rows = similarity[["seed_a", "layer", "depth", "draw"]].to_numpy().tolist()
    assert rows == [[seed, *part] for seed in (1, 0) for part in PARTS]
    assert made["similarity"]["epsilon"].tolist() == EPSILONS * 6
    # Only the first draws have a null: at 0.2 all three neurons match by chance.
    low = made["similarity"].query("epsilon == 0.2 and seed_a == 1")
    np.testing.assert_array_equal(low["null_threshold"], [1, np.nan, 1])
    assert made["null"]["layer"].unique().tolist() == ["conv1", "fc1"]
    assert made["measures"][["seed_a", "value"]].to_numpy().tolist() == [
        *([1, 0.25], [1, 0.5]),
        *([0, 0.25], [0, 0.5]),
    ]
    assert made["minimal_match_members"]["epsilon"].tolist() == EPSILONS * 2
    assert made["heat_map"]["seed_a"].tolist() == [0, 0, 1, 1]
    assert made["networks"]["accuracy"].tolist() == [0.5] * 3
    assert made["networks"]["loss"].tolist() == [1.25] * 3
    assert made["networks"]["most_chosen"].tolist() == [0.5] * 3
    assert made["top_images"]["image"].tolist() == [0, 1, 2]
    assert made["left_out"]["layer"].tolist() == ["fc9"]
    outputs = made["outputs"]
    assert outputs[
        ["seed_a", "seed_b", "accuracy_difference", "disagreement"]
    ].to_numpy().tolist() == [
        [1, 2, 0, 0.25],
        [0, 1, 0, 0.25],
    ]
    area = made["within_networks"].query("measure == 'area'")
    assert area["seed"].tolist() == [0, 1, 2]
    assert area["value"].tolist() == pytest.approx([0.95, 0.9, 0.85])
    consensus = made["summary"].set_index(["layer", "epsilon"])["consensus"]
    assert consensus["fc1"].tolist() == [2 / 6, 3 / 6]
    assert consensus["conv1"].isna().all()
    assert made["consensus"]["similarity"].tolist() == consensus["fc1"].tolist()


def test_results_not_asked_for_give_no_rows_and_a_null_of_nan(files: Files) -> None:
    made = gather(
        files
        | {kind: [] for kind in ("nulls", "minimal", "heat_maps", "within_networks", "consensus")},
        settings(),
    )
    for name in ("null", "minimal_matches", "minimal_match_members", "consensus", "heat_map"):
        assert made[name].empty
        assert "comparison" in made[name].columns
    assert made["within_networks"].empty
    assert made["similarity"][["null_threshold", "p_value"]].isna().all(axis=None)
    assert made["summary"][["null_threshold", "consensus"]].isna().all(axis=None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_of_other_networks_is_refused(kind: str, files: Files) -> None:
    write_record(files["records"][1], {"sha256": "changed"})
    for other in set(KINDS) - {kind}:
        files[other] = []
    with pytest.raises(ValueError, match=rf"^{kind}\..*: expected a result of digest and checkp"):
        gather(files, settings())


def test_a_warning_of_few_images_names_only_the_signs_that_there_are(files: Files) -> None:
    made = gather(files, settings())
    table, signs = made["similarity"], ["neurons_per_image", "area", "cross_fitted_area"]
    table["few_samples"] = True
    table.loc[table["layer"] == "conv1", signs] = 0.1, 0.7123, 0.71 - 0.0301
    table.loc[table["layer"] == "fc1", signs] = 0.4, 0.6, np.nan
    neurons = "fc1: up to 0.40 neurons per image (20 images), more than 0.2"
    gap = "conv1: an area up to 0.032 above the cross-fitted area, more than 0.03"
    end = ": some of the match is chance"
    assert next(warnings_of(made)) == f"{neurons}; {gap}{end}"
    table["neurons_per_image"] = 0.1
    assert next(warnings_of(made)) == gap + end


def test_warnings_name_the_layer_and_the_problem(files: Files) -> None:
    made = gather(files, settings())
    assert list(warnings_of(made)) == []
    similarity, measures = made["similarity"], made["measures"]
    similarity.loc[0, ["certain", "margin"]] = False, 1e-14
    similarity.loc[1, "verified"] = False
    similarity.loc[2:3, ["few_samples", "neurons_per_image"]] = True, 0.4
    similarity.loc[4:5, "note"] = "NaN, since there is one image"
    similarity.loc[similarity["layer"] == "fc1", "permutations"] *= 33
    measures.loc[:1, "note"] = "NaN, since a is constant"
    assert list(warnings_of(made)) == [
        "conv1 at epsilon 0.2: a decision has a margin of only 1.0e-14, so rounding could change"
        " it",
        "conv1 at epsilon 0.5: a fresh factorisation does not prove the match; please report this",
        "conv1: up to 0.40 neurons per image (20 images), more than 0.2: some of the match is"
        " chance",
        "fc1: cross-fitted and held-out similarity: NaN, since there is one image",
        "conv1: only 3 permutations, as more would take long, so p-values are at least 0.25, and"
        " those corrected for several layers in every layer; for smaller ones set"
        " chance.permutations to 99",
        "every layer: pwcca: NaN, since a is constant",
    ]


def test_a_trained_network_that_always_chooses_one_class_is_named(files: Files) -> None:
    made = gather(files, settings())
    networks = made["networks"]
    networks["most_chosen"] = [1.0, 1.0, np.nan]
    networks["stage"] = ["initial", "last", "last"]
    own = networks.loc[1]
    assert list(warnings_of(made)) == [
        f"{own['model']}, seed {own['seed']}, last: the same class for every image, so nothing was"
        " learned; see the losses in the training log"
    ]


def test_warnings_of_many_layers_are_one_line_each_kind() -> None:
    names = [f"conv{n}" for n in range(1, 6)]
    similarity = pd.DataFrame({"layer": names, "depth": range(1, 6), "epsilon": 0.3})
    similarity = similarity.assign(
        **{"verified": True, "certain": True, "permutations": 0, "images": 40, "area": 0.9},
        few_samples=[False, True, True, True, True],
        neurons_per_image=[0.1, 0.3, 25.0, 0.4, 0.5],
        cross_fitted_area=[0.9, 0.8, np.nan, 0.6, 0.7],
        note=["", "", "NaN, found 1000", "NaN, found 16", ""],
    )
    measures = pd.DataFrame({"layer": names, "depth": range(1, 6), "measure": "svcca", "note": ""})
    networks = network_table({})
    found = list(
        warnings_of({"similarity": similarity, "measures": measures, "networks": networks})
    )
    assert found == [
        "conv2 to conv5: up to 25.00 neurons per image (40 images), more than 0.2; conv2, conv4"
        " and conv5: an area up to 0.300 above the cross-fitted area, more than 0.03: some of the"
        " match is chance",
        "conv3 and conv4: cross-fitted and held-out similarity: for example NaN, found 1000",
    ]
