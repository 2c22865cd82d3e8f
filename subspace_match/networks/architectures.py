"""Build networks by name, and set their initial weights.

A name is one of the small-image networks, a model of torchvision, or the user's own code.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import torch
from torch import nn

from .small_image_networks import ARCHITECTURES, build_small_image_network
from .user_code import build_from_user_code

_TORCHVISION = "torchvision:"


def build(name: str, *, width: float, hidden: list[int], channels: int, classes: int) -> nn.Module:
    """Build a network with its constructor's weights; ``initialise`` draws them from a seed.

    Args:
        name: one of ``ARCHITECTURES``, for images of at least 32 x 32 pixels. Or
            ``torchvision:NAME``, any of its classification models, followed by its options after a
            question mark: ``torchvision:googlenet?aux_logits=false``. Or
            ``package.module:callable``, the user's own class or function, called without arguments.
        width: channels as a multiple of the published architecture's. This, ``hidden`` and
            ``channels`` are not used for torchvision's models and user code.
        hidden: widths of a VGG's fully connected hidden layers.
        channels: channels of an image.
        classes: number of outputs; not used for user code.

    Raises:
        ValueError: if the name is unknown or does not lead to an nn.Module.

    Example:
        >>> net = build("resnet20", width=1.0, hidden=[], channels=3, classes=10)
        >>> sum(p.numel() for p in net.parameters())
        272474
    """
    if is_user_code(name):
        return build_from_user_code(name)
    if published := torchvision_model(name):
        from torchvision import models

        model, options = published
        try:
            return models.get_model(model, weights=None, num_classes=classes, **options)  # type: ignore[no-any-return]
        except (TypeError, ValueError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"network.name: expected options of torchvision's {model}, found {name!r}"
                f" ({reason})"
            ) from error
    if name in ARCHITECTURES:
        return build_small_image_network(
            name, width=width, hidden=hidden, channels=channels, classes=classes
        )
    near = difflib.get_close_matches(name, ARCHITECTURES, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"network.name: expected one of {', '.join(ARCHITECTURES)}; torchvision:NAME, such as"
        f" torchvision:vgg16; or package.module:callable; found {name!r}; the nearest known name is"
        f" {near!r}"
    )


def outline(**architecture: Any) -> nn.Module:
    """Build a network for its shapes only, on the meta device (without values) where possible.

    Example:
        >>> net = outline(name="vgg16_bn", width=1.0, hidden=[], channels=3, classes=10)
        >>> net.output.weight.shape, net.output.weight.device
        (torch.Size([10, 512]), device(type='meta'))
    """
    if is_user_code(architecture["name"]):  # it may need operations that meta tensors lack
        return build(**architecture)
    try:
        with torch.device("meta"):
            return build(**architecture)
    except NotImplementedError:  # RegNet's constructor reads values that it computed
        return build(**architecture).to("meta")


def is_user_code(name: str) -> bool:
    """Return whether a name is an import path ``package.module:callable``."""
    return ":" in name and not name.startswith(_TORCHVISION)


def torchvision_model(name: str) -> tuple[str, dict[str, Any]] | None:
    """Parse ``torchvision:MODEL?option=value&...`` with JSON values into model and options.

    Returns:
        None if the name does not have this form.

    Raises:
        ValueError: if torchvision has no such classification model, or the options are malformed.

    Example:
        >>> torchvision_model("torchvision:googlenet?aux_logits=false")
        ('googlenet', {'aux_logits': False})
    """
    if not name.startswith(_TORCHVISION):
        return None
    from torchvision import models  # takes seconds, and most networks do not need it

    target = name.removeprefix(_TORCHVISION)
    model, question, query = target.partition("?")
    known = models.list_models(module=models)
    if model not in known:
        near = difflib.get_close_matches(model, known, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"network.name: expected {_TORCHVISION} and one of its classification models, found"
            f" {name!r}; the nearest is '{_TORCHVISION}{near}'"
        )
    try:
        pairs = parse_qsl(query, strict_parsing=True) if question else []
        return model, {option: json.loads(value) for option, value in pairs}
    except ValueError as error:
        raise ValueError(
            f"network.name: expected options as in torchvision:{model}?dropout=0.2, found {name!r}"
        ) from error


def initialise(network: nn.Module, seed: int) -> None:
    """Initialise as the authors do: convolutions Kaiming normal, fully connected N(0, 0.01).

    Kaiming's variance preserves the forward pass (fan in), and biases are zero. Other modules keep
    the weights of their constructors, which are constants in batch norm.

    Args:
        network: on the CPU, so that a seed gives the same weights for every training device.
        seed: decides every weight of the ``ARCHITECTURES``. A torchvision model or user code may
            draw other weights, such as a class token; for these, seed torch before ``build`` too.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01, generator=generator)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def transfer_weights(
    start: nn.Module, architecture: Mapping[str, Any], seed: int
) -> tuple[nn.Module, list[str]]:
    """Build a network and copy every tensor of equal name and shape from another network.

    Fine-tuning starts this way. If the number of classes differs, the output layer is new.

    Args:
        start: the network to copy from.
        architecture: arguments of ``build``.
        seed: seed of the weights that ``start`` does not have.

    Returns:
        The network on the CPU, in training mode, and the names of its new tensors.

    Raises:
        ValueError: if no tensor can be copied.
    """
    torch.manual_seed(seed)  # custom layers draw their weights from the global generator
    network = build(**architecture)
    initialise(network, seed)
    source, own = start.state_dict(), network.state_dict()
    new = [n for n, tensor in own.items() if n not in source or source[n].shape != tensor.shape]
    if len(new) == len(own):
        raise ValueError(
            "models.start: expected a network with at least one tensor of the same name and shape,"
            f" found none that fits {architecture['name']}"
        )
    network.load_state_dict({name: own[name] if name in new else source[name] for name in own})
    return network, new
