"""Every use of an operation is a layer, captured as soon as it is computed."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from subspace_match.networks.architectures import build, outline
from subspace_match.networks.layer_info import LayerInfo
from subspace_match.networks.layered_network import LayeredNetwork


def captured(
    network: nn.Module, images: torch.Tensor, nodes: str | list[str] = "relu"
) -> dict[str, torch.Tensor]:
    """Return each layer's values as the network computes them."""
    found: dict[str, torch.Tensor] = {}
    LayeredNetwork(network, images, nodes).run(
        images,
        lambda layer, values: found.update({layer.node: values.movedim(-1, layer.axis).clone()}),
    )
    return found


def layers_of(
    network: nn.Module, shape: tuple[int, ...], nodes: str | list[str] = "relu"
) -> list[LayerInfo]:
    """Return the layers for two inputs of zeros."""
    device = next(network.parameters()).device
    return LayeredNetwork(network, torch.zeros(2, *shape, device=device), nodes).layers


class InPlaceNetwork(nn.Module):
    """Use one in-place ReLU module twice, a function and a method; change a map later in place."""

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


def test_every_use_of_a_relu_is_a_layer_unaffected_by_later_changes() -> None:
    torch.manual_seed(0)
    network, images = InPlaceNetwork().eval(), torch.randn(5, 1, 8, 8)
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


def test_names_number_maps_and_vectors_separately() -> None:
    layers = layers_of(InPlaceNetwork(), (1, 8, 8))
    assert [layer.name for layer in layers] == ["conv1", "conv2", "fc1", "fc2"]
    assert [layer.kind for layer in layers] == ["conv", "conv", "fc", "fc"]
    assert [(layer.neurons, layer.height) for layer in layers] == [(3, 8), (3, 8), (3, 1), (4, 1)]


def test_each_use_of_a_resnet_blocks_relu_is_a_layer() -> None:
    network = build("resnet20", width=0.25, hidden=[], channels=1, classes=10)
    layers = layers_of(network, (1, 32, 32))
    assert len(layers) == 19
    assert [layer.node for layer in layers[1:3]] == ["stage1.0.relu", "stage1.0.relu_1"]


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet20"])
def test_capturing_does_not_change_the_output(name: str) -> None:
    network = build(name, width=0.125, hidden=[8], channels=1, classes=10)
    images, outputs = torch.randn(3, 1, 32, 32), []
    layered = LayeredNetwork(network, images)
    with torch.no_grad():
        outputs = [network.eval()(images), layered.run(images, lambda *_: None)]
    assert torch.equal(*outputs)


def test_a_network_without_relus_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one ReLU, found none"):
        layers_of(nn.Sequential(nn.Linear(4, 2), nn.Sigmoid()), (1, 4, 4))


def test_convolutions_are_captured_before_an_in_place_relu() -> None:
    torch.manual_seed(0)
    network, images = InPlaceNetwork().eval(), torch.randn(5, 1, 8, 8)
    found = captured(network, images, "convolution")
    with torch.no_grad():
        one = network.first(images)
        two = network.second(functional.relu(one) + 100)
    assert list(found) == ["first", "second"]
    torch.testing.assert_close(found["first"], one)
    torch.testing.assert_close(found["second"], two)
    assert (found["first"] < 0).any()


@pytest.mark.parametrize(
    ("name", "convolutions"), [("vgg11_bn", 8), ("resnet20", 21), ("plain20", 19)]
)
def test_exactly_the_convolutions_are_layers(name: str, convolutions: int) -> None:
    network = outline(name=name, width=0.25, hidden=[8], channels=1, classes=10)
    layers = layers_of(network, (1, 32, 32), "convolution")
    assert [layer.name for layer in layers] == [f"conv{n + 1}" for n in range(convolutions)]
    modules = [network.get_submodule(layer.node) for layer in layers]
    assert all(isinstance(module, nn.Conv2d) for module in modules)


class Block(nn.Module):
    """Change the output in place after the node that computes it."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.inside(maps)
        functional.relu(maps, inplace=True)
        return maps


class Blocks(nn.Module):
    """Use a block in a Sequential twice; change the second output in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
        self.body = nn.Sequential(Block())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * 8, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.body(self.body(self.stem(images)))
        maps += 100.0
        return self.head(maps)


