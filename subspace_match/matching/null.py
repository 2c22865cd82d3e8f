"""Is a match more than chance? The null distribution of match paths under permuted samples.

If one network's samples are permuted, what it computes is unrelated to what the other computes on
the same row, while each side's own moments stay as they are: a permutation changes the cross
moments X'Y only. Similarity under K such permutations gives p-values and a band to draw behind the
real curve (ours; the paper has no null).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from .checks import as_chunk_samples
from .devices import resolve_device
from .moments import PairMoments, pair_of
from .path import MatchPath, match_path


def null_paths(
    pair: PairMoments,
    x: Any,
    y: Any,
    orders: Iterable[np.ndarray],
    *,
    device: str | torch.device = "auto",
) -> Iterator[MatchPath]:
    """Match paths of X against Y with its samples permuted.

    Both layers are held in memory on the device as float64, since a permutation reads Y's rows in
    any order. A permutation costs d n_x n_y multiply-adds and a path.

    Args:
        pair: the moments of x and y, from ``reduce``.
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        orders: permutations of the samples, (samples,) int64 each. Permute what is exchangeable:
            images, not the correlated positions within an image.
        device: "cpu", "cuda" or "auto".

    Yields:
        A path for each permutation.

    Raises:
        ValueError: if an order is not a permutation of the samples.

    Example:
        >>> import subspace_match as sm
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 4))
        >>> y = x @ rng.normal(size=(4, 4))
        >>> null = null_paths(sm.reduce(x, y), x, y, [rng.permutation(500) for _ in range(3)])
        >>> [path.similarity(0.3) for path in null]
        [0.0, 0.0, 0.0]
    """
    device = resolve_device(device)
    on_device_x, on_device_y = (_on_device(array, device) for array in (x, y))
    moments, sums = (
        torch.from_numpy(array.copy()).to(device) for array in (pair.second_moments, pair.sums)
    )
    step = as_chunk_samples(None, 8 * len(pair.sums))
    for order in orders:
        if not np.array_equal(np.sort(order), np.arange(pair.samples)):
            raise ValueError(
                f"orders: expected permutations of {pair.samples} samples, found an array of shape"
                f" {np.shape(order)} that is none; use rng.permutation({pair.samples})"
            )
        permuted = on_device_y[torch.from_numpy(order).to(device)]
        cross = on_device_x.T @ permuted
        moments[: pair.neurons_x, pair.neurons_x :] = cross
        moments[pair.neurons_x :, : pair.neurons_x] = cross.T
        null_pair = pair_of(on_device_x, permuted, moments, sums, step)
        yield match_path(null_pair, device=device)


def _on_device(array: Any, device: torch.device) -> torch.Tensor:
    whole = array[:]
    if not isinstance(whole, torch.Tensor):
        whole = torch.from_numpy(np.array(whole, dtype=np.float64))
    return whole.detach().to(device, torch.float64)


def p_values(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Share of the null that is at least as similar: p = (1 + #{null >= observed}) / (K + 1).

    Args:
        observed: (epsilons,) similarities.
        null: (K, epsilons) similarities under K permutations.

    Returns:
        (epsilons,) float64, at least 1 / (K + 1).

    Example:
        >>> p_values(np.array([0.5, 0.1]), np.array([[0.0, 0.1], [0.2, 0.3], [0.6, 0.0]]))
        array([0.5 , 0.75])
    """
    return np.asarray((1 + (null >= observed).sum(0)) / (len(null) + 1))
