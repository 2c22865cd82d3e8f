import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subspace_match.storage.files import write_arrays
from subspace_match.storage.match_files import load_matches
from subspace_match.storage.network_results import (
    HeatMap,
    HeatMapLayer,
    TopImages,
    WithinNetwork,
    load_heat_map,
    load_top_images,
    load_within_network,
    save_heat_map,
    save_top_images,
    save_within_network,
)
from subspace_match.storage.result_origin import LayerOrigin, Origin

PAIR = Origin("d", ("n0", "n1"), ("aa", "bb"))
LAYER = LayerOrigin(**vars(PAIR), layer="c1", node="0", kind="conv", depth=1, samples=9, draw=0)


@pytest.mark.parametrize(
    ("digest", "checkpoints"),
    [
        ("e", {"n0": "aa", "n1": "bb"}),
        ("d", {"n0": "ab", "n1": "bb"}),
        ("d", {"n0": "aa", "n2": "bb"}),
    ],
)
def test_a_result_of_other_networks_or_settings_is_refused(
    digest: str, checkpoints: dict[str, str]
) -> None:
    PAIR.check("conv1.npz", "d", {"n0": "aa", "n1": "bb"})
    error = r"conv1\.npz: expected a result of digest and checkpoints"
    with pytest.raises(ValueError, match=error):
        PAIR.check("conv1.npz", digest, checkpoints)


def test_a_result_of_one_network_is_checked_too() -> None:
    origin = Origin("d", ("n0",), ("aa",))
    origin.check("n0.npz", "d", {"n0": "aa"})
    with pytest.raises(ValueError, match=r"n0\.npz: expected a result of"):
        origin.check("n0.npz", "d", {"n0": "ab"})


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("layer"),
        lambda record: record.update(colour="red"),
        lambda record: record.update(draw="0"),
        lambda record: record.update(networks="n0"),
        lambda record: record.clear(),
    ],
)
def test_a_record_with_other_fields_is_no_origin(
    change: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    record = asdict(LAYER)
    assert LayerOrigin.from_record(record, "path.npz") == LAYER
    change(record)
    write_arrays(tmp_path / "path.npz", {}, {"parts": {"c1/draw_0/": {"origin": record}}})
    with pytest.raises(
        ValueError, match=re.escape(f"{tmp_path / 'path.npz'}: expected the origin")
    ):
        load_matches(tmp_path / "path.npz")


def test_a_saved_heat_map_is_loaded_unchanged(tmp_path: Path) -> None:
    a, b = [HeatMapLayer("conv1", 1, 2), HeatMapLayer("fc1", 2, 1)], [HeatMapLayer("fc1", 1, 3)]
    saved = HeatMap(PAIR, a, b, np.arange(10.0).reshape(2, 1, 5), np.array([[0.5], [0.1]]))
    save_heat_map(tmp_path / "m.npz", saved)
    loaded = load_heat_map(tmp_path / "m.npz")
    assert (loaded.origin, loaded.layers_a, loaded.layers_b) == (PAIR, a, b)
    np.testing.assert_array_equal(loaded.critical_epsilon, saved.critical_epsilon)
    np.testing.assert_array_equal(loaded.linear_cka, saved.linear_cka)


@pytest.mark.parametrize("accuracy", [0.9, None])
def test_saved_top_images_are_loaded_unchanged(accuracy: float | None, tmp_path: Path) -> None:
    layers = {"conv1": (np.array([[3, 1]]), np.array([[2.0, 1.0]], np.float32))}
    layers["fc1"] = (np.array([[0, 4]]), np.array([[0.5, 0.5]], np.float32))
    origin = Origin("d", ("n0",), ("aa",))
    predictions = None if accuracy is None else np.array([3, 0, 9])
    saved = TopImages(origin, accuracy, layers, accuracy, predictions)
    save_top_images(tmp_path / "t.npz", saved)
    loaded = load_top_images(tmp_path / "t.npz")
    assert (loaded.origin, loaded.accuracy) == (origin, accuracy)
    assert list(loaded.layers) == list(layers)
    np.testing.assert_array_equal(loaded.predictions, predictions)
    for name, arrays in layers.items():
        for found, expected in zip(loaded.layers[name], arrays, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_saved_layers_of_a_network_are_loaded_unchanged(tmp_path: Path) -> None:
    layers = [HeatMapLayer("conv1", 1, 2), HeatMapLayer("fc1", 2, 1)]
    measures = {"pwcca": np.array([0.5]), "area": np.array([np.nan])}
    critical = np.array([[0.5, np.nan, 0.25]])
    origin = Origin("d", ("n0",), ("aa",))
    save_within_network(tmp_path / "w.npz", WithinNetwork(origin, layers, critical, measures))
    loaded = load_within_network(tmp_path / "w.npz")
    assert (loaded.origin, loaded.layers, list(loaded.measures)) == (origin, layers, list(measures))
    np.testing.assert_array_equal(loaded.critical_epsilon, critical)
    for name, values in measures.items():
        np.testing.assert_array_equal(loaded.measures[name], values)
