import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from subspace_match.networks.architectures import build, initialise
from subspace_match.networks.images import Images
from subspace_match.networks.training import (
    Progress,
    accuracy,
    learning_rate,
    steps_an_epoch,
    train,
)
from subspace_match.networks.weights import load_network, save_network

SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.05,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 5e-4,
    "warmup_epochs": 1,
    "schedule": "cosine",
    "milestones": [2],
    "label_smoothing": 0.0,
    "crop_padding": 1,
    "flip": False,
}
ARCHITECTURE = {"name": "vgg11_bn", "width": 0.05, "hidden": [8], "channels": 1, "classes": 2}


def two_classes(count: int, seed: int, device: str = "cpu") -> Images:
    """Images that are bright above or below."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    pixels = rng.integers(0, 100, (count, 1, 32, 32))
    pixels[labels == 1, :, :16] += 120
    pixels[labels == 0, :, 16:] += 120
    tensors = torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels)
    scale = torch.tensor([0.4]), torch.tensor([0.25])
    return Images(*(tensor.to(device) for tensor in (*tensors, *scale)))


def fresh(seed: int = 0) -> nn.Module:
    network = build(**ARCHITECTURE)
    initialise(network, seed)
    return network.to(memory_format=torch.channels_last)


class KilledError(Exception):
    pass


def run(
    checkpoint: Path, *, kill_after: int | None = None, device: str = "cpu", **changes: Any
) -> tuple[nn.Module, list]:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == kill_after:
            raise KilledError

    network = fresh().to(device)
    options = {"seed": 0, "identity": "this code"} | changes.pop("options", {})
    history = train(
        network,
        two_classes(70, 0, device),
        two_classes(30, 1, device),
        SETTINGS | changes,
        checkpoint=checkpoint,
        progress=Progress(step=step, epoch=lambda _: None),
        **options,
    )
    return network, history


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_training_learns(tmp_path: Path, device: str) -> None:
    network, history = run(tmp_path / "resume", device=device)
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].test_accuracy == accuracy(network, two_classes(30, 1, device)) > 0.9


def test_the_same_seed_gives_the_same_network_and_another_another(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "a")
    second, _ = run(tmp_path / "b")
    other, _ = run(tmp_path / "c", options={"seed": 1})
    assert_equal(first, second)
    assert not torch.equal(first.output.weight, other.output.weight)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("kill_after", [5, 7, 11])
def test_a_killed_training_resumes_bit_for_bit(
    tmp_path: Path, kill_after: int, momentum: float
) -> None:
    whole, history = run(tmp_path / "whole", momentum=momentum)
    with pytest.raises(KilledError):
        run(tmp_path / "resume", kill_after=kill_after, momentum=momentum)
    assert (tmp_path / "resume").exists()
    resumed, resumed_history = run(tmp_path / "resume", momentum=momentum)
    assert_equal(whole, resumed)
    assert resumed_history == history


def test_a_checkpoint_of_other_code_is_not_used_and_that_is_said(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "resume", kill_after=6, options={"identity": "older code", "seed": 4})
    with pytest.warns(UserWarning, match="of another configuration or code: training starts anew"):
        network, _ = run(tmp_path / "resume")
    assert_equal(whole, network)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(tmp_path / "resume.safetensors", kill_after=6)
    content = (tmp_path / "resume.safetensors").read_bytes()
    (tmp_path / "resume.safetensors").write_bytes(content[:-10])
    with pytest.raises(ValueError, match=r"resume\.safetensors: expected a whole file"):
        run(tmp_path / "resume.safetensors")


def test_the_rate_warms_up_and_falls_by_a_cosine() -> None:
    rates = [learning_rate(SETTINGS, 10, step) for step in range(30)]
    assert rates[:10] == pytest.approx([0.005 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(0.05)
    assert rates[20] == pytest.approx(0.025)
    assert rates[-1] == pytest.approx(0.025 * (1 + math.cos(math.pi * 19 / 20)))


def test_the_rate_is_divided_at_milestones() -> None:
    settings = SETTINGS | {"schedule": "step", "milestones": [1, 3], "warmup_epochs": 0}
    rates = [learning_rate(settings, 2, step) for step in range(8)]
    assert rates == pytest.approx([0.05, 0.05, *[0.005] * 4, 0.0005, 0.0005])


def test_an_epoch_has_whole_batches_only() -> None:
    assert steps_an_epoch(70, 16) == 4
    assert steps_an_epoch(10, 16) == 1


def test_accuracy_counts_every_image() -> None:
    images = two_classes(501, 0)  # one more than a batch of the evaluation

    class Guess(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 1.0]]).expand(len(batch), 2)

    assert accuracy(Guess(), images) == int(images.labels.sum()) / 501


def test_weights_come_back_as_the_same_network(tmp_path: Path) -> None:
    network = fresh().eval()
    save_network(tmp_path / "network.safetensors", network, ARCHITECTURE)
    loaded = load_network(tmp_path / "network.safetensors", torch.device("cpu"))
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(network(images), loaded(images))


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    save_network(tmp_path / "network.safetensors", fresh(), ARCHITECTURE)
    content = (tmp_path / "network.safetensors").read_bytes()
    (tmp_path / "network.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"network\.safetensors: expected a whole file"):
        load_network(tmp_path / "network.safetensors", torch.device("cpu"))