def test_the_output_of_a_block_is_captured() -> None:
    torch.manual_seed(0)
    network, images = Blocks().eval(), torch.randn(5, 1, 8, 8)
    found = captured(network, images, "block")
    with torch.no_grad():
        one = network.body(network.stem(images))
        two = network.body(one.clone())
    assert list(found) == ["body.0", "body.0_1"]
    torch.testing.assert_close(found["body.0"], one)
    torch.testing.assert_close(found["body.0_1"], two)
    layers = layers_of(network, (1, 8, 8), "block")
    assert [(layer.name, layer.kind) for layer in layers] == [
        ("block1", "conv"),
        ("block2", "conv"),
    ]


@pytest.mark.parametrize(
    ("name", "blocks", "last"),
    [
        ("resnet20", 9, "stage3.2"),
        ("resnet50", 16, "stage4.2"),
        ("torchvision:resnet18", 8, "layer4.1"),
        ("torchvision:densenet121", 4, "features.denseblock4"),
        ("torchvision:mobilenet_v2", 17, "features.17"),
    ],
)
def test_blocks_are_the_outermost_modules_around_convolutions(
    name: str, blocks: int, last: str
) -> None:
    network = outline(name=name, width=0.25, hidden=[], channels=3, classes=10)
    layers = layers_of(network, (3, 64, 64), "block")
    assert [layer.name for layer in layers] == [f"block{n + 1}" for n in range(blocks)]
    assert layers[-1].node == last


def test_a_residual_block_returns_the_output_of_its_last_relu() -> None:
    network = build("resnet20", width=0.25, hidden=[], channels=1, classes=10)
    images = torch.randn(2, 1, 32, 32)
    blocks, relus = captured(network, images, "block"), captured(network, images)
    assert torch.equal(blocks["stage2.1"], relus["stage2.1.relu_1"])


def test_patterns_select_nodes_in_order_of_computation() -> None:
    network = outline(name="resnet20", width=0.25, hidden=[], channels=1, classes=10)
    layers = layers_of(network, (1, 32, 32), ["output", "flatten", "stage?.0.relu_1"])
    assert [(layer.name, layer.node) for layer in layers] == [
        ("conv1", "stage1.0.relu_1"),
        ("conv2", "stage2.0.relu_1"),
        ("conv3", "stage3.0.relu_1"),
        ("fc1", "flatten"),
        ("fc2", "output"),
    ]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("relus", "expected one of auto, relu, activation, convolution, block or .*found 'relus'"),
        ("block", "at least one block .* found none"),
        (
            ["conv1.*", "conv1.relu"],
            "found 'conv1.relu', which matches none of .* nearest are",
        ),
    ],
)
def test_missing_nodes_are_refused(nodes: str | list[str], message: str) -> None:
    network = outline(name="vgg11_bn", width=0.25, hidden=[8], channels=1, classes=10)
    with pytest.raises(ValueError, match=message):
        layers_of(network, (1, 32, 32), nodes)


def test_a_node_without_activations_is_refused() -> None:
    with pytest.raises(ValueError, match="found None for 2 inputs at getattr"):
        layers_of(ReadsShape(), (1, 4, 4), ["getattr*"])
    with pytest.raises(ValueError, match=r"found \(8, 4\) for 2 inputs at rows"):
        layers_of(ReadsShape(), (1, 4, 4), ["rows"])


