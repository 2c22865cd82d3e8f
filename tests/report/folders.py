"""Make folders of finished runs from small activations, with the functions of the pipeline."""

from __future__ import annotations

import base64
import gzip
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

import subspace_match as sm
from subspace_match.data import prepared
from subspace_match.experiment.comparisons import Network, Pair, complete_groups, pairs_of
from subspace_match.experiment.config import differences, validated
from subspace_match.matching.half_samples import paths_of_halves
from subspace_match.matching.measures import noted_measures
from subspace_match.matching.minimal.result import MinimalMatches
from subspace_match.matching.null import NullNeurons, null_neurons
from subspace_match.results import many_networks, tables
from subspace_match.results.many_networks import ConsensusResult
from subspace_match.results.tables import LayerResult, PairNames
from subspace_match.storage.files import sha256, write_record, write_signed, write_table
from subspace_match.storage.job_records import SUFFIX
from subspace_match.storage.match_files import LayerMatch, NewImages, Resampled
from subspace_match.storage.network_results import HeatMap, HeatMapLayer, TopImages
from subspace_match.storage.result_origin import LayerOrigin, Origin

PROJECT = Path(__file__).parents[2]
LAYERS = ("conv1", "conv2", "fc1")
IMAGES_FILE = "data/mnist_5k-0/images.safetensors"
IMAGES, SAMPLES, NEURONS = 30, 240, 12
GRID = [0.15, 0.3, 0.5]
IMAGE_OF_SAMPLE = np.arange(SAMPLES) // (SAMPLES // IMAGES)
Paths = dict[tuple[int, str, int], sm.MatchPath]


@dataclass
class Made:
    """A run's folder and its contents.

    Attributes:
        folder: of the run.
        paths: match paths by pair number, layer and draw.
        tables: as written.
        minimal: minimal matches by pair number and layer.
    """

    folder: Path
    paths: Paths
    tables: dict[str, pd.DataFrame]
    minimal: dict[tuple[int, str], MinimalMatches]


def experiment(
    results: Path,
    *,
    name: str = "experiment",
    layers: Sequence[str] = LAYERS,
    seeds: Sequence[int] = (0, 1),
    draws: int = 2,
    grid: Sequence[float] = GRID,
    without: Sequence[str] = (),
    images: bool = True,
    settings: Mapping[str, Any] = MappingProxyType({}),
    change: Callable[[dict[str, Any]], Any] = lambda _: None,
) -> Made:
    """Write a folder like that of a finished run.

    Args:
        results: the folder ``results``.
        name: of the folder in ``results/experiments``.
        layers: their names, from input to output.
        seeds: of the networks.
        draws: number of draws of positions.
        grid: epsilons, ascending.
        without: tables to write without rows, as if the run had not requested them.
        images: whether to write the data set.
        settings: further values of the configuration, such as the stages and models to compare.
        change: changes the configuration after its pairs of networks are determined.
    """
    config = validated({"seeds": list(seeds), **settings})
    pairs = tuple(pairs_of(config))
    change(config)
    made, paths, minimal = _tables(tuple(layers), pairs, draws, tuple(grid))
    folder = results / "experiments" / name
    for table, rows in made.items():
        kept = rows.iloc[:0] if table in without else rows
        write_table(kept, folder / "tables" / f"{table}.parquet")
    write_table(made["networks"], folder / "tables" / "networks.csv")
    write_record(folder / "config.json", config)
    sign(config, folder)
    if images:
        # Image n has the value 8 n everywhere, and class n % 10.
        values = np.arange(IMAGES, dtype=np.uint8)[:, None, None, None] * 8
        shown = np.broadcast_to(values, (IMAGES, 1, 28, 28)).copy()
        split = prepared.Split(shown, np.arange(IMAGES) % 10, np.arange(IMAGES))
        about = {"name": "mnist_5k", "classes": 10, "mean": [0.5], "std": [0.5]}
        prepared.save(results / IMAGES_FILE, prepared.DataSet(split, split, about))
    return Made(folder, paths, made, minimal)


