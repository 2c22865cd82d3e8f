"""Networks with given weights: torchvision's published ones, or a file of one's own.

Published weights are read from where torch hub keeps them and never downloaded here: many jobs may
run at once, and often on machines without a network. Files are safetensors, or PyTorch's read as
tensors only (``weights_only``), so that no code in a pickle is ever run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlparse

import torch
from torch import nn
from torchvision import models
from torchvision.models import WeightsEnum

from ..storage.files import sha256
from .architectures import build, is_ones_own, outline, torchvision_model
from .preprocessing import Preprocessing
from .weight_files import ENDINGS, Tensors, dictionaries, keys_of, read_checkpoint

_FAULTS_SHOWN = 5


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
            file: ``.safetensors``, or one of PyTorch's (``.pt``, ``.pth``, ``.pth.tar``, ``.th``,
            ``.ckpt``), a state dict by itself or a checkpoint of which one dictionary is, whatever
            its key and whatever stands before all of its names. A file of a torchvision model is
            taken to be of the kind of its default published weights: same preprocessing, same
            options.
        preprocessing: if not the published one; needed for all but torchvision's models.

    Raises:
        ValueError: if the weights are not where they should be, damaged, not finite or another
            network's, or the preprocessing is not known.

    Example:
        >>> given({"name": "torchvision:alexnet", "width": 1.0, "hidden": [], "channels": 3,
        ...        "classes": 10}, "elsewhere/alexnet.pt")
        Traceback (most recent call last):
        ...
        ValueError: network.weights: expected a file, found none at elsewhere/alexnet.pt
    """
    architecture, preprocessing = planned(architecture, weights, preprocessing)
    content = _content(architecture["name"], weights)
    architecture, tensors = _taken(content, architecture, f"{weights} and {architecture['name']}")
    network = build(**architecture)
    network.load_state_dict(tensors)
    _check_finite(network, weights)
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


def _content(architecture: str, weights: str) -> Any:
    """What the file of published weights holds, or that of one's own."""
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


def _published(kind: WeightsEnum) -> Any:
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
    return read_checkpoint(file)


def _from_file(weights: str, published: list[str]) -> Any:
    """Weights from a file of one's own."""
    file = Path(weights)
    if not file.name.endswith(ENDINGS):
        names = f"one of {', '.join(published)}, or " if published else ""
        raise ValueError(
            f"network.weights: expected {names}a file {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]},"
            f" found {weights!r}"
        )
    if not file.is_file():
        raise ValueError(f"network.weights: expected a file, found none at {file}")
    return read_checkpoint(file)


def _taken(
    content: Any, architecture: Mapping[str, Any], said: str
) -> tuple[dict[str, Any], Tensors]:
    """The one dictionary of a checkpoint that fits the network, and the network's architecture.

    Raises:
        ValueError: if none fits, with what differs or the keys that were found; or several do.
    """
    expected = outline(**architecture).state_dict()
    fitting: dict[str, tuple[dict[str, Any], Tensors]] = {}
    faults: list[list[str]] = []
    for place, found in dictionaries(content, expected.keys()).items():
        own, wanted = dict(architecture), expected
        if not is_ones_own(architecture["name"]):
            own["classes"] = _classes(own, expected, found)
        if own != architecture:
            wanted = outline(**own).state_dict()
        faults.append(_faults(wanted, found))
        if not faults[-1] and not any(_equal(found, other) for _, other in fitting.values()):
            fitting[place] = own, found
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise ValueError(
            f"network.weights: expected one dictionary of the network's tensors, found {said} with"
            f" several: {'; '.join(fitting)}; save the one that is meant by itself"
        )
    if not faults:
        raise ValueError(
            "network.weights: expected a dictionary of the network's tensors, such as"
            f" {next(iter(expected), None)}, found {said} with {keys_of(content)}"
        )
    nearest = min(faults, key=len)
    more = len(nearest) - _FAULTS_SHOWN
    shown = "; ".join(nearest[:_FAULTS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    raise ValueError(f"network.weights: expected weights of the network, found {said}: {shown}")


def _faults(expected: Mapping[str, torch.Tensor], found: Tensors) -> list[str]:
    """What keeps tensors from being those of a network."""
    faults = [
        f"{name} should have shape {tuple(tensor.shape)}, has {tuple(found[name].shape)}"
        if name in found
        else f"{name} is missing"
        for name, tensor in expected.items()
        if name not in found or found[name].shape != tensor.shape
    ]
    return faults + [f"{name} is unknown" for name in found if name not in expected]


def _equal(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _classes(
    architecture: Mapping[str, Any], expected: Mapping[str, torch.Tensor], tensors: Tensors
) -> int:
    """Outputs of the network that the tensors are of.

    They are the first axis of the tensors that differ from the architecture's in that alone.
    """
    classes = int(architecture["classes"])
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


def _check_finite(network: nn.Module, said: str) -> None:
    """Once loaded, since what fits float64 need not fit the network's own numbers."""
    wrong = {
        name: int((~torch.isfinite(tensor)).sum()) for name, tensor in network.state_dict().items()
    }
    if named := [f"{name} ({count} values)" for name, count in wrong.items() if count]:
        more = len(named) - _FAULTS_SHOWN
        shown = ", ".join(named[:_FAULTS_SHOWN]) + (f" and {more} more" if more > 0 else "")
        raise ValueError(
            f"network.weights: expected finite numbers, found NaN or infinity in {shown} of {said}"
        )
