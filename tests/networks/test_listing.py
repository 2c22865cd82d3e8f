import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from subspace_match.comparisons import models_of
from subspace_match.config import validated
from subspace_match.networks.listing import layers_of, shared_layers

SCHEMA = yaml.safe_load((Path(__file__).parents[2] / "config" / "schema.yaml").read_text())


def listed(path: Path, **changes: Any) -> list[dict[str, Any]]:
    config = validated({"network": {"width": 0.05, "hidden": [6]}} | changes, SCHEMA)
    return layers_of(models_of(config)["base"], config, path)


def test_the_listing_is_kept_until_its_code_changes(tmp_path: Path) -> None:
    path = tmp_path / "layers.json"
    layers = listed(path)
    assert [layer["name"] for layer in layers] == [*(f"conv{n}" for n in range(1, 9)), "fc1"]
    assert layers[0] == {
        "name": "conv1",
        "node": "conv1.2",
        "kind": "conv",
        "neurons": 3,
        "height": 32,
        "width": 32,
    }
    shapes = json.loads(path.read_text())["shapes"]
    assert shapes["conv1.2"] == "images x 3 neurons x 32 x 32"
    assert shapes["fc1.2"] == "images x 6 neurons"
    path.write_text(path.read_text().replace("conv1.2", "kept"))
    assert listed(path)[0]["node"] == "kept"
    content = path.read_text()
    path.write_text(content.replace('"code": [\n    "', '"code": [\n    "0'))
    assert listed(path)[0]["node"] == "conv1.2"


def test_what_a_layer_is_says_the_configuration(tmp_path: Path) -> None:
    network = {"name": "resnet20", "width": 0.2}
    blocks = listed(tmp_path / "b", network=network, extraction={"nodes": "block"})
    assert [layer["name"] for layer in blocks] == [f"block{n}" for n in range(1, 10)]
    outputs = listed(tmp_path / "o", extraction={"nodes": ["output"]})
    assert [(layer["name"], layer["neurons"]) for layer in outputs] == [("fc1", 10)]


def test_a_model_that_learns_from_images_of_other_channels_is_refused(tmp_path: Path) -> None:
    config = validated({"models": {"m": {"data": {"name": "cifar10", "root": "c"}}}}, SCHEMA)
    with pytest.raises(ValueError, match=r"models\.m\.data: expected images of 1 channels"):
        layers_of(models_of(config)["m"], config, tmp_path / "layers.json")


OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        self.scores = nn.Linear(4, 9)

    def forward(self, images):
        return {"scores": self.scores(self.maps(images).mean((2, 3)))}
"""


def test_before_anything_is_trained_a_network_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "listed_own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    path, own = tmp_path / "layers.json", {"name": "listed_own:Net"}
    with pytest.raises(ValueError, match=r"at least 10 classes\), found in evaluation .* dict$"):
        listed(path, network=own)
    assert not path.exists()
    # One whose weights are given is not trained here.
    (layer,) = listed(path, network=own | {"weights": "w.pt", "mean": [0.1], "std": [0.3]})
    assert layer["neurons"] == 4


COLOURS = {"name": "cifar10", "root": "nowhere"}


def test_before_anything_is_trained_an_uncertain_axis_is_refused(tmp_path: Path) -> None:
    network = {"name": "torchvision:convnext_tiny"}
    nodes = {"nodes": ["features.1.*.block.3"]}
    found = r"\(2, 8, 8, 384\) for 2 images at features\.1\.0\.block\.3, whose axis of neurons is 3"
    with pytest.raises(ValueError, match=found):
        listed(tmp_path / "layers.json", network=network, extraction=nodes, data=COLOURS)


def test_before_anything_is_trained_the_option_for_small_images_is_said(tmp_path: Path) -> None:
    network = {"name": "torchvision:vit_b_32"}
    with pytest.raises(ValueError, match=r"; add \?image_size=32 to the name of torchvision's"):
        listed(
            tmp_path / "layers.json",
            network=network,
            extraction={"nodes": "convolution"},
            data=COLOURS,
        )


def layer(name: str, height: int = 4) -> dict[str, Any]:
    return {"name": name, "kind": "conv", "neurons": 3, "height": height, "width": 4}


def test_layers_of_one_name_and_map_are_shared() -> None:
    a = [layer("conv1"), layer("conv2"), layer("conv3")]
    b = [layer("conv1"), layer("conv2", height=8), layer("conv4")]
    assert shared_layers(a, b) == ([a[0]], ["conv2", "conv3", "conv4"])
    assert shared_layers(a, a) == (a, [])
    with pytest.raises(ValueError, match="expected two networks with layers of the same name"):
        shared_layers(a[1:], b[2:])
