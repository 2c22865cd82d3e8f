"""A network must compute the same values for an input in every run and every batch."""

from collections.abc import Callable
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
from subspace_match.networks.layered_network import LayeredNetwork
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.sampling import draw_samples
from subspace_match.networks.training import Stages, train


def check(network: nn.Module, images: Images) -> None:
    layered = LayeredNetwork(network, images.evenly_spaced(2))
    layered.check_repeatable(images.evenly_spaced(4))


Change = Callable[[torch.Tensor], torch.Tensor]


class Changed(nn.Module):
    """Apply a change to the first maps or to the scores of a network."""

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


def weak_dropout(values: torch.Tensor) -> torch.Tensor:
    """Change every twentieth number: some of a map's many, but perhaps none of a few scores."""
    return functional.dropout(values, 0.05)


CHANCE: list[tuple[Change | nn.Module, str]] = [
    (functional.dropout, "dropout"),
    (lambda x: functional.dropout2d(x, 0.2), "dropout2d"),
    (weak_dropout, "dropout"),
    (lambda x: x + 0.01 * torch.randn_like(x), "randn_like"),
]
BATCH_STATISTICS: list[tuple[Change | nn.Module, str]] = [
    (nn.BatchNorm2d(4, track_running_stats=False), "maps"),
    (lambda x: x - x.mean(0), "mean"),
    (lambda x: x - x.mean(0, keepdim=True), "mean"),
    (lambda x: x / x.std(0).clamp(min=0.1), "std"),
    (lambda x: functional.batch_norm(x, None, None, training=True), "batch_norm"),
    (lambda x: x / x.norm(), "norm"),
]


@pytest.mark.parametrize(
    ("change", "node", "message"),
    [
        *((change, node, r"in a second run \(a dropout") for change, node in CHANCE),
        *((change, node, r"in a smaller batch \(statistics") for change, node in BATCH_STATISTICS),
    ],
)
@pytest.mark.parametrize("after", ["maps", "scores"])
def test_the_error_names_a_node_that_depends_on_chance_or_on_the_batch(
    change: Change | nn.Module, node: str, message: str, after: str, device: str
) -> None:
    """Within the layers, and after them, where only the accuracy changes."""
    if after == "scores":
        if isinstance(change, nn.Module) or node == "dropout2d" or change is weak_dropout:
            pytest.skip("for maps only")
        network = Changed(same, change)
    else:
        network = Changed(change)
    images = some_images(device=device)
    layered = LayeredNetwork(network.to(device), images.evenly_spaced(2), ["first"])
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=rf"in every run .*{message}.*, first at {node}$"):
        layered.check_repeatable(images.evenly_spaced(4))


class WithStatistics(nn.Module):
    """Scores, and what a training step needs of the whole batch: a loss, shares of classes."""

    def __init__(self, used: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 3)
        self.used = used

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.second(functional.relu(self.first(x)))
        loss = functional.cross_entropy(scores, labels)
        shares = scores.softmax(1).mean(0)
        return {
            "loss": loss * 2 + shares.square().sum(),
            "scores": scores * loss if self.used else scores,
        }


