"""Every place where arrays can be: NumPy's, and torch's on each device that is present."""

from __future__ import annotations

import pytest
import torch

from subspace_match.matching.backends import resolve_device
from subspace_match.matching.backends.base import Device
from subspace_match.matching.backends.torch_ import TorchDevice

DEVICES = {"cpu": resolve_device("cpu"), "torch": TorchDevice("cpu")}
if torch.cuda.is_available():
    DEVICES["cuda"] = resolve_device("cuda")


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Device:
    """On the CPU, what is meant for a GPU, there too, and on a GPU if there is one."""
    return DEVICES[request.param]
