"""Activations to moments: the one pass over the samples.

Cost: little over d n^2 / 2 multiply-adds, on the device. Only one chunk of samples is held at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .checks import as_activations, as_chunk_samples, dtype_name, same_samples
from .devices import resolve_device
from .factor import factor_from_moments, factor_from_samples

PANEL = 128  # columns of Z'Z a product: narrower ones waste less below the diagonal, but run slower


@dataclass(frozen=True)
class PairMoments:
    """All that matching needs of two layers' activations on the same samples.

    Attributes:
        second_moments: Z'Z, (n, n) float64, Z = [X Y] as it came (not scaled, not centred).
        sums: column sums of Z, (n,) float64.
        neurons_x: n_x, the first n_x rows and columns are X's.
        samples: d.
        factor: F with F'F the moments of the live columns scaled to norm 1, (k, live) float64,
            upper triangular.
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
        norms: np.ndarray = np.sqrt(np.diagonal(self.second_moments))
        return norms

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

    Activations are read once. Where neurons are so nearly dependent that moments lose the direction
    between them (a squared relative distance from all others below 1e-12), they are read again for
    a QR factor, which ``PairMoments.well_conditioned`` reports.

    Args:
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples held at once; None for about 32 MB of them.

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
    step = as_chunk_samples(chunk_samples, 8 * (x.shape[1] + y.shape[1]))

    moments, sums = _sum_moments(x, y, step, device)
    squares_x, squares_y = np.split(moments.diagonal().cpu().numpy(), [x.shape[1]])
    _check_range("x", x, squares_x, step)
    _check_range("y", y, squares_y, step)
    live = torch.nonzero(moments.diagonal()).flatten()
    norms = moments.diagonal()[live].sqrt()
    factor = factor_from_moments(moments[live[:, None], live] / norms[:, None] / norms)
    well_conditioned = factor is not None
    if factor is None:
        # At least 2 n samples a step, so that no more than a third of each QR repeats the factor.
        chunks = _joint_chunks(x, y, max(step, 2 * len(sums)), device)
        factor = factor_from_samples(chunk[:, live] / norms for chunk in chunks)
    return PairMoments(
        second_moments=moments.cpu().numpy(),
        sums=sums.cpu().numpy(),
        neurons_x=x.shape[1],
        samples=x.shape[0],
        factor=factor.cpu().numpy(),
        well_conditioned=well_conditioned,
    )


def _sum_moments(
    x: Any, y: Any, step: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Z'Z and the column sums of Z, chunk by chunk."""
    width = x.shape[1] + y.shape[1]
    upper = torch.zeros(width, width, dtype=torch.float64, device=device)
    sums = torch.zeros(width, dtype=torch.float64, device=device)
    for chunk in _joint_chunks(x, y, step, device):
        _add_upper_moments(upper, chunk)
        sums += chunk.sum(0)
    return upper.triu() + upper.triu(1).T, sums


def _add_upper_moments(upper: torch.Tensor, chunk: torch.Tensor) -> None:
    """Add chunk'chunk above the diagonal, panel by panel: little over half the work of all."""
    for start in range(0, len(upper), PANEL):
        stop = start + PANEL
        upper[start:stop, start:].addmm_(chunk[:, start:stop].T, chunk[:, start:])


def _joint_chunks(x: Any, y: Any, step: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Z = [X Y] as float64, ``step`` samples at a time; every chunk overwrites the one before."""
    samples, n_x = x.shape
    joint = torch.empty(min(step, samples), n_x + y.shape[1], dtype=torch.float64, device=device)
    for start in range(0, samples, step):
        chunk = joint[: samples - start]
        chunk[:, :n_x] = _rows(x, start, start + step, device)
        chunk[:, n_x:] = _rows(y, start, start + step, device)
        yield chunk


def _rows(array: Any, start: int, stop: int, device: torch.device) -> torch.Tensor:
    """Rows of a NumPy, torch or Zarr array, on the device in a type that torch has."""
    block = array[start:stop]
    if not isinstance(block, torch.Tensor):
        block = np.asarray(block)
        if block.dtype not in (np.float32, np.float64):
            block = block.astype(np.float64)
        # Torch wants native, writeable memory; a memory map or a Zarr block need not be.
        block = torch.from_numpy(np.require(block, block.dtype.newbyteorder("="), ["C", "W"]))
    return block.detach().to(device)


def _check_range(argument: str, array: Any, squares: np.ndarray, step: int) -> None:
    """Raise a ValueError for columns whose sum of squares is not a float64 that can be used."""
    suspect = ~np.isfinite(squares)
    # Products of float32 cannot underflow in float64. Below 1e-280 those of float64 lose digits,
    # and at 0 a neuron that is not dead would pass for dead.
    if not dtype_name(array).endswith(("float16", "float32")):
        suspect |= squares < 1e-280
    if not suspect.any():
        return
    broken, not_zero = np.zeros(len(squares), dtype=np.int64), np.zeros(len(squares), dtype=bool)
    for start in range(0, array.shape[0], step):
        block = _rows(array, start, start + step, torch.device("cpu"))
        broken += (~torch.isfinite(block)).sum(0).numpy()
        not_zero |= (block != 0).any(0).numpy()
    if broken.any():
        neurons = np.flatnonzero(broken)
        raise ValueError(
            f"{argument}: expected finite activations, found {broken.sum()} NaN or infinite values"
            f" in {len(neurons)} neurons, the first of them neuron {neurons[0]}; find the layer"
            " that overflows, or drop those samples from both sides"
        )
    for neurons, size, what, way in (
        (np.flatnonzero(np.isinf(squares)), "large", "overflow", "down"),
        (np.flatnonzero(suspect & not_zero & (squares < 1)), "small", "vanish", "up"),
    ):
        if len(neurons):
            raise ValueError(
                f"{argument}: expected activations whose squares fit in float64, found neuron"
                f" {neurons[0]} with values so {size} that their squares {what}; scale its column"
                f" {way}"
            )
