import torch

from subspace_match.networks.images import Images, augment


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


def test_the_generator_decides_the_draws() -> None:
    images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8)
    first, same = (
        augment(images, crop_padding=3, flip=True, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(first, same)


def test_standardised_images_have_mean_zero_and_deviation_one() -> None:
    pixels = torch.randint(0, 256, (500, 2, 8, 8), dtype=torch.uint8)
    scaled = pixels / 255
    data = Images(pixels, torch.zeros(500), scaled.mean((0, 2, 3)), scaled.std((0, 2, 3)))
    batch = data.standardised(pixels)
    torch.testing.assert_close(batch.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.std((0, 2, 3)), torch.ones(2), atol=1e-5, rtol=0)
