"""Activations without their means, so that an offset that neurons have in common matches nothing.

Ours: the paper's activations keep their means. Two neurons whose means are large beside their
deviations are near to each other's direction whatever they respond to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import resolve_device
from .reading import check_range, read_ahead


class Deviations:
    """An array of activations (samples, neurons), each neuron without its mean.

    It is read once for the means; what is sliced from it is centred then, as float64. The first
    sample is taken off before the mean is: so digits are kept where means are large beside
    deviations, and a constant neuron is exactly 0, a dead one.

    Example:
        >>> Deviations("x", np.array([[5.0, 1.0], [5.0, 3.0]]), step=1)[:]
        array([[ 0., -1.],
               [ 0.,  1.]])
    """

    def __init__(self, argument: str, array: Any, step: int) -> None:
        """Read the means.

        Args:
            argument: name of the array in an error.
            array: NumPy array, torch tensor or Zarr array.
            step: samples to read at once.

        Raises:
            ValueError: for NaN or infinity, naming neurons.
        """
        self._array = array
        self.shape, self.dtype = tuple(array.shape), np.dtype(np.float64)
        self.chunks = getattr(array, "chunks", None)
        self._first = np.zeros(self.shape[1])
        self._first = self._rows(array[:1])[0]
        sums = np.zeros(self.shape[1])
        with np.errstate(invalid="ignore", over="ignore"):  # said below
            for _, (rows,) in read_ahead((array,), step, resolve_device("cpu")):
                sums += (np.asarray(rows, dtype=np.float64) - self._first).sum(0)
        self._mean = sums / self.shape[0]
        finite = np.isfinite(self._mean)
        if not finite.all():
            check_range(argument, array, np.where(finite, 1.0, np.inf), step)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Some samples, in the order of the array."""
        centred: np.ndarray = self._rows(self._array[rows]) - self._mean
        return centred

    def _rows(self, rows: Any) -> np.ndarray:
        """Rows of the array from the first one on."""
        of_any_type = resolve_device("cpu").rows(rows)
        after: np.ndarray = np.asarray(of_any_type, dtype=np.float64) - self._first
        return after
