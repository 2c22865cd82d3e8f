"""The device fixture: NumPy, and torch on every device that is present."""

from __future__ import annotations

from typing import Any

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
    """Run a test with NumPy, with the GPU code on the CPU, and on a GPU if there is one."""
    return DEVICES[request.param]


@pytest.fixture
def zarr() -> Any:
    """Zarr, where it is installed: the mathematics must be testable on a GPU machine without it."""
    return pytest.importorskip("zarr")
