"""Models and their inputs may be on any device: the results are those of the CPU."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from models import Text, cnn, images, texts

import subspace_match as sm
from subspace_match.matching.backends import resolve_device
from subspace_match.matching.backends.base import Device
from subspace_match.matching.backends.torch_ import TorchDevice

LENGTHS = [3, 9, 1, 4, 7, 2, 8, 5] * 12
CLOSE = 2e-3  # of critical epsilons: activations are float32, and rounded differently


def labelled(device: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    inputs, labels = images(400).to(device), torch.arange(400, device=device) % 5
    return list(zip(inputs.split(90), labels.split(90), strict=True))


def padded(device: str) -> list[dict[str, torch.Tensor]]:
    return [
        {key: value.to(device) for key, value in batch.items() if key != "labels"}
        for batch in texts(LENGTHS, 16)
    ]


def labels_and_chance(a: str, b: str, matching: Device) -> Any:
    models = cnn(0).to(a), cnn(1).to(b)
    options = {"permutations": 19, "heat_map": 100, "positions": 900}
    return sm.compare(*models, labelled(b), device=matching, **options)


def all_layers_of_a_model(a: str, b: str, matching: Device) -> Any:
    return sm.compare(cnn(0).to(a), None, labelled(b), device=matching, positions=640)


def tokens_of_texts(a: str, b: str, matching: Device) -> Any:
    models = Text(0).to(a), Text(1).to(b)
    return sm.compare(*models, padded(b), nodes="activation", permutations=19, device=matching)


def last_tokens(a: str, b: str, matching: Device) -> Any:
    models = Text(0).to(a), Text(1).to(b)
    return sm.compare(*models, padded(b), nodes="activation", tokens="last", device=matching)


@pytest.mark.parametrize(
    "compare",
    [labels_and_chance, all_layers_of_a_model, tokens_of_texts, last_tokens],
    ids=lambda compare: compare.__name__,
)
@pytest.mark.parametrize("elsewhere", [False, *([True] if torch.cuda.is_available() else [])])
def test_results_are_those_of_the_cpu(
    compare: Callable[..., Any], elsewhere: bool, device: str
) -> None:
    """Also if the inputs and B's weights are on another device than A's weights."""
    found = compare(device, "cpu" if elsewhere else device, TorchDevice(device))
    expected = compare("cpu", "cpu", resolve_device("cpu"))
    assert list(found) == list(expected)
    found = pickle.loads(pickle.dumps(found))
    for layer, other in ((found[name], expected[name]) for name in expected):
        np.testing.assert_allclose(
            layer.path.critical_epsilon, other.path.critical_epsilon, rtol=0, atol=CLOSE
        )
        assert layer.cross_fitted.area == pytest.approx(other.cross_fitted.area, abs=CLOSE)
        for null, its in ((layer.null, other.null), (layer.class_null, other.class_null)):
            assert (null is None) == (its is None)
            if its is not None:
                np.testing.assert_allclose(null, its, rtol=0, atol=CLOSE)
