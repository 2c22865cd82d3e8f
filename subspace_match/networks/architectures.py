"""Build networks by name, and set their initial weights.

A name is one of the small-image networks, or it begins with its source (``source_names``).
"""

from __future__ import annotations

import difflib
import json
import random
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from .small_image_networks import ARCHITECTURES, build_small_image_network
from .source_names import TIMM, TORCHVISION, TRANSFORMERS, is_user_code, model_folder
from .timm_models import build_timm
from .transformers_models import build_transformers, without_folder
from .user_code import build_from_user_code, import_user_code
from .wording import first_few


def architecture_of(network: Mapping[str, Any], *, channels: int, classes: int) -> dict[str, Any]:
    """Return the arguments of ``build`` for a section ``network`` of the configuration."""
    own = {key: network[key] for key in ("name", "width", "hidden", "options")}
    return own | {"channels": channels, "classes": classes}


def self_contained(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of ``build`` that need no file, to be saved with a network's weights."""
    if not architecture["name"].startswith(TRANSFORMERS):
        return dict(architecture)
    name, options = without_folder(architecture["name"], architecture.get("options", {}))
    return {**architecture, "name": name, "options": options}


def build(
    name: str,
    *,
    width: float,
    hidden: list[int],
    channels: int,
    classes: int,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network with its constructor's weights; ``initialise`` draws them from a seed.

    Args:
        name: one of ``ARCHITECTURES``, for small images (a VGG needs 32 x 32 pixels). Or
            ``torchvision:NAME``, any of its classification models, perhaps with options after a
            question mark: ``torchvision:googlenet?aux_logits=false``. Or ``timm:NAME``, or
            ``transformers:CLASS`` or a folder (``source_names``). Or ``package.module:callable``,
            the user's own class or function.
        width: channels as a multiple of the published architecture's. This and ``hidden`` are used
            for ``ARCHITECTURES`` only.
        hidden: widths of a VGG's fully connected hidden layers.
        channels: channels of an image, 0 for texts; not used for torchvision's models and user
            code.
        classes: number of outputs; not used for user code.
        options: keyword arguments of torchvision's or timm's model, of the configuration of a class
            of transformers, or of the user's callable.

    Raises:
        ValueError: if the name is unknown or does not lead to an nn.Module, or the options are
            unknown.

    Example:
        >>> net = build("resnet20", width=1.0, hidden=[], channels=3, classes=10)
        >>> sum(p.numel() for p in net.parameters())
        272474
    """
    options = dict(options or {})
    if is_user_code(name):
        return build_from_user_code(name, options)
    if name.startswith(TIMM):
        return build_timm(name, options, channels=channels, classes=classes)
    if name.startswith(TRANSFORMERS):
        name, options = without_folder(name, options) if model_folder(name) else (name, options)
        return build_transformers(name, options, channels=channels, classes=classes)
    if published := torchvision_model(name):
        from torchvision import models

        model, in_name = published
        try:
            return models.get_model(  # type: ignore[no-any-return]
                model, weights=None, **{"num_classes": classes} | in_name | options
            )
        except (TypeError, ValueError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"network.name: expected options of torchvision's {model}, found {name!r}"
                + (f" and {options} in network.options" if options else "")
                + f" ({reason})"
            ) from error
    if name in ARCHITECTURES:
        if options:
            raise ValueError(
                f"network.options: expected none for {name}, whose sizes are in network.width and"
                f" network.hidden, found {', '.join(options)}"
            )
        return build_small_image_network(
            name, width=width, hidden=hidden, channels=channels, classes=classes
        )
    near = difflib.get_close_matches(name, ARCHITECTURES, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"network.name: expected one of {', '.join(ARCHITECTURES)}; torchvision:NAME, such as"
        f" torchvision:vgg16; timm:NAME; transformers:FOLDER or transformers:CLASS; or"
        f" package.module:callable; found {name!r}; the nearest known name is {near!r}"
    )


def outline(**architecture: Any) -> nn.Module:
    """Build a network for its shapes only; a large one has no values (the meta device) if possible.

    Example:
        >>> net = outline(name="vgg16_bn", width=1.0, hidden=[], channels=3, classes=10)
        >>> net.output.weight.shape
        torch.Size([10, 512])
    """
    name = architecture["name"]
    # Own code may need operations that meta tensors lack, and transformers' masks do. Small-image
    # networks are faster with values: batch norm on the meta device imports torch's compiler.
    if is_user_code(name) or name.startswith(TRANSFORMERS) or name in ARCHITECTURES:
        return build(**architecture)
    try:
        with torch.device("meta"):
            return build(**architecture)
    except NotImplementedError:  # RegNet's constructor reads values that it computed
        return build(**architecture).to("meta")


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
    if not name.startswith(TORCHVISION):
        return None
    from torchvision import models  # takes seconds, and most networks do not need it

    target = name.removeprefix(TORCHVISION)
    model, question, query = target.partition("?")
    known = models.list_models(module=models)
    if model not in known:
        near = difflib.get_close_matches(model, known, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"network.name: expected {TORCHVISION} and one of its classification models, found"
            f" {name!r}; the nearest is '{TORCHVISION}{near}'"
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
        seed: decides every weight of the ``ARCHITECTURES``.
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


def build_initialised(architecture: Mapping[str, Any], seed: int) -> nn.Module:
    """Build a network on the CPU whose weights the seed decides, whatever the number of threads.

    ``ARCHITECTURES`` get the weights of ``initialise``. All others keep those of their
    constructors, which are right for them. The global generators are changed.

    Raises:
        ValueError: if the seed does not decide the weights of a user's own network.
    """
    network = _built_from_seed(architecture, seed)
    _check_decided(network, architecture, seed)
    return network


def _built_from_seed(architecture: Mapping[str, Any], seed: int) -> nn.Module:
    if is_user_code(architecture["name"]):
        import_user_code(architecture["name"])  # this may draw too, but only the first time
    # Constructors and custom layers draw from these.
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    # An orthogonal matrix or a sum depends on the number of threads, which an untrained network and
    # the training from it do not share.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            network = build(**architecture)
    finally:
        torch.set_num_threads(threads)
    if architecture["name"] in ARCHITECTURES:
        initialise(network, seed)
    return network


def _check_decided(
    network: nn.Module,
    architecture: Mapping[str, Any],
    seed: int,
    names: Iterable[str] | None = None,
) -> None:
    """Refuse a user's own network that is another one when it is built again from its seed.

    Args:
        network: from ``_built_from_seed``.
        architecture: arguments of ``build``.
        seed: the network's.
        names: of the tensors to compare; None for all.
    """
    if not is_user_code(architecture["name"]):
        return
    own, again = network.state_dict(), _built_from_seed(architecture, seed).state_dict()
    if differing := [
        name
        for name in (own if names is None else names)
        if name not in again or not _same(own[name], again[name])
    ]:
        raise ValueError(
            "network.name: expected initial weights that the seed decides, found that"
            f" {architecture['name']!r} makes other ones each time: {first_few(differing)}; draw"
            " them from the global generator of torch, NumPy or Python"
        )


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, torch.Tensor):  # a module's extra state
        return True
    if one.shape != other.shape:
        return False
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def built_again(network: nn.Module, architecture: Mapping[str, Any]) -> nn.Module | None:
    """Build a user's own network again, with the same state dict, as from a checkpoint of it.

    Returns:
        The network on the CPU; None for other networks, whose state dict is known to be all.
    """
    if not is_user_code(architecture["name"]):
        return None
    again = build(**architecture)
    again.load_state_dict(network.state_dict())
    return again


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
        ValueError: if no tensor can be copied, or the seed does not decide the new ones.
    """
    network = _built_from_seed(architecture, seed)
    source, own = start.state_dict(), network.state_dict()
    new = [n for n, tensor in own.items() if n not in source or source[n].shape != tensor.shape]
    if len(new) == len(own):
        raise ValueError(
            "models.start: expected a network with at least one tensor of the same name and shape,"
            f" found none that fits {architecture['name']}"
        )
    if new:
        _check_decided(network, architecture, seed, new)
    network.load_state_dict({name: own[name] if name in new else source[name] for name in own})
    return network, new
