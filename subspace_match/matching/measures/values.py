"""Values of measures: a number within the measure's bounds, or NaN with a reason."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, cast, overload

from ..reduction.moments import PairMoments, reduce

Options = ParamSpec("Options")


class MeasureWarning(UserWarning):
    """A measure has no value, or a value that the activations do not determine."""


class UndefinedError(ValueError):
    """A measure has no value, for the given reason."""


class Measure(Protocol[Options]):
    """A measure: of a pair's moments, or of two layers' activations."""

    __name__: str

    @overload
    def __call__(
        self, pair: PairMoments, /, *arguments: Options.args, **options: Options.kwargs
    ) -> float: ...

    @overload
    def __call__(
        self, x: Any, y: Any, /, *arguments: Options.args, **options: Options.kwargs
    ) -> float: ...


def measure(
    lowest: float, highest: float
) -> Callable[[Callable[Concatenate[PairMoments, Options], float]], Measure[Options]]:
    """Decorate a function that computes a measure of a pair or raises ``UndefinedError``.

    The decorated function also takes two arrays in place of the pair; they are reduced on the CPU.
    The value is clipped to the measure's bounds, which rounding can exceed by about 1e-16. After an
    ``UndefinedError`` it is NaN, and a ``MeasureWarning`` gives the reason.
    """

    def decorate(
        function: Callable[Concatenate[PairMoments, Options], float],
    ) -> Measure[Options]:
        @functools.wraps(function)
        def measured(*arguments: Any, **options: Any) -> float:
            pair, more = as_pair(function.__name__, arguments)
            try:
                return min(max(float(function(pair, *more, **options)), lowest), highest)
            except UndefinedError as reason:
                text = f"{function.__name__}: NaN, since {reason}"
                warnings.warn(text, MeasureWarning, stacklevel=2)
                return math.nan

        return cast("Measure[Options]", measured)

    return decorate


def as_pair(name: str, arguments: tuple[Any, ...]) -> tuple[PairMoments, tuple[Any, ...]]:
    """Return the pair that arguments begin with, reduced if these are arrays, and all others.

    Raises:
        ValueError: if they begin with neither a pair nor two arrays; the message has ``name``.
    """
    if arguments and isinstance(arguments[0], PairMoments):
        return arguments[0], arguments[1:]
    if len(arguments) < 2 or isinstance(arguments[1], (str, int, float)):
        found = ", ".join(type(argument).__name__ for argument in arguments[:2]) or "nothing"
        raise ValueError(
            f"{name}: expected the moments of a pair, from reduce, or two arrays (samples,"
            f" neurons), found {found}; call {name}(x, y) or {name}(reduce(x, y))"
        )
    return reduce(arguments[0], arguments[1], device="cpu"), arguments[2:]


def warn_not_determined(name: str, reason: str) -> None:
    """Warn that a measure's value depends on a choice that the activations leave open."""
    warnings.warn(f"{name}: not determined, since {reason}", MeasureWarning, stacklevel=4)
