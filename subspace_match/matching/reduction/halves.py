"""From activations to the moments of two halves of the images, and of all: one pass.

A distance that is fitted and measured on the same samples is too small. Two halves of the images
allow to fit on one and to measure on the other (see ``cross_fitted``). Images are split, never
positions: neighbouring positions of an image are alike, so a half that shares an image with the
other is not new. Each sample is added to its half only, and the moments of all samples are the sum
of both halves': the pass costs what ``reduce`` costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends import resolve_device
from ..backends.base import Device, DeviceLike
from ..validation import (
    as_activations,
    as_chunk_samples,
    check_seed,
    in_words,
    same_samples,
    warn_of_few_samples,
)
from .block_sums import Blocks
from .factor import moment_error
from .halved_sums import HalvedSum, Sums
from .moments import (
    PairMoments,
    ReadAgain,
    check_squares,
    neurons_only,
    pair_from_moments,
    pair_from_sums,
)
from .reading import LayerReader, read_ahead


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        sizes = f"{self.whole.neurons_x} + {self.whole.neurons_y} neurons"
        return f"<HalvedMoments of {sizes}, {self.images[0]} + {self.images[1]} images>"


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
        images: (samples,) the image of each sample, as numbers or names in any order; None if every
            sample is an image of its own. Samples that depend on one another, such as the positions
            of an image or the tokens of a text, must have the same number.
        seed: decides which images form the first half. Equal images and seeds give equal halves.
        device: "cpu", "cuda" or "auto"; must have float64.
        chunk_samples: samples held at a time; None for about 32 MB, on a GPU 256 MB.

    Returns:
        The moments, on the CPU.

    Raises:
        ValueError: as ``reduce``, or if ``images`` does not give one image for each sample, mixes
            numbers and names, or gives fewer than two images.

    Warns:
        FewSamplesWarning: above 0.2 neurons per image, where part of a match is chance.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> x = np.arange(12.0).reshape(6, 2)
        >>> halves = sm.reduce_halves(x, x[:, :1], images=[0, 0, 1, 1, 2, 2], device="cpu")
        >>> halves.images, halves.first.samples, halves.second.samples
        ((1, 2), 2, 4)
        >>> parts = halves.first.second_moments + halves.second.second_moments
        >>> bool((halves.whole.second_moments == parts).all())
        True
    """
    x, y = as_activations("x", x), as_activations("y", y)
    same_samples({"x": x, "y": y})
    check_seed(seed)
    in_first, counts = split_images(images, x.shape[0], seed)
    warn_of_few_samples(max(x.shape[1], y.shape[1]), sum(counts), "image")
    device = resolve_device(device)
    step = as_chunk_samples(chunk_samples, x.shape[1] + y.shape[1], device)
    return reduce_split(x, y, in_first, counts, step, device)


def reduce_split(
    x: Any, y: Any, in_first: np.ndarray, images: tuple[int, int], step: int, device: Device
) -> HalvedMoments:
    """Reduce activations that are split already.

    Args:
        x: (samples, n_x), as ``as_activations`` returns it.
        y: (samples, n_y), the same samples.
        in_first: whether each sample is in the first half, (samples,) bool.
        images: number of images in each half; 0 for a half without samples.
        step: samples held at a time.
        device: where to compute.

    Raises:
        ValueError: for NaN, infinity, or values whose squares leave float64's range.
    """
    layers = LayerReader(x), LayerReader(y)
    blocks = Blocks.for_device(device, x.shape[0], step, layers[0].width + layers[1].width)
    added = HalvedSum(*layers, blocks, device)
    for start, (rows_x, rows_y) in read_ahead((x, y), step, device):
        added.add(rows_x, rows_y, in_first[start : start + len(rows_x)])
    sums = added.finish()
    check_squares(*layers, sums[0].moments, step, device)
    rows_of = [(SomeRows(x, mask), SomeRows(y, mask)) for mask in (in_first, ~in_first)]
    return halved_from_sums(layers, sums, rows_of, images, blocks, device)


