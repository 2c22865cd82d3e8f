"""Make a split of a prepared data set available to one network."""

from __future__ import annotations

import torch

from ..data.prepared import AnySplit, TextSplit
from .images import Images
from .items import Items
from .preprocessing import Preprocessing
from .texts import Texts


def items_on_device(
    split: AnySplit, preprocessing: Preprocessing, device: torch.device, *, workers: int = 0
) -> Items:
    """Return the images or windows of text of a split.

    The arguments are those of ``Images.on_device``; a text needs no preprocessing.

    Raises:
        ValueError: if the network was made for other inputs.
    """
    if not isinstance(split, TextSplit):
        return Images.on_device(split, preprocessing, device, workers=workers)
    if preprocessing.mean:
        raise ValueError(
            "data: expected images, for which the network was made, found windows of text; compare"
            " it on images, or another network on texts"
        )
    return Texts(split, device)
