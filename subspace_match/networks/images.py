"""Images on their way into a network: in batches, standardised as the network wants them.

A small data set is one uint8 tensor on the device, augmented there, a batch at a time. Image files
are decoded, cropped and augmented one by one in worker processes. Both are used in one way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from ..data.image_files import read_image
from ..data.prepared import FileSplit, Split
from .preprocessing import Preprocessing

Batch = tuple[torch.Tensor, torch.Tensor]
Transform = Callable[[Any], Any]


class Images(ABC):
    """Images and labels as a network gets them.

    Attributes:
        labels: (images,) int64, on the device.
        preprocessing: of the network that gets them.

    Example:
        >>> import numpy as np
        >>> split = Split(np.full((5, 1, 4, 4), 255, np.uint8), np.arange(5), np.arange(5))
        >>> images = Images.on_device(split, Preprocessing((0.5,), (0.25,)), torch.device("cpu"))
        >>> len(images), images.shape
        (5, (1, 4, 4))
        >>> [(tuple(inputs.shape), labels.tolist()) for inputs, labels in images.batches(3)]
        [((3, 1, 4, 4), [0, 1, 2]), ((2, 1, 4, 4), [3, 4])]
    """

    def __init__(self, labels: torch.Tensor, preprocessing: Preprocessing) -> None:
        self.labels, self.preprocessing = labels, preprocessing
        # (pixel / 255 - mean) / std in one product and one difference.
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
        """A part of a prepared data set, for one network.

        Args:
            split: the part.
            preprocessing: of the network; image files need its ``crop``, since a batch is of one
                size.
            device: of the network.
            workers: processes that decode image files, 0 for none but this one. They change no
                number.

        Raises:
            ValueError: if the preprocessing does not fit the images.
        """
        channels = 3 if isinstance(split, FileSplit) else split.images.shape[1]
        if len(preprocessing.mean) != channels:
            raise ValueError(
                f"preprocessing: expected a mean for each of the images' {channels} channels, found"
                f" {len(preprocessing.mean)}: the network was made for other images"
            )
        labels = torch.from_numpy(split.labels).to(device)
        if isinstance(split, FileSplit):
            return FileImages(split, labels, preprocessing, workers)
        return ResidentImages(torch.from_numpy(split.images).to(device), labels, preprocessing)

    def __len__(self) -> int:
        """How many."""
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a network's input."""
        channels, height, width = self.pictures([0]).shape[1:]
        return channels, height, width

    @abstractmethod
    def pictures(self, places: Sequence[int]) -> torch.Tensor:
        """Some images as a network sees them but for the standardisation.

        Args:
            places: in the split.

        Returns:
            (places, channels, height, width) uint8.

        Raises:
            ValueError: if an image's file cannot be read, naming it.
        """

    @abstractmethod
    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order, for evaluation: inputs and labels of ``size`` images at a time.

        Yields:
            (images, channels, height, width) float32, and (images,) int64.

        Raises:
            ValueError: if an image's file cannot be read, naming it.
        """

    @abstractmethod
    def augmented(
        self,
        order: torch.Tensor,
        size: int,
        *,
        crop_padding: int,
        flip: bool,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """Images in some order, each changed at random, for training.

        Args:
            order: (images,) int64 places in the split, on the CPU.
            size: images of a batch.
            crop_padding: pixels of zeros on each side before a crop, 0 for no crop; image files get
                a random part of the image instead, brought to the crop's size.
            flip: whether to flip a random half of them.
            generator: on the CPU; decides every draw, whatever the device and the workers.

        Yields:
            As ``batches``.

        Raises:
            ValueError: if an image's file cannot be read, naming it.
        """

    def standardised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (images, channels, height, width) as a network's input, float32."""
        batch = pixels.float() * self._scale - self._shift
        # A copy, since to torch images of one channel are in every order at once.
        return batch.clone(memory_format=torch.contiguous_format)


