"""Whether a network fits its task: images that it takes, classes that it tells apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

ImageShape = tuple[int, int, int]


def check_classifies(network: nn.Module, images: ImageShape, classes: int) -> None:
    """Refuse a network that cannot be trained to classify.

    Args:
        network: on whichever device; its batch norms see images of zeros, so an outline.
        images: channels, height and width of one.
        classes: of the data.

    Raises:
        ValueError: if its output is anything but a score of each class, in evaluation or training.

    Example:
        >>> check_classifies(nn.Sequential(nn.Flatten(), nn.Linear(12, 9)), (3, 2, 2), classes=10)
        Traceback (most recent call last):
        ...
        ValueError: network: expected scores (images, at least 10 classes), found in evaluation \
shape (2, 9) for 2 images
    """
    if not any(weights.requires_grad for weights in network.parameters()):
        raise ValueError(
            f"network: expected weights that can be trained, found none in {type(network).__name__}"
        )
    for mode in ("evaluation", "training"):
        network.train(mode == "training")
        output = output_for(network, images)
        if found := _fault(output, classes):
            raise ValueError(
                f"network: expected scores (images, at least {classes} classes), found in {mode}"
                f" {found}{_advice(network, output)}"
            )
    network.eval()


def output_for(network: nn.Module, images: ImageShape) -> Any:
    """What a network returns for two images of zeros.

    Raises:
        ValueError: if it does not take such images, with what it says itself.
    """
    device = next((weights.device for weights in network.parameters()), None)
    try:
        with torch.no_grad():
            return network(torch.zeros(2, *images, device=device))
    except Exception as error:  # of any kind: a network's code may be anybody's
        advice = "change data.image_size, the height and width that it gets"
        if hasattr(network, "image_size"):
            advice = f"add ?image_size={images[1]} to the name of torchvision's model, or {advice}"
        said = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"network: expected one that takes images of {' x '.join(map(str, images))}, found"
            f" {type(network).__name__}, which ends with {type(error).__name__}: {said}; {advice}"
        ) from error


def _fault(output: Any, classes: int) -> str | None:
    if not isinstance(output, torch.Tensor):
        return f"an object of {type(output).__name__}"
    if output.ndim != 2 or output.shape[0] != 2 or output.shape[1] < classes:
        return f"shape {tuple(output.shape)} for 2 images"
    return None if output.is_floating_point() else f"numbers of {output.dtype}"


def _advice(network: nn.Module, output: Any) -> str:
    if hasattr(network, "aux_logits") and not isinstance(output, torch.Tensor):
        return "; add ?aux_logits=false to the name of torchvision's model"
    return ""
