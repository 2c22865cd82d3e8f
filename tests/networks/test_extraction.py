import numpy as np
import torch
from torch import nn

from subspace_match.networks.extraction import draw_samples, extract
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


def test_positions_are_spread_evenly() -> None:
    drawn = draw_samples(Layer("conv1", "a", "conv", 8, 2, 2), 5000, 10_000, seed=0)
    counts = np.bincount(drawn % 4)
    assert abs(counts - 2500).max() < 150  # 3 standard deviations


def test_all_samples_are_taken_where_there_are_no_more() -> None:
    assert draw_samples(Layer("conv1", "a", "conv", 8, 2, 2), 10, 40, seed=0).tolist() == [
        *range(40)
    ]
    assert draw_samples(Layer("fc1", "a", "fc", 8, 1, 1), 60, 40, seed=0).tolist() == [*range(60)]
