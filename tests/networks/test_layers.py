"""Layers are the graph's ReLUs, each use of one, taken when it is computed."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from subspace_match.networks.architectures import build
from subspace_match.networks.layers import LayeredNetwork


def captured(network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    LayeredNetwork(network).capture(
        images, lambda node, activations: found.update({node: activations.clone()})
    )
    return found


class Hostile(nn.Module):
    """One ReLU module used twice, in place; a function; a method; and a later change in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Linear(3, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.relu(self.first(images))
        maps += 100.0
        maps = self.relu(self.second(maps))
        vectors = functional.relu(maps.mean((2, 3)) - 1)
        return self.last(vectors).relu()


def test_every_use_of_a_relu_is_a_layer_and_later_changes_do_not_reach_it() -> None:
    torch.manual_seed(0)
    network, images = Hostile().eval(), torch.randn(5, 1, 8, 8)
    found = list(captured(network, images).values())
    with torch.no_grad():
        one = functional.relu(network.first(images))
        two = functional.relu(network.second(one + 100))
        three = functional.relu(two.mean((2, 3)) - 1)
        four = functional.relu(network.last(three))
    assert len(found) == 4
    for activations, expected in zip(found, (one, two, three, four), strict=True):
        torch.testing.assert_close(activations, expected)
        assert (activations >= 0).all()


def test_names_count_maps_and_vectors() -> None:
    layers = LayeredNetwork(Hostile()).layers(1, 8, 8)
    assert [layer.name for layer in layers] == ["conv1", "conv2", "fc1", "fc2"]
    assert [layer.kind for layer in layers] == ["conv", "conv", "fc", "fc"]
    assert [(layer.neurons, layer.height) for layer in layers] == [(3, 8), (3, 8), (3, 1), (4, 1)]


def test_a_resnets_block_gives_one_layer_for_each_use_of_its_relu() -> None:
    network = build("resnet20", width=0.25, hidden=[], channels=1, classes=10)
    layers = LayeredNetwork(network).layers(1, 32, 32)
    assert len(layers) == 19
    assert [layer.node for layer in layers[1:3]] == ["stage1.0.relu", "stage1.0.relu_1"]


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet20"])
def test_capturing_does_not_change_what_the_network_computes(name: str) -> None:
    network = build(name, width=0.125, hidden=[8], channels=1, classes=10)
    images, outputs = torch.randn(3, 1, 32, 32), []
    layered = LayeredNetwork(network)
    with torch.inference_mode():
        outputs = [network(images), layered.run(images)]
    assert torch.equal(*outputs)


def test_a_network_without_relus_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one ReLU in its graph, found none"):
        LayeredNetwork(nn.Sequential(nn.Linear(4, 2), nn.Sigmoid())).layers(1, 4, 4)


def test_a_layer_that_is_neither_map_nor_vector_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(2), nn.Linear(16, 3), nn.ReLU())
    with pytest.raises(ValueError, match=r"found \(1, 2, 3\) at 2"):
        LayeredNetwork(network).layers(2, 4, 4)
