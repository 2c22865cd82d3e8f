"""Networks have the published sizes, layers and initial weights."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn import functional
from torchvision import models

from subspace_match.experiment.code_inputs import module_files
from subspace_match.networks.architectures import (
    ARCHITECTURES,
    build,
    build_initialised,
    initialise,
    outline,
    transfer_weights,
)
from subspace_match.networks.layer_info import LayerInfo
from subspace_match.networks.layered_network import LayeredNetwork

PLAIN_LAYERS: dict[str, Any] = {"width": 1.0, "hidden": [], "channels": 3, "classes": 10}
CIFAR_RESNETS = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "millions", "digits"),
    [
        ("vgg11_bn", 9.2, 1),
        ("vgg13_bn", 9.4, 1),
        ("vgg16_bn", 14.7, 1),
        ("vgg19_bn", 20.0, 1),
        ("vgg16", 14.7, 1),
        ("resnet18", 11.17, 2),
        ("resnet34", 21.28, 2),
        ("resnet50", 23.52, 2),
        ("resnet20", 0.27, 2),
        ("resnet44", 0.66, 2),
        ("resnet56", 0.85, 2),
        ("resnet110", 1.7, 1),
        ("plain20", 0.27, 2),
        ("plain32", 0.46, 2),
        ("plain44", 0.66, 2),
        ("plain56", 0.85, 2),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, millions: float, digits: int) -> None:
    count = parameters(outline(name=name, **PLAIN_LAYERS))
    # The paper's shortcuts have no weights; those that change shape are projections here.
    projections = (16 * 32 + 2 * 32 + 32 * 64 + 2 * 64) if name in CIFAR_RESNETS else 0
    assert round((count - projections) / 1e6, digits) == millions


def layers_of(
    network: nn.Module, shape: tuple[int, int, int], nodes: str = "relu"
) -> list[LayerInfo]:
    example = torch.zeros(2, *shape, device=next(network.parameters()).device)
    return LayeredNetwork(network, example, nodes).layers


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_an_imagenet_resnet_differs_from_torchvisions_in_its_stem_only(name: str) -> None:
    ours = outline(name=name, **PLAIN_LAYERS)
    published = outline(name=f"torchvision:{name}", **PLAIN_LAYERS)
    assert parameters(published) - parameters(ours) == 3 * 64 * (7**2 - 3**2)
    shapes = [[tuple(p.shape) for p in net.parameters()][1:] for net in (ours, published)]
    assert sorted(shapes[0]) == sorted(shapes[1])
    assert layers_of(ours, (3, 32, 32))[0].height == 32


def expected_relus(name: str) -> int:
    depth = int("".join(filter(str.isdigit, name)))
    if name.startswith("vgg"):
        return depth - 3 + 2  # of three fully connected layers, one is left; two hidden
    return depth - 1  # a ReLU after every layer of weights except the last


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_layer_of_weights_except_the_last_has_a_relu(name: str) -> None:
    network = outline(name=name, **PLAIN_LAYERS | {"width": 0.5, "hidden": [16, 16]})
    layers = layers_of(network, (3, 32, 32))
    assert len(layers) == expected_relus(name)
    assert {layer.kind for layer in layers if layer.height > 1} == {"conv"}


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("plain34", {32: (16, 9), 16: (32, 8), 8: (64, 8), 4: (128, 8)}),
        ("plain42", {32: (16, 11), 16: (32, 10), 8: (64, 10), 4: (128, 10)}),
        ("plain56", {32: (16, 19), 16: (32, 18), 8: (64, 18)}),
        ("resnet56", {32: (16, 19), 16: (32, 18), 8: (64, 18)}),
    ],
)
def test_stages_halve_the_map_and_double_the_channels(
    name: str, stages: dict[int, tuple[int, int]]
) -> None:
    layers = layers_of(outline(name=name, **PLAIN_LAYERS), (3, 32, 32))
    found: dict[int, list[int]] = {}
    for layer in layers:
        found.setdefault(layer.height, []).append(layer.neurons)
    assert {size: (max(n), len(n)) for size, n in found.items()} == stages
    assert all(len(set(neurons)) == 1 for neurons in found.values())


@pytest.mark.parametrize(
    "name", ["vgg11_bn", "vgg13", "vgg19_bn", "resnet18", "resnet50", "resnet20", "plain34"]
)
@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 40)])
def test_images_of_size_32_and_more_give_one_output_per_class(
    name: str, channels: int, size: int
) -> None:
    network = build(name, width=0.1, hidden=[12], channels=channels, classes=7).eval()
    assert network(torch.zeros(2, channels, size, size)).shape == (2, 7)


def test_the_number_in_a_vggs_name_counts_its_layers_of_weights() -> None:
    network = build("vgg16_bn", width=0.1, hidden=[10, 10], channels=3, classes=10)
    weighted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 16


def test_initial_weights_have_the_authors_deviation() -> None:
    network = build("vgg11_bn", width=0.5, hidden=[128], channels=3, classes=10)
    initialise(network, 0)
    weights = network.state_dict()
    convolution, linear = weights["conv3.0.weight"], weights["fc1.0.weight"]
    fan_in = convolution.shape[1] * 9
    assert convolution.std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
    assert linear.std() == pytest.approx(0.01, rel=0.03)


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn", "resnet50", "plain20"])
def test_the_seed_decides_every_initial_weight(name: str) -> None:
    networks = [build(name, width=0.1, hidden=[8], channels=3, classes=10) for _ in "abc"]
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        initialise(network, seed)
    first, same, other = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert all(
        not torch.equal(first[name], other[name]) for name in first if first[name].ndim in (2, 4)
    )


def test_a_vgg_without_batch_norm_preserves_variance_and_learns() -> None:
    network = build("vgg19", width=0.25, hidden=[], channels=1, classes=2)
    initialise(network, 0)
    labels = torch.arange(16) % 2
    images = torch.randn(16, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    images += (2 * labels - 1)[:, None, None, None]
    with torch.no_grad():
        deepest = network[:-3](images)
    assert 0.1 < deepest.std() < 10
    optimiser = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)
    losses = []
    for _ in range(15):
        loss = functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_error_for_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(
        ValueError,
        match=r"network\.name: expected one of .*; torchvision:NAME.*; or package.module:callable;"
        r" found 'resnet19'; the nearest known name is 'resnet1",
    ):
        build("resnet19", **PLAIN_LAYERS)


def test_torchvisions_classification_models_accept_their_options() -> None:
    network = outline(name="torchvision:vgg16", **PLAIN_LAYERS | {"classes": 7})
    assert isinstance(network, models.VGG)
    assert network.classifier[6].weight.shape == (7, 4096)
    without = outline(
        name="torchvision:googlenet?aux_logits=false&init_weights=false", **PLAIN_LAYERS
    )
    assert without.aux1 is None


def test_a_constructor_that_reads_values_has_an_outline() -> None:
    network = outline(name="torchvision:regnet_y_400mf", **PLAIN_LAYERS)
    assert {p.device.type for p in network.parameters()} == {"meta"}
    assert len(layers_of(network, (3, 224, 224), "block")) == 16


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:vgg61", "the nearest is 'torchvision:vgg1"),
        ("torchvision:fcn_resnet50", "one of its classification models"),
        ("torchvision:vgg16?dropout", r"options as in torchvision:vgg16\?dropout=0.2"),
        ("torchvision:vgg16?fresh=true", "expected options of torchvision's vgg16"),
    ],
)
def test_unknown_torchvision_models_and_options_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **PLAIN_LAYERS)


USER_CODE = """
import random

