"""Batches and augmentation of small images on the device and of image files."""

from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

from subspace_match.data.prepared import FileSplit, Split
from subspace_match.networks.images import Images, augment, noisy
from subspace_match.networks.preprocessing import Preprocessing, trained_preprocessing
from subspace_match.networks.repeatability import strict_float32

IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=16, crop=14)
FLIPS = {"crop_padding": 0, "flip": True, "noise": 0.0}  # settings of a training


def test_crops_are_windows_of_the_padded_image(device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 6, 7), dtype=torch.uint8)
    cropped = augment(images.to(device), crop_padding=2, flip=False, generator=generator).cpu()
    assert cropped.shape == images.shape
    offsets = set()
    for image, found in zip(images, cropped, strict=True):
        padded = torch.zeros(3, 10, 11, dtype=torch.uint8)
        padded[:, 2:8, 2:9] = image
        fitting = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(padded[:, top : top + 6, left : left + 7], found)
        ]
        assert len(fitting) == 1
        offsets.update(fitting)
    assert len(offsets) > 12  # of 25


def test_about_half_of_the_images_are_flipped(device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (400, 1, 4, 4), dtype=torch.uint8)
    found = augment(images.to(device), crop_padding=0, flip=True, generator=generator).cpu()
    flipped = [torch.equal(a, b.flip(2)) for a, b in zip(found, images, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(found, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 150 < sum(flipped) < 250


def test_noise_has_an_even_variance_up_to_its_largest(device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.full((2000, 1, 16, 16), 128, dtype=torch.uint8, device=device)
    found = noisy(images, 0.1, generator).cpu()
    assert (found.dtype, found.shape) == (torch.uint8, images.shape)
    shares = (found.double() - 128).var((1, 2, 3)) / 25.5**2
    # The quantiles of an even distribution; rounding adds a variance of 1/12.
    expected = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    torch.testing.assert_close(shares.quantile(expected), expected, atol=0.05, rtol=0)
    assert abs(found.double().mean() - 128) < 0.1


def test_noise_ends_at_black_and_white() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat(50, 50)[None, None]
    found = noisy(images, 0.5, torch.Generator().manual_seed(1))
    assert 0 < (found == images).float().mean() < 0.7  # half, if values ended at the other side


def test_the_generator_decides_every_draw() -> None:
    images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8)
    first, same = (
        augment(images, crop_padding=3, flip=True, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(first, same)


def images_of(pixels: torch.Tensor, preprocessing: Preprocessing) -> Images:
    split = Split(pixels.numpy(), np.arange(len(pixels)), np.arange(len(pixels)))
    return Images.on_device(split, preprocessing, torch.device("cpu"))


def test_standardised_images_have_mean_zero_and_deviation_one() -> None:
    pixels = torch.randint(0, 256, (500, 2, 8, 8), dtype=torch.uint8)
    scaled = pixels / 255
    mean, std = (tuple(m.tolist()) for m in (scaled.mean((0, 2, 3)), scaled.std((0, 2, 3))))
    images = images_of(pixels, Preprocessing(mean, std))
    batch = torch.cat([inputs for inputs, _ in images.batches(64)])
    torch.testing.assert_close(batch.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.std((0, 2, 3)), torch.ones(2), atol=1e-5, rtol=0)
    assert torch.equal(torch.cat([labels for _, labels in images.batches(64)]), torch.arange(500))


def test_a_network_with_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="each of the images' 1 channels, found 3"):
        images_of(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), IMAGENET)


def test_small_images_are_resized_and_cropped_for_a_network() -> None:
    pixels = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    images = images_of(pixels, IMAGENET)
    ((inputs, _),) = images.batches(3)
    assert inputs.shape == (3, 3, 14, 14)
    expected = images.standardised(images.resized([0, 1, 2]))
    assert torch.equal(inputs, expected)
    resized = v2.functional.resize(pixels, [16])
    assert torch.equal(images.resized([1])[0], resized[1, :, 1:15, 1:15])


def test_shuffled_and_augmented_images_keep_their_labels() -> None:
    pixels = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 1, 2, 2)
    images = images_of(pixels.contiguous(), Preprocessing((0.0,), (1 / 255,)))
    order = torch.randperm(20)[:15]
    found = list(images.training_batches(order, 5, FLIPS, torch.Generator()))
    assert torch.equal(torch.cat([labels for _, labels in found]), order)
    torch.testing.assert_close(torch.cat([i for i, _ in found])[:, 0, 0, 0], order.float())


def test_training_batches_have_noise_and_others_do_not() -> None:
    pixels = torch.full((20, 1, 4, 4), 100, dtype=torch.uint8)
    images = images_of(pixels, Preprocessing((0.0,), (1 / 255,)))
    settings = FLIPS | {"flip": False, "noise": 0.2}

    def batches(**changes: float) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        drawn = images.training_batches(torch.arange(20), 8, settings | changes, generator)
        return [inputs for inputs, _ in drawn]

    assert all((batch != 100).any() for batch in batches())
    assert all(map(torch.equal, batches(), batches()))
    assert all((batch == 100).all() for batch in batches(noise=0.0))
    assert all((batch == 100).all() for batch, _ in images.batches(8))


# Image files


@pytest.fixture
def files(tmp_path: Path) -> FileSplit:
    """Write grey, RGB, transparent and palette images; smooth, so that JPEG keeps the colours."""
    rng = np.random.default_rng(0)
    names = []
    for number, (mode, suffix) in enumerate(
        [("RGB", "jpg"), ("L", "png"), ("RGBA", "png"), ("P", "png"), ("L", "jpg"), ("RGB", "png")]
    ):
        colours = rng.integers(0, 256, (2, 3, 3), dtype=np.uint8)
        image = PIL.Image.fromarray(colours).resize((30 + number, 20), PIL.Image.Resampling.BICUBIC)
        names.append(f"{number}.{suffix}")
        image.convert(mode).save(tmp_path / names[-1])
    return FileSplit(tuple(names), np.array([3, 1, 4, 1, 5, 9]), np.arange(6), tmp_path)


def decoded(split: FileSplit, workers: int = 0) -> Images:
    return Images.on_device(split, IMAGENET, torch.device("cpu"), workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_files_are_resized_and_cropped_as_for_published_networks(
    files: FileSplit, workers: int
) -> None:
    reference = ResNet18_Weights.IMAGENET1K_V1.transforms(crop_size=14, resize_size=16)
    expected = torch.stack(
        [reference(PIL.Image.open(files.root / name).convert("RGB")) for name in files.files]
    )
    images = decoded(files, workers)
    found = list(images.batches(4))
    assert [len(labels) for _, labels in found] == [4, 2]
    torch.testing.assert_close(torch.cat([inputs for inputs, _ in found]), expected)
    assert torch.cat([labels for _, labels in found]).tolist() == [3, 1, 4, 1, 5, 9]
    assert len(images) == 6
    assert torch.equal(images.standardised(images.resized([1])), found[0][0][1:2])


def test_random_crops_do_not_depend_on_the_workers(files: FileSplit) -> None:
    order = torch.tensor([5, 0, 3, 1])

    def views(seed: int, workers: int, flip: bool = True) -> list[torch.Tensor]:
        torch.rand(seed)  # the state of the global generator must not matter
        generator = torch.Generator().manual_seed(seed)
        settings = FLIPS | {"flip": flip}
        found = list(decoded(files, workers).training_batches(order, 2, settings, generator))
        assert torch.cat([labels for _, labels in found]).tolist() == [9, 3, 1, 1]
        return [inputs for inputs, _ in found]

    first = views(1, 0)
    for workers in (1, 2):
        assert all(map(torch.equal, first, views(1, workers)))
    assert first[0].shape == (2, 3, 14, 14)
    assert not torch.equal(first[0], views(2, 0)[0])
    assert not torch.equal(torch.cat(first), torch.cat(views(1, 0, flip=False)))


def test_reading_files_keeps_the_global_generator(files: FileSplit) -> None:
    before = torch.get_rng_state()
    for workers in (0, 1):
        list(decoded(files, workers).batches(3))
        order, generator = torch.arange(6), torch.Generator()
        images = decoded(files, workers)
        list(images.training_batches(order, 3, FLIPS, generator))
    assert torch.equal(torch.get_rng_state(), before)


def test_spawned_workers_read_the_same_images(
    files: FileSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spawning is the default on macOS, and on Linux from Python 3.14 on."""
    ((expected, _),) = decoded(files).batches(6)
    monkeypatch.setattr(
        "subspace_match.networks.images.DataLoader",
        partial(DataLoader, multiprocessing_context="spawn"),
    )
    ((found, _),) = decoded(files, workers=1).batches(6)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_error_names_a_truncated_file(files: FileSplit, workers: int) -> None:
    whole = (files.root / "4.jpg").read_bytes()
    (files.root / "4.jpg").write_bytes(whole[: len(whole) - 40])
    message = r"^\S*/4\.jpg: expected a readable image .*truncated.*again$"
    with pytest.raises(ValueError, match=message):
        list(decoded(files, workers).batches(3))
    with pytest.raises(ValueError, match=message):
        decoded(files).resized([0, 4])


def test_image_files_need_a_network_with_a_crop(files: FileSplit) -> None:
    with pytest.raises(ValueError, match="preprocessing: expected a crop"):
        Images.on_device(files, Preprocessing(IMAGENET.mean, IMAGENET.std), torch.device("cpu"))


def test_networks_trained_on_files_use_the_preprocessing_of_the_data_set() -> None:
    about = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 3.0], "resize": 37, "crop": 32}
    assert trained_preprocessing(about) == Preprocessing(
        (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), resize=37, crop=32
    )


def test_strict_float32_disables_tf32_on_cuda() -> None:
    allowed = torch.backends.cudnn.allow_tf32
    with strict_float32(torch.device("cuda")):
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.enabled
    assert torch.backends.cudnn.allow_tf32 == allowed
