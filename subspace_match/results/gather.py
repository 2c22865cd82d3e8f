"""Read the results of all jobs of an experiment and build its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ..matching.minimal.result import MinimalMatches
from ..matching.validation import FEW_SAMPLES, LARGE_GAP
from ..storage.files import read_record
from ..storage.match_files import (
    load_certificates,
    load_consensus,
    load_matches,
    load_measures,
    load_minimal_matches,
    load_nulls,
)
from ..storage.network_results import load_heat_map, load_top_images, load_within_network
from ..storage.result_origin import LayerOrigin
from . import many_networks, tables
from .wording import layers_in_words, network_in_words

ENOUGH_PERMUTATIONS = 99  # p-values reach 0.01
Result = TypeVar("Result")
Key = tuple[tuple[str, ...], str, int]  # networks, layer and draw of results that belong together


def gather(files: Mapping[str, Sequence[str]], settings: Any) -> dict[str, pd.DataFrame]:
    """Build all tables of ``registry.TABLES``.

    Args:
        files: paths of the results of all jobs: "matches", "certificates", "measures", "minimal",
            "nulls", "consensus", "heat_maps", "within_networks" and "top_images", each empty if it
            was not asked for, and "records" of the networks, in the order of ``settings.networks``.
        settings: what the plan says about them, as attributes:
            epsilons: the grid, ascending.
            networks: model, seed and stage of each network, by its key.
            pairs: keys ``network_a`` and ``network_b``, ``PAIR_COLUMNS``, and ``left_out``, the
                layers that only one of the two networks has. Tables keep the order of pairs.
            together: comparison and keys of the networks of each consensus match.
            matching_digest and others: the digest that each kind of result must have.

    Raises:
        ValueError: if a file is damaged, or was computed from other networks or settings.
    """
    checkpoints = {
        key: read_record(path)["sha256"]
        for key, path in zip(settings.networks, files["records"], strict=True)
    }
    names: dict[tuple[str, ...], tables.PairNames] = {
        (pair["network_a"], pair["network_b"]): tables.PairNames(
            **{key: pair[key] for key in tables.PAIR_COLUMNS}
        )
        for pair in settings.pairs
    }
    results = _layer_results(files, settings, checkpoints, names)
    consensus = _consensus_results(files, settings, checkpoints)
    heat_maps = []
    for path in files["heat_maps"]:
        heat_map = load_heat_map(path)
        heat_map.origin.check(path, settings.heat_map_digest, checkpoints)
        heat_maps.append((names[heat_map.origin.networks], heat_map))
    within = []
    for path in files["within_networks"]:
        of_network = load_within_network(path)
        of_network.origin.check(path, settings.within_network_digest, checkpoints)
        within.append((settings.networks[of_network.origin.networks[0]], of_network))
    top_images = []
    for path in files["top_images"]:
        top_images.append(load_top_images(path))
        top_images[-1].origin.check(path, settings.top_images_digest, checkpoints)
    scores = {
        found.origin.networks[0]: {
            "accuracy": found.accuracy,
            "loss": found.loss,
            "most_chosen": _most_chosen(found.predictions),
        }
        for found in top_images
    }
    predictions = {found.origin.networks[0]: found.predictions for found in top_images}
    networks = {
        key: {**network, "checkpoint": checkpoints[key], **scores[key]}
        for key, network in settings.networks.items()
    }
    of_layers = tables.layer_tables(results)
    together = many_networks.consensus_table(consensus, settings.epsilons)
    of_layers["summary"] = many_networks.with_consensus(of_layers["summary"], together)
    return {
        "networks": tables.network_table(networks),
        **of_layers,
        "heat_map": tables.heat_map_table(heat_maps, settings.epsilons),
        "within_networks": tables.within_network_table(within, settings.epsilons),
        "top_images": tables.top_image_table(top_images),
        "left_out": tables.left_out_table(settings.pairs),
        "outputs": tables.output_table(settings.pairs, networks, predictions),
        "universality": many_networks.universality_table(results, consensus, settings.epsilons),
        "consensus": together,
        "network_matrix": many_networks.network_matrix_table(
            of_layers["similarity"], settings.networks.values()
        ),
    }


def _layer_results(
    files: Mapping[str, Sequence[str]],
    settings: Any,
    checkpoints: Mapping[str, str],
    names: Mapping[tuple[str, ...], tables.PairNames],
) -> list[tables.LayerResult]:
    """Join the results of each layer and draw, in the order of pairs, depths and draws."""
    matching = settings.matching_digest, checkpoints
    proved = settings.certificate_digest, checkpoints
    certificates = dict(_read(load_certificates, files["certificates"], *proved))
    measures = dict(_read(load_measures, files["measures"], *matching))
    nulls = dict(_read(load_nulls, files["nulls"], settings.null_digest, checkpoints))
    minimal: dict[Key, dict[float, MinimalMatches]] = {}
    for key, (epsilon, found) in _read(load_minimal_matches, files["minimal"], *matching):
        minimal.setdefault(key, {})[epsilon] = found
    results = [
        tables.LayerResult(
            names[match.origin.networks],
            match,
            certificates[key],
            nulls.get(key),
            measures.get(key, {}),
            minimal.get(key, {}),
        )
        for key, match in _read(load_matches, files["matches"], *matching)
    ]
    order = {networks: number for number, networks in enumerate(names)}

    def place(result: tables.LayerResult) -> tuple[int, int, int]:
        origin = result.match.origin
        return order[origin.networks], origin.depth, origin.draw

    return sorted(results, key=place)


def _consensus_results(
    files: Mapping[str, Sequence[str]], settings: Any, checkpoints: Mapping[str, str]
) -> list[many_networks.ConsensusResult]:
    """Name the consensus matches, in the order of comparisons and depths."""
    comparisons = {tuple(keys): comparison for comparison, keys in settings.together}
    found = []
    for path in files["consensus"]:
        for origin, critical in load_consensus(path).items():
            origin.check(path, settings.consensus_digest, checkpoints)
            names = [settings.networks[key] for key in origin.networks]
            comparison = comparisons[origin.networks]
            found.append(many_networks.ConsensusResult(comparison, names, critical, origin))
    order = list(comparisons.values())
    return sorted(
        found, key=lambda each: (order.index(each.comparison), each.origin.depth, each.origin.draw)
    )


def _read(
    load: Callable[[str], Mapping[LayerOrigin, Result]],
    paths: Sequence[str],
    digest: str,
    checkpoints: Mapping[str, str],
) -> Iterator[tuple[Key, Result]]:
    """Load the files of one kind, and check the origin of every result."""
    for path in paths:
        for origin, found in load(path).items():
            origin.check(path, digest, checkpoints)
            yield (origin.networks, origin.layer, origin.draw), found


def _most_chosen(predictions: np.ndarray | None) -> float | None:
    """Return the share of inputs for which a network chooses its most frequent class."""
    return None if predictions is None else float(np.bincount(predictions).max() / len(predictions))


def _signs_of_few_images(few: pd.DataFrame, every: Sequence[str]) -> list[str]:
    """Say why ``few_samples`` is true in some rows of the table of similarities, with layers."""
    signs = []
    crowded = few[few["neurons_per_image"] > FEW_SAMPLES]
    if len(crowded):
        most = crowded.sort_values("neurons_per_image").iloc[-1]
        signs.append(
            f"{layers_in_words(_layers(crowded), every)}: up to {most['neurons_per_image']:.2f}"
            f" neurons per image ({most['images']} images), more than {FEW_SAMPLES:g}"
        )
    gaps = few["area"] - few["cross_fitted_area"]
    wide = few[gaps > LARGE_GAP]
    if len(wide):
        signs.append(
            f"{layers_in_words(_layers(wide), every)}: an area up to {gaps.max():.3f} above the"
            f" cross-fitted area, more than {LARGE_GAP:g}"
        )
    return signs


def warnings_of(made: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Yield what a reader of the tables must know, one line each."""
    similarity, measures, networks = made["similarity"], made["measures"], made["networks"]
    stuck = networks[(networks["most_chosen"] == 1) & (networks["stage"] != "initial")]
    if len(stuck):
        parts = zip(stuck["model"], stuck["seed"], stuck["stage"], strict=True)
        names = [network_in_words(*each, also=["model", "stage"]) for each in parts]
        yield (
            f"{'; '.join(names)}: the same class for every image, so nothing was learned; see the"
            " losses in the training log"
        )
    for row in similarity[~(similarity["verified"] & similarity["certain"])].itertuples():
        problem = (
            "a fresh factorisation does not prove the match; please report this"
            if row.certain
            else f"a decision has a margin of only {row.margin:.1e}, so rounding could change it"
        )
        yield f"{row.layer} at epsilon {row.epsilon:g}: {problem}"
    every = _layers(similarity)
    few = similarity[similarity["few_samples"]]
    if signs := _signs_of_few_images(few, every):
        yield f"{'; '.join(signs)}: some of the match is chance"
    noted = similarity[similarity["note"] != ""]
    if len(noted):
        example = "for example " if noted["note"].nunique() > 1 else ""
        yield (
            f"{layers_in_words(_layers(noted), every)}: cross-fitted and held-out similarity:"
            f" {example}{noted['note'].iloc[0]}"
        )
    with_null = similarity[similarity["permutations"] > 0].drop_duplicates("layer")
    fewest = with_null["permutations"].min()
    if fewest < with_null["permutations"].max() and fewest < ENOUGH_PERMUTATIONS:
        layers = ", ".join(with_null.loc[with_null["permutations"] == fewest, "layer"])
        yield (
            f"{layers}: only {fewest} permutations, as more would take long, so p-values are at"
            f" least {1 / (fewest + 1):g}, and those corrected for several layers in every layer;"
            f" for smaller ones set chance.permutations to {ENOUGH_PERMUTATIONS}"
        )
    for note, rows in measures[measures["note"] != ""].groupby("note"):
        where = layers_in_words(_layers(rows), every)
        yield f"{where}: {', '.join(rows['measure'].unique())}: {note}"


def _layers(rows: pd.DataFrame) -> list[str]:
    """Return the layers of rows, from input to output."""
    return list(dict.fromkeys(rows.sort_values("depth", kind="stable")["layer"]))
