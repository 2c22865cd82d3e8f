"""Values of measures: a number within the measure's bounds, or NaN with a reason."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import ParamSpec

Arguments = ParamSpec("Arguments")


class MeasureWarning(UserWarning):
    """A measure has no value, or a value that the activations do not determine."""


class UndefinedError(ValueError):
    """A measure has no value, for the given reason."""


def measure(
    lowest: float, highest: float
) -> Callable[[Callable[Arguments, float]], Callable[Arguments, float]]:
    """Decorate a function that computes a measure or raises ``UndefinedError``.

    The value is clipped to the measure's bounds, which rounding can exceed by about 1e-16. After an
    ``UndefinedError`` it is NaN, and a ``MeasureWarning`` gives the reason.
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


def warn_not_determined(name: str, reason: str) -> None:
    """Warn that a measure's value depends on a choice that the activations leave open."""
    warnings.warn(f"{name}: not determined, since {reason}", MeasureWarning, stacklevel=4)