class ResidentImages(Images):
    """Images of one size, all of them on the device.

    Attributes:
        pixels: (images, channels, height, width) uint8.
    """

    def __init__(
        self, pixels: torch.Tensor, labels: torch.Tensor, preprocessing: Preprocessing
    ) -> None:
        super().__init__(labels, preprocessing)
        self.pixels = pixels
        self._transforms = _evaluation(preprocessing)

    def pictures(self, places: Sequence[int]) -> torch.Tensor:
        """Some images, uint8."""
        return _viewed(self.pixels[torch.as_tensor(places)], self._transforms)

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            pixels = _viewed(self.pixels[part], self._transforms)
            yield self.standardised(pixels), self.labels[part]

    def augmented(
        self,
        order: torch.Tensor,
        size: int,
        *,
        crop_padding: int,
        flip: bool,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """Images in some order, augmented."""
        for places in torch.split(order.to(self.labels.device), size):
            pixels = augment(
                _viewed(self.pixels[places], self._transforms),
                crop_padding=crop_padding,
                flip=flip,
                generator=generator,
            )
            yield self.standardised(pixels), self.labels[places]


class FileImages(Images):
    """Images that are decoded from their files when they are needed."""

    def __init__(
        self, split: FileSplit, labels: torch.Tensor, preprocessing: Preprocessing, workers: int
    ) -> None:
        super().__init__(labels, preprocessing)
        if preprocessing.crop is None:
            raise ValueError(
                "preprocessing: expected a crop for images of many sizes, found none: the network"
                " was made for images of one size"
            )
        self._split, self._workers = split, workers

    def pictures(self, places: Sequence[int]) -> torch.Tensor:
        """Some images, uint8."""
        decoded = _Decoded(self._split, _evaluation(self.preprocessing))
        return _whole(_stacked([decoded[place, 0] for place in places]))

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order."""
        order = torch.arange(len(self))
        yield from self._loaded(order, [0] * len(self), size, _evaluation(self.preprocessing))

    def augmented(
        self,
        order: torch.Tensor,
        size: int,
        *,
        crop_padding: int,  # noqa: ARG002 - a random part of the image takes the crop's place
        flip: bool,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """Images in some order, a random part of each."""
        # A seed for each image: its draws do not depend on the worker that it was given to.
        seeds = torch.randint(2**32, (len(order),), generator=generator).tolist()
        yield from self._loaded(order, seeds, size, _training(self.preprocessing, flip))

    def _loaded(
        self, order: torch.Tensor, seeds: list[int], size: int, transforms: list[Transform]
    ) -> Iterator[Batch]:
        device = self.labels.device
        loader = DataLoader(
            _Decoded(self._split, transforms),
            batch_size=size,
            sampler=list(zip(order.tolist(), seeds, strict=True)),
            num_workers=self._workers,
            collate_fn=_stacked,
            pin_memory=device.type == "cuda",
            # Its own: it would draw from everybody's generator, which seeds dropout.
            generator=torch.Generator(),
        )
        for places, loaded in zip(torch.split(order.to(device), size), loader, strict=True):
            pixels = _whole(loaded).to(device, non_blocking=True)
            yield self.standardised(pixels), self.labels[places]


class _Decoded(Dataset[Any]):
    """Pixels of image files; an item is asked for by its place and the seed of its draws."""

    def __init__(self, split: FileSplit, transforms: list[Transform]) -> None:
        from torchvision.transforms import v2

        self.split, self.transforms = split, [*transforms, v2.PILToTensor()]

    def __getitem__(self, item: tuple[int, int]) -> torch.Tensor | ValueError:
        """(channels, height, width) uint8; or the error, since a worker's loses its message."""
        place, seed = item
        try:
            image = read_image(self.split.root / self.split.files[place])
        except ValueError as error:
            return error
        # torchvision's transforms draw from the process's generator.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return _viewed(image, self.transforms)


def _stacked(decoded: list[torch.Tensor | ValueError]) -> torch.Tensor | ValueError:
    """A batch, or the first of its errors."""
    pixels = [item for item in decoded if isinstance(item, torch.Tensor)]
    errors = [item for item in decoded if isinstance(item, ValueError)]
    return errors[0] if errors else torch.stack(pixels)


def _whole(batch: torch.Tensor | ValueError) -> torch.Tensor:
    if isinstance(batch, ValueError):
        raise batch
    return batch


def _viewed(image: Any, transforms: list[Transform]) -> torch.Tensor:
    for transform in transforms:
        image = transform(image)
    pixels: torch.Tensor = image
    return pixels


def _evaluation(preprocessing: Preprocessing) -> list[Transform]:
    """What brings an image, or a batch, to the size that a network is evaluated with."""
    # Here, since most work is on small images and needs none of it.
    from torchvision.transforms import v2

    transforms: list[Transform] = []
    if preprocessing.resize is not None:
        interpolation = v2.InterpolationMode(preprocessing.interpolation)
        transforms.append(v2.Resize(preprocessing.resize, interpolation))
    if preprocessing.crop is not None:
        transforms.append(v2.CenterCrop(preprocessing.crop))
    return transforms


def _training(preprocessing: Preprocessing, flip: bool) -> list[Transform]:
    """A random part of an image brought to the crop's size, perhaps flipped."""
    from torchvision.transforms import v2

    interpolation = v2.InterpolationMode(preprocessing.interpolation)
    crop = v2.RandomResizedCrop(preprocessing.crop, interpolation=interpolation)
    return [crop, v2.RandomHorizontalFlip(0.5)] if flip else [crop]


def trained_preprocessing(about: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing of a network that is trained on a data set.

    Args:
        about: of the prepared data set.

    Example:
        >>> trained_preprocessing({"mean": [0.5], "std": [0.25]}).mean
        (0.5,)
    """
    mean, std = tuple(about["mean"]), tuple(about["std"])
    return Preprocessing(mean, std, about.get("resize"), about.get("crop"))


def strict_float32(device: torch.device) -> AbstractContextManager[None]:
    """Convolutions in float32 throughout: on CUDA they round their factors to 11 bits if not told.

    Training may round; what is recorded of a network may not.
    """
    if device.type == "cpu":
        return nullcontext()
    return cast(
        AbstractContextManager[None], torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    )


def augment(
    images: torch.Tensor, *, crop_padding: int, flip: bool, generator: torch.Generator
) -> torch.Tensor:
    """Crop each image at random after zero padding, and flip a random half of them.

    Args:
        images: (images, channels, height, width).
        crop_padding: pixels of zeros on each side before the crop; 0 for no crop.
        flip: whether to flip left and right.
        generator: on the CPU, so that a seed gives the same draws whatever the device.

    Returns:
        A tensor of the same shape.

    Example:
        >>> images = torch.arange(4.0).reshape(1, 1, 2, 2)
        >>> same = augment(images, crop_padding=0, flip=False, generator=torch.Generator())
        >>> torch.equal(same, images)
        True
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
        # Advanced indices around a slice put the sliced axis, channels, last.
        images = padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if flip:
        flipped = torch.rand(count, generator=generator).to(device) < 0.5
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    return images
