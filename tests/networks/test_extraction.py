import numpy as np
import pytest
import torch
from torch import nn

from subspace_match.networks.extraction import (
    draw_samples,
    extract,
    image_groups,
    image_permutation,
    permuted_samples,
)
from subspace_match.networks.images import Images
from subspace_match.networks.layers import Layer, LayeredNetwork


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4 * 6, 5), nn.ReLU()
    ).eval()


def images(count: int, device: str) -> Images:
    pixels = torch.randint(0, 256, (count, 2, 4, 6), dtype=torch.uint8)
    labels = torch.zeros(count, dtype=torch.int64)
    tensors = pixels, labels, torch.tensor([0.4, 0.5]), torch.tensor([0.2, 0.3])
    return Images(*(tensor.to(device) for tensor in tensors))


def test_rows_are_the_map_at_the_samples_whatever_the_batches(device: str) -> None:
    network, data = small_network().to(device), images(11, device)
    layered = LayeredNetwork(network)
    layers = layered.layers(2, 4, 6)
    samples = {layer.name: draw_samples(layer, 11, 50, seed=3) for layer in layers}
    with torch.no_grad():
        maps = network[:2](data.standardised(data.pixels))
        vectors = network(data.standardised(data.pixels))
    expected = {
        "conv1": maps.permute(0, 2, 3, 1).reshape(-1, 3).cpu().numpy()[samples["conv1"]],
        "fc1": vectors.cpu().numpy(),
    }
    for batch_size in (1, 4, 11, 100):
        found: dict[str, list[np.ndarray]] = {"conv1": [], "fc1": []}
        extract(
            layered,
            data,
            layers,
            samples,
            batch_size=batch_size,
            sink=lambda name, rows, found=found: found[name].append(rows),
            batch_done=lambda: None,
        )
        for name, rows in found.items():
            np.testing.assert_allclose(np.concatenate(rows), expected[name], rtol=1e-5, atol=1e-6)


def test_samples_are_drawn_without_replacement_and_the_same_in_every_network() -> None:
    layer = Layer("conv2", "a", "conv", 8, 4, 6)
    drawn = draw_samples(layer, 100, 500, seed=0)
    assert len(set(drawn.tolist())) == 500
    assert drawn.min() >= 0
    assert drawn.max() < 100 * 24
    assert (np.diff(drawn) > 0).all()
    same = Layer("conv9", "b", "conv", 3, 4, 6)
    assert np.array_equal(draw_samples(same, 100, 500, seed=0), drawn)
    assert not np.array_equal(draw_samples(layer, 100, 500, seed=1), drawn)


def test_positions_are_spread_evenly_over_images_and_places() -> None:
    drawn = draw_samples(Layer("conv1", "a", "conv", 8, 2, 2), 5000, 10_000, seed=0)
    assert np.bincount(drawn // 4).tolist() == [2] * 5000
    # 100 groups of 50 images: 50 * sqrt(100 / 4) = 250 is a standard deviation.
    assert abs(np.bincount(drawn % 4) - 2500).max() < 750


@pytest.mark.parametrize(
    ("images", "positions"), [(1000, 10_000), (4000, 500), (4000, 30), (37, 100), (1000, 10**7)]
)
def test_images_can_be_permuted_within_groups(images: int, positions: int) -> None:
    layer, vectors = Layer("conv1", "a", "conv", 8, 4, 6), Layer("fc1", "a", "fc", 8, 1, 1)
    samples = draw_samples(layer, images, positions, seed=0)
    assert 0.6 * min(positions, images * 24) <= len(samples) <= positions
    groups = image_groups(images, positions, seed=0)
    assert sorted(np.concatenate(groups)) == list(range(images))
    order = image_permutation(groups, np.random.default_rng(0))
    rows = permuted_samples(samples, layer, order)
    assert sorted(rows) == list(range(len(samples)))
    assert np.array_equal(samples[rows] % 24, samples % 24)
    assert np.array_equal(samples[rows] // 24, order[samples // 24])
    images_themselves = draw_samples(vectors, images, positions, seed=0)
    assert np.array_equal(permuted_samples(images_themselves, vectors, order), order)


def test_a_permutation_that_leads_to_other_samples_is_refused() -> None:
    layer = Layer("conv1", "a", "conv", 8, 4, 6)
    samples = draw_samples(layer, 200, 400, seed=0)
    with pytest.raises(ValueError, match="conv1: expected a permutation within groups"):
        permuted_samples(samples, layer, np.roll(np.arange(200), 1))


def test_all_samples_are_taken_where_there_are_no_more() -> None:
    assert draw_samples(Layer("conv1", "a", "conv", 8, 2, 2), 10, 40, seed=0).tolist() == [
        *range(40)
    ]
    assert draw_samples(Layer("fc1", "a", "fc", 8, 1, 1), 60, 40, seed=0).tolist() == [*range(60)]
