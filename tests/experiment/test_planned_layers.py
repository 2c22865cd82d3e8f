import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import models

from subspace_match.data.prepare import prepare
from subspace_match.experiment.comparisons import models_of
from subspace_match.experiment.config import validated
from subspace_match.experiment.planned_layers import layers_of, shared_layers
from subspace_match.networks.architectures import build
from subspace_match.networks.images import Images
from subspace_match.networks.layer_info import LayerInfo, check_planned
from subspace_match.networks.layered_network import LayeredNetwork
from subspace_match.networks.preprocessing import configured_preprocessing, trained_preprocessing
from subspace_match.networks.pretrained import load_pretrained
from subspace_match.storage.files import read_signed, write_signed


def listed(path: Path, **changes: Any) -> list[LayerInfo]:
    config = validated({"network": {"width": 0.05, "hidden": [6]}} | changes)
    return layers_of(models_of(config)["base"], config, path)


def test_the_list_of_layers_is_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "layers.json"
    layers = listed(path)
    assert [layer.name for layer in layers] == [*(f"conv{n}" for n in range(1, 9)), "fc1"]
    assert layers[0] == LayerInfo("conv1", "conv1.2", "conv", 3, 32, 32)
    assert listed(path) == layers
    record = read_signed(path)
    assert record["shapes"]["conv1.2"] == "images x 3 neurons x 32 x 32"
    assert record["shapes"]["fc1.2"] == "images x 6 neurons"
    record["layers"][0]["node"] = "kept"
    write_signed(path, record)
    assert listed(path)[0].node == "kept"


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "conv1/..", "conv{n}", ""])
def test_a_file_with_other_names_than_those_of_layers_is_an_error(
    name: str, tmp_path: Path
) -> None:
    """Names become parts of paths, and the file may come from another person."""
    path = tmp_path / "layers.json"
    listed(path)
    record = read_signed(path)
    record["layers"][0]["name"] = name
    write_signed(path, record)
    with pytest.raises(
        ValueError, match=r"layers\.json: expected a whole file, found .* not the name of a"
    ):
        listed(path)


def test_the_configuration_selects_which_nodes_are_layers(tmp_path: Path) -> None:
    network = {"name": "resnet20", "width": 0.2}
    blocks = listed(tmp_path / "b", network=network, extraction={"nodes": "block"})
    assert [layer.name for layer in blocks] == [f"block{n}" for n in range(1, 10)]
    outputs = listed(tmp_path / "o", extraction={"nodes": ["output"]})
    assert [(layer.name, layer.neurons) for layer in outputs] == [("fc1", 10)]


def test_a_model_trained_on_images_of_other_channels_is_an_error(tmp_path: Path) -> None:
    config = validated({"models": {"m": {"data": {"name": "cifar10", "root": "c"}}}})
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


def test_a_network_with_wrong_outputs_is_an_error_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "listed_own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    path, own = tmp_path / "layers.json", {"name": "listed_own:Net"}
    with pytest.raises(
        ValueError, match=r"at least 10 classes\), found in evaluation .* dict; let"
    ):
        listed(path, network=own)
    assert not path.exists()
    # A pretrained network is not trained here, so it need not classify.
    (layer,) = listed(path, network=own | {"weights": "w.pt", "mean": [0.1], "std": [0.3]})
    assert layer.neurons == 4


MIXED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix, self.scores = torch.randn(1024, 8), nn.Linear(8, 10)

    def forward(self, images):
        return self.scores(images.flatten(1) @ self.mix).relu()
