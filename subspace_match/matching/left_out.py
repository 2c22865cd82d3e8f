"""Match paths without some samples, to tell how much a similarity depends on the images at hand.

The samples of a group of images are left out, and the rest is matched again; the delete-a-group
jackknife (``intervals``) turns the similarities into an interval. Leaving out m of d samples keeps
nearly the same number of neurons per sample. A bootstrap would repeat samples, and so raise every
in-sample similarity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .backends import resolve_device
from .backends.base import Array, Device, DeviceLike
from .null import Reordered
from .path import MatchPath, match_path
from .reduction.block_sums import Blocks, GroupedSum
from .reduction.factor import moment_error
from .reduction.moments import PairMoments, pair_from_moments
from .validation import as_activations, as_chunk_samples, same_samples

# Moments are subtracted unless some neuron keeps less of its squared norm than this.
LEAST_SHARE = 1e-3


def paths_without(
    pair: PairMoments,
    x: Any,
    y: Any,
    groups: Iterable[np.ndarray],
    *,
    device: DeviceLike = "auto",
) -> Iterator[MatchPath]:
    """Yield the match path of the other samples, for each group of samples.

    Both layers stay on the device in their own type. The moments of a group are subtracted from
    those of all samples: m n^2 multiply-adds for a group of m samples, and a path.

    Args:
        pair: the moments of x and y, from ``reduce``; not centred.
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        groups: the samples to leave out, (m,) int64 without repetition; not all samples.
        device: "cpu", "cuda" or "auto".

    Yields:
        One path per group, with a pair as in ``null_paths``.

    Raises:
        ValueError: if the pair is centred, or x and y have other samples or neurons.

    Example:
        >>> import subspace_match as sm
        >>> x = np.eye(4)[:, :2]
        >>> y = np.array([[1.0, 0, 0.75, 0]]).T        # distance 0.6 from x
        >>> [path] = paths_without(sm.reduce(x, y), x, y, [np.array([2])])
        >>> path.critical_epsilon_y.round(3)
        array([0.])
    """
    device = resolve_device(device)
    x, y = as_activations("x", x), as_activations("y", y)
    same_samples(x, y)
    expected, found = (pair.samples, pair.neurons_x, pair.neurons_y), (*x.shape, y.shape[1])
    if found != expected or pair.centred:
        raise ValueError(
            f"x and y: expected the samples and neurons {expected} of a pair that is not centred,"
            f" found {found}{' and a centred pair' if pair.centred else ''}; pass the layers from"
            " which the pair was reduced"
        )
    held = device.rows(x[:]), device.rows(y[:])
    for group in groups:
        yield match_path(_pair_without(pair, held, group, device), device=device)


def _pair_without(
    pair: PairMoments, held: tuple[Array, Array], group: np.ndarray, device: Device
) -> PairMoments:
    kept = np.setdiff1d(np.arange(pair.samples), group)
    x, y = (Reordered(side, device.array(kept)) for side in held)
    moments, sums, error = _sums_of(held, group, device)
    moments, sums = pair.second_moments - moments, pair.sums - sums
    live = np.flatnonzero(pair.live)
    shares = np.diagonal(moments)[live] / np.diagonal(pair.second_moments)[live]
    if shares.min(initial=1.0) < LEAST_SHARE:
        # A neuron may even be dead without the group, which a difference cannot tell.
        moments, sums, error = _sums_of(held, kept, device)
    else:
        error = (error + pair.moment_error) / shares.min(initial=1.0)
    step = as_chunk_samples(None, 8 * len(pair.sums))
    return pair_from_moments(
        *(x, y, device.array(moments), device.array(sums), None, error, step, device),
        centre=False,
    )


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
