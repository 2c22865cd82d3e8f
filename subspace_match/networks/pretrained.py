"""Pretrained networks: published weights of torchvision, timm or transformers, or the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import torch
from torch import nn
from torchvision import models
from torchvision.models import WeightsEnum

from .architectures import build, self_contained, torchvision_model
from .preprocessing import Preprocessing
from .source_names import PUBLISHED, TIMM, TRANSFORMERS, model_folder
from .state_dicts import find_state_dict
from .timm_models import load_timm, timm_preprocessing
from .transformers_models import load_transformers
from .weight_files import read_published, read_user_file
from .wording import first_few


@dataclass(frozen=True)
class Pretrained:
    """A network in evaluation mode on the CPU, and the arguments of ``build`` that made it."""

    network: nn.Module
    preprocessing: Preprocessing
    architecture: dict[str, Any]


def load_pretrained(
    architecture: Mapping[str, Any], weights: str, preprocessing: Preprocessing | None = None
) -> Pretrained:
    """Build a network and load pretrained weights.

    Args:
        architecture: arguments of ``build``; ``classes`` follows the weights, except for user code.
        weights: for a model of torchvision or timm, the name of published weights, such as
            IMAGENET1K_V1 or a1_in1k; for a folder of transformers, "published". Or a file:
            ``.safetensors``, or a PyTorch file (``.pt``, ``.pth``, ``.pth.tar``, ``.th``,
            ``.ckpt``) that is a state dict or contains one, under any key and with any prefix
            before its names. A file for a torchvision model has the preprocessing and the options
            of the model's default published weights.
        preprocessing: replaces the published one; required except for torchvision's models, timm's
            published weights and texts.

    Raises:
        ValueError: if the weights are missing, damaged, not finite or of another network, or the
            preprocessing is unknown.
    """
    name = architecture["name"]
    resolved, preprocessing = resolve_pretrained(architecture, weights, preprocessing)
    if _is_published_timm(name, weights):
        network = load_timm(name, weights, resolved.get("options", {}))
    elif weights == PUBLISHED and (folder := model_folder(name)):
        network = load_transformers(resolved["name"], folder, build(**resolved))
    else:
        resolved, tensors = find_state_dict(
            _content(name, weights), resolved, f"{weights} and {name}"
        )
        network = build(**resolved)
        network.load_state_dict(tensors)
    _check_finite(network, weights)
    return Pretrained(network.eval(), preprocessing, resolved)


def resolve_pretrained(
    architecture: Mapping[str, Any], weights: str, preprocessing: Preprocessing | None = None
) -> tuple[dict[str, Any], Preprocessing]:
    """Return what is known about a pretrained network before its weights are read.

    The arguments and errors are those of ``load_pretrained``.

    Returns:
        Arguments of ``build`` that need no file, with ``classes`` unchanged unless timm says how
        many the weights have, and the preprocessing of the images.
    """
    name = architecture["name"]
    architecture = self_contained(architecture)
    if not architecture["channels"]:
        preprocessing = Preprocessing((), ())
    if _is_published_timm(name, weights):
        published, architecture["classes"] = timm_preprocessing(name, weights)
        preprocessing = preprocessing or published
    if chosen := torchvision_model(name):
        model, options = chosen
        kind = _published_kind(model, weights) or models.get_model_weights(model).DEFAULT
        architecture["name"] = _torchvision_name(model, _builder_options(model, kind) | options)
        preprocessing = preprocessing or _published_preprocessing(kind)
    if preprocessing is None:
        raise ValueError(
            "network.mean, network.std: expected the preprocessing of the pretrained network, found"
            f" none; it is known for torchvision's models and timm's published weights only, not"
            f" for {name}"
        )
    return architecture, preprocessing


def _is_published_timm(name: str, weights: str) -> bool:
    return name.startswith(TIMM) and not Path(weights).suffix


def _content(name: str, weights: str) -> Any:
    """Return the content of a file of weights, or of torchvision's published weights."""
    published: list[str] = []
    if chosen := torchvision_model(name):
        if kind := _published_kind(chosen[0], weights):
            return read_published(kind)
        published = list(models.get_model_weights(chosen[0]).__members__)
    if name.startswith(TRANSFORMERS):
        published = [f"{PUBLISHED} (with a folder as network.name)"]
    return read_user_file(weights, published)


def _published_kind(model: str, weights: str) -> WeightsEnum | None:
    """Return torchvision's published weights of this name, if any."""
    published = models.get_model_weights(model)
    name = weights.removeprefix(f"{published.__name__}.")
    return published[name] if name in published.__members__ else None


def _published_preprocessing(kind: WeightsEnum) -> Preprocessing:
    preset = kind.transforms()
    return Preprocessing(
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=preset.interpolation.value,
    )


def _builder_options(model: str, kind: WeightsEnum) -> dict[str, Any]:
    """Return the options that torchvision's builders set when they load published weights."""
    if model in ("googlenet", "inception_v3"):
        return {"transform_input": True, "init_weights": False}
    if model.startswith("vit_"):
        return {"image_size": min(kind.meta["min_size"])}
    return {}


def _torchvision_name(model: str, options: Mapping[str, Any]) -> str:
    """Return the name that ``torchvision_model`` parses."""
    query = urlencode({option: json.dumps(value) for option, value in options.items()})
    return f"torchvision:{model}" + (f"?{query}" if query else "")


def _check_finite(network: nn.Module, source: str) -> None:
    """Check after loading, because a finite float64 may overflow the network's dtype."""
    wrong = {
        name: int((~torch.isfinite(tensor)).sum()) for name, tensor in network.state_dict().items()
    }
    if named := [f"{name} ({count} values)" for name, count in wrong.items() if count]:
        raise ValueError(
            "network.weights: expected finite numbers, found NaN or infinity in"
            f" {first_few(named)} of {source}"
        )
