"""Checks of the arguments of a comparison, before any model runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

AXES = (1, 2, 3, -1, -2, -3)  # that can have the neurons; values have at most four axes


def check_counts(counts: Mapping[str, tuple[Any, int]]) -> None:
    """Raise a ValueError unless each value is a whole number of at least its minimum.

    Args:
        counts: value and minimum by the name to use in an error.
    """
    for name, (value, least) in counts.items():
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name}: expected a whole number of at least {least}, found {value}")


def check_samples(tokens: Any, neuron_axis: Any) -> None:
    """Raise a ValueError unless these name samples of tokens and an axis of neurons."""
    from ..networks.layered_network import TOKENS

    if tokens not in TOKENS:
        raise ValueError(f"tokens: expected one of {', '.join(TOKENS)}, found {tokens!r}")
    if neuron_axis not in (None, *AXES):
        raise ValueError(
            f"neuron_axis: expected None or one of {', '.join(map(str, AXES))} (0 has the inputs),"
            f" found {neuron_axis!r}"
        )
