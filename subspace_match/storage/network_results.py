"""Files of results of all layers: heat maps, layers within a network, and top images.

Functions that load a file raise a ValueError that names the file if it is damaged or its origin is
not valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .files import read_arrays, write_arrays
from .result_origin import Origin


class HeatMapLayer(NamedTuple):
    """A layer of a heat map."""

    name: str
    depth: int
    neurons: int


@dataclass(frozen=True)
class HeatMap:
    """The match of every layer of network A with every layer of network B."""

    origin: Origin
    layers_a: Sequence[HeatMapLayer]  # from input to output
    layers_b: Sequence[HeatMapLayer]
    # (layers_a, layers_b, neurons) float64, A's neurons before B's; padded with NaN to the pair of
    # layers with most neurons.
    critical_epsilon: np.ndarray
    linear_cka: np.ndarray  # (layers_a, layers_b) float64


def save_heat_map(path: str | Path, heat_map: HeatMap) -> None:
    """Write the heat map of one pair of networks."""
    arrays = {"critical_epsilon": heat_map.critical_epsilon, "linear_cka": heat_map.linear_cka}
    layers = {"layers_a": heat_map.layers_a, "layers_b": heat_map.layers_b}
    write_arrays(path, arrays, {"origin": asdict(heat_map.origin), **layers})


def load_heat_map(path: str | Path) -> HeatMap:
    """Read what ``save_heat_map`` wrote."""
    arrays, record = read_arrays(path)
    a, b = ([HeatMapLayer(*layer) for layer in record[f"layers_{side}"]] for side in "ab")
    return HeatMap(Origin.from_record(record.get("origin"), path), a, b, **arrays)


@dataclass(frozen=True)
class WithinNetwork:
    """Every two layers of one network, compared.

    Pairs of layers have the order of ``itertools.combinations(layers, 2)``.
    """

    origin: Origin
    layers: Sequence[HeatMapLayer]  # from input to output
    # (pairs, neurons) float64, those of the layer nearer to the input first; padded with NaN to the
    # pair with most neurons.
    critical_epsilon: np.ndarray
    measures: Mapping[str, np.ndarray]  # (pairs,) float64 each, by name


def save_within_network(path: str | Path, found: WithinNetwork) -> None:
    """Write every two layers of one network."""
    arrays = {f"measures/{name}": values for name, values in found.measures.items()}
    arrays["critical_epsilon"] = found.critical_epsilon
    write_arrays(path, arrays, {"origin": asdict(found.origin), "layers": found.layers})


def load_within_network(path: str | Path) -> WithinNetwork:
    """Read what ``save_within_network`` wrote."""
    arrays, record = read_arrays(path)
    critical = arrays.pop("critical_epsilon")
    measures = {name.removeprefix("measures/"): values for name, values in arrays.items()}
    layers = [HeatMapLayer(*layer) for layer in record["layers"]]
    origin = Origin.from_record(record.get("origin"), path)
    return WithinNetwork(origin, layers, critical, measures)


@dataclass(frozen=True)
class TopImages:
    """The images that activate each neuron of one network most."""

    origin: Origin
    accuracy: float | None  # of the network on the same inputs; None without scores for its task
    # By the layer's name: images (neurons, ranks) int64 and their activations (neurons, ranks), the
    # highest first.
    layers: Mapping[str, tuple[np.ndarray, np.ndarray]]
    loss: float | None = None  # mean cross-entropy in nats on the same inputs
    # (images,) int64, the class that the network chooses for each input; None without such a choice
    predictions: np.ndarray | None = None


def save_top_images(path: str | Path, top_images: TopImages) -> None:
    """Write the top images of one network."""
    arrays: dict[str, np.ndarray] = {}
    for layer, (images, activations) in top_images.layers.items():
        arrays |= {f"{layer}/images": images, f"{layer}/activations": activations}
    record = {
        "origin": asdict(top_images.origin),
        "accuracy": top_images.accuracy,
        "loss": top_images.loss,
    }
    if top_images.predictions is not None:
        arrays["predictions"] = top_images.predictions
    write_arrays(path, arrays, record)


def load_top_images(path: str | Path) -> TopImages:
    """Read what ``save_top_images`` wrote."""
    arrays, record = read_arrays(path)
    predictions = arrays.pop("predictions", None)
    names = dict.fromkeys(name.rpartition("/")[0] for name in arrays)
    layers = {name: (arrays[f"{name}/images"], arrays[f"{name}/activations"]) for name in names}
    origin = Origin.from_record(record.get("origin"), path)
    return TopImages(origin, record["accuracy"], layers, record["loss"], predictions)
