"""Where to compute, chosen by name and never changed silently."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from pathlib import Path

# The drivers of NVIDIA's cards, its Tegra boards, ROCm's and those that Windows lends to Linux.
_DRIVERS = ("/dev/nvidiactl", "/dev/nvmap", "/dev/kfd", "/dev/dxg")


def device_name(device: str) -> str:
    """What torch calls the device "cpu", "cuda" or "auto" (CUDA if there is one, else the CPU).

    Raises:
        ValueError: if the device is unknown, absent, or has no float64; or for "auto" if
            CUDA_VISIBLE_DEVICES promises a GPU, as Slurm does, that is not there.
    """
    if device == "auto":
        if _cuda_is_there():
            return "cuda"
        promised = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if promised not in ("", "-1", "NoDevFiles"):
            if importlib.util.find_spec("torch") is None:
                raise _without_torch(f"CUDA_VISIBLE_DEVICES={promised}")
            raise ValueError(
                f"device: expected the GPU of CUDA_VISIBLE_DEVICES={promised}, found no CUDA device"
                f" on {platform.node()}; see what nvidia-smi says there, or use device='cpu'"
            )
        return "cpu"
    if device == "cpu":
        return device
    if importlib.util.find_spec("torch") is None:
        raise _without_torch(repr(device))
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(
            f"device: expected 'cpu', 'cuda' or 'auto', found {device!r}; use device='auto'"
        ) from error
    if kind != "cuda":
        raise ValueError(
            f"device: expected one with float64 ('cpu' or 'cuda'), found {device!r}; every decision"
            " is made in float64, so use device='cpu'"
        )
    if not torch.cuda.is_available():
        raise ValueError(
            "device: 'cuda' was asked for, found no CUDA device; use device='cpu' or 'auto'"
        )
    return device


def _cuda_is_there() -> bool:
    """Whether torch finds a GPU. Where Linux has no driver of any it is not loaded to be asked."""
    loaded = "torch" in sys.modules or sys.platform != "linux"
    if not loaded and not any(Path(driver).exists() for driver in _DRIVERS):
        return False
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _without_torch(device: str) -> ValueError:
    return ValueError(
        f"device: {device} needs torch: pip install 'subspace-match[torch]', or use device='cpu'"
    )
