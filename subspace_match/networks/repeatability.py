"""Check that a network computes the same values for an image in every run and every batch.

Evaluation mode switches off only the dropout and batch statistics of torch's own modules. Code such
as ``functional.dropout(x)`` or ``x - x.mean(0)`` stays active, so activations and accuracies would
depend on chance or on the other images of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from .items import Items

Sink = Callable[[str, Any], None]
Run = Callable[[torch.Tensor, Sink], Any]

_INPUTS = 4
# Relative to the largest value. Kernels change the order of additions with the batch size and, on a
# GPU, from run to run: hundreds of float32 layers (6e-8) stay below 1e-4. bfloat16 would not, but
# is used for training only. Dropout and batch statistics change values by tenths.
_TOLERANCE = 1e-3


def strict_float32(device: torch.device) -> AbstractContextManager[None]:
    """Disable TF32 in cuDNN convolutions, which rounds their factors to 11 bits.

    Training may use TF32; extraction and evaluation may not.
    """
    if device.type == "cpu":
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return flags


def check_repeatable(run: Run, inputs: Items) -> None:
    """Run a few inputs twice, then half of them alone, and refuse a network whose values differ.

    Args:
        run: runs a network, in evaluation mode and on the inputs' device, on a batch, and passes
            each value to compare, with its name, to a sink.
        inputs: a few of them, evenly spaced, are used.

    Raises:
        ValueError: naming the first value that differs.
    """
    count = min(_INPUTS, len(inputs))
    batch = inputs.some([number * len(inputs) // count for number in range(count)])
    first: dict[str, Any] = {}

    def compare(part: torch.Tensor, fault: str) -> None:
        differing: list[str] = []

        def check(name: str, value: Any) -> None:
            if not differing and _differ(first[name], value, len(batch), len(part)):
                differing.append(name)

        run(part, check)
        if differing:
            raise ValueError(
                "network: expected the same values for an image in every run in evaluation mode,"
                f" found different ones {fault}, first at {differing[0]}"
            )

    with torch.inference_mode(), strict_float32(batch.device):
        run(batch, lambda name, value: first.update({name: _copied(value)}))
        compare(batch, "in a second run (a dropout that eval() does not switch off?)")
        if count > 1:
            compare(batch[: count // 2], "in a smaller batch (statistics of the batch?)")


def _copied(value: Any) -> Any:
    """Copy a tensor, because a later in-place operation may change it."""
    return value.clone() if isinstance(value, torch.Tensor) else None


def _differ(one: Any, other: Any, images: int, part: int) -> bool:
    """Return whether the values for all images differ from those for the first ``part`` images.

    Values without an axis of images, such as a mean over them, are compared as a whole.
    """
    if not (isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)):
        return False
    if one.shape[:1] == (images,) and other.shape[:1] == (part,):
        one = one[:part]
    if one.shape != other.shape or not one.is_floating_point() or not one.numel():
        return False
    one, other = (value.double().nan_to_num() for value in (one, other))
    return bool((one - other).abs().max() > _TOLERANCE * one.abs().max())
