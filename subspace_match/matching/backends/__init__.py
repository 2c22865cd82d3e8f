"""Arrays and linear algebra on one device, with NumPy or torch. Knows no matching algorithm."""

from __future__ import annotations

from .base import Device, DeviceLike
from .names import device_name


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
