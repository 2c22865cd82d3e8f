"""Is a match more than chance? The null distribution of match paths under permuted samples.

If one network's samples are permuted, what it computes is unrelated to what the other computes on
the same row, while each side's own moments stay as they are: a permutation changes the cross
moments X'Y only. Similarity under K such permutations gives p-values and a band to draw behind the
real curve (ours; the paper has no null).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from .backends import resolve_device
from .backends.base import Array, Device, DeviceLike
from .path import MatchPath, match_path
from .reduction.block_sums import Blocks, GroupedSum
from .reduction.centred import Deviations
from .reduction.factor import moment_error
from .reduction.moments import PairMoments, factored
from .reduction.reading import read_ahead
from .validation import as_activations, as_chunk_samples, same_samples

BATCH_BYTES = 256 * 2**20  # of the permutations formed in one read of X, and their cross moments


def null_paths(
    pair: PairMoments,
    x: Any,
    y: Any,
    orders: Iterable[np.ndarray],
    *,
    device: DeviceLike = "auto",
) -> Iterator[MatchPath]:
    """Match paths of X against Y with its samples permuted.

    A permutation reads Y's rows in any order, so Y is held on the device as it is, float32 or
    float64: 4 or 8 d n_y bytes. X is read chunk by chunk, and all permutations take their products
    with a chunk while it is there, as many as fit in 256 MB at 8 (2 n_x n_y + d) bytes each; the
    next ones read X again. So do permutations whose moments do not hold the factor, each for
    itself. A permutation costs d n_x n_y multiply-adds and a path.

    Args:
        pair: the moments of x and y, from ``reduce``.
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        orders: permutations of the samples, (samples,) int64 each, taken as they are needed.
            Permute what is exchangeable: images, not the correlated positions within an image.
        device: "cpu", "cuda" or "auto".

    Yields:
        A path for each permutation, with its pair as ``reduce`` would give it.

    Raises:
        ValueError: if an order is not a permutation of the samples, or the layers are not those of
            the pair.

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
    x, y = as_activations("x", x), as_activations("y", y)
    same_samples(x, y)
    expected, found = (pair.samples, pair.neurons_x, pair.neurons_y), (*x.shape, y.shape[1])
    if found != expected:
        raise ValueError(
            f"x and y: expected the pair's samples and neurons {expected}, found {found}; give the"
            " layers that the pair was reduced from"
        )
    if pair.centred:
        x, y = (Deviations(name, side, _step(pair)) for name, side in (("x", x), ("y", y)))
    held = device.rows(y[:])
    orders = iter(orders)
    batch = max(1, BATCH_BYTES // (8 * (2 * pair.neurons_x * pair.neurons_y + pair.samples)))
    blocks = Blocks.on(device, pair.samples, _step(pair), len(pair.sums))
    error = max(pair.moment_error, moment_error(blocks.additions, len(pair.sums)))
    while taken := [_on_device(order, pair.samples, device) for order in islice(orders, batch)]:
        cross = _cross_moments(pair, x, held, taken, blocks, device)
        for order, own in zip(taken, cross, strict=True):
            permuted = _Permuted(held, order)
            yield match_path(_permuted_pair(pair, x, permuted, own, error, device), device=device)


class _Permuted:
    """Rows of an array in another order, made as they are sliced."""

    def __init__(self, held: Array, order: Array) -> None:
        self._held, self._order = held, order
        self.shape = held.shape

    def __getitem__(self, rows: slice) -> Array:
        return self._held[self._order[rows]]


def _on_device(order: np.ndarray, samples: int, device: Device) -> Array:
    if not np.array_equal(np.sort(order), np.arange(samples)):
        raise ValueError(
            f"orders: expected permutations of {samples} samples, found an array of shape"
            f" {np.shape(order)} that is none; use rng.permutation({samples})"
        )
    return device.array(np.asarray(order))


def _step(pair: PairMoments) -> int:
    return as_chunk_samples(None, 8 * len(pair.sums))


def _cross_moments(
    pair: PairMoments, x: Any, held: Array, orders: list[Array], blocks: Blocks, device: Device
) -> Array:
    """[X a]'[Y b] for every order of Y's rows, (orders, n_x + 1, n_y + 1), in one read of X.

    The last column holds the squared distances from the means (``LayerReader``), as shares in their
    sum.
    """
    means = device.array(pair.sums / pair.samples)
    mean_x, mean_y = means[: pair.neurons_x], means[pair.neurons_x :]
    total_x, total_y = _totals(pair)
    joint_x, joint_y = (device.empty(blocks.length, len(mean) + 1) for mean in (mean_x, mean_y))
    cross = GroupedSum(blocks, device, len(orders), len(mean_x) + 1, len(mean_y) + 1)
    for start, (rows,) in read_ahead((x,), blocks.step, device):
        for block in blocks.within(len(rows)):
            part, first = rows[block], start + block.start
            chunk_x, chunk_y = joint_x[: len(part)], joint_y[: len(part)]
            device.fill(chunk_x, part, mean_x)
            chunk_x[:, -1] /= total_x
            for order, products in zip(orders, cross.next(), strict=True):
                device.fill(chunk_y, held[order[first : first + len(part)]], mean_y)
                chunk_y[:, -1] /= total_y
                device.add_product(products, chunk_x.T, chunk_y)
    return cross.total()


def _totals(pair: PairMoments) -> tuple[float, float]:
    """The sum of squared distances from the means on each side; NaN where there is none."""
    live = np.flatnonzero(pair.live)
    if pair.centred_factor is None or not len(live):
        return np.nan, np.nan
    squares = ((pair.centred_factor * pair.norms[live]) ** 2).sum(0)
    of_x, of_y = squares[live < pair.neurons_x].sum(), squares[live >= pair.neurons_x].sum()
    return of_x or np.nan, of_y or np.nan


def _permuted_pair(
    pair: PairMoments, x: Any, permuted: _Permuted, cross: Array, error: float, device: Device
) -> PairMoments:
    """The pair with cross moments in place of its own: each side's own moments do not change.

    A path needs no centred factor, so samples are not read again for that alone.
    """
    cross, moments, products = (
        device.numpy(cross),
        pair.second_moments.copy(),
        pair.length_products.copy(),
    )
    moments[: pair.neurons_x, pair.neurons_x :] = cross[:-1, :-1]
    moments[pair.neurons_x :, : pair.neurons_x] = cross[:-1, :-1].T
    products[0, 1] = products[1, 0] = cross[-1, -1]
    return factored(
        x,
        permuted,
        device.array(moments),
        device.array(pair.sums),
        products,
        error,
        _step(pair),
        device,
        centre=False,
    )


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