class Inside(nn.Module):
    """Reached by hooks, where the output of a module has a loss beside the scores."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor, **others: torch.Tensor) -> dict[str, torch.Tensor]:
        output: dict[str, torch.Tensor] = self.inner(x, **others)
        return output


@pytest.mark.parametrize("wrap", [lambda network: network, Inside])
def test_a_loss_is_accepted_unless_values_of_the_inputs_depend_on_it(
    wrap: Callable[[nn.Module], nn.Module], device: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = {"x": torch.randn(4, 6, generator=generator), "labels": torch.tensor([0, 1, 2, 0])}
    for used in (False, True):
        layered = LayeredNetwork(wrap(WithStatistics(used)).to(device), batch)
        if used:
            with pytest.raises(ValueError, match=r"in a smaller batch.*(cross_entropy|inner)$"):
                layered.check_repeatable(batch)
        else:
            layered.check_repeatable(batch)


@pytest.mark.parametrize("mixed", [False, True])
def test_values_with_tokens_first_may_not_depend_on_the_batch(mixed: bool, device: str) -> None:
    class TokensFirst(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            values = functional.relu(x).transpose(0, 1)
            return values - values.mean(1, keepdim=True) if mixed else values

    x = torch.rand(4, 7, 5, generator=torch.Generator().manual_seed(0))
    layered = LayeredNetwork(TokensFirst().to(device), x, "relu", neuron_axis=2)
    if mixed:
        with pytest.raises(ValueError, match=r"in a smaller batch.*first at mean$"):
            layered.check_repeatable(x)
    else:
        layered.check_repeatable(x)


def test_a_value_that_only_large_batches_have_is_named_not_a_loss_beside_it(device: str) -> None:
    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.loss, self.skipped = nn.ReLU(), nn.L1Loss(), nn.Sigmoid()

        def forward(self, x: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
            values: torch.Tensor = self.first(x)
            self.loss(values, torch.zeros_like(values))
            if len(x) > 1:
                self.skipped(values)
            return values

    x = torch.rand(2, 5, generator=torch.Generator().manual_seed(0))
    layered = LayeredNetwork(Skips().to(device), {"x": x})
    with pytest.raises(ValueError, match=r"first at skipped$"):
        layered.check_repeatable({"x": x})


def test_inputs_that_are_steps_of_a_series_are_noticed(device: str) -> None:
    """As torch's recurrent networks take them: (steps, series, ...), each step from the earlier."""

    class Running(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.relu(x).cumsum(0)

    x = torch.rand(4, 3, 5, generator=torch.Generator().manual_seed(0))
    layered = LayeredNetwork(Running().to(device), x, neuron_axis=2)
    with pytest.raises(ValueError, match=r"in a smaller batch.*first at cumsum$"):
        layered.check_repeatable(x)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_modules_that_evaluation_mode_switches_off_are_accepted(count: int, device: str) -> None:
    inside = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5), nn.GroupNorm(2, 4))
    network = Changed(inside).to(device)
    check(network, some_images(count, device))


@pytest.mark.parametrize("name", ["resnet110", "vgg19_bn", "resnet50", "plain56", "vgg16"])
def test_rounding_in_deep_networks_is_accepted(name: str, device: str) -> None:
    """The order of additions in a kernel depends on the batch size."""
    network = build(name, width=0.25, hidden=[16], channels=1, classes=10)
    initialise(network, 0)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 32, 32), dtype=np.uint8)
    split = Split(pixels, np.zeros(8, np.int64), np.arange(8))
    images = Images.on_device(split, Preprocessing((0.5,), (0.25,)), torch.device(device))
    check(network.to(device), images)


def test_in_place_operations_are_accepted() -> None:
    def doubled(values: torch.Tensor) -> torch.Tensor:
        values += 1.0
        return values.mul_(2)

    check(Changed(doubled), some_images())


def test_nan_values_count_as_equal() -> None:
    check(Changed(lambda x: (x - 1).log() / 0), some_images())


@pytest.mark.parametrize("change", [functional.dropout, lambda x: x - x.mean(0)])
def test_extraction_refuses_a_network_that_is_not_repeatable(change: Change) -> None:
    images = some_images()
    layered = LayeredNetwork(Changed(change), images.evenly_spaced(2), ["first"])
    samples = {"conv1": draw_samples(layered.layers[0], len(images), 10, 1, seed=0)}
    extracted: list[str] = []
    with pytest.raises(ValueError, match="expected the same values for an input"):
        extract(
            layered,
            images,
            [(samples, lambda name, *_: extracted.append(name))],
            task="classify",
            batch_size=4,
            batch_done=lambda: None,
        )
    assert not extracted


@pytest.mark.parametrize("change", [functional.dropout, lambda x: x - x.mean(0)])
def test_training_refuses_a_network_that_is_not_repeatable(tmp_path: Path, change: Change) -> None:
    steps: list[int] = []
    settings = {"epochs": 1, "amp": False, "compile": False}
    with pytest.raises(ValueError, match=r"for an input in every run.* first at its output"):
        train(
            Changed(change),
            some_images(),
            some_images(),
            settings,
            seed=0,
            stages=Stages(tmp_path / "stages", [], lambda *_: None),
            resume_file=tmp_path / "resume",
            identity="",
            step_done=lambda: steps.append(1),
            epoch_done=lambda _: None,
        )
    assert not steps
    assert not list(tmp_path.iterdir())
