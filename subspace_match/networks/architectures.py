"""Architectures: for small images from torchvision's blocks, all of torchvision's, and one's own.

For images of 32 x 32:

- VGG (Simonyan & Zisserman 2015) with and without batch norm: torchvision's channel plans, and
  hidden layers that fit small images in place of the two of 4,096. The authors' are hidden=[512,
  512], without dropout. With ``_bn`` the hidden layers have batch norm too. Those without need a
  lower rate: vgg16 learns at the authors' 0.05, vgg19 did at 0.01 and not at 0.05.
- resnet18, 34 and 50 (He et al. 2016) for CIFAR: a 3 x 3 convolution of stride 1 and no pooling
  in place of the first two layers.
- resnet20, 32, 44, 56 and 110 (He et al. 2016, section 4.2): three stages of 16, 32 and 64
  channels; shortcuts that change shape are projections (torchvision's), where the paper pads with
  zeros.
- plain20, 32, 44 and 56: those without shortcuts. plain34 and plain42 are, as the authors', of the
  same family and not ImageNet's: four stages, of 16, 32, 64 and 128 channels, of 8 and 10
  convolutions each. All with batch norm; a convolution before it has no bias, which would be lost
  there (the authors' have one).
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import sys
from collections import OrderedDict
from typing import Any
from urllib.parse import parse_qsl

import torch
from torch import nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.vgg import cfgs
from torchvision.ops import Conv2dNormActivation

from .own_code import broken

_VGG_PLANS = {
    f"vgg{depth}{norm}": plan
    for depth, plan in {11: "A", 13: "B", 16: "D", 19: "E"}.items()
    for norm in ("", "_bn")
}
_IMAGENET_STAGES, _CIFAR_STAGES = (64, 128, 256, 512), (16, 32, 64)
# Kind of block, number of blocks of each stage, channels of each stage.
_RESNETS: dict[str, tuple[type[BasicBlock | Bottleneck], tuple[int, ...], tuple[int, ...]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2), _IMAGENET_STAGES),
    "resnet34": (BasicBlock, (3, 4, 6, 3), _IMAGENET_STAGES),
    "resnet50": (Bottleneck, (3, 4, 6, 3), _IMAGENET_STAGES),
    **{f"resnet{6 * n + 2}": (BasicBlock, (n,) * 3, _CIFAR_STAGES) for n in (3, 5, 7, 9, 18)},
}
# Convolutions of each stage, channels of each stage.
_PLAIN: dict[str, tuple[int, tuple[int, ...]]] = {
    "plain20": (6, _CIFAR_STAGES),
    "plain32": (10, _CIFAR_STAGES),
    "plain34": (8, (*_CIFAR_STAGES, 128)),
    "plain42": (10, (*_CIFAR_STAGES, 128)),
    "plain44": (14, _CIFAR_STAGES),
    "plain56": (18, _CIFAR_STAGES),
}
ARCHITECTURES = (*_VGG_PLANS, *_RESNETS, *_PLAIN)
_TORCHVISION = "torchvision:"


def build(name: str, *, width: float, hidden: list[int], channels: int, classes: int) -> nn.Module:
    """A network as its architecture's code makes it; ``initialise`` draws its weights from a seed.

    Args:
        name: one of ``ARCHITECTURES``, for images of 32 x 32 pixels or more. Or
            ``torchvision:NAME``, any of its classification models; options of torchvision's own
            follow a question mark: ``torchvision:googlenet?aux_logits=false``. Or
            ``package.module:callable``, one's own class or function, called without arguments.
        width: channels as a multiple of the published architecture's. Like ``hidden`` and
            ``channels`` not used for torchvision's models and one's own.
        hidden: widths of a VGG's fully connected hidden layers.
        channels: of an image.
        classes: outputs; not used for one's own.

    Raises:
        ValueError: if the name is unknown, or does not lead to an nn.Module.

    Example:
        >>> net = build("resnet20", width=1.0, hidden=[], channels=3, classes=10)
        >>> sum(p.numel() for p in net.parameters())
        272474
    """
    if is_ones_own(name):
        return _imported(name)
    if published := torchvision_model(name):
        model, options = published
        try:
            return models.get_model(model, weights=None, num_classes=classes, **options)  # type: ignore[no-any-return]
        except (TypeError, ValueError, AssertionError) as error:
            said = str(error).partition("\n")[0]
            raise ValueError(
                f"network.name: expected options of torchvision's {model}, found {name!r} ({said})"
            ) from error
    if name in _VGG_PLANS:
        norm = nn.BatchNorm2d if name.endswith("_bn") else None
        return _vgg(cfgs[_VGG_PLANS[name]], norm, width, hidden, channels, classes)
    if name in _RESNETS:
        return _resnet(*_RESNETS[name], width, channels, classes)
    if name in _PLAIN:
        return _plain(*_PLAIN[name], width, channels, classes)
    near = difflib.get_close_matches(name, ARCHITECTURES, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"network.name: expected one of {', '.join(ARCHITECTURES)}; torchvision:NAME, such as"
        f" torchvision:vgg16; or package.module:callable; found {name!r}; the nearest known name is"
        f" {near!r}"
    )


def outline(**architecture: Any) -> nn.Module:
    """What ``build`` makes, for its shapes: on the meta device, without numbers, where it can be.

    Args:
        architecture: as for ``build``.

    Example:
        >>> net = outline(name="vgg16_bn", width=1.0, hidden=[], channels=3, classes=10)
        >>> net.output.weight.shape, net.output.weight.device
        (torch.Size([10, 512]), device(type='meta'))
    """
    if is_ones_own(architecture["name"]):  # its code may do what the meta device cannot
        return build(**architecture)
    try:
        with torch.device("meta"):
            return build(**architecture)
    except NotImplementedError:  # RegNet's constructor reads numbers that it computed
        return build(**architecture).to("meta")


def is_ones_own(name: str) -> bool:
    """Whether a name is an import path, ``package.module:callable``."""
    return ":" in name and not name.startswith(_TORCHVISION)


def torchvision_model(name: str) -> tuple[str, dict[str, Any]] | None:
    """The model and the options that ``torchvision:MODEL?option=value&...`` says, values as JSON.

    Returns:
        None if the name is not of this form.

    Raises:
        ValueError: if torchvision has no such classification model, or the options cannot be read.

    Example:
        >>> torchvision_model("torchvision:googlenet?aux_logits=false")
        ('googlenet', {'aux_logits': False})
    """
    if not name.startswith(_TORCHVISION):
        return None
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
    """The authors' initialisation: convolutions Kaiming normal, fully connected N(0, 0.01).

    Kaiming's variance is kept forwards (fan in), and biases are zero. Of other modules the weights
    stay as their constructors made them: constants in batch norm.

    Args:
        network: on the CPU, so that a seed gives the same weights whatever device trains them.
        seed: decides every weight of the ``ARCHITECTURES``. Where a network of torchvision's or
            one's own draws other weights, such as a class token, seed torch before ``build`` too.
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