"""


def test_a_network_that_a_checkpoint_does_not_hold_is_an_error_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mixed_own.py").write_text(MIXED)
    monkeypatch.syspath_prepend(tmp_path)
    path, own = tmp_path / "layers.json", {"name": "mixed_own:Net"}
    for network in (own, own | {"weights": "w.pt", "mean": [0.1], "std": [0.3]}):
        with pytest.raises(ValueError, match=r"only these are saved, found other .* at matmul"):
            listed(path, network=network)
        assert not path.exists()


COLOURS = {"name": "cifar10", "root": "nowhere"}


def test_an_uncertain_axis_of_neurons_is_an_error_before_training(tmp_path: Path) -> None:
    network = {"name": "torchvision:shufflenet_v2_x0_5"}
    nodes = {"nodes": ["stage2.0.view"]}
    found = r"\(2, 2, 24, 4, 4\) for 2 inputs at stage2\.0\.view; .* in extraction\.neuron_axis"
    with pytest.raises(ValueError, match=found):
        listed(tmp_path / "layers.json", network=network, extraction=nodes, data=COLOURS)


def test_an_error_names_the_option_for_small_images_before_training(tmp_path: Path) -> None:
    network = {"name": "torchvision:vit_b_32"}
    with pytest.raises(ValueError, match=r"; add \?image_size=32 to the name of torchvision's"):
        listed(
            tmp_path / "layers.json",
            network=network,
            extraction={"nodes": "convolution"},
            data=COLOURS,
        )


def layer(name: str, height: int = 4, frames: int = 1) -> LayerInfo:
    return LayerInfo(name, name, "conv", 3, height, 4, frames=frames)


def test_layers_of_the_same_name_and_map_size_are_shared() -> None:
    a = [layer("conv1"), layer("conv2"), layer("conv3")]
    b = [layer("conv1"), layer("conv2", height=8), layer("conv4")]
    assert shared_layers(a, b) == ([a[0]], ["conv2", "conv3", "conv4"])
    volumes = [layer("conv1"), layer("conv2", frames=2)]
    assert shared_layers(a, volumes) == ([a[0]], ["conv2", "conv3"])
    with pytest.raises(ValueError, match=r"found \(conv2 4 x 4\) and \(conv2 2 x 4 x 4\)"):
        shared_layers(a[1:2], volumes[1:])
    assert shared_layers(a, a) == (a, [])
    message = (
        r"layers of the same name and map size, found \(conv2 4 x 4, conv3 4 x 4\) and \(conv4"
    )
    with pytest.raises(ValueError, match=message):
        shared_layers(a[1:], b[2:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image files of many sizes in three colours, and weights of two architectures."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number, (part, label) in enumerate((p, c) for p in ("train", "test") for c in "ab"):
        (root / part / label).mkdir(parents=True)
        pixels = rng.integers(0, 256, (70 + number, 90, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(root / part / label / "0.png")
    torch.save(models.squeezenet1_1().state_dict(), root / "squeezenet.pt")
    torch.save(build(**PLAIN, channels=3, classes=2).state_dict(), root / "plain.pt")
    return root


PLAIN: dict[str, Any] = {"name": "plain20", "width": 0.1, "hidden": []}
STATED = {"mean": [0.5] * 3, "std": [0.2] * 3}
SQUEEZENET = {"name": "torchvision:squeezenet1_1", "weights": "squeezenet.pt"}


def extracted(name: str, config: Any, folder: Path) -> tuple[LayeredNetwork, Images]:
    """Make a network and its images as the jobs of the workflow do."""
    model = models_of(config)[name]
    data, compared = (
        prepare(*(d[k] for k in ("name", "root", "image_size", "test_fraction")), 0)
        for d in (model.data, config["data"])
    )
    architecture = {key: model.network[key] for key in PLAIN} | {"channels": 3, "classes": 2}
    if model.pretrained:
        preprocessing = configured_preprocessing(model.network, model.data["image_size"])
        made = load_pretrained(architecture, model.network["weights"], preprocessing)
        network, preprocessing = made.network, made.preprocessing
    else:
        network, preprocessing = build(**architecture), trained_preprocessing(data.about)
        if model.start is not None:
            preprocessing = extracted(model.start, config, folder)[1].preprocessing
    images = Images.on_device(compared.test, preprocessing, torch.device("cpu"))
    return LayeredNetwork(network, images.evenly_spaced(2)), images


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ({"network": SQUEEZENET}, 224),
        ({"network": SQUEEZENET | STATED}, 48),
        ({"network": PLAIN | STATED | {"weights": "plain.pt"}}, 48),
        ({"network": PLAIN | STATED | {"weights": "plain.pt"}, "data": {"image_size": 80}}, 80),
        ({"network": PLAIN}, 48),
        ({"network": PLAIN, "data": {"image_size": 64}}, 64),
        ({"network": PLAIN, "start": "published"}, 224),
    ],
)
def test_the_planned_layers_are_the_extracted_layers(
    model: dict[str, Any],
    size: int,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The size of maps follows from the size to which preprocessing crops images."""
    monkeypatch.chdir(folder)
    data = {"name": "image_folder", "root": str(folder), "image_size": 48}
    both = {"published": {"network": SQUEEZENET}, "own": model}
    config = validated({"data": data, "models": both})
    planned = layers_of(models_of(config)["own"], config, tmp_path / "layers.json")
    layered, images = extracted("own", config, folder)
    assert images.evenly_spaced(1).shape == (1, 3, size, size)
    check_planned(layered.layers, planned, "own")
    other = [replace(layer, height=layer.height + 1) for layer in planned]
    with pytest.raises(ValueError, match="own: expected the layers that were planned, conv1 ") as e:
        check_planned(layered.layers, other, "own")
    assert f"of {other[0].height} x {other[0].width}" in str(e.value)


