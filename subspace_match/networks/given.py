"""Networks with given weights: torchvision's published ones, or a file of one's own.

Published weights are read from where torch hub keeps them and never downloaded here: many jobs may
run at once, and often on machines without a network. Files are safetensors, or PyTorch's read as
tensors only (``weights_only``), so that no code in a pickle is ever run.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torchvision import models
from torchvision.models import WeightsEnum

from ..artefacts import sha256
from .architectures import build, is_ones_own, outline, torchvision_model
from .preprocessing import Preprocessing

_WRAPPERS = ("state_dict", "model")  # what training scripts keep weights under in a checkpoint
_FAULTS_SHOWN = 5
# DenseNet's weights were published before a module's name could not hold a dot.
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Given:
    """A network that is not trained here.

    Attributes:
        network: with its weights, in evaluation mode, on the CPU.
        preprocessing: of its images.
        architecture: arguments of ``build`` that make it.
    """

    network: nn.Module
    preprocessing: Preprocessing
    architecture: dict[str, Any]


def given(
    architecture: Mapping[str, Any], weights: str, preprocessing: Preprocessing | None = None
) -> Given:
    """A network with given weights.

    Args:
        architecture: arguments of ``build``; ``classes`` are those of the weights, whatever it
            says, except in one's own module.
        weights: of a torchvision model, the name of published ones, such as IMAGENET1K_V1. Or a
            file: ``.safetensors``, or ``.pt`` or ``.pth`` (a state dict, by itself or under
            "state_dict" or "model", keys with or without "module." before them). A file of a
            torchvision model is taken to be of the kind of its default published weights:
            same preprocessing, same options.
        preprocessing: if not the published one; needed for all but torchvision's models.

    Raises:
        ValueError: if the weights are not where they should be, damaged or another network's, or
            the preprocessing is not known.

    Example:
        >>> given({"name": "torchvision:alexnet", "width": 1.0, "hidden": [], "channels": 3,
        ...        "classes": 10}, "elsewhere/alexnet.pt")
        Traceback (most recent call last):
        ...
        ValueError: network.weights: expected a file, found none at elsewhere/alexnet.pt
    """
    architecture, preprocessing = planned(architecture, weights, preprocessing)
    tensors = _tensors(architecture["name"], weights)
    if not is_ones_own(architecture["name"]):
        architecture["classes"] = _classes(architecture, tensors)
    network = build(**architecture)
    _load(network, tensors, f"{weights} and {architecture['name']}")
    return Given(network.eval(), preprocessing, architecture)


def planned(
    architecture: Mapping[str, Any], weights: str, preprocessing: Preprocessing | None = None
) -> tuple[dict[str, Any], Preprocessing]:
    """What ``given`` will make, as far as it is known before the weights are read.

    Args:
        architecture: as for ``given``.
        weights: likewise.
        preprocessing: likewise.

    Returns:
        Arguments of ``build``, ``classes`` as they were, and the preprocessing of its images.

    Raises:
        ValueError: if the preprocessing is not known.
    """
    architecture = dict(architecture)
    if chosen := torchvision_model(architecture["name"]):
        model, options = chosen
        kind = _published_kind(model, weights) or models.get_model_weights(model).DEFAULT
        architecture["name"] = _named(model, _options(model, kind) | options)
        preprocessing = preprocessing or _preprocessing(kind)
    if preprocessing is None:
        raise ValueError(
            "network.mean, network.std: expected the preprocessing of a network with given weights,"
            f" found none; it is known of torchvision's models only, not of {architecture['name']}"
        )
    return architecture, preprocessing


def _published_kind(model: str, weights: str) -> WeightsEnum | None:
    """Those of torchvision's weights that have this name, if some have."""
    published = models.get_model_weights(model)
    name = weights.removeprefix(f"{published.__name__}.")
    return published[name] if name in published.__members__ else None


def _tensors(architecture: str, weights: str) -> Tensors:
    """Published weights, or those of a file."""
    if (chosen := torchvision_model(architecture)) is None:
        return _from_file(weights, [])
    if (kind := _published_kind(chosen[0], weights)) is not None:
        return _published(kind)
    return _from_file(weights, list(models.get_model_weights(chosen[0]).__members__))


