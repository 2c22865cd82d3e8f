"""The axis of neurons is followed correctly: a change of one neuron stays at its index."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from subspace_match.networks.neuron_axis import AxisTracker, axis_by_sizes

Function = Callable[[Tensor], Tensor]

torch.manual_seed(0)
NEURONS = 5
MAPS = torch.rand(2, 3, 4, 6) + 0.1  # (inputs, channels, height, width)
CONVOLUTION = nn.Conv2d(3, NEURONS, 1).requires_grad_(False)
BIAS, SCALE = torch.rand(NEURONS, 1, 1), torch.rand(2, 1, 1, 1)


def images() -> tuple[Tensor, int]:
    return CONVOLUTION(MAPS), 1


def token_features() -> tuple[Tensor, int]:
    return functional.linear(MAPS[:, 0], torch.rand(NEURONS, 6)), 2


# Each keeps neurons apart; the second entry is the axis in which they then are.
OF_MAPS: dict[str, tuple[Function, int]] = {
    "relu": (functional.relu, 1),
    "method": (lambda x: x.clone().relu_(), 1),
    "gelu": (functional.gelu, 1),
    "bias": (lambda x: x + BIAS, 1),
    "from the left": (lambda x: 1 - 2 * x / SCALE, 1),
    "in place": (lambda x: x.clone().add_(1).mul_(SCALE), 1),
    "pool": (lambda x: functional.max_pool2d(x, 2), 1),
    "adaptive": (lambda x: nn.AdaptiveAvgPool2d(1)(x), 1),
    "batch norm": (lambda x: nn.BatchNorm2d(NEURONS).eval()(x), 1),
    "pad": (lambda x: functional.pad(x, (1, 1)), 1),
    "last": (lambda x: x.permute(0, 2, 3, 1), 3),
    "moved": (lambda x: torch.movedim(x, 1, -1), 3),
    "back": (lambda x: x.permute(0, 2, 3, 1).relu().permute((0, 3, 1, 2)), 1),
    "to tokens": (lambda x: x.flatten(2).transpose(1, 2), 2),
    "reshaped": (lambda x: x.reshape(2, NEURONS, -1).permute(0, 2, 1), 2),
    "class token": (
        lambda x: torch.cat([torch.zeros(2, 1, NEURONS), x.flatten(2).mT], dim=1),
        2,
    ),
    "joined": (lambda x: torch.cat([x, x.relu()], 1), 1),
    "mean": (lambda x: x.mean((2, 3)), 1),
    "mean kept": (lambda x: x.mean(dim=3, keepdim=True), 1),
    "largest": (lambda x: x.amax(-1), 1),
    "cropped": (lambda x: x[..., 1:, 2:], 1),
    "column": (lambda x: x[:, :, 0], 1),
    "extra axis": (lambda x: x[:, None].squeeze(1), 1),
    "half": (lambda x: x[:, 1:], 1),
    "windows": (lambda x: x.permute(0, 2, 3, 1).view(2, 2, 2, 2, 3, NEURONS), 5),
    "parts": (lambda x: x.chunk(2, dim=3)[1], 1),
    "types": (lambda x: x.to(torch.float64).contiguous().float(), 1),
}
OF_TOKENS: dict[str, tuple[Function, int]] = {
    "gelu": (nn.GELU(), 2),
    "residual": (lambda x: x + functional.dropout(x, 0.5, False), 2),
    "rms": (lambda x: x * torch.rand(2, 4, 1), 2),
    "class": (lambda x: x[:, 0], 1),
    "mean": (lambda x: x.mean(1), 1),
    "as maps": (lambda x: x.mT.unflatten(2, (2, 2)), 1),
    "time first": (lambda x: x.transpose(0, 1).relu().transpose(0, 1), 2),
}
# Nothing is known of these, although their shapes look like layers.
UNKNOWN: dict[str, Function] = {
    "products": lambda x: x.flatten(2).mT @ x.flatten(2),
    "turned": lambda x: x.transpose(2, 3),
    "shuffled": lambda x: x.reshape(2, 6, 4, NEURONS),
    "one neuron": lambda x: x[:, 0],
    "flipped": lambda x: x.flip(1),
    "sorted": lambda x: x.sort(1)[0],
    "over neurons": lambda x: x.mean(1),
    "two kinds": lambda x: x[..., :NEURONS] + x[..., :NEURONS].permute(0, 2, 3, 1)[:, :1, :4],
}


def followed(function: Function, make: Callable[[], tuple[Tensor, int]]) -> int | None:
    with AxisTracker() as tracker:
        return tracker.axis_of(function(make()[0]))


def assert_neurons_are_apart(
    function: Function, make: Callable[[], tuple[Tensor, int]], axis: int
) -> None:
    """Change one neuron of the input: only one index along the axis of the output may change."""
    values, own = make()
    before = function(values)
    changed_at = set()
    for neuron in range(NEURONS):
        other = values.clone()
        other.select(own, neuron).add_(1.0)
        changes = (function(other) != before).movedim(axis, 0).flatten(1).any(1)
        at = set(torch.nonzero(changes).flatten().tolist())
        assert len(at) <= 2, "a joined layer has each neuron twice"
        assert not at & changed_at
        changed_at |= at
    assert changed_at


@pytest.mark.parametrize("name", OF_MAPS)
def test_the_axis_of_maps_is_followed(name: str) -> None:
    function, axis = OF_MAPS[name]
    assert followed(function, images) == axis
    assert_neurons_are_apart(function, images, axis)


@pytest.mark.parametrize("name", OF_TOKENS)
def test_the_axis_of_tokens_is_followed(name: str) -> None:
    function, axis = OF_TOKENS[name]
    torch.manual_seed(0)
    assert followed(function, token_features) == axis


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_mixes_neurons_or_turns_maps_is_unknown(name: str) -> None:
    assert followed(UNKNOWN[name], images) is None


@pytest.mark.parametrize("seed", range(20))
def test_neurons_stay_apart_through_chains_of_operations(seed: int) -> None:
    """Whatever the tracker claims of a chain must be true; it need not claim anything."""
    rng = np.random.default_rng(seed)
    steps: list[Function] = []
    steps_of_any: list[Function] = [
        functional.relu,
        lambda x: x.transpose(1, -1),
        lambda x: x.flatten(1, 2) if x.ndim > 2 else x,
        lambda x: x.unsqueeze(1),
        lambda x: x.mean(-1) if x.ndim > 2 else x,
        lambda x: x[:, :1],
        lambda x: x.reshape(2, -1, 2) if x.numel() % 4 == 0 else x,
        lambda x: x + x.flip(0),
    ]

    def chain(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    for _ in range(6):
        steps.append(steps_of_any[rng.integers(len(steps_of_any))])
        if (axis := followed(chain, images)) is not None:
            values, own = images()
            before = chain(values)
            for neuron in range(NEURONS):
                other = values.clone()
                other.select(own, neuron).add_(1.0)
                changes = (chain(other) != before).movedim(axis, 0).flatten(1).any(1)
                assert changes.sum() <= 1


@pytest.mark.parametrize(
    ("shape", "longer", "axis"),
    [
        ((2, 8, 4, 4), [(2, 8, 8, 4), (2, 8, 4, 8)], 1),
        ((2, 8, 1, 1), [(2, 8, 1, 1), (2, 8, 1, 1)], 1),
        ((2, 4, 4, 8), [(2, 4, 8, 8), (2, 8, 4, 8)], None),  # width before height
        ((2, 8, 4, 4), [(2, 8, 8, 4), None], None),
        ((2, 8, 4, 4), [], None),
        ((2, 5, 8), [(2, 10, 8)], 2),
        ((2, 8, 5), [(2, 8, 10)], 1),
        ((2, 5, 5), [(2, 10, 10)], None),
        ((2, 5, 8), [(2, 5, 8)], None),
        ((2, 16, 8), [(2, 32, 8), (2, 32, 8)], 2),
    ],
)
def test_the_axis_that_no_size_changes_has_the_neurons(
    shape: tuple[int, ...], longer: list[tuple[int, ...] | None], axis: int | None
) -> None:
    assert axis_by_sizes(shape, longer) == axis