def sign(config: dict[str, Any], folder: Path) -> None:
    """Write the provenance record of a folder's current contents."""
    write_signed(folder / f"aggregate{SUFFIX}", _record(config, folder))


def without_rows(made: Made, table: str, condition: str) -> None:
    """Remove rows from a table of a run's folder."""
    file = made.folder / "tables" / f"{table}.parquet"
    rows = pd.read_parquet(file)
    rows.drop(rows.query(condition).index).to_parquet(file)


def _record(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the part of the record of ``aggregate`` that the page reads."""
    call = {
        "rules": ["aggregate", "train"],
        "command": "snakemake --configfile mine.yaml",
        "commit": "0123abc",
        "changed": ["rules/match.smk"],
        "python": "3",
        "packages": {"torch": "2"},
    }
    outputs = [folder / "config.json", *sorted((folder / "tables").iterdir())]
    return {
        "rule": "aggregate",
        "folder": f"experiments/{folder.name}",
        "outputs": {str(file.relative_to(folder)): sha256(file) for file in outputs},
        "inputs": {IMAGES_FILE: "0"},
        "code": {},
        "differs": differences(config, validated({})),
        "digests": {"experiments": [folder.name]},
        "runs": [call],
    }


def page_data(page: str, block: str = "runs") -> Any:
    """Read a data block ("runs", "images") of a page."""
    (coded,) = re.findall(rf'id="{block}-data">([^<]*)<', page)
    return json.loads(gzip.decompress(base64.b64decode(coded)))


def activations(layer: int, draw: int, network: Network) -> np.ndarray:
    """Return (SAMPLES, NEURONS) values; networks have more in common in deeper layers.

    Networks that are not trained to the end have less in common.
    """
    hidden = np.random.default_rng([layer, draw]).normal(size=(SAMPLES, 4))
    names = "" if network.model == "base" else network.model
    own = np.random.default_rng([layer, draw, network.seed + 1, *names.encode()])
    mixed = hidden @ own.normal(size=(4, NEURONS)) / 2
    noise = np.geomspace(0.2 / (layer + 1) ** 2, 1, NEURONS)
    noise *= 1 if network.stage == "last" else 2
    mixed += noise * own.normal(size=(SAMPLES, NEURONS))
    mixed[:, -1] = 0  # a dead neuron
    return mixed


@cache
def _tables(
    layers: tuple[str, ...],
    pairs: tuple[Pair, ...],
    draws: int,
    grid: tuple[float, ...],
) -> tuple[dict[str, pd.DataFrame], Paths, dict[tuple[int, str], MinimalMatches]]:
    paths: Paths = {}
    minimal: dict[tuple[int, str], MinimalMatches] = {}
    results: list[LayerResult] = []
    for number, of_pair in enumerate(pairs):
        for depth, layer in enumerate(layers):
            for draw in range(draws):
                x, y = (activations(depth, draw, one) for one in (of_pair.a, of_pair.b))
                pair = sm.reduce(x, y, device="cpu")
                path = sm.match_path(pair, device="cpu")
                paths[number, layer, draw] = path
                names = PairNames(of_pair.comparison, *astuple(of_pair.a), *astuple(of_pair.b))
                origin = LayerOrigin(
                    *("d", ("a", "b"), ("aa", "bb")),
                    *(layer, f"features.{depth}", _kind(layer), depth + 1, SAMPLES, draw),
                )
                with warnings.catch_warnings(action="ignore", category=sm.FewSamplesWarning):
                    halves = sm.reduce_halves(x, y, IMAGE_OF_SAMPLE, device="cpu")
                cross_fitted = sm.cross_fitted_path(halves, device="cpu")
                new = NewImages.from_paths(cross_fitted, cross_fitted, IMAGES)
                match = LayerMatch.from_path(path, origin, new)
                results.append(LayerResult(names, match, path.verify(grid)))
                if draw == 0:
                    rng = np.random.default_rng(number)
                    orders = [rng.permutation(SAMPLES) for _ in range(19)]
                    null = NullNeurons.stacked(null_neurons(pair, x, y, orders, device="cpu"))
                    # In the last layer, labels alone give the observed similarity.
                    observed = np.stack([path.critical_epsilon] * 19)
                    labels = NullNeurons(observed, observed) if layer == layers[-1] else null
                    in_half = [rng.permutation(SAMPLES)[: SAMPLES // 2] for _ in range(2)]
                    on_halves = paths_of_halves(pair, x, y, in_half, device="cpu")
                    halves_of_images = np.stack([own.critical_epsilon for own in on_halves])
                    minimal[number, layer] = sm.minimal_matches(path, 0.3)
                    results[-1] = replace(
                        results[-1],
                        null=Resampled.of(null, labels, half_images=halves_of_images),
                        minimal={0.3: minimal[number, layer]},
                        measures=noted_measures(pair),
                    )
    of_layers = tables.layer_tables(results)
    together = _consensus(layers, pairs, draws)
    consensus = many_networks.consensus_table(together, grid)
    of_layers["summary"] = many_networks.with_consensus(of_layers["summary"], consensus)
    compared = dict.fromkeys(one for of_pair in pairs for one in (of_pair.a, of_pair.b))
    networks = {
        f"{one.model}.seed_{one.seed}.{one.stage}": asdict(one)
        | {"accuracy": 0.9, "checkpoint": f"{one.seed}" * 64}
        for one in compared
    }
    made = {
        "networks": tables.network_table(networks),
        **of_layers,
        "universality": many_networks.universality_table(results, together, grid),
        "network_matrix": many_networks.network_matrix_table(
            of_layers["similarity"], networks.values()
        ),
        "heat_map": _heat_map(layers, results, grid),
        "left_out": tables.left_out_table([]),
        "top_images": tables.top_image_table(
            TopImages(Origin("d", (key,), ("aa",)), 0.9, _top_images(layers, number), 0.4)
            for number, key in enumerate(networks)
        ),
    }
    return made, paths, minimal


def _kind(layer: str) -> str:
    return "fc" if layer.startswith("fc") else "conv"


def _consensus(layers: Sequence[str], pairs: Sequence[Pair], draws: int) -> list[ConsensusResult]:
    """Match all networks of each comparison that has at least three with each other."""
    found = []
    for comparison, networks in complete_groups(pairs).items():
        for depth, layer in enumerate(layers):
            place = (layer, f"features.{depth}", _kind(layer), depth + 1, SAMPLES)
            for draw in range(draws):
                own = [activations(depth, draw, one) for one in networks]
                path = sm.consensus_path(own, device="cpu")
                origin = LayerOrigin("d", ("a", "b"), ("aa", "bb"), *place, draw)
                found.append(
                    ConsensusResult(
                        comparison, list(map(asdict, networks)), path.critical_epsilons, origin
                    )
                )
    return found


def _heat_map(
    layers: Sequence[str], results: Sequence[LayerResult], grid: Sequence[float]
) -> pd.DataFrame:
    """Give each pair of layers i and j a similarity that identifies both."""
    listed = [HeatMapLayer(layer, depth + 1, 50) for depth, layer in enumerate(layers)]
    maps = []
    for result in results:
        origin = result.match.origin
        if origin.draw == 0 and origin.layer == layers[0]:
            critical = np.full((len(layers), len(layers), 100), np.nan)
            for i, j in np.ndindex(critical.shape[:2]):
                critical[i, j, : 10 * i + j + 1] = 0.1
            cka = critical[..., 0] + 0.5
            maps.append((result.pair, HeatMap(origin, listed, listed, critical, cka)))
    return tables.heat_map_table(maps, grid)


def _top_images(layers: Sequence[str], network: int) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Rank image n + k first for neuron n of network k, then the next ones."""
    first = np.arange(NEURONS)[:, None] + network
    images = (first + np.arange(9)) % IMAGES
    strength = np.broadcast_to(np.arange(9.0, 0, -1), images.shape)
    return dict.fromkeys(layers, (images, strength))
