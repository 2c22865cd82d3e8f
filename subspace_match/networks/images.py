"""Images on the device: a whole data set as one uint8 tensor, augmented and standardised there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..datasets import Split


@dataclass(frozen=True)
class Images:
    """Images and labels on the device.

    Attributes:
        pixels: (images, channels, height, width) uint8.
        labels: (images,) int64.
        mean, std: (channels,) of the training images, on a scale of 0 to 1.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    def standardised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Some of the pixels as a network's input, float32, channels last."""
        scale, shift = 1 / (255 * self.std), self.mean / self.std
        batch = pixels.float() * scale[:, None, None] - shift[:, None, None]
        return batch.contiguous(memory_format=torch.channels_last)

    @classmethod
    def on_device(cls, split: Split, about: Mapping[str, Any], device: torch.device) -> Images:
        """A part of a prepared data set, with the ``about`` of that data set."""
        arrays = split.images, split.labels, np.float32(about["mean"]), np.float32(about["std"])
        return cls(*(torch.from_numpy(np.asarray(array)).to(device) for array in arrays))


def augment(
    images: torch.Tensor, *, crop_padding: int, flip: bool, generator: torch.Generator
) -> torch.Tensor:
    """Crop each image at random after zero padding, and flip a random half of them.

    Args:
        images: (images, channels, height, width).
        crop_padding: pixels of zeros on each side before the crop; 0 for no crop.
        flip: whether to flip left and right.
        generator: on the CPU, so that a seed gives the same draws whatever the device.

    Returns:
        A tensor of the same shape.

    Example:
        >>> images = torch.arange(4.0).reshape(1, 1, 2, 2)
        >>> same = augment(images, crop_padding=0, flip=False, generator=torch.Generator())
        >>> torch.equal(same, images)
        True
    """
    count, _, height, width = images.shape
    device = images.device
    if crop_padding:
        offsets = torch.randint(0, 2 * crop_padding + 1, (2, count, 1), generator=generator)
        top, left = offsets.to(device, non_blocking=True)
        rows = top + torch.arange(height, device=device)
        columns = left + torch.arange(width, device=device)
        padded = functional.pad(images, [crop_padding] * 4)
        each = torch.arange(count, device=device)[:, None, None]
        # Advanced indices around a slice put the sliced axis, channels, last.
        images = padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if flip:
        flipped = torch.rand(count, generator=generator).to(device) < 0.5
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    return images
