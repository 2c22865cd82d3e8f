"""The preprocessing of a network's images. It is stored with the network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of an image before it enters a network.

    Attributes:
        mean, std: for each channel, on a scale of 0 to 1; the input is (pixel / 255 - mean) / std.
        resize: length in pixels to which the shorter side of an image file is resized first; None
            for no resizing.
        crop: height and width of the centre crop that follows; None for no crop.
        interpolation: method of the resizing, as named by Pillow and torchvision.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    crop: int | None = None
    interpolation: str = "bilinear"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Preprocessing:
        """Build from ``dataclasses.asdict`` of a Preprocessing, perhaps read from JSON."""
        values = dict(record)
        return cls(tuple(values.pop("mean")), tuple(values.pop("std")), **values)


def configured_preprocessing(network: Mapping[str, Any], image_size: int) -> Preprocessing | None:
    """Return the preprocessing that the section ``network`` sets for pretrained weights, if any.

    It resizes each whole image to ``image_size``, the height and width in pixels.
    """
    if network["mean"] is None or network["std"] is None:
        return None
    mean, std = tuple(network["mean"]), tuple(network["std"])
    return Preprocessing(mean, std, resize=image_size, crop=image_size)


def trained_preprocessing(about: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing of networks trained on a data set, from its ``DataSet.about``."""
    mean, std = tuple(about["mean"]), tuple(about["std"])
    return Preprocessing(mean, std, about.get("resize"), about.get("crop"))
