"""Nodes have the names of torchvision's feature extraction, whose tracer is the oracle."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.feature_extraction import NodePathTracer

from subspace_match.networks.architectures import build
from subspace_match.networks.node_names import NamingTracer


class Numbered(nn.Module):
    """Names of modules that end with numbers, and modules that are used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_2, self.conv_1_1, self.conv = (nn.Conv2d(1, 1, 1) for _ in range(3))
        self.act, self.inner = nn.ReLU(), nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = self.act(self.conv_2(images)) + self.act(self.conv_1_1(images))
        second = self.inner(self.inner(self.conv(first))) + self.conv_2(first)
        return torch.relu(torch.relu(second) + first + self.conv(second))


def names(tracer: NamingTracer | NodePathTracer, network: nn.Module) -> list[str]:
    tracer.trace(network.eval())
    return list(tracer.node_to_qualname.values())


@pytest.mark.parametrize("name", ["numbered", "resnet20", "resnet18", "googlenet", "vit_b_16"])
def test_names_are_those_of_torchvision(name: str) -> None:
    if name == "numbered":
        network: nn.Module = Numbered()
    elif name == "resnet20":
        network = build(name, width=0.1, hidden=[], channels=3, classes=2)
    else:
        options = {"init_weights": False} if name == "googlenet" else {}
        with torch.device("meta"):
            network = models.get_model(name, weights=None, **options)
    expected = names(NodePathTracer(), network)
    assert len(expected) > 15
    assert names(NamingTracer(), network) == expected
