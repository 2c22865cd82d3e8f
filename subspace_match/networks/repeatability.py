"""Check that a network computes the same values for an input in every run and every batch.

Evaluation mode switches off only the dropout and batch statistics of torch's own modules. Code such
as ``functional.dropout(x)`` or ``x - x.mean(0)`` stays active, so activations and accuracies would
depend on chance or on the other inputs of the batch.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from .inputs import Inputs, count, first_tensor, rows, tensors_in

Sink = Callable[[str, Any], None]
Run = Callable[[Inputs, Sink], Any]

# Relative to the largest value. Kernels change the order of additions with the batch size and, on a
# GPU, from run to run: hundreds of float32 layers (6e-8) stay below 1e-4. bfloat16 would not, but
# is used for training only. Dropout and batch statistics change values by tenths.
_TOLERANCE = 1e-3

# Of a network that draws random numbers: a layer that is skipped in one run of five is noticed in
# 99 of 100 cases.
_RUNS_OF_DRAWS = 20


def random_states(device: torch.device | None) -> list[Any]:
    """Return the states of all generators that code can draw from without naming one.

    Args:
        device: of the code's tensors; None for the CPU.
    """
    state: Any = np.random.get_state()
    name, keys, *rest = state
    states = [random.getstate(), name, bytes(keys), rest, torch.get_rng_state().tolist()]
    if device is not None and device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device).tolist())
    return states


def strict_float32(device: torch.device) -> AbstractContextManager[None]:
    """Disable TF32 in cuDNN convolutions, which rounds their factors to 11 bits.

    Training may use TF32; extraction and evaluation may not.
    """
    if device.type == "cpu":
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return flags


def check_repeatable(run: Run, inputs: Inputs) -> None:
    """Run a few inputs twice, then half of them alone, and refuse a network whose values differ.

    Inputs of a network that draws random numbers are run more often: it may use few of them. In the
    smaller batch a value without an axis of inputs, such as a loss, differs in any network: it
    counts only if a value of the inputs depends on it. That batch is the last half, because values
    of the first inputs do not depend on later ones where inputs are the steps of a series.

    Args:
        run: runs a network, in evaluation mode, on a batch, and passes each value to compare, with
            its name, to a sink.
        inputs: a few inputs, on the network's device.

    Raises:
        ValueError: naming the first value that differs.
    """
    total = count(inputs)
    first: dict[str, list[torch.Tensor]] = {}

    def compare(part: Inputs, fault: str) -> None:
        size = count(part)
        differing: list[str] = []
        refused = False
        missing = set(first)

        def check(name: str, value: Any) -> None:
            nonlocal refused
            missing.discard(name)
            if not refused and _differ(first.get(name), value, total, size):
                differing.append(name)
                refused = size == total or _differ(
                    first.get(name), value, total, size, only_rows=True
                )

        run(part, check)
        if refused or missing:
            name = differing[0] if refused else min(missing)
            raise ValueError(
                "network: expected the same values for an input in every run in evaluation mode,"
                f" found different ones {fault}, first at {name}"
            )

    device = first_tensor(inputs).device
    with torch.no_grad(), strict_float32(device):
        before = random_states(device)
        run(inputs, lambda name, value: first.update({name: _copied(value)}))
        draws = random_states(device) != before
        for _ in range(_RUNS_OF_DRAWS if draws else 1):
            compare(inputs, "in a second run (a dropout or draw that eval() does not switch off?)")
        if total > 1:
            half = rows(inputs, range(total - total // 2, total))
            compare(
                half, "in a smaller batch (statistics of the batch, or inputs not along axis 0?)"
            )


class ValuesOfModules:
    """Values of all uses of modules in one run, to compare with those of another run.

    Uses are told by their module and their order, because ways to run a network name them
    differently.
    """

    def __init__(self, inputs: int) -> None:
        """Prepare for two runs on the same inputs, this many."""
        self._inputs = inputs
        self._values: dict[tuple[nn.Module, int], list[torch.Tensor]] = {}
        self._kept: Counter[nn.Module] = Counter()
        self._compared: Counter[nn.Module] = Counter()
        self._differs = False

    def keep(self, _: str, module: nn.Module, value: Any) -> None:
        """Keep the value of the next use of a module in the first run."""
        self._values[module, self._kept[module]] = _copied(value)
        self._kept[module] += 1

    def compare(self, module: nn.Module, value: Any) -> None:
        """Compare the value of the next use of a module in the second run, which may have fewer."""
        earlier = self._values.get((module, self._compared[module]))
        self._differs |= _differ(earlier, value, self._inputs, self._inputs)
        self._compared[module] += 1

    @property
    def same(self) -> bool:
        """Whether all compared modules had as many uses in both runs, and the same values."""
        counts = (self._kept[module] == uses for module, uses in self._compared.items())
        return not self._differs and all(counts)


def check_saved(run: Run, run_again: Run, inputs: Inputs) -> None:
    """Refuse a network that computes other values when it is built again with the same state dict.

    Args:
        run: as for ``check_repeatable``.
        run_again: the same for the network that was built again.
        inputs: a few inputs, on both networks' device.

    Raises:
        ValueError: naming the first value that differs.
    """
    total = count(inputs)
    first: dict[str, list[torch.Tensor]] = {}
    differing: list[str] = []

    def check(name: str, value: Any) -> None:
        if not differing and _differ(first.get(name), value, total, total):
            differing.append(name)

    with torch.no_grad(), strict_float32(first_tensor(inputs).device):
        run(inputs, lambda name, value: first.update({name: _copied(value)}))
        run_again(inputs, check)
    if differing:
        raise ValueError(
            "network: expected values that its parameters and buffers decide, because only these"
            " are saved, found other values when it was built again with the same ones, first at"
            f" {differing[0]} (random numbers that its constructor draws, or a plain attribute that"
            " training changes?); keep them in tensors with register_buffer"
        )


def _copied(value: Any) -> list[torch.Tensor]:
    """Copy all tensors, because later in-place operations may change them."""
    return [tensor.clone() for tensor in tensors_in(value)]


def _differ(
    ones: list[torch.Tensor] | None, value: Any, inputs: int, part: int, only_rows: bool = False
) -> bool:
    """Return whether the values for all inputs differ from those for the last ``part`` inputs.

    Inputs are along axis 0, or axis 1 of (tokens, inputs, neurons). Values without an axis of
    inputs, such as a mean over them, are compared as a whole, and not at all if ``only_rows`` are.
    A value that only one of the runs computes differs.
    """
    others = list(tensors_in(value))
    if ones is None or len(ones) != len(others):
        return True
    return any(
        _tensors_differ(one, other, inputs, part, only_rows)
        for one, other in zip(ones, others, strict=True)
    )


def _tensors_differ(
    one: torch.Tensor, other: torch.Tensor, inputs: int, part: int, only_rows: bool
) -> bool:
    if one.shape[:1] == (inputs,) and other.shape[:1] == (part,):
        one = one[inputs - part :]
    elif one.ndim == other.ndim == 3 and (one.shape[1], other.shape[1]) == (inputs, part):
        one = one[:, inputs - part :]
    elif only_rows:
        return False
    if one.shape != other.shape or not one.is_floating_point() or not one.numel() or one.is_meta:
        return False
    # Steps of the type that the network computes in, 16 bits perhaps.
    tolerance = max(_TOLERANCE, 8 * torch.finfo(one.dtype).eps)
    one, other = (tensor.double().nan_to_num() for tensor in (one, other))
    return bool((one - other).abs().max() > tolerance * one.abs().max())
