"""Words of captions and messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MOST_NAMES = 6


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


def layers_in_words(names: Sequence[str], layers: Sequence[str]) -> str:
    """Name some of all layers, with ranges, or count them if that would be long.

    Example:
        >>> layers_in_words(["a", "b", "c", "e"], list("abcdef"))
        'a to c and e'
    """
    if len(names) == len(layers) > 1:
        return "every layer"
    places = [layers.index(name) for name in names]
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    words = []
    for run in runs:
        own = [layers[place] for place in run]
        words += [f"{own[0]} to {own[-1]}"] if len(own) > 2 else own
    return f"{len(names)} of {len(layers)} layers" if len(words) > _MOST_NAMES else listed(words)