def _preprocessing(kind: WeightsEnum) -> Preprocessing:
    preset = kind.transforms()
    return Preprocessing(
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=preset.interpolation.value,
    )


def _options(model: str, kind: WeightsEnum) -> dict[str, Any]:
    """Options that torchvision's builders set themselves when they are given published weights."""
    if model in ("googlenet", "inception_v3"):
        return {"transform_input": True, "init_weights": False}
    if model.startswith("vit_"):
        return {"image_size": min(kind.meta["min_size"])}
    return {}


def _named(model: str, options: Mapping[str, Any]) -> str:
    """What ``torchvision_model`` reads."""
    query = urlencode({option: json.dumps(value) for option, value in options.items()})
    return f"torchvision:{model}" + (f"?{query}" if query else "")


def _published(kind: WeightsEnum) -> Tensors:
    """Published weights from torch hub's folder."""
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(kind.url).path).name)
    if not file.exists():
        raise ValueError(
            f"network.weights: expected {kind!r} at {file}, where torch hub keeps them (TORCH_HOME"
            f" moves that folder), found none; fetch them with: curl --fail --create-dirs"
            f" --output {file} {kind.url}"
        )
    # A published file's name ends with the first digits of its SHA-256.
    expected = torch.hub.HASH_REGEX.search(file.name)
    if expected and not sha256(file).startswith(expected[1]):
        raise ValueError(
            f"network.weights: expected {kind!r} in {file}, found a damaged file (its SHA-256 does"
            f" not begin with {expected[1]}); remove it and fetch it anew from {kind.url}"
        )
    return _read(file)


def _from_file(weights: str, published: list[str]) -> Tensors:
    """Weights from a file of one's own."""
    file = Path(weights)
    if file.suffix not in (".safetensors", ".pt", ".pth"):
        names = f"one of {', '.join(published)}, or " if published else ""
        raise ValueError(
            f"network.weights: expected {names}a file .safetensors, .pt or .pth, found {weights!r}"
        )
    if not file.is_file():
        raise ValueError(f"network.weights: expected a file, found none at {file}")
    return _read(file)


def _read(file: Path) -> Tensors:
    content: Any
    try:
        if file.suffix == ".safetensors":
            content = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f"network.weights: expected a file of tensors only, found one that cannot be read as"
            f" such: {file} ({error}); save network.state_dict() by itself"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise ValueError(
            f"network.weights: expected a state dict, by itself or under {' or '.join(_WRAPPERS)},"
            f" found something else in {file}"
        )
    if all(name.startswith("module.") for name in content):  # as DataParallel wraps a network
        content = {name.removeprefix("module."): value for name, value in content.items()}
    return {_OLD_DENSENET.sub(r"\1\2", name): value for name, value in content.items()}


def _classes(architecture: Mapping[str, Any], tensors: Tensors) -> int:
    """Outputs of the network that the tensors are of.

    They are the first axis of the tensors that differ from the architecture's in that alone.
    """
    classes = int(architecture["classes"])
    expected = outline(**architecture).state_dict()
    found = {
        tensors[name].shape[0]
        for name, tensor in expected.items()
        if name in tensors
        and tensors[name].shape != tensor.shape
        and tensor.shape[:1] == (classes,)
        and tensors[name].shape[1:] == tensor.shape[1:]
        and tensors[name].ndim == tensor.ndim
    }
    return found.pop() if len(found) == 1 else classes


def _load(network: nn.Module, tensors: Tensors, said: str) -> None:
    expected = network.state_dict()
    fitting = {
        name: value
        for name, value in tensors.items()
        if name not in expected or value.shape == expected[name].shape
    }
    absent, unknown = network.load_state_dict(fitting, strict=False)
    faults = [
        f"{name} should have shape {tuple(expected[name].shape)}, has {tuple(tensors[name].shape)}"
        if name in tensors
        else f"{name} is missing"
        for name in absent
    ]
    faults += [f"{name} is unknown" for name in unknown]
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        shown = "; ".join(faults[:_FAULTS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise ValueError(f"network.weights: expected weights of the network, found {said}: {shown}")
