"""Centred activations, so that an offset that all neurons share matches nothing.

The paper does not centre; this is ours. If the means of two neurons are large compared with their
standard deviations, the neurons have almost the same direction, even if nothing else relates them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import resolve_device
from .reading import check_range, read_ahead


class Deviations:
    """Activations (samples, neurons) minus each neuron's mean, computed when they are read.

    The array is read once for the means. Slices are float64. The first sample is subtracted before
    the mean, which keeps digits if means are large compared with deviations, and makes a constant
    neuron exactly 0 (a dead neuron).

    Example:
        >>> Deviations("x", np.array([[5.0, 1.0], [5.0, 3.0]]), step=1)[:]
        array([[ 0., -1.],
               [ 0.,  1.]])
    """

    def __init__(self, argument: str, array: Any, step: int) -> None:
        """Compute the means.

        Args:
            argument: name of the array in an error.
            array: NumPy array, torch tensor or Zarr array.
            step: samples to read at a time.

        Raises:
            ValueError: if there are NaN or infinite values; the message names a neuron.
        """
        self._array = array
        self.shape, self.dtype = tuple(array.shape), np.dtype(np.float64)
        self.chunks = getattr(array, "chunks", None)
        self._first = np.zeros(self.shape[1])
        self._first = self._rows(array[:1])[0]
        sums = np.zeros(self.shape[1])
        with np.errstate(invalid="ignore", over="ignore"):  # reported by check_range below
            for _, (rows,) in read_ahead((array,), step, resolve_device("cpu")):
                sums += (np.asarray(rows, dtype=np.float64) - self._first).sum(0)
        self._mean = sums / self.shape[0]
        finite = np.isfinite(self._mean)
        if not finite.all():
            check_range(argument, array, np.where(finite, 1.0, np.inf), step)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return some samples, centred."""
        centred: np.ndarray = self._rows(self._array[rows]) - self._mean
        return centred

    def _rows(self, rows: Any) -> np.ndarray:
        """Return rows minus the first sample, in float64."""
        numpy_rows = resolve_device("cpu").rows(rows)
        shifted: np.ndarray = np.asarray(numpy_rows, dtype=np.float64) - self._first
        return shifted
