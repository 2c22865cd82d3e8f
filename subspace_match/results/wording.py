"""Words of captions and messages."""

from __future__ import annotations

from collections.abc import Iterable


def listed(words: Iterable[str]) -> str:
    """Return "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def percent(share: float) -> str:
    """Return a share as a percentage, precise enough to show one neuron of a thousand.

    Example:
        >>> percent(0.5), percent(1)
        ('50.0%', '100%')
    """
    return f"{100 * share:.{0 if share in (0, 1) else 1}f}%"
