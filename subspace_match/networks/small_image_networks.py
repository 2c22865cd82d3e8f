"""VGG, ResNet and plain networks for images of 32 x 32 pixels.

- VGG (Simonyan & Zisserman 2015) with and without batch norm, with hidden layers of any width in
  place of the two of 4,096. The authors (Wang et al. 2018) use hidden=[512, 512] without dropout.
  With ``_bn`` the hidden layers have batch norm too. Networks without it need a lower learning
  rate: vgg16 learns at the authors' 0.05, vgg19 at 0.01 but not at 0.05.
- resnet18, 34 and 50 (He et al. 2016) for CIFAR, of torchvision's blocks: a 3 x 3 convolution of
  stride 1 without pooling replaces the first two layers.
- resnet20, 32, 44, 56 and 110 (He et al. 2016, section 4.2): three stages of 16, 32 and 64
  channels. Shortcuts that change shape are projections, as in torchvision; the paper pads zeros.
- plain20, 32, 44 and 56: the same without shortcuts. plain34 and plain42 are, as in Wang et al., of
  this family and not ImageNet's: four stages of 16, 32, 64 and 128 channels with 8 and 10
  convolutions each. All have batch norm, so their convolutions have no bias, which would have no
  effect (the authors' have one).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock, Bottleneck

# Convolutions in each of the five stages, which have 64, 128, 256, 512 and 512 channels.
_VGG_PLANS = {
    f"vgg{depth}{norm}": plan
    for depth, plan in {
        11: (1, 1, 2, 2, 2),
        13: (2, 2, 2, 2, 2),
        16: (2, 2, 3, 3, 3),
        19: (2, 2, 4, 4, 4),
    }.items()
    for norm in ("", "_bn")
}
_VGG_STAGES = (64, 128, 256, 512, 512)
_IMAGENET_STAGES, _CIFAR_STAGES = (64, 128, 256, 512), (16, 32, 64)
# Name of torchvision's block; blocks per stage; channels per stage.
_RESNETS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "resnet18": ("BasicBlock", (2, 2, 2, 2), _IMAGENET_STAGES),
    "resnet34": ("BasicBlock", (3, 4, 6, 3), _IMAGENET_STAGES),
    "resnet50": ("Bottleneck", (3, 4, 6, 3), _IMAGENET_STAGES),
    **{f"resnet{6 * n + 2}": ("BasicBlock", (n,) * 3, _CIFAR_STAGES) for n in (3, 5, 7, 9, 18)},
}
# Convolutions per stage; channels per stage.
_PLAIN: dict[str, tuple[int, tuple[int, ...]]] = {
    "plain20": (6, _CIFAR_STAGES),
    "plain32": (10, _CIFAR_STAGES),
    "plain34": (8, (*_CIFAR_STAGES, 128)),
    "plain42": (10, (*_CIFAR_STAGES, 128)),
    "plain44": (14, _CIFAR_STAGES),
    "plain56": (18, _CIFAR_STAGES),
}
ARCHITECTURES = (*_VGG_PLANS, *_RESNETS, *_PLAIN)

Modules = dict[str, nn.Module]


def build_small_image_network(
    name: str, *, width: float, hidden: list[int], channels: int, classes: int
) -> nn.Module:
    """Build one of ``ARCHITECTURES``; the arguments are those of ``architectures.build``."""
    norm = nn.BatchNorm2d if name.endswith("_bn") else None
    if name in _RESNETS:
        modules, features = _resnet(*_RESNETS[name], width, channels)
    elif name in _PLAIN:
        modules, features = _plain(*_PLAIN[name], width, channels)
    else:
        modules, features = _vgg(_VGG_PLANS[name], norm, width, channels)
    modules |= {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    if name in _VGG_PLANS:
        for number, neurons in enumerate(hidden, start=1):
            linear = [nn.Linear(features, neurons, bias=norm is None)]
            normal = [nn.BatchNorm1d(neurons)] if norm else []
            modules[f"fc{number}"] = nn.Sequential(*linear, *normal, nn.ReLU(inplace=True))
            features = neurons
    modules["output"] = nn.Linear(features, classes)
    return nn.Sequential(OrderedDict(modules))


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _convolution(
    inputs: int,
    outputs: int,
    *,
    kernel_size: int = 3,
    stride: int = 1,
    norm: type[nn.BatchNorm2d] | None = nn.BatchNorm2d,
    relu: bool = True,
) -> nn.Sequential:
    """Return a convolution of padded maps with its batch norm and ReLU."""
    padding = kernel_size // 2
    # Batch norm subtracts any bias.
    convolution = nn.Conv2d(inputs, outputs, kernel_size, stride, padding, bias=norm is None)
    after = [*([norm(outputs)] if norm else []), *([nn.ReLU(inplace=True)] if relu else [])]
    return nn.Sequential(convolution, *after)


def _vgg(
    plan: tuple[int, ...], norm: type[nn.BatchNorm2d] | None, width: float, channels: int
) -> tuple[Modules, int]:
    """Return the modules by name, and the number of channels that they return."""
    modules: Modules = {}
    number = 0
    for stage, (convolutions, planes) in enumerate(zip(plan, _VGG_STAGES, strict=True), start=1):
        for _ in range(convolutions):
            number += 1
            out = _scaled(planes, width)
            modules[f"conv{number}"] = _convolution(channels, out, norm=norm)
            channels = out
        modules[f"pool{stage}"] = nn.MaxPool2d(2)
    return modules, channels


def _resnet(
    block_name: str,
    blocks: tuple[int, ...],
    stages: tuple[int, ...],
    width: float,
    channels: int,
) -> tuple[Modules, int]:
    from torchvision.models import resnet  # takes seconds, and the other networks do not need it

    block: type[BasicBlock | Bottleneck] = getattr(resnet, block_name)
    previous = _scaled(stages[0], width)
    modules: Modules = {"stem": _convolution(channels, previous)}
    for number, (count, planes) in enumerate(zip(blocks, stages, strict=True), start=1):
        stage = nn.Sequential()
        for index in range(count):
            stride = 2 if number > 1 and index == 0 else 1
            stage.append(_block(block, previous, _scaled(planes, width), stride))
            previous = _scaled(planes, width) * block.expansion
        modules[f"stage{number}"] = stage
    return modules, previous


def _block(
    block: type[BasicBlock | Bottleneck], inputs: int, planes: int, stride: int
) -> BasicBlock | Bottleneck:
    shortcut, outputs = None, planes * block.expansion
    if stride != 1 or inputs != outputs:
        shortcut = _convolution(inputs, outputs, kernel_size=1, stride=stride, relu=False)
    return block(inputs, planes, stride, shortcut)


def _plain(
    convolutions: int, stages: tuple[int, ...], width: float, channels: int
) -> tuple[Modules, int]:
    modules: Modules = {}
    # The first stage has one more convolution, as the stem of a residual network.
    for stage, planes in enumerate(stages):
        for index in range(convolutions + (stage == 0)):
            stride = 2 if stage > 0 and index == 0 else 1
            out = _scaled(planes, width)
            name = f"conv{len(modules) + 1}"
            modules[name] = _convolution(channels, out, stride=stride)
            channels = out
    return modules, channels
