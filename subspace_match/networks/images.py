"""Images as input of a network: in batches, resized, cropped and standardised.

A small data set is one uint8 tensor on the device, where batches are augmented. Image files are
decoded, cropped and augmented one by one in worker processes. Both have the same interface.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from ..data.image_files import read_image
from ..data.prepared import FileSplit, Split
from .items import Batch, Items
from .preprocessing import Preprocessing

Transform = Callable[[Any], Any]


class Images(Items):
    """Images and labels as a network receives them.

    If an image file is unreadable, each method raises a ValueError that names it.

    Attributes:
        labels: (images,) int64, on the device.
        preprocessing: of the network.

    Example:
        >>> import numpy as np
        >>> split = Split(np.full((5, 1, 4, 4), 255, np.uint8), np.arange(5), np.arange(5))
        >>> images = Images.on_device(split, Preprocessing((0.5,), (0.25,)), torch.device("cpu"))
        >>> [(tuple(inputs.shape), labels.tolist()) for inputs, labels in images.batches(3)]
        [((3, 1, 4, 4), [0, 1, 2]), ((2, 1, 4, 4), [3, 4])]
    """

    def __init__(self, labels: Tensor, preprocessing: Preprocessing) -> None:
        self.labels, self.preprocessing = labels, preprocessing
        self._transforms = _evaluation(preprocessing)
        # (pixel / 255 - mean) / std, as one product and one difference.
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=labels.device)
            for values in (preprocessing.mean, preprocessing.std)
        )
        self._scale, self._shift = (1 / (255 * std))[:, None, None], (mean / std)[:, None, None]

    @staticmethod
    def on_device(
        split: Split | FileSplit,
        preprocessing: Preprocessing,
        device: torch.device,
        *,
        workers: int = 0,
    ) -> Images:
        """Make a split of a prepared data set available to one network.

        Args:
            split: the split.
            preprocessing: of the network; image files need its ``crop``, because the images of a
                batch must have one size.
            device: of the network.
            workers: number of processes that decode image files, 0 for the current process only.
                It does not change any value.

        Raises:
            ValueError: if the preprocessing does not fit the images.
        """
        channels = split.channels if isinstance(split, FileSplit) else split.images.shape[1]
        if len(preprocessing.mean) != channels:
            raise ValueError(
                f"preprocessing: expected a mean for each of the images' {channels} channels, found"
                f" {len(preprocessing.mean)}: the network was made for other images"
            )
        labels = torch.from_numpy(split.labels).to(device)
        if isinstance(split, FileSplit):
            return _FileImages(split, labels, preprocessing, workers)
        return _ArrayImages(torch.from_numpy(split.images).to(device), labels, preprocessing)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """The device of the labels, and of every batch."""
        return self.labels.device

    def evenly_spaced(self, count: int) -> Tensor:
        """Return at most ``count`` inputs, evenly spaced, as a batch on the device."""
        return self.standardised(self.resized(self._spaced(count)).to(self.device))

    @abstractmethod
    def resized(self, index: Sequence[int] | Tensor) -> Tensor:
        """Return some images, by position, after resizing and cropping, before standardisation.

        Returns:
            (images, channels, height, width) uint8.
        """

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield inputs and labels of all images in order, ``size`` images at a time.

        Yields:
            (images, channels, height, width) float32, and (images,) int64.
        """
        return self._batches(torch.arange(len(self)), size, None)

    def training_batches(
        self, order: Tensor, size: int, settings: Mapping[str, Any], generator: Generator
    ) -> Iterator[Batch]:
        """Yield images in a given order, as ``batches`` does, each changed at random.

        Args:
            order: (images,) int64 positions in the split, on the CPU.
            size: batch size.
            settings: ``crop_padding`` and ``flip`` as for ``augment``, ``noise`` as for ``noisy``;
                image files use a random resized crop in place of ``crop_padding``.
            generator: on the CPU; decides every draw, for any device and number of workers.
        """
        augmentation = {key: settings[key] for key in ("crop_padding", "flip")}
        return self._batches(
            order, size, augmentation | {"generator": generator}, settings["noise"]
        )

    def _batches(
        self, order: Tensor, size: int, augmentation: dict[str, Any] | None, noise: float = 0.0
    ) -> Iterator[Batch]:
        loaded = self._loaded(order, size, augmentation)
        indices = torch.split(order.to(self.labels.device), size)
        for index, pixels in zip(indices, loaded, strict=True):
            if augmentation and noise:
                pixels = noisy(pixels, noise, augmentation["generator"])
            yield self.standardised(pixels), self.labels[index]

    @abstractmethod
    def _loaded(
        self, order: Tensor, size: int, augmentation: dict[str, Any] | None
    ) -> Iterator[Tensor]:
        """Yield (images, channels, height, width) uint8 on the device, in this order."""

    def standardised(self, pixels: Tensor) -> Tensor:
        """Convert pixels (images, channels, height, width) to the network's float32 input."""
        batch = pixels.float() * self._scale - self._shift
        # Make the memory format explicit: with one channel, torch sees every format at once.
        return batch.clone(memory_format=torch.contiguous_format)


