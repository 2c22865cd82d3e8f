"""Arrays and linear algebra on one device, NumPy's or torch's; no algorithm of ours."""

from __future__ import annotations

from .base import Device, DeviceLike
from .names import device_name


def resolve_device(device: DeviceLike) -> Device:
    """The device of a name.

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
