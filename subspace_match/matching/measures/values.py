"""Numbers that a measure gives: within its bounds, or NaN and why."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import ParamSpec

Arguments = ParamSpec("Arguments")


class MeasureWarning(UserWarning):
    """A measure has no value, or one that the activations do not determine."""


class UndefinedError(ValueError):
    """A measure has no value, for the reason given."""


def measure(
    lowest: float, highest: float
) -> Callable[[Callable[Arguments, float]], Callable[Arguments, float]]:
    """Let a function give a measure's value, or raise ``UndefinedError`` where there is none.

    The value is cut to the bounds that the measure has by its definition, which rounding leaves by
    some 1e-16. For an ``UndefinedError`` it is NaN, with the reason as a ``MeasureWarning``.
    """

    def decorate(function: Callable[Arguments, float]) -> Callable[Arguments, float]:
        @functools.wraps(function)
        def measured(*arguments: Arguments.args, **options: Arguments.kwargs) -> float:
            try:
                return min(max(float(function(*arguments, **options)), lowest), highest)
            except UndefinedError as reason:
                text = f"{function.__name__}: NaN, since {reason}"
                warnings.warn(text, MeasureWarning, stacklevel=2)
                return math.nan

        return measured

    return decorate


def not_determined(name: str, reason: str) -> None:
    """Warn that a measure's value depends on a choice that the activations leave open."""
    warnings.warn(f"{name}: not determined, since {reason}", MeasureWarning, stacklevel=4)