class _ArrayImages(Images):
    """Images of one size in one uint8 tensor on the device."""

    def __init__(self, pixels: Tensor, labels: Tensor, preprocessing: Preprocessing) -> None:
        super().__init__(labels, preprocessing)
        self._pixels = pixels

    def resized(self, index: Sequence[int] | Tensor) -> Tensor:
        return _transformed(self._pixels[torch.as_tensor(index)], self._transforms)

    def _loaded(
        self, order: Tensor, size: int, augmentation: dict[str, Any] | None
    ) -> Iterator[Tensor]:
        for index in torch.split(order.to(self.labels.device), size):
            pixels = self.resized(index)
            yield augment(pixels, **augmentation) if augmentation else pixels


class _FileImages(Images):
    """Images that are decoded from their files on demand."""

    def __init__(
        self, split: FileSplit, labels: Tensor, preprocessing: Preprocessing, workers: int
    ) -> None:
        super().__init__(labels, preprocessing)
        if preprocessing.crop is None:
            raise ValueError(
                "preprocessing: expected a crop for images of different sizes, found none: the"
                " network was made for images of one size"
            )
        self._split, self._workers = split, workers

    def resized(self, index: Sequence[int] | Tensor) -> Tensor:
        decoded = _Decoded(self._split, self._transforms)
        return _checked(_stack([decoded[int(position), 0] for position in index]))

    def _loaded(
        self, order: Tensor, size: int, augmentation: dict[str, Any] | None
    ) -> Iterator[Tensor]:
        transforms, seeds = self._transforms, [0] * len(order)
        if augmentation:
            transforms = _training(self.preprocessing, augmentation["flip"])
            # One seed per image, so that the draws do not depend on the worker that decodes it.
            generator = augmentation["generator"]
            seeds = torch.randint(2**32, (len(order),), generator=generator).tolist()
        loader = DataLoader(
            _Decoded(self._split, transforms),
            batch_size=size,
            sampler=list(zip(order.tolist(), seeds, strict=True)),
            num_workers=self._workers,
            collate_fn=_stack,
            pin_memory=self.labels.device.type == "cuda",
            # Otherwise the loader draws from the global generator, which seeds dropout.
            generator=Generator(),
        )
        for batch in loader:
            yield _checked(batch).to(self.labels.device, non_blocking=True)


class _Decoded(Dataset[Any]):
    """Decoded image files, indexed by (position in the split, seed of the random transforms)."""

    def __init__(self, split: FileSplit, transforms: list[Transform]) -> None:
        from torchvision.transforms import v2

        grey = [v2.Grayscale(1)] if split.channels == 1 else []
        self.split, self.transforms = split, [*grey, *transforms, v2.PILToTensor()]

    def __getitem__(self, item: tuple[int, int]) -> Tensor | ValueError:
        """Return (channels, height, width) uint8, or the error: a raised one loses its message."""
        position, seed = item
        try:
            image = read_image(self.split.root / self.split.files[position])
        except ValueError as error:
            return error
        # torchvision's transforms draw from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return _transformed(image, self.transforms)


