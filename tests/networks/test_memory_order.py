"""Weights are channels last, except where this corrupts memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from subspace_match.networks.architectures import build
from subspace_match.networks.memory_order import move_to

CPU = torch.device("cpu")

NARROW = [("resnet20", 0.05), ("resnet20", 0.25), ("resnet18", 0.06)]

TRAINING = f"""
import sys
from pathlib import Path
from test_training import run, two_classes
from subspace_match.networks.architectures import build
from subspace_match.networks.memory_order import move_to
import torch
from torch import nn

networks = [
    (build(name, width=width, hidden=[], channels=1, classes=2), False) for name, width in {NARROW}
]
narrow = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 1, stride=2), nn.Flatten()]
networks.append((nn.Sequential(*narrow, nn.Linear(8 * 15 * 15, 2)), True))
data = two_classes(64, 0), two_classes(16, 1)
for number, (network, compiled) in enumerate(networks):
    network = move_to(network, torch.device("cpu"))
    changes = {{"epochs": 2, "epochs_kept": [], "compile": compiled}}
    _, history = run(Path(sys.argv[1], str(number)), network=network, data=data, **changes)
    print(len(history), flush=True)
"""


def test_small_widths_train_to_the_end(tmp_path: Path) -> None:
    """In a new process, with the kernels that corrupted memory; the last network is compiled."""
    checked = {"ONEDNN_MAX_CPU_ISA": "AVX2", "MALLOC_PERTURB_": "165"}
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-c", TRAINING, str(tmp_path)],
        env=os.environ | checked | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (0, "2\n2\n2\n2\n"), ended.stderr


def is_channels_last(network: nn.Module) -> bool:
    """Check strides, because torch reports both formats if an axis has length 1."""
    weights = [p for p in network.parameters() if p.ndim == 4]
    return all(p.stride(1) == 1 for p in weights)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(7, 8, 1, stride=2), False),
        (nn.Conv2d(7, 8, 1, stride=(1, 2)), False),
        (nn.ConvTranspose2d(8, 7, 1, stride=2), False),
        (nn.Conv2d(8, 7, 1, stride=2), True),
        (nn.Conv2d(7, 8, 1), True),
        (nn.Conv2d(7, 8, 3, stride=2), True),
    ],
)
def test_only_a_narrow_strided_convolution_prevents_channels_last(
    layer: nn.Module, expected: bool
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), layer)
    assert is_channels_last(move_to(network, CPU)) is expected


def test_convolutions_in_one_and_three_dimensions_keep_their_format(device: str) -> None:
    own = nn.Conv1d(3, 8, 3), nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8)
    network = nn.Sequential(nn.Conv2d(8, 8, 3), *own)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert is_channels_last(move_to(network, torch.device(device)))
    assert all(weights.is_contiguous() for part in own for weights in part.parameters())
    for name, value in network.state_dict().items():
        assert value.device.type == device
        assert torch.equal(value.cpu(), before[name])


@pytest.mark.parametrize("channels", [1, 3])
def test_strides_are_those_that_torch_gives_a_whole_network(channels: int) -> None:
    def made() -> nn.Module:
        torch.manual_seed(0)
        return build("vgg11_bn", width=0.1, hidden=[8], channels=channels, classes=10)

    network, expected = move_to(made(), CPU), made().to(memory_format=torch.channels_last)
    assert network.state_dict().keys() == expected.state_dict().keys()
    for name, value in expected.state_dict().items():
        assert network.state_dict()[name].stride() == value.stride(), name
        assert torch.equal(network.state_dict()[name], value)
    x = torch.zeros(2, channels, 32, 32)
    (first,) = list(network.children())[:1]
    assert is_channels_last(network)
    assert first(x).is_contiguous(memory_format=torch.channels_last)


def test_weights_that_modules_share_stay_shared() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
    network[1].weight = network[0].weight
    move_to(network, CPU)
    assert network[1].weight is network[0].weight
    assert len(list(network.parameters())) == 3


@pytest.mark.parametrize(("width", "expected"), [(0.25, False), (0.5, True)])
def test_the_whole_network_has_one_memory_format(width: float, expected: bool) -> None:
    network = build("resnet20", width=width, hidden=[], channels=3, classes=2)
    move_to(network, CPU)
    expected_format = torch.channels_last if expected else torch.contiguous_format
    assert is_channels_last(network) is expected
    maps = network.get_submodule("stage1")(network.get_submodule("stem")(torch.zeros(2, 3, 8, 8)))
    assert maps.is_contiguous(memory_format=expected_format)
