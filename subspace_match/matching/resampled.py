"""The layers of a pair again, with their samples in another order, or some of them."""

from __future__ import annotations

from typing import Any

from .backends.base import Array
from .reduction.moments import PairMoments
from .validation import as_activations, same_samples


def layers_of(pair: PairMoments, x: Any, y: Any) -> tuple[Any, Any]:
    """Return x and y as ``as_activations`` does, if they can be the layers of the pair.

    Raises:
        ValueError: if they are no activations, or have other samples or neurons than the pair.
    """
    x, y = as_activations("x", x), as_activations("y", y)
    same_samples({"x": x, "y": y})
    expected, found = (pair.samples, pair.neurons_x, pair.neurons_y), (*x.shape, y.shape[1])
    if found != expected:
        raise ValueError(
            f"x and y: expected the pair's samples and neurons {expected}, found {found}; pass the"
            " layers from which the pair was reduced"
        )
    return x, y


class Reordered:
    """Some rows of an array in any order; a slice is copied when it is read.

    Attributes:
        shape: number of these rows, and of columns.
    """

    def __init__(self, held: Array, order: Array) -> None:
        self._held, self._order = held, order
        self.shape = (len(order), held.shape[1])

    def __getitem__(self, rows: slice) -> Array:
        return self._held[self._order[rows]]