def split_images(images: Any, samples: int, seed: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Split the images at random in two halves; of an odd number, the second has one more.

    Args:
        images: as in ``reduce_halves``.
        samples: number of samples.
        seed: of the split.

    Returns:
        Whether each sample is in the first half, (samples,) bool; the halves' numbers of images.

    Raises:
        ValueError: as ``reduce_halves``, for ``images``.
    """
    names, image_of = _numbered(np.arange(samples) if images is None else images, samples)
    if len(names) < 2:
        raise ValueError(
            f"images: expected at least two images, found {len(names)}; use more images, or reduce"
            " for results without cross-fitting"
        )
    in_first = random_half(len(names), seed)
    return in_first[image_of], (len(names) // 2, len(names) - len(names) // 2)


def _numbered(images: Any, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the different images, sorted, and which of them each sample is of, (samples,) int."""
    expected = f"images: expected the image of each of {samples} samples, found"
    then = "pass one number per row of x"
    try:
        array = resolve_device("cpu").rows(images)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{expected} {in_words(images)}, which is no array; {then}") from error
    if array.shape != (samples,):
        raise ValueError(f"{expected} shape {array.shape}; {then}")
    # NumPy would turn a list of numbers and names into names.
    kinds = {type(image).__name__ for image in images} if array.dtype.kind in "OUS" else set()
    try:
        missing = np.flatnonzero(array != array)  # NaN and NaT are not equal to themselves
        names, image_of = np.unique(array, return_inverse=True)
    except TypeError:  # of objects that have no order, such as None
        names = None
    if names is None or len(kinds) > 1:
        found = " and ".join(sorted(kinds))
        raise ValueError(f"{expected} values of type {found}; {then}, or one name per row")
    if len(missing):
        raise ValueError(
            f"{expected} {len(missing)} missing ones ({array[missing[0]]}), the first of sample"
            f" {missing[0]}; number them too, or drop these samples from both sides"
        )
    return names, image_of


def random_half(images: int, seed: int) -> np.ndarray:
    """Return which of the images, in the order of their numbers, are in the first half."""
    in_first = np.zeros(images, dtype=bool)
    in_first[np.random.default_rng(seed).permutation(images)[: images // 2]] = True
    return in_first


def halved_from_sums(
    layers: tuple[LayerReader, LayerReader],
    sums: tuple[Sums, Sums, Sums],
    rows: Sequence[tuple[Any, Any]],
    images: tuple[int, int],
    blocks: Blocks,
    device: Device,
    read_again: Sequence[ReadAgain | None] = (None, None, None),
) -> HalvedMoments:
    """Build the moments from the sums; a path needs no centred factor of a half, so none is made.

    Args:
        layers: both layers.
        sums: of all samples, and of the first and the second half.
        rows: the samples of both layers in each half, read only if the moments do not determine
            the half's factor.
        images: number of images in each half.
        blocks: how the samples were added up.
        device: where the sums are.
        read_again: replaces the second read of all samples, and of each half.
    """
    whole = pair_from_sums(
        *(*layers, sums[0].moments, sums[0].columns, blocks, device),
        halves=2,
        read_again=read_again[0],
    )
    pairs = []
    for own, (x, y), again in zip(sums[1:], rows, read_again[1:], strict=True):
        moments, columns = neurons_only(layers[0], own.moments, own.columns, device)
        error = moment_error(blocks.additions, len(columns))
        pairs.append(
            pair_from_moments(
                *(x, y, moments, columns, None, error, blocks.step, device),
                centre=False,
                read_again=again,
            )
        )
    return HalvedMoments(whole, pairs[0], pairs[1], images)


class SomeRows:
    """Some rows of an array, in order; a slice is read from the array when it is needed."""

    def __init__(self, array: Any, mask: np.ndarray) -> None:
        self._array, self._rows = array, np.flatnonzero(mask)
        self.shape = (len(self._rows), array.shape[1])

    def __getitem__(self, rows: slice) -> Any:
        chosen = self._rows[rows]
        return self._array[chosen[0] : chosen[-1] + 1][chosen - chosen[0]]
