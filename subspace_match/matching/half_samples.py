"""Match paths of halves of the samples, to tell how much a similarity depends on the images.

Images are divided at random into two halves, again and again. A statistic of one half has twice the
variance of that of all, and shares one part of it with that of all: so, around its mean over the
halves, it varies as much as the statistic of all images would vary in another sample of images
(random half-sampling, after McCarthy 1969). Similarities are steps in epsilon. The delete-one
jackknife fails for steps, as leaving out a few images moves a step too little to be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .backends import resolve_device
from .backends.base import Array, Device, DeviceLike
from .path import MatchPath, match_path
from .reduction.block_sums import Blocks, GroupedSum
from .reduction.factor import moment_error
from .reduction.moments import PairMoments, pair_from_moments
from .resampled import Reordered, layers_of
from .validation import as_chunk_samples

# Moments are subtracted unless a neuron has less of its squared norm than this in the other half.
LEAST_SHARE = 1e-3


def paths_of_halves(
    pair: PairMoments,
    x: Any,
    y: Any,
    halves: Iterable[np.ndarray],
    *,
    device: DeviceLike = "auto",
) -> Iterator[MatchPath]:
    """Yield two match paths for each half: of its samples, and of all other samples.

    Both layers stay on the device in their own type. The moments of the other samples are those of
    all less those of the half, so both cost one sum over the half, and two paths.

    Args:
        pair: the moments of x and y, from ``reduce``; not centred.
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        halves: some samples, (m,) int64 without repetition, about half of them.
        device: "cpu", "cuda" or "auto".

    Yields:
        Two paths per half, with pairs as in ``null_paths``.

    Raises:
        ValueError: if the pair is centred, or x and y have other samples or neurons.

    Example:
        >>> import subspace_match as sm
        >>> x, y = np.arange(8.0)[:, None] % 3, np.arange(8.0)[:, None] % 4
        >>> halves = paths_of_halves(sm.reduce(x, y), x, y, [np.array([0, 1, 2])])
        >>> [path.critical_epsilon_y.round(3).item() for path in halves]  # 0, 1, 2 are equal
        [0.0, 0.905]
    """
    device = resolve_device(device)
    x, y = layers_of(pair, x, y)
    if pair.centred:
        raise ValueError(
            "pair: expected moments that are not centred, found a centred pair; the means of half"
            " of the samples are not those of all, so reduce the layers without centring"
        )
    held = device.rows(x[:]), device.rows(y[:])
    for half in halves:
        others = np.setdiff1d(np.arange(pair.samples), half)
        moments, sums, error = _sums_of(held, half, device)
        yield _path(held, half, moments, sums, error, device)
        rest = pair.second_moments - moments
        live = np.flatnonzero(pair.live)
        share = float(
            (np.diagonal(rest)[live] / np.diagonal(pair.second_moments)[live]).min(initial=1.0)
        )
        if share < LEAST_SHARE:
            # A neuron may even be dead in the others, which a difference cannot tell.
            yield _path(held, others, *_sums_of(held, others, device), device)
        else:
            error = (error + pair.moment_error) / share
            yield _path(held, others, rest, pair.sums - sums, error, device)


def _path(
    held: tuple[Array, Array],
    rows: np.ndarray,
    moments: np.ndarray,
    sums: np.ndarray,
    error: float,
    device: Device,
) -> MatchPath:
    x, y = (Reordered(side, device.array(rows)) for side in held)
    step = as_chunk_samples(None, len(sums), device)
    pair = pair_from_moments(
        *(x, y, device.array(moments), device.array(sums), None, error, step, device),
        centre=False,
    )
    return match_path(pair, device=device)


def _sums_of(
    held: tuple[Array, Array], rows: np.ndarray, device: Device
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return Z'Z and the column sums of some rows of Z = [X Y], and their ``moment_error``."""
    neurons_x, width = held[0].shape[1], held[0].shape[1] + held[1].shape[1]
    blocks = Blocks.for_device(device, len(rows), len(rows), width)
    upper, sums = GroupedSum(blocks, device, width, width), GroupedSum(blocks, device, width)
    joint = device.empty(blocks.length, width)
    for block in blocks.slices(len(rows)):
        index = device.array(rows[block])
        chunk = joint[: len(index)]
        chunk[:, :neurons_x], chunk[:, neurons_x:] = held[0][index], held[1][index]
        device.add_upper_gram(upper.next(), chunk)
        part = sums.next()
        part += device.column_sums(chunk)
    moments = device.numpy(device.symmetric(upper.total()))
    return moments, device.numpy(sums.total()), moment_error(blocks.additions, width)