def _stack(decoded: list[Tensor | ValueError]) -> Tensor | ValueError:
    """Return a batch, or the first error among its images."""
    pixels = [item for item in decoded if isinstance(item, Tensor)]
    errors = [item for item in decoded if isinstance(item, ValueError)]
    return errors[0] if errors else torch.stack(pixels)


def _checked(batch: Tensor | ValueError) -> Tensor:
    if isinstance(batch, ValueError):
        raise batch
    return batch


def _transformed(image: Any, transforms: list[Transform]) -> Tensor:
    for transform in transforms:
        image = transform(image)
    pixels: Tensor = image
    return pixels


def _evaluation(preprocessing: Preprocessing) -> list[Transform]:
    """Return the transforms that give an image, or a batch, the network's input size."""
    if preprocessing.resize is None and preprocessing.crop is None:
        return []
    from torchvision.transforms import v2  # takes seconds, and small images do not need it

    transforms: list[Transform] = []
    if preprocessing.resize is not None:
        interpolation = v2.InterpolationMode(preprocessing.interpolation)
        transforms.append(v2.Resize(preprocessing.resize, interpolation))
    if preprocessing.crop is not None:
        transforms.append(v2.CenterCrop(preprocessing.crop))
    return transforms


def _training(preprocessing: Preprocessing, flip: bool) -> list[Transform]:
    from torchvision.transforms import v2

    interpolation = v2.InterpolationMode(preprocessing.interpolation)
    crop = v2.RandomResizedCrop(preprocessing.crop, interpolation=interpolation)
    return [crop, v2.RandomHorizontalFlip(0.5)] if flip else [crop]


def augment(images: Tensor, *, crop_padding: int, flip: bool, generator: Generator) -> Tensor:
    """Crop each image at random after zero padding, and flip it with probability 1/2.

    Args:
        images: (images, channels, height, width).
        crop_padding: pixels of zeros on each side before the crop; 0 for no crop.
        flip: whether to flip left and right.
        generator: on the CPU, so that a seed gives the same draws on every device.

    Returns:
        A tensor of the same shape.
    """
    count, _, height, width = images.shape
    device = images.device
    if crop_padding:
        offsets = torch.randint(0, 2 * crop_padding + 1, (2, count, 1), generator=generator)
        top, left = offsets.to(device, non_blocking=True)
        rows = top + torch.arange(height, device=device)
        columns = left + torch.arange(width, device=device)
        padded = functional.pad(images, [crop_padding] * 4)
        each = torch.arange(count, device=device)[:, None, None]
        # Advanced indices on both sides of a slice move its axis, the channels, to the end.
        images = padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if flip:
        flipped = torch.rand(count, generator=generator).to(device) < 0.5
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    return images


def noisy(images: Tensor, most: float, generator: Generator) -> Tensor:
    """Add Gaussian noise to each image, of a variance drawn evenly from 0 to ``most`` squared.

    As the ReSi benchmark (Klabunde et al. 2024, arXiv 2408.00531) does: every network also sees
    images almost without noise.

    Args:
        images: (images, channels, height, width) uint8.
        most: largest standard deviation, on a scale of 0 (black) to 1 (white).
        generator: on the CPU, so that a seed gives the same draws on every device.

    Returns:
        A tensor of the same shape and type: values are rounded, and stay from 0 to 255.
    """
    deviation = 255 * most * torch.rand(len(images), 1, 1, 1, generator=generator).sqrt()
    noise = deviation * torch.randn(images.shape, generator=generator)
    return (images + noise.to(images.device)).round().clamp(0, 255).to(torch.uint8)