def _imported(name: str) -> nn.Module:
    """What ``package.module:callable`` returns."""
    source, _, target = name.partition(":")
    # A network's file names what makes it: not any function of Python's is called for it.
    if source.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError(
            f"network.name: expected a class or function of your own, found {name!r}, which is a"
            " name of Python's standard library; rename the module if it is yours"
        )
    try:
        make = getattr(importlib.import_module(source), target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"network.name: expected package.module:callable that can be imported, found {name!r}"
            f" ({error}); is it installed, or its folder in PYTHONPATH?"
        ) from error
    except Exception as error:
        raise broken(name, error) from error
    if isinstance(make, nn.Module) or not callable(make):
        raise ValueError(
            f"network.name: expected a class or function that returns an nn.Module, found"
            f" {name!r}, an object of {type(make).__name__}"
        )
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise ValueError(
            f"network.name: expected a class or function that is called without arguments, found"
            f" {name!r} ({error}); write a function that gives them"
        ) from error
    try:
        network = make()
    except Exception as error:
        raise broken(name, error) from error
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"network.name: expected a class or function that returns an nn.Module, found"
            f" {name!r}, which returns an object of {type(network).__name__}"
        )
    return network


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _vgg(
    plan: list[str | int],
    norm: type[nn.BatchNorm2d] | None,
    width: float,
    hidden: list[int],
    channels: int,
    classes: int,
) -> nn.Module:
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    convolutions = pools = 0
    for entry in plan:
        if entry == "M":
            pools += 1
            modules[f"pool{pools}"] = nn.MaxPool2d(2)
        else:
            convolutions += 1
            out = _scaled(int(entry), width)
            modules[f"conv{convolutions}"] = Conv2dNormActivation(channels, out, norm_layer=norm)
            channels = out
    features = channels
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, neurons in enumerate(hidden, start=1):
        linear = [nn.Linear(features, neurons, bias=norm is None)]
        normal = [nn.BatchNorm1d(neurons)] if norm else []
        layers[f"fc{number}"] = nn.Sequential(*linear, *normal, nn.ReLU(inplace=True))
        features = neurons
    return _headed(modules, layers, features, classes)


def _resnet(
    block: type[BasicBlock | Bottleneck],
    blocks: tuple[int, ...],
    stages: tuple[int, ...],
    width: float,
    channels: int,
    classes: int,
) -> nn.Module:
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    previous = _scaled(stages[0], width)
    modules["stem"] = Conv2dNormActivation(channels, previous)
    for number, (count, planes) in enumerate(zip(blocks, stages, strict=True), start=1):
        stage = OrderedDict[str, nn.Module]()
        for index in range(count):
            stride = 2 if number > 1 and index == 0 else 1
            stage[str(index)] = _block(block, previous, _scaled(planes, width), stride)
            previous = _scaled(planes, width) * block.expansion
        modules[f"stage{number}"] = nn.Sequential(stage)
    return _headed(modules, OrderedDict(), previous, classes)


def _block(
    block: type[BasicBlock | Bottleneck], inputs: int, planes: int, stride: int
) -> BasicBlock | Bottleneck:
    shortcut, outputs = None, planes * block.expansion
    if stride != 1 or inputs != outputs:
        shortcut = Conv2dNormActivation(
            inputs, outputs, kernel_size=1, stride=stride, activation_layer=None
        )
    return block(inputs, planes, stride, shortcut)


def _plain(
    convolutions: int, stages: tuple[int, ...], width: float, channels: int, classes: int
) -> nn.Module:
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    # The first stage has one more: what the stem is to a residual network.
    for stage, planes in enumerate(stages):
        for index in range(convolutions + (stage == 0)):
            stride = 2 if stage > 0 and index == 0 else 1
            out = _scaled(planes, width)
            name = f"conv{len(modules) + 1}"
            modules[name] = Conv2dNormActivation(channels, out, stride=stride)
            channels = out
    return _headed(modules, OrderedDict(), channels, classes)


def _headed(
    maps: OrderedDict[str, nn.Module],
    vectors: OrderedDict[str, nn.Module],
    features: int,
    classes: int,
) -> nn.Module:
    """A network of what computes maps, their average, what computes vectors, and the output."""
    pooled = {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    output = {"output": nn.Linear(features, classes)}
    return nn.Sequential(OrderedDict(maps | pooled | vectors | output))