import numpy as np
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 2, 3), nn.ReLU())

def make():
    return Net()

def number():
    return 3

def wide(width):
    return Net()

def lazy():
    return nn.Sequential(Net(), nn.Flatten(), nn.LazyLinear(5))

ready = Net()

class Drawn(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.fixed = nn.Linear(2, 2)
        self.drawn = nn.Parameter(draw())

def by_torch():
    return Drawn(lambda: torch.randn(3))

def by_numpy():
    return Drawn(lambda: torch.from_numpy(np.random.randn(3)))

def by_python():
    return Drawn(lambda: torch.tensor([random.random() for _ in range(3)]))

def orthogonal():
    return Drawn(lambda: nn.init.orthogonal_(torch.empty(512, 512)))

def orthogonal_in_numpy():
    return Drawn(lambda: torch.from_numpy(np.linalg.qr(np.random.randn(512, 512))[0]))

def by_chance():
    return Drawn(lambda: torch.from_numpy(np.random.default_rng().random(3)))

def with_gaps():
    return Drawn(lambda: torch.tensor([1, torch.nan]))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_networks.py").write_text(USER_CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    return "own_networks"


@pytest.mark.parametrize("made_by", ["Net", "make"])
def test_a_network_of_the_user_is_imported(own: str, made_by: str) -> None:
    network = build(f"{own}:{made_by}", **PLAIN_LAYERS)
    assert [layer.neurons for layer in layers_of(network, (1, 8, 8))] == [2]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("absent", r"importable package.module:callable, found 'own_networks:absent' .*PYTHONPATH"),
        ("number", "returns an nn.Module, found .* returns an object of int"),
        ("ready", "a class or function that returns an nn.Module, found .*, an object of Net"),
        (
            "lazy",
            r"'own_networks:lazy' leaves the sizes of 2.weight, 2.bias to the first run",
        ),
        ("wide", r"to call without arguments, found .*'width'"),
    ],
)
def test_user_code_that_returns_no_network_is_refused(own: str, target: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(f"{own}:{target}", **PLAIN_LAYERS)


def test_the_error_names_the_failing_line_of_user_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "failing_network.py"
    file.write_text("from torch import nn\n\ndef make():\n    return nn.Linear(-1, 2)\n")
    (tmp_path / "failing_module.py").write_text("undefined\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=rf"fails at {file}, line 4 \(RuntimeError: "):
        build("failing_network:make", **PLAIN_LAYERS)
    with pytest.raises(ValueError, match=r"failing_module.py, line 1 \(NameError: "):
        build("failing_module:make", **PLAIN_LAYERS)


@pytest.mark.parametrize("name", ["no.such.module:Net", ":Net", "subspace_match:"])
def test_a_module_that_cannot_be_imported_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected an importable package"):
        build(name, **PLAIN_LAYERS)


@pytest.mark.parametrize("name", ["os:getcwd", "os:abort", "os.path:join", "builtins:print"])
def test_functions_of_the_standard_library_are_refused(name: str) -> None:
    """A checkpoint names the function that builds it, and may come from a stranger."""
    with pytest.raises(ValueError, match=r"class or function of your own, found .*; rename the"):
        build(name, **PLAIN_LAYERS)
    with pytest.raises(ValueError, match=r"a module of your own before the colon, found .*; ren"):
        module_files(name)


# Fine-tuning

START = {"name": "vgg11_bn", "width": 0.05, "hidden": [8], "channels": 1, "classes": 4}


@pytest.mark.parametrize(
    "made_by", ["by_torch", "by_numpy", "by_python", "orthogonal", "orthogonal_in_numpy"]
)
def test_the_seed_decides_what_user_code_draws_on_any_number_of_threads(
    own: str, made_by: str
) -> None:
    architecture = PLAIN_LAYERS | {"name": f"{own}:{made_by}"}
    threads = torch.get_num_threads()
    drawn = []
    try:
        for count, seed in ((1, 3), (2, 3), (1, 4)):
            torch.set_num_threads(count)
            with threadpool_limits(count):
                drawn.append(build_initialised(architecture, seed).drawn)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("kind", ["own", "torchvision"])
def test_networks_of_others_begin_with_the_weights_of_their_constructors(
    own: str, kind: str
) -> None:
    name = f"{own}:by_torch" if kind == "own" else "torchvision:squeezenet1_1"
    architecture = PLAIN_LAYERS | {"name": name}
    found = build_initialised(architecture, 3).state_dict()
    torch.manual_seed(3)
    expected = build(**architecture).state_dict()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_weights_that_the_seed_does_not_decide_are_refused(own: str) -> None:
    architecture = PLAIN_LAYERS | {"name": f"{own}:by_chance"}
    message = r"expected initial weights that the seed decides, found that .* each time: drawn"
    with pytest.raises(ValueError, match=message):
        build_initialised(architecture, 3)
    start = build(**architecture)
    _, new = transfer_weights(start, architecture, 3)  # no weight is drawn
    assert new == []
    del start.drawn
    with pytest.raises(ValueError, match=message):
        transfer_weights(start, architecture, 3)
    assert build_initialised(architecture | {"name": f"{own}:with_gaps"}, 3).drawn.isnan().any()


def initialised() -> nn.Module:
    network = build(**START)
    initialise(network, 7)
    return network


def test_all_weights_of_the_same_architecture_are_copied() -> None:
    network, new = transfer_weights(initialised(), START, seed=0)
    assert new == []
    for name, tensor in initialised().state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)


def test_the_seed_decides_the_output_layer_for_other_classes() -> None:
    network, new = transfer_weights(initialised(), START | {"classes": 3}, seed=5)
    assert new == ["output.weight", "output.bias"]
    fresh = build(**START | {"classes": 3})
    initialise(fresh, 5)
    assert torch.equal(network.output.weight, fresh.output.weight)
    assert torch.equal(network.conv1[0].weight, initialised().conv1[0].weight)


def test_a_network_without_a_common_tensor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"models\.start: expected a network with at least"):
        transfer_weights(nn.Linear(2, 2), START, seed=0)
