"""Where tensors live, chosen by name and never changed silently."""

from __future__ import annotations

import os
import platform

import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """The torch device for "cpu", "cuda" or "auto" (CUDA if there is one, else the CPU).

    Raises:
        ValueError: if the device is unknown, absent, or has no float64; or for "auto" if
            CUDA_VISIBLE_DEVICES promises a GPU, as Slurm does, that is not there.
    """
    if str(device) == "auto":
        promised = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if promised not in ("", "-1", "NoDevFiles") and not torch.cuda.is_available():
            raise ValueError(
                f"device: expected the GPU of CUDA_VISIBLE_DEVICES={promised}, found no CUDA device"
                f" on {platform.node()}; see what nvidia-smi says there, or use device='cpu'"
            )
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device: expected 'cpu', 'cuda' or 'auto', found {device!r}; use device='auto'"
        ) from error
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(
            f"device: expected one with float64 ('cpu' or 'cuda'), found {device!r}; every decision"
            " is made in float64, so use device='cpu'"
        )
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device: 'cuda' was asked for, found no CUDA device; use device='cpu' or 'auto'"
        )
    return resolved
