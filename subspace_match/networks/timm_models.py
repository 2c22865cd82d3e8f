"""Networks of timm, with random or published weights. timm is imported only for these."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from ..extras import needs
from .preprocessing import Preprocessing
from .source_names import TIMM, published_timm


def build_timm(name: str, options: Mapping[str, Any], *, channels: int, classes: int) -> nn.Module:
    """Build ``timm:MODEL`` with its constructor's weights.

    Args:
        name: with the prefix.
        options: keyword arguments of timm's ``create_model`` or the model, such as ``img_size``.
        channels: channels of an image.
        classes: number of outputs.

    Raises:
        ValueError: if timm has no such model, or the options are not its own.
    """
    with needs("models", f"network.name {name}"):
        import timm

    model = name.removeprefix(TIMM)
    if not timm.is_model(model):
        near = timm.list_models(f"*{model.partition('_')[0]}*")[:3]
        raise ValueError(
            f"network.name: expected {TIMM} and one of timm's models, found {name!r}"
            + (f"; some with a similar name are {', '.join(near)}" if near else "")
        )
    sizes = {"num_classes": classes, "in_chans": channels}
    try:
        made: nn.Module = timm.create_model(model, pretrained=False, **sizes | dict(options))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ValueError(
            f"network.options: expected options of timm's {model}, found {dict(options)}"
            f" ({str(error).partition(chr(10))[0]})"
        ) from error
    return made


def load_timm(name: str, weights: str, options: Mapping[str, Any]) -> nn.Module:
    """Build ``timm:MODEL`` with published weights from the user's cache."""
    import timm

    about, file = published_timm(name, weights)
    found: nn.Module = timm.create_model(
        name.removeprefix(TIMM),
        pretrained=True,
        # Without a file here, timm would look for one in the internet.
        pretrained_cfg=about,
        pretrained_cfg_overlay={"file": str(file)},
        **options,
    )
    return found


def timm_preprocessing(name: str, weights: str) -> tuple[Preprocessing, int]:
    """Return the preprocessing for published weights, and their number of classes."""
    about, _ = published_timm(name, weights)
    size = about.input_size[-1]
    resize = math.floor(size / about.crop_pct)
    preprocessing = Preprocessing(
        tuple(about.mean), tuple(about.std), resize, size, about.interpolation
    )
    return preprocessing, about.num_classes
