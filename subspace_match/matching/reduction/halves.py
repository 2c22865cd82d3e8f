"""From activations to the moments of two halves of the images, and of all: one pass.

A distance that is fitted and measured on the same samples is too small. Two halves of the images
allow to fit on one and to measure on the other (see ``cross_fitted``). Images are split, never
positions: neighbouring positions of an image are alike, so a half that shares an image with the
other is not new. Each sample is added to its half only, and the moments of all samples are the sum
of both halves': the pass costs what ``reduce`` costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends import resolve_device
from ..backends.base import Array, Device, DeviceLike
from ..validation import as_activations, as_chunk_samples, same_samples, warn_of_few_samples
from .block_sums import Blocks
from .factor import moment_error
from .moments import (
    MomentSum,
    PairMoments,
    check_squares,
    neurons_only,
    pair_from_moments,
    pair_from_sums,
)
from .reading import LayerReader, read_ahead


@dataclass(frozen=True)
class HalvedMoments:
    """The moments of two layers on all images, and on each half of the images.

    Attributes:
        whole: as from ``reduce``. Its moments are the sum of both halves' moments, so they differ
            from those of ``reduce`` by rounding only.
        first: moments of one half, without ``length_products`` and usually without
            ``centred_factor``.
        second: moments of the other half.
        images: number of images in the first and in the second half.
    """

    whole: PairMoments
    first: PairMoments
    second: PairMoments
    images: tuple[int, int]


def reduce_halves(
    x: Any,
    y: Any,
    images: Any = None,
    *,
    seed: int = 0,
    device: DeviceLike = "auto",
    chunk_samples: int | None = None,
) -> HalvedMoments:
    """Reduce two layers' activations to the moments of two random halves of the images.

    Reads activations as ``reduce`` does. Each of the three pairs of moments whose factor the
    moments do not determine reads its samples once more.

    Args:
        x: (samples, n_x) NumPy array, torch tensor or Zarr array.
        y: (samples, n_y), the same samples in the same order.
        images: (samples,) the image of each sample, as numbers in any order; None if every sample
            is an image of its own. Samples that depend on one another, such as the positions of an
            image or the tokens of a text, must have the same number.
        seed: decides which images form the first half. Equal images and seeds give equal halves.
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples held at a time; None for about 32 MB.

    Returns:
        The moments, on the CPU.

    Raises:
        ValueError: as ``reduce``, or if ``images`` does not give one image for each sample, or
            gives fewer than two images.

    Warns:
        FewSamplesWarning: above 0.2 neurons per image, where part of a match is chance.

    Example:
        >>> import numpy as np
        >>> x = np.arange(12.0).reshape(6, 2)
        >>> halves = reduce_halves(x, x[:, :1], images=[0, 0, 1, 1, 2, 2], device="cpu")
        >>> halves.images, halves.first.samples, halves.second.samples
        ((1, 2), 2, 4)
        >>> parts = halves.first.second_moments + halves.second.second_moments
        >>> bool((halves.whole.second_moments == parts).all())
        True
    """
    x, y = as_activations("x", x), as_activations("y", y)
    same_samples(x, y)
    in_first, counts = split_images(images, x.shape[0], seed)
    warn_of_few_samples(max(x.shape[1], y.shape[1]), sum(counts), "image")
    device = resolve_device(device)
    step = as_chunk_samples(chunk_samples, 8 * (x.shape[1] + y.shape[1]))

    layers = LayerReader(x), LayerReader(y)
    blocks = Blocks.for_device(device, x.shape[0], step, layers[0].width + layers[1].width)
    halves = MomentSum(*layers, blocks, device), MomentSum(*layers, blocks, device)
    for start, rows in read_ahead((x, y), step, device):
        chosen = in_first[start : start + len(rows[0])]
        for half, mask in zip(halves, (chosen, ~chosen), strict=True):
            places = np.flatnonzero(mask)
            half.add(*(device.take(own, places) for own in rows))
    moments, sums = [half.moments() for half in halves], [half.sums() for half in halves]
    total = moments[0] + moments[1]
    check_squares(*layers, total, step, device)
    whole = pair_from_sums(*layers, total, sums[0] + sums[1], blocks, device, halves=2)
    first, second = (
        _half(*layers, mask, *sums_of, blocks, device)
        for mask, sums_of in zip(
            (in_first, ~in_first), zip(moments, sums, strict=True), strict=True
        )
    )
    return HalvedMoments(whole, first, second, counts)


def split_images(images: Any, samples: int, seed: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Split the images at random in two halves; of an odd number, the second has one more.

    Args:
        images: as in ``reduce_halves``.
        samples: number of samples.
        seed: of the split.

    Returns:
        Whether each sample is in the first half, (samples,) bool; the halves' numbers of images.

    Raises:
        ValueError: if there is not one image for each sample, or there are fewer than two images.
    """
    images = np.arange(samples) if images is None else np.asarray(images)
    if images.shape != (samples,):
        raise ValueError(
            f"images: expected the image of each of {samples} samples, found shape"
            f" {images.shape}; pass one number per row of x"
        )
    names, image_of = np.unique(images, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"images: expected at least two images, found {len(names)}; use more images, or reduce"
            " for results without cross-fitting"
        )
    in_first = np.zeros(len(names), dtype=bool)
    in_first[np.random.default_rng(seed).permutation(len(names))[: len(names) // 2]] = True
    return in_first[image_of], (len(names) // 2, len(names) - len(names) // 2)


def _half(
    x: LayerReader,
    y: LayerReader,
    mask: np.ndarray,
    moments: Array,
    sums: Array,
    blocks: Blocks,
    device: Device,
) -> PairMoments:
    """Build the moments of one half; a path needs no centred factor, so none is read for."""
    moments, sums = neurons_only(x, moments, sums, device)
    error = moment_error(blocks.additions, len(sums))
    rows_x, rows_y = SomeRows(x.array, mask), SomeRows(y.array, mask)
    return pair_from_moments(
        rows_x, rows_y, moments, sums, None, error, blocks.step, device, centre=False
    )


class SomeRows:
    """Some rows of an array, in order; a slice is read from the array when it is needed."""

    def __init__(self, array: Any, mask: np.ndarray) -> None:
        self._array, self._rows = array, np.flatnonzero(mask)
        self.shape = (len(self._rows), array.shape[1])

    def __getitem__(self, rows: slice) -> Any:
        chosen = self._rows[rows]
        return self._array[chosen[0] : chosen[-1] + 1][chosen - chosen[0]]
