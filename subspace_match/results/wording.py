"""Words of captions and messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .registry import NO_SEED

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


def network_in_words(model: str, seed: int, stage: str, *, also: Sequence[str]) -> str:
    """Name a network by its seed, if it is known, and by what tells it from the others.

    Args:
        model: its model.
        seed: its seed, or NO_SEED: then the model is all that is known.
        stage: its stage.
        also: which of "model" and "stage" to name beside the seed.

    Example:
        >>> network_in_words("base", 0, "5", also=["stage"])
        'seed 0, epoch 5'
    """
    if seed == NO_SEED:
        return model
    words = {"model": model, "seed": f"seed {seed}"}
    words["stage"] = f"epoch {stage}" if stage.isdigit() else stage
    return ", ".join(word for part, word in words.items() if part == "seed" or part in also)


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
