"""Architectures for small images, from torchvision's blocks.

VGG (Simonyan & Zisserman 2015) with batch norm, in its hidden layers too: torchvision's channel
plan, and hidden layers that fit images of 32 x 32 in place of the two of 4,096.
ResNet-20 (He et al. 2016, section 4.2): three stages of three basic blocks, 16, 32 and 64 channels;
shortcuts that change shape are projections (torchvision's), where the paper pads with zeros.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import cfgs
from torchvision.ops import Conv2dNormActivation

_VGG_PLANS = {"vgg11_bn": "A", "vgg13_bn": "B", "vgg16_bn": "D", "vgg19_bn": "E"}


def build(name: str, *, width: float, hidden: list[int], channels: int, classes: int) -> nn.Module:
    """An untrained network for images of 32 x 32 pixels or more.

    Args:
        name: vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn or resnet20.
        width: channels as a multiple of the published architecture's.
        hidden: widths of a VGG's fully connected hidden layers.
        channels: of an image.
        classes: outputs.

    Raises:
        ValueError: if the name is unknown.

    Example:
        >>> net = build("resnet20", width=1.0, hidden=[], channels=3, classes=10)
        >>> sum(p.numel() for p in net.parameters())
        272474
    """
    if name in _VGG_PLANS:
        return _vgg(_VGG_PLANS[name], width, hidden, channels, classes)
    if name == "resnet20":
        return _resnet(3, width, channels, classes)
    raise ValueError(f"network.name: expected one of {[*_VGG_PLANS, 'resnet20']}, found {name!r}")


def initialise(network: nn.Module, seed: int) -> None:
    """The authors' initialisation: convolutions Kaiming normal, fully connected N(0, 0.01).

    Args:
        network: on the CPU, so that a seed gives the same weights whatever device trains them.
        seed: decides every weight.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _vgg(plan: str, width: float, hidden: list[int], channels: int, classes: int) -> nn.Module:
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    convolutions = pools = 0
    for entry in cfgs[plan]:
        if entry == "M":
            pools += 1
            modules[f"pool{pools}"] = nn.MaxPool2d(2)
        else:
            convolutions += 1
            out = _scaled(int(entry), width)
            modules[f"conv{convolutions}"] = Conv2dNormActivation(channels, out)
            channels = out
    modules["average"] = nn.AdaptiveAvgPool2d(1)
    modules["flatten"] = nn.Flatten()
    features = channels
    for number, neurons in enumerate(hidden, start=1):
        modules[f"fc{number}"] = nn.Sequential(
            nn.Linear(features, neurons, bias=False), nn.BatchNorm1d(neurons), nn.ReLU(inplace=True)
        )
        features = neurons
    modules["output"] = nn.Linear(features, classes)
    return nn.Sequential(modules)


def _resnet(blocks: int, width: float, channels: int, classes: int) -> nn.Module:
    stages = [_scaled(planes, width) for planes in (16, 32, 64)]
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    modules["stem"] = Conv2dNormActivation(channels, stages[0])
    previous = stages[0]
    for number, planes in enumerate(stages, start=1):
        stage = [_block(previous, planes, 1 if number == 1 else 2)]
        stage += [_block(planes, planes, 1) for _ in range(blocks - 1)]
        modules[f"stage{number}"] = nn.Sequential(*stage)
        previous = planes
    modules["average"] = nn.AdaptiveAvgPool2d(1)
    modules["flatten"] = nn.Flatten()
    modules["output"] = nn.Linear(previous, classes)
    return nn.Sequential(modules)


def _block(inputs: int, planes: int, stride: int) -> BasicBlock:
    shortcut = None
    if stride != 1 or inputs != planes:
        shortcut = Conv2dNormActivation(
            inputs, planes, kernel_size=1, stride=stride, activation_layer=None
        )
    return BasicBlock(inputs, planes, stride, shortcut)
