"""Backends: arrays and linear algebra on one device. They contain no matching algorithm.

``base`` has the interface, ``Device``; ``numpy_`` and ``torch_`` implement it.
"""

from __future__ import annotations

from ..device_names import device_name
from .base import Device, DeviceLike


def resolve_device(device: DeviceLike) -> Device:
    """Return the ``Device`` for "cpu", "cuda" or "auto"; return a ``Device`` unchanged.

    Raises:
        ValueError: as ``device_name``.
    """
    if isinstance(device, Device):
        return device
    name = device_name(str(device))
    if name == "cpu":
        from .numpy_ import Cpu

        return Cpu()
    from .torch_ import TorchDevice

    return TorchDevice(name)
