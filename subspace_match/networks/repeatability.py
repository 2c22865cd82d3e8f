"""Whether a network computes the same of an image each time, in whatever batch.

Evaluation mode switches off the dropout and the batch statistics of torch's own modules, and
nothing else: ``functional.dropout(x)`` and ``x - x.mean(0)`` go on, and what is recorded or counted
then depends on chance, or on which images a batch holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .images import Images, strict_float32

Sink = Callable[[str, Any], None]
Run = Callable[[torch.Tensor, Sink], Any]

_IMAGES = 4
# Of the largest value. Kernels add in another order for another size of batch, or from run to
# run on a GPU: hundreds of layers of float32 (6e-8) stay below 1e-4, those of bfloat16 do not but
# are not what is recorded. Dropout and batch statistics change values by tenths.
_TOLERANCE = 1e-3


def check_repeatable(run: Run, images: Images) -> None:
    """Run a few images twice, and half of them alone; refuse a network that computes other values.

    Args:
        run: runs a network, in evaluation mode and on the images' device, on a batch, and tells a
            sink each value that is looked at, with its name.
        images: of which a few are taken, far from each other.

    Raises:
        ValueError: naming the first value that is another one of the same images.
    """
    count = min(_IMAGES, len(images))
    places = [number * len(images) // count for number in range(count)]
    batch = images.standardised(images.pictures(places).to(images.labels.device))
    first: dict[str, Any] = {}
    with strict_float32(batch.device):
        run(batch, lambda name, value: first.update({name: _copied(value)}))

    def compare(part: torch.Tensor, fault: str) -> None:
        differing: list[str] = []

        def check(name: str, value: Any) -> None:
            if not differing and _differ(first[name], value, len(batch), len(part)):
                differing.append(name)

        with strict_float32(batch.device):
            run(part, check)
        if differing:
            raise ValueError(
                "network: expected the same values of an image each time, in evaluation mode, found"
                f" others {fault}, first at {differing[0]}"
            )

    compare(batch, "in a second run (a dropout that eval() does not switch off?)")
    if count > 1:
        compare(batch[: count // 2], "in a smaller batch (statistics of the batch?)")


def _copied(value: Any) -> Any:
    """Before an operation in place changes it."""
    return value.clone() if isinstance(value, torch.Tensor) else None


def _differ(one: Any, other: Any, images: int, part: int) -> bool:
    """Whether values of all images, and those of the first few, are not the same.

    What has no axis of images, such as a mean over them, is to be the same as it is.
    """
    if not (isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)):
        return False
    if one.shape[:1] == (images,) and other.shape[:1] == (part,):
        one = one[:part]
    if one.shape != other.shape or not one.is_floating_point() or not one.numel():
        return False
    one, other = (value.double().nan_to_num() for value in (one, other))
    return bool((one - other).abs().max() > _TOLERANCE * one.abs().max())
