"""Device names: check that a device can compute. No device replaces another one silently."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from pathlib import Path

# Driver files on Linux: NVIDIA cards, NVIDIA Tegra, AMD ROCm, Windows Subsystem for Linux.
_DRIVERS = ("/dev/nvidiactl", "/dev/nvmap", "/dev/kfd", "/dev/dxg")


def device_name(device: str) -> str:
    """Return torch's name for "cpu", "cuda" or "auto" (CUDA if torch finds it, else the CPU).

    Raises:
        ValueError: if the device is unknown, absent or has no float64; or, for "auto", if
            CUDA_VISIBLE_DEVICES names a GPU (Slurm sets it) but there is none.
    """
    if device == "auto":
        if _cuda_is_available():
            return "cuda"
        assigned = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if assigned not in ("", "-1", "NoDevFiles"):
            _require_torch(f"CUDA_VISIBLE_DEVICES={assigned}")
            raise ValueError(
                f"device: expected the GPU of CUDA_VISIBLE_DEVICES={assigned}, found no CUDA device"
                f" on {platform.node()}; run nvidia-smi there, or use device='cpu'"
            )
        return "cpu"
    if device == "cpu":
        return device
    _require_torch(repr(device))
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(
            f"device: expected 'cpu', 'cuda' or 'auto', found {device!r}; use device='auto'"
        ) from error
    if kind != "cuda":
        raise ValueError(
            f"device: expected one with float64 ('cpu' or 'cuda'), found {device!r}; matching"
            " computes in float64, so use device='cpu'"
        )
    if not torch.cuda.is_available():
        raise ValueError(
            "device: expected a CUDA device for 'cuda', found none; use device='cpu' or 'auto'"
        )
    return device


def _cuda_is_available() -> bool:
    """Ask torch for a GPU; without any GPU driver on Linux, do not even import torch."""
    ask_torch = "torch" in sys.modules or sys.platform != "linux"
    if not ask_torch and not any(Path(driver).exists() for driver in _DRIVERS):
        return False
    if not _torch_is_installed():
        return False
    import torch

    return torch.cuda.is_available()


def _torch_is_installed() -> bool:
    return importlib.util.find_spec("torch") is not None


def _require_torch(device: str) -> None:
    if not _torch_is_installed():
        raise ValueError(
            f"device: {device} needs torch: pip install 'subspace-match[torch]', or use"
            " device='cpu'"
        )
