"""Check that a network fits its task: it accepts the images and scores the classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

ImageShape = tuple[int, int, int]


def check_classifies(network: nn.Module, images: ImageShape, classes: int) -> None:
    """Refuse a network that cannot be trained to classify.

    Args:
        network: an outline, on any device; its batch norms process images of zeros.
        images: channels, height and width of an image.
        classes: number of classes in the data set.

    Raises:
        ValueError: if its output, in evaluation or training mode, is not one score per class.
    """
    if not any(weights.requires_grad for weights in network.parameters()):
        raise ValueError(
            f"network: expected trainable weights, found none in {type(network).__name__}"
        )
    for mode in ("evaluation", "training"):
        network.train(mode == "training")
        output = output_for(network, images)
        if found := _fault(output, classes):
            if hasattr(network, "aux_logits") and not isinstance(output, torch.Tensor):
                found += "; add ?aux_logits=false to the name of torchvision's model"
            raise ValueError(
                f"network: expected scores (images, at least {classes} classes), found in {mode}"
                f" {found}"
            )
    network.eval()


def output_for(network: nn.Module, images: ImageShape) -> Any:
    """Return the network's output for two images of zeros.

    Raises:
        ValueError: if it does not accept such images; the message includes its own error.
    """
    device = next((weights.device for weights in network.parameters()), None)
    try:
        with torch.no_grad():
            return network(torch.zeros(2, *images, device=device))
    except Exception as error:  # a network's code may raise anything
        advice = "change data.image_size, the height and width of its input"
        if hasattr(network, "image_size"):
            advice = f"add ?image_size={images[1]} to the name of torchvision's model, or {advice}"
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            "network: expected one that accepts images of"
            f" {' x '.join(map(str, images))}, found {type(network).__name__}, which fails with"
            f" {type(error).__name__}: {reason}; {advice}"
        ) from error


def _fault(output: Any, classes: int) -> str | None:
    if not isinstance(output, torch.Tensor):
        return f"an object of {type(output).__name__}"
    if output.ndim != 2 or output.shape[0] != 2 or output.shape[1] < classes:
        return f"shape {tuple(output.shape)} for 2 images"
    return None if output.is_floating_point() else f"values of {output.dtype}"
