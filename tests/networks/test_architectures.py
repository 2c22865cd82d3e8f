import pytest
import torch
from torch import nn

from subspace_match.networks.architectures import build, initialise


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "hidden", "millions"),
    [("vgg16_bn", [], 14.7), ("vgg11_bn", [], 9.2), ("resnet20", [], 0.27)],
)
def test_parameter_counts_are_the_published_ones(name: str, hidden: list, millions: float) -> None:
    network = build(name, width=1.0, hidden=hidden, channels=3, classes=10)
    assert round(parameters(network) / 1e6, 2 if millions < 1 else 1) == millions


@pytest.mark.parametrize("name", ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn", "resnet20"])
@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 40)])
def test_images_of_any_size_from_32_give_one_output_a_class(
    name: str, channels: int, size: int
) -> None:
    network = build(name, width=0.1, hidden=[12], channels=channels, classes=7).eval()
    assert network(torch.zeros(2, channels, size, size)).shape == (2, 7)


def test_the_number_in_a_vggs_name_counts_its_layers_of_weights() -> None:
    network = build("vgg16_bn", width=0.1, hidden=[10, 10], channels=3, classes=10)
    weighted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 16


def test_initial_weights_are_the_authors_and_the_seeds() -> None:
    networks = [build("vgg11_bn", width=0.5, hidden=[128], channels=3, classes=10) for _ in "abc"]
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        initialise(network, seed)
    first, same, other = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["conv1.0.weight"], other["conv1.0.weight"])
    convolution, linear = first["conv4.0.weight"], first["fc1.0.weight"]
    fan_out = convolution.shape[0] * 9
    assert convolution.std() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    assert linear.std() == pytest.approx(0.01, rel=0.03)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"network\.name: expected one of .*found 'lenet'"):
        build("lenet", width=1.0, hidden=[], channels=1, classes=10)
