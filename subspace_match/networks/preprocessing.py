"""What is done to an image before a network sees it: part of the network, kept in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its images.

    Attributes:
        mean, std: of each channel on a scale of 0 to 1; an input is (pixel / 255 - mean) / std.
        resize: shorter side in pixels to which an image file is brought first, None for as it is.
        crop: height and width cut from the middle then, None for all of it.
        interpolation: of the resizing, as Pillow and torchvision name it.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    crop: int | None = None
    interpolation: str = "bilinear"

    def record(self) -> dict[str, Any]:
        """Plain JSON values, from which ``from_record`` makes it again."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Preprocessing:
        """What ``record`` was taken of."""
        values = dict(record)
        return cls(tuple(values.pop("mean")), tuple(values.pop("std")), **values)


def stated(network: Mapping[str, Any], image_size: int) -> Preprocessing | None:
    """The preprocessing that a configuration states for given weights, None if it states none.

    Args:
        network: the section of this name; its ``mean`` and ``std`` may be None.
        image_size: height and width of what the network then sees, all of each image.
    """
    if network["mean"] is None or network["std"] is None:
        return None
    mean, std = tuple(network["mean"]), tuple(network["std"])
    return Preprocessing(mean, std, resize=image_size, crop=image_size)