class ReadsShape(nn.Module):
    """Read a shape, and treat rows of images as samples."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(4, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.rows(images.reshape(-1, images.shape[3]))


CONVNEXT = "torchvision:convnext_tiny"
SWIN = "torchvision:swin_t"


@pytest.mark.parametrize("size", [32, 64, 96])
@pytest.mark.parametrize(
    ("name", "neurons"),
    [
        (
            SWIN,
            {
                "features.1.0.norm1": 96,
                "features.1.0.add": 96,
                "features.1.0.mlp.1": 384,
                "features.3.0.add_1": 192,
            },
        ),
        (
            CONVNEXT,
            {"features.1.0.block.2": 96, "features.1.0.block.4": 384, "features.3.0.block.3": 768},
        ),
    ],
)
def test_maps_with_channels_last_are_layers(name: str, neurons: dict[str, int], size: int) -> None:
    """The operation decides where a network rejects other sizes or maps have as many pixels."""
    network = outline(name=name, width=1.0, hidden=[], channels=3, classes=10)
    layers = layers_of(network, (3, size, size), list(neurons))
    assert {layer.node: layer.neurons for layer in layers} == neurons
    assert {(layer.kind, layer.axis) for layer in layers} == {("conv", 3)}
    assert all(layer.height == layer.width for layer in layers)


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        (CONVNEXT, "convolution"),
        (CONVNEXT, "block"),  # whose output is channels first again
        (CONVNEXT, ["features.1.0.block.0", "features.2.0.permute_1"]),
        (SWIN, "convolution"),
        (SWIN, ["permute.permute"]),
        ("torchvision:shufflenet_v2_x0_5", "block"),  # views with five axes
        ("torchvision:regnet_y_400mf", "relu"),  # maps of one pixel in squeeze and excitation
        ("torchvision:mobilenet_v3_small", "relu"),
        ("torchvision:densenet121", "block"),
        ("torchvision:vgg11", ["avgpool"]),  # maps of one size for every image size
    ],
)
def test_operations_or_image_sizes_make_axes_certain(name: str, nodes: str | list[str]) -> None:
    network = outline(name=name, width=1.0, hidden=[], channels=3, classes=10)
    layers = layers_of(network, (3, 64, 64), nodes)
    assert {layer.kind for layer in layers} == {"conv"}


class Mixed(nn.Module):
    """Accept images of 8 x 8 only, and compute maps with several orders of axes."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 1, 8, 8))
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.mixing = nn.Linear(6, 6)
        self.across = nn.Linear(64, 64)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = functional.relu(self.first(images + self.place)) + 1
        maps = maps * maps
        last = functional.relu(self.mixing(maps.permute(0, 2, 3, 1)))
        back = functional.relu(last.permute(0, 3, 1, 2))
        return self.across(back.flatten(2)).mean(1)


def test_operations_identify_layers_if_only_one_image_size_is_accepted() -> None:
    network = Mixed()
    known = layers_of(network, (1, 8, 8), ["first", "relu", "add_1", "mul"])
    assert [(layer.neurons, layer.height) for layer in known] == [(6, 8)] * 4
    last, back = layers_of(network, (1, 8, 8), ["relu_1", "relu_2"])
    assert (last.axis, back.axis) == (3, 1)


class Orders(nn.Module):
    """Compute maps in every order of axes, attention, and a value without images."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.table = nn.Parameter(torch.zeros(2, 5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.first(images)
        turned = maps.transpose(2, 3).relu()
        last = maps.permute(0, 2, 3, 1).relu()
        tokens = maps.flatten(2).transpose(1, 2).unflatten(2, (2, 4)).transpose(1, 2)
        attention = (tokens @ tokens.transpose(2, 3)).relu()
        bias = self.table.relu()
        return (turned.sum(3) + last.sum(3)[:, :, :1] + attention.sum() + bias.sum()).mean(2)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("relu", r"\(2, 8, 8, 8\) for 2 inputs at relu; "),
        ("relu_2", r"\(2, 2, 64, 64\) for 2 inputs at relu_2; "),
        ("relu_3", r"\(2, 5\) for 2 inputs at relu_3; "),
    ],
)
def test_an_uncertain_axis_is_refused(node: str, message: str) -> None:
    """Even if every length is plausible."""
    with pytest.raises(ValueError, match=f"found {message}"):
        layers_of(Orders(), (1, 8, 8), [node])


def test_all_uncertain_layers_are_listed_up_to_five() -> None:
    network = outline(
        name="torchvision:shufflenet_v2_x0_5", width=1, hidden=[], channels=3, classes=9
    )
    with pytest.raises(ValueError, match=r"at stage2\.0\.view; .*; and 11 more; select") as refused:
        layers_of(network, (3, 64, 64), ["*.view"])
    assert str(refused.value).count(" for 2 inputs at ") == 5
