"""Read files of pretrained weights: torchvision's published ones, or a file of the user.

Published weights are read from torch hub's folder and never downloaded here, because many jobs may
run at once, often on machines without internet. PyTorch files are read as tensors only
(``weights_only``), so no code in a pickle is run.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torchvision.models import WeightsEnum

from ..storage.files import sha256
from ..storage.lfs_pointers import check_no_lfs_pointer

_ENDINGS = (".safetensors", ".pt", ".pth", ".pth.tar", ".th", ".ckpt")


def read_published(kind: WeightsEnum) -> Any:
    """Read published weights from torch hub's folder.

    Raises:
        ValueError: if the file is missing (the message has the command that fetches it) or damaged.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(kind.url).path).name)
    if not file.exists():
        raise ValueError(
            f"network.weights: expected {kind!r} at {file}, in torch hub's folder (set by"
            f" TORCH_HOME), found none; fetch them with: curl --fail --create-dirs"
            f" --output {file} {kind.url}"
        )
    # The name of a published file ends with the first digits of its SHA-256.
    expected = torch.hub.HASH_REGEX.search(file.name)
    if expected and not sha256(file).startswith(expected[1]):
        raise ValueError(
            f"network.weights: expected {kind!r} in {file}, found a damaged file (its SHA-256 does"
            f" not begin with {expected[1]}); remove it and fetch it again from {kind.url}"
        )
    return _read(file)


def read_user_file(weights: str, published: list[str]) -> Any:
    """Read a user's file of weights.

    Raises:
        ValueError: if the file is missing or unreadable, or has another suffix; the message then
            also lists the names of ``published`` weights.
    """
    file = Path(weights)
    if not file.name.endswith(_ENDINGS):
        names = f"one of {', '.join(published)}, or " if published else ""
        raise ValueError(
            f"network.weights: expected {names}a file {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]},"
            f" found {weights!r}"
        )
    if not file.is_file():
        raise ValueError(f"network.weights: expected a file, found none at {file}")
    return _read(file)


def _read(file: Path) -> Any:
    check_no_lfs_pointer(file)
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the file may be anything
        reason = str(error).strip().partition("\n")[0]
        if isinstance(error, pickle.UnpicklingError):  # torch advises at length, in colours
            reason = "it holds other objects, such as a whole model, or is damaged"
        raise ValueError(
            f"network.weights: expected a file of tensors only, found an unreadable one: {file}"
            f" ({reason}); save only network.state_dict()"
        ) from error