def test_small_images_have_the_size_of_the_comparison_not_of_the_training(tmp_path: Path) -> None:
    other = {"m": {"data": {"image_size": 64}}}
    config = validated({"data": {"image_size": 40}, "models": other})
    layers = layers_of(models_of(config)["m"], config, tmp_path / "layers.json")
    assert (layers[0].height, layers[0].width) == (40, 40)


def test_published_weights_share_maps_with_trained_networks_only_if_mean_and_std_are_set(
    tmp_path: Path,
) -> None:
    data = {"name": "cifar10", "root": "somewhere", "image_size": 64}
    network = {"name": "torchvision:resnet18"}
    published = network | {"weights": "IMAGENET1K_V1"}
    changes = {"trained": network, "published": published, "stated": published | STATED}
    own = {name: {"network": network} for name, network in changes.items()}
    config = validated({"data": data, "models": own})
    listed = {
        name: layers_of(model, config, tmp_path / name) for name, model in models_of(config).items()
    }
    message = r"found \(conv1 32 x 32, .*\) and \(conv1 112 x 112, .*data\.image_size; pretrained "
    with pytest.raises(ValueError, match=message):
        shared_layers(listed["trained"], listed["published"])
    assert shared_layers(listed["trained"], listed["stated"]) == (listed["trained"], [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"models": {"m": {"network": {"name": "torchvision:resnet18", "weights": "DEFAULT"}}}},
            "models.m.network.weights: expected weights for images of 1 channels, as in mnist_5k;"
            " found weights for 3",
        ),
        (
            {
                "data": {"name": "imagenet", "root": "r"},
                "models": {"m": {"data": {"name": "cifar10"}}},
            },
            "models.m: expected a network that crops images to one size, because the images of"
            " imagenet have many sizes",
        ),
        (
            {
                "data": {"name": "cifar10", "root": "r"},
                "models": {"s": {}, "m": {"start": "s", "data": {"name": "imagenet"}}},
            },
            "models.m: expected a network that crops images to one size, because the images of"
            " imagenet have many sizes",
        ),
    ],
)
def test_images_that_a_network_cannot_process_are_an_error_before_it_is_built(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config = validated(changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        layers_of(models_of(config)["m"], config, tmp_path / "layers.json")
