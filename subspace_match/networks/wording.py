"""Words of messages."""

from __future__ import annotations

from collections.abc import Sequence


def first_few(words: Sequence[str], separator: str = ", ") -> str:
    """Join the first five, and count the others.

    Example:
        >>> first_few("abcdefgh")
        'a, b, c, d, e, and 3 more'
    """
    more = [f"and {len(words) - 5} more"] if len(words) > 5 else []
    return separator.join([*words[:5], *more])
