"""A checkpoint contains everything needed to rebuild the network."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from subspace_match.networks.architectures import build, initialise
from subspace_match.networks.checkpoints import load_network, save_network
from subspace_match.networks.preprocessing import Preprocessing

CPU = torch.device("cpu")
PREPROCESSING = Preprocessing((0.1, 0.2), (0.3, 0.4), resize=40, crop=32, interpolation="bicubic")


@pytest.mark.parametrize("name", ["vgg11", "resnet50", "plain34"])
def test_a_saved_network_loads_with_its_preprocessing(tmp_path: Path, name: str) -> None:
    architecture = {"name": name, "width": 0.1, "hidden": [8], "channels": 2, "classes": 3}
    network = build(**architecture).eval()
    initialise(network, 0)
    save_network(tmp_path / "network.safetensors", network, architecture, PREPROCESSING)
    loaded, preprocessing = load_network(tmp_path / "network.safetensors", CPU)
    images = torch.randn(2, 2, 32, 32)
    assert preprocessing == PREPROCESSING
    assert not loaded.training
    torch.testing.assert_close(loaded(images), network(images))


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    architecture = {"name": "plain20", "width": 0.1, "hidden": [], "channels": 2, "classes": 3}
    network = build(**architecture)
    files = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for file in files:
        save_network(file, network, architecture, PREPROCESSING)
    assert len({file.read_bytes() for file in files}) == 1


TIED = """
from torch import nn

def make():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)
"""


def test_tied_weights_stay_tied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tied_networks.py").write_text(TIED)
    monkeypatch.syspath_prepend(tmp_path)
    architecture: dict[str, Any] = {"name": "tied_networks:make", "width": 1.0, "hidden": []}
    architecture |= {"channels": 1, "classes": 2}
    network = build(**architecture)
    save_network(tmp_path / "network.safetensors", network, architecture, PREPROCESSING)
    loaded, _ = load_network(tmp_path / "network.safetensors", CPU)
    assert loaded[0].weight is loaded[2].weight
    assert torch.equal(loaded[0].weight, network[0].weight)


def test_a_state_dict_with_other_objects_is_refused(tmp_path: Path) -> None:
    class Extra(torch.nn.ReLU):
        def get_extra_state(self) -> dict[str, int]:
            return {"factor": 2}

    with pytest.raises(ValueError, match="of tensors only, found dict in _extra_state; let get_e"):
        save_network(tmp_path / "network.safetensors", Extra(), {"name": "own:Net"}, PREPROCESSING)
    assert not list(tmp_path.iterdir())


def test_the_error_names_a_file_without_preprocessing(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "network.safetensors", {"architecture": "{}"})
    with pytest.raises(ValueError, match=r"network\.safetensors: expected .* found weights alone"):
        load_network(tmp_path / "network.safetensors", CPU)


def test_the_error_names_a_file_without_metadata(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "network.safetensors")
    with pytest.raises(ValueError, match=r"network\.safetensors: expected .* found weights alone"):
        load_network(tmp_path / "network.safetensors", CPU)


def test_nobody_is_told_to_remove_a_file_that_is_no_network(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((100, 3)))
    with pytest.raises(ValueError, match=r"a\.npy: .* if a run made it, it is damaged: remove it"):
        load_network(tmp_path / "a.npy", CPU)
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "mine.pt")
    with pytest.raises(ValueError, match=r"mine\.pt: .* name the architecture, and give this file"):
        load_network(tmp_path / "mine.pt", CPU)


def test_weights_that_the_code_no_longer_fits_are_not_called_damaged(tmp_path: Path) -> None:
    file = tmp_path / "network.safetensors"
    architecture = {"name": "vgg11", "width": 0.1, "hidden": [8], "channels": 1, "classes": 3}
    save_network(file, build(**architecture), architecture, Preprocessing((0.4,), (0.25,)))
    tensors, metadata = load_file(file), safe_open(file, framework="pt").metadata()
    tensors["added"] = tensors.pop(next(iter(tensors)))
    save_file(tensors, file, metadata)
    with pytest.raises(ValueError, match=r"found others \(.*\); restore the code") as raised:
        load_network(file, CPU)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "architecture",
    [
        {"name": "vgg11", "depth": 3},
        {"name": "gone", "width": 1, "hidden": [8], "channels": 1, "classes": 3},
        {"name": "gone_module:make", "width": 1, "hidden": [8], "channels": 1, "classes": 3},
    ],
)
def test_an_architecture_that_the_code_no_longer_builds_is_one_clear_error(
    architecture: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "network.safetensors"
    about = {"architecture": architecture, "preprocessing": asdict(PREPROCESSING)}
    save_file({"weight": torch.zeros(1)}, file, {"about": json.dumps(about)})
    with pytest.raises(ValueError, match=r"network\.safetensors: .*; restore the code"):
        load_network(file, CPU)
