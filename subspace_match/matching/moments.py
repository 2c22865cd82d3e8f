"""Activations to moments: the one pass over the samples.

Cost: d (n_x^2 + n_x n_y + n_y^2) multiply-adds, three of the four blocks of Z'Z, on the device.
Only one chunk of samples is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .checks import as_activations, resolve_device, same_samples
from .factor import factor_from_moments, factor_from_samples

CHUNK_BYTES = 64 * 2**20  # of float64, both sides together


@dataclass(frozen=True)
class PairMoments:
    """All that matching needs of two layers' activations on the same samples.

    Attributes:
        second_moments: Z'Z, (n, n) float64, Z = [X Y] as it came (not scaled, not centred).
        sums: column sums of Z, (n,) float64.
        neurons_x: n_x, the first n_x rows and columns are X's.
        samples: d.
        factor: F with F'F the moments of the live columns scaled to norm 1, (k, live) float64.
        well_conditioned: whether the live columns are so far from dependent that the moments
            determine every decision; else the factor comes from a second read of the samples.
    """

    second_moments: np.ndarray
    sums: np.ndarray
    neurons_x: int
    samples: int
    factor: np.ndarray
    well_conditioned: bool

    @property
    def neurons_y(self) -> int:
        """Number of Y's neurons, n_y."""
        return len(self.sums) - self.neurons_x

    @property
    def norms(self) -> np.ndarray:
        """Euclidean norm of every neuron's activation vector, (n,) float64; 0 if it is dead."""
        return np.sqrt(np.diagonal(self.second_moments))

    @property
    def live(self) -> np.ndarray:
        """Which neurons are not dead (some activation is not zero), (n,) bool."""
        return np.diagonal(self.second_moments) > 0


def reduce(
    x: Any,
    y: Any,
    *,
    device: str | torch.device = "auto",
    chunk_samples: int | None = None,
) -> PairMoments:
    """Read two layers' activations, chunk by chunk, into their second moments.

    Activations are read once; a layer with neurons so nearly dependent that moments lose the
    direction between them (a pivot below 1e-12) is read a second time for a QR factor, which
    ``PairMoments.well_conditioned`` reports.

    Args:
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples held at once; None for about 64 MB of them.

    Returns:
        The pair's moments, on the CPU.

    Raises:
        ValueError: for NaN or infinity (naming neurons), different sample counts, not two
            dimensions, no samples, or values whose squares leave float64's range.

    Example:
        >>> import numpy as np
        >>> pair = reduce(np.eye(3)[:, :2], np.ones((3, 1)))
        >>> pair.samples, pair.neurons_x, pair.neurons_y
        (3, 2, 1)
        >>> pair.second_moments
        array([[1., 0., 1.],
               [0., 1., 1.],
               [1., 1., 3.]])
    """
    x, y = as_activations("x", x), as_activations("y", y)
    same_samples(x, y)
    device = resolve_device(device)
    samples, n_x, n_y = x.shape[0], x.shape[1], y.shape[1]
    if chunk_samples is None:
        chunk_samples = max(1, CHUNK_BYTES // (8 * (n_x + n_y)))
    if chunk_samples < 1:
        raise ValueError(f"chunk_samples: expected at least 1, found {chunk_samples}")

    moments = torch.zeros(n_x + n_y, n_x + n_y, dtype=torch.float64, device=device)
    sums = torch.zeros(n_x + n_y, dtype=torch.float64, device=device)
    for chunk_x, chunk_y in _chunks(x, y, chunk_samples, device):
        moments[:n_x, :n_x].addmm_(chunk_x.T, chunk_x)
        moments[:n_x, n_x:].addmm_(chunk_x.T, chunk_y)
        moments[n_x:, n_x:].addmm_(chunk_y.T, chunk_y)
        sums[:n_x] += chunk_x.sum(0)
        sums[n_x:] += chunk_y.sum(0)
    moments[n_x:, :n_x] = moments[:n_x, n_x:].T

    second_moments = moments.cpu().numpy()
    squares = np.diagonal(second_moments)
    for argument, array, side in (("x", x, squares[:n_x]), ("y", y, squares[n_x:])):
        _check_range(argument, array, side)
    live = squares > 0
    norms = np.sqrt(squares[live])
    scaled = second_moments[np.ix_(live, live)] / norms[:, None] / norms
    factor = factor_from_moments(scaled)
    well_conditioned = factor is not None
    if factor is None:
        # At least 2 n samples a step, so that no more than a third of each QR repeats the factor.
        step = max(chunk_samples, 2 * (n_x + n_y))
        columns = torch.from_numpy(np.flatnonzero(live)).to(device)
        scale = torch.from_numpy(norms).to(device)
        factor = factor_from_samples(
            torch.cat(chunks, dim=1)[:, columns] / scale for chunks in _chunks(x, y, step, device)
        )
    return PairMoments(second_moments, sums.cpu().numpy(), n_x, samples, factor, well_conditioned)


def _chunks(
    x: Any, y: Any, step: int, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for start in range(0, x.shape[0], step):
        yield _rows(x, start, start + step, device), _rows(y, start, start + step, device)


def _rows(array: Any, start: int, stop: int, device: torch.device) -> torch.Tensor:
    """Rows of a NumPy, torch or Zarr array as float64 on the device."""
    block = array[start:stop]
    if not isinstance(block, torch.Tensor):
        block = torch.from_numpy(np.ascontiguousarray(block))
    return block.detach().to(device).to(torch.float64)


def _check_range(argument: str, array: Any, squares: np.ndarray) -> None:
    """Raise a ValueError for columns whose sum of squares is not a float64 that can be used."""
    bad = np.flatnonzero(~np.isfinite(squares))
    # Products of float32 cannot underflow in float64. Below 1e-280 those of float64 lose digits,
    # and at 0 a neuron that is not dead would pass for dead.
    faint = np.flatnonzero(squares < 1e-280) if "float64" in str(array.dtype) else bad[:0]
    if len(bad) == 0 and len(faint) == 0:
        return
    not_finite, not_zero = 0, np.zeros(len(squares), dtype=bool)
    for start in range(0, array.shape[0], 65536):
        block = _rows(array, start, start + 65536, torch.device("cpu"))
        not_finite += int((~torch.isfinite(block)).sum())
        not_zero |= block.any(0).numpy()
    if not_finite:
        raise ValueError(
            f"{argument}: expected finite activations, found {not_finite} NaN or infinite values in"
            f" {len(bad)} neurons, the first of them neuron {bad[0]}; find the layer that"
            " overflows, or drop those samples from both sides"
        )
    for neurons, size, what, way in (
        (bad, "large", "overflow", "down"),
        (faint[not_zero[faint]], "small", "vanish", "up"),
    ):
        if len(neurons):
            raise ValueError(
                f"{argument}: expected activations whose squares fit in float64, found neuron"
                f" {neurons[0]} with values so {size} that their squares {what}; scale its column"
                f" {way}"
            )
