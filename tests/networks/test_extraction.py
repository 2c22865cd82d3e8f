from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from subspace_match.data.prepared import Split, TextSplit
from subspace_match.networks import extraction
from subspace_match.networks.extraction import extract
from subspace_match.networks.images import Images
from subspace_match.networks.layered_network import LayeredNetwork
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.sampling import draw_samples, draw_shared_positions
from subspace_match.networks.tasks import CLASSIFY, LANGUAGE_MODEL, evaluate
from subspace_match.networks.texts import Texts


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4 * 6, 5), nn.ReLU()
    ).eval()


def images(count: int, device: str) -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 2, 4, 6), dtype=np.uint8)
    split = Split(pixels, np.zeros(count, np.int64), np.arange(count))
    return Images.on_device(split, Preprocessing((0.4, 0.5), (0.2, 0.3)), torch.device(device))


def test_rows_are_the_map_at_the_samples_for_every_batch_size(device: str) -> None:
    network, data = small_network().to(device), images(11, device)
    layered = LayeredNetwork(network, data.evenly_spaced(2))
    samples = {layer.name: draw_samples(layer, 11, 50, 2, seed=3) for layer in layered.layers}
    with torch.no_grad():
        ((inputs, _),) = data.batches(11)
        maps, vectors = network[:2](inputs), network(inputs)
    rows_of_map = maps.permute(0, 2, 3, 1).reshape(-1, 3).cpu().numpy()
    expected = {("conv1", draw): rows_of_map[samples["conv1"][draw]] for draw in (0, 1)}
    expected["fc1", 0] = vectors.cpu().numpy()
    whole = {"conv1": rows_of_map, "fc1": expected["fc1", 0]}
    places = draw_shared_positions(layered.layers, 11, 22, seed=1)
    shared = {name: [index] for name, index in places.items()}
    for batch_size in (1, 4, 11, 100):
        found: dict[tuple[str, int], list[np.ndarray]] = {key: [] for key in expected}
        # Another recording of the same run, of other samples.
        others: dict[str, list[np.ndarray]] = {"conv1": [], "fc1": []}
        performance = extract(
            layered,
            data,
            [
                (samples, lambda name, draw, rows, found=found: found[name, draw].append(rows)),
                (shared, lambda name, _, rows, others=others: others[name].append(rows)),
            ],
            task=CLASSIFY,
            batch_size=batch_size,
            batch_done=lambda: None,
        )
        # All labels are 0.
        assert performance is not None
        assert performance.accuracy == float((vectors.argmax(1) == 0).double().mean())
        assert performance.predictions is not None
        assert performance.predictions.tolist() == vectors.argmax(1).tolist()
        for key, rows in found.items():
            np.testing.assert_allclose(np.concatenate(rows), expected[key], rtol=1e-5, atol=1e-6)
        for name, rows in others.items():
            wanted = whole[name][shared[name][0]]
            np.testing.assert_allclose(np.concatenate(rows), wanted, rtol=1e-5, atol=1e-6)


def test_rows_copied_together_are_those_copied_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, with the host's memory in its place."""
    data, order = images(11, "cpu"), []
    layered = LayeredNetwork(small_network(), data.evenly_spaced(2))
    samples = {layer.name: draw_samples(layer, 11, 50, 2, seed=3) for layer in layered.layers}

    def found() -> list[tuple[str, int, list[list[float]]]]:
        rows: list[tuple[str, int, list[list[float]]]] = []

        def sink(name: str, draw: int, values: np.ndarray) -> None:
            order.append("sink")
            rows.append((name, draw, values.tolist()))

        done = {"batch_done": lambda: order.append("batch")}
        extract(layered, data, [(samples, sink)], task=CLASSIFY, batch_size=4, **done)
        return rows

    one_by_one = found()
    assert order == ["sink"] * 3 + ["batch"] + ["sink"] * 3 + ["batch"] + ["sink"] * 3 + ["batch"]

    class Stream:
        def record_event(self) -> Any:
            order.append("copy")
            return self

        def synchronize(self) -> None:
            order.append("wait")

    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory, **k: empty(*a, **k))  # noqa: ARG005
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream())
    monkeypatch.setattr(extraction._ToHost, "add", lambda self, *row: self._rows.append(row))
    order.clear()
    assert found() == one_by_one
    passed_on = ["wait", *["sink"] * 3]
    assert order == ["copy", "batch", *["copy", *passed_on, "batch"] * 2, *passed_on]


def test_a_network_without_scores_has_no_accuracy() -> None:
    data = images(3, "cpu")
    layered = LayeredNetwork(small_network()[:2], data.evenly_spaced(2))
    samples = {"conv1": draw_samples(layered.layers[0], 3, 50, 1, seed=0)}
    arguments = layered, data, [(samples, lambda *_: None)]
    assert extract(*arguments, task=CLASSIFY, batch_size=2, batch_done=lambda: None) is None


def test_a_language_model_is_recorded_token_by_token_with_its_loss() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.GELU(), nn.Linear(3, 5))
    tokens = np.random.default_rng(0).integers(0, 5, (7, 6)).astype(np.uint8)
    texts = Texts(TextSplit(tokens, np.arange(7)), torch.device("cpu"))
    layered = LayeredNetwork(network, texts.evenly_spaced(2))
    (layer,) = layered.layers
    assert (layer.kind, layer.neurons, layer.positions) == ("tokens", 3, 6)
    samples = {layer.name: draw_samples(layer, 7, 20, 1, seed=0)}
    rows: list[np.ndarray] = []
    performance = extract(
        layered,
        texts,
        [(samples, lambda *found: rows.append(found[-1]))],
        task=LANGUAGE_MODEL,
        batch_size=3,
        batch_done=lambda: None,
    )
    assert performance == evaluate(network, texts, LANGUAGE_MODEL, 3)
    assert performance.predictions is None
    with torch.no_grad():
        values = network[:3](texts.evenly_spaced(7)).reshape(-1, 3).numpy()
    np.testing.assert_allclose(np.concatenate(rows), values[samples[layer.name][0]], rtol=1e-6)
