"""What a network computes of an image is the same each time, and in whatever batch."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from subspace_match.data.prepared import Split
from subspace_match.networks.architectures import build, initialise
from subspace_match.networks.extraction import extract
from subspace_match.networks.images import Images
from subspace_match.networks.layer_graph import LayeredNetwork
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.repeatability import check_repeatable
from subspace_match.networks.sampling import draw_samples
from subspace_match.networks.training import Progress, Stages, train


def check(network: LayeredNetwork, images: Images) -> None:
    check_repeatable(partial(network.capture, every_node=True), images)


Change = Callable[[torch.Tensor], torch.Tensor]


class Changed(nn.Module):
    """A network around something done to its first maps, or to its scores."""

    def __init__(self, maps: Change | nn.Module, scores: Change | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, 4, 3)
        self.maps, self.scores = maps, scores
        self.output = nn.Linear(4 * 36, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.maps(functional.relu(self.first(images)))
        scores = self.output(maps.flatten(1))
        return self.scores(scores) if self.scores else scores


def some_images(count: int = 9, device: str = "cpu") -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    split = Split(pixels, np.arange(count) % 2, np.arange(count))
    return Images.on_device(split, Preprocessing((0.5,), (0.25,)), torch.device(device))


def same(values: torch.Tensor) -> torch.Tensor:
    return values


CHANCE: list[tuple[Change | nn.Module, str]] = [
    (functional.dropout, "dropout"),
    (lambda x: functional.dropout2d(x, 0.2), "dropout2d"),
    (lambda x: functional.dropout(x, 0.05), "dropout"),
    (lambda x: x + 0.01 * torch.randn_like(x), "randn_like"),
]
BATCH: list[tuple[Change | nn.Module, str]] = [
    (nn.BatchNorm2d(4, track_running_stats=False), "maps"),
    (lambda x: x - x.mean(0), "mean"),
    (lambda x: x - x.mean(0, keepdim=True), "mean"),
    (lambda x: x / x.std(0).clamp(min=0.1), "std"),
    (lambda x: functional.batch_norm(x, None, None, training=True), "batch_norm"),
    (lambda x: x / x.norm(), "norm"),
]


@pytest.mark.parametrize(
    ("change", "node", "said"),
    [
        *((change, node, r"in a second run \(a dropout") for change, node in CHANCE),
        *((change, node, r"in a smaller batch \(statistics") for change, node in BATCH),
    ],
)
@pytest.mark.parametrize("after", ["maps", "scores"])
def test_chance_and_other_images_are_refused_with_the_nodes_name(
    change: Change | nn.Module, node: str, said: str, after: str, device: str
) -> None:
    """In the layers, and after the last of them, where they change the accuracy only."""
    if after == "scores":
        if isinstance(change, nn.Module) or node in ("dropout2d",):
            pytest.skip("for maps only")
        network = Changed(same, change)
    else:
        network = Changed(change)
    layered = LayeredNetwork(network.to(device), ["first"])
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=rf"each time, .*{said}.*, first at {node}$"):
        check(layered, some_images(device=device))


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_what_evaluation_mode_switches_off_is_taken(count: int, device: str) -> None:
    inside = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5), nn.GroupNorm(2, 4))
    network = Changed(inside).to(device)
    check(LayeredNetwork(network), some_images(count, device))


@pytest.mark.parametrize("name", ["resnet110", "vgg19_bn", "resnet50", "plain56", "vgg16"])
def test_the_rounding_of_deep_networks_is_taken(name: str, device: str) -> None:
    """Kernels add in another order for a batch of another size."""
    network = build(name, width=0.25, hidden=[16], channels=1, classes=10)
    initialise(network, 0)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 32, 32), dtype=np.uint8)
    split = Split(pixels, np.zeros(8, np.int64), np.arange(8))
    images = Images.on_device(split, Preprocessing((0.5,), (0.25,)), torch.device(device))
    check(LayeredNetwork(network.to(device)), images)


def test_an_operation_in_place_is_no_difference() -> None:
    def doubled(values: torch.Tensor) -> torch.Tensor:
        values += 1.0
        return values.mul_(2)

    check(LayeredNetwork(Changed(doubled)), some_images())


def test_values_that_are_not_numbers_are_the_same_each_time() -> None:
    check(LayeredNetwork(Changed(lambda x: (x - 1).log() / 0)), some_images())


@pytest.mark.parametrize("change", [functional.dropout, lambda x: x - x.mean(0)])
def test_nothing_is_recorded_of_a_network_that_differs(change: Change) -> None:
    layered, images = LayeredNetwork(Changed(change), ["first"]), some_images()
    layers = layered.layers(1, 8, 8)
    samples = {"conv1": draw_samples(layers[0], len(images), 10, 1, seed=0)}
    recorded: list[str] = []
    with pytest.raises(ValueError, match="expected the same values of an image each time"):
        extract(
            layered,
            images,
            layers,
            samples,
            batch_size=4,
            sink=lambda name, *_: recorded.append(name),
            batch_done=lambda: None,
        )
    assert not recorded


@pytest.mark.parametrize("change", [functional.dropout, lambda x: x - x.mean(0)])
def test_nothing_is_trained_of_a_network_that_differs(tmp_path: Path, change: Change) -> None:
    steps: list[int] = []
    settings = {"epochs": 1, "amp": False, "compile": False}
    with pytest.raises(ValueError, match=r"of an image each time, .* first at its output"):
        train(
            Changed(change),
            some_images(),
            some_images(),
            settings,
            seed=0,
            stages=Stages(tmp_path / "stages", [], lambda *_: None),
            checkpoint=tmp_path / "resume",
            identity="",
            progress=Progress(step=lambda: steps.append(1), epoch=lambda _: None),
        )
    assert not steps
    assert not list(tmp_path.iterdir())
