"""Networks that run in several threads at once."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from subspace_match.networks.layered_network import LayeredNetwork


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 4), nn.ReLU())


class ReturnsDictionary(nn.Module):
    """A network that is reached by hooks."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, **_: Tensor) -> dict[str, Tensor]:
        return {"scores": self.inner(x)}


def values_of(layered: LayeredNetwork, x: Tensor) -> dict[str, Tensor]:
    found = {}

    def take(layer: Any, values: Tensor) -> None:
        found[layer.name] = values.clone()

    layered.run(x, take)
    return found


def test_a_network_in_several_threads_has_the_values_that_it_has_alone() -> None:
    """Of one module, whose modes and hooks all threads share, and of different ones."""
    x, calls = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)), nn.Module.__call__
    for shared in (network(0), ReturnsDictionary(network(0)), None):

        def make(seed: int, shared: nn.Module | None = shared) -> nn.Module:
            return shared or network(seed)

        seeds = [0, 1, 2, 3] * 5
        alone = [values_of(LayeredNetwork(make(seed), x[:2]), x) for seed in seeds[:4]] * 5
        models = [make(seed) for seed in seeds]
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda m: values_of(LayeredNetwork(m, x[:2]), x), models))
        for one, other in zip(alone, found, strict=True):
            assert list(one) == list(other) == ["fc1", "fc2"]
            assert all(torch.equal(one[name], other[name]) for name in one)
        assert all(module.training for model in models for module in model.modules())
    assert nn.Module.__call__ is calls


def test_a_network_waits_for_the_end_of_anothers_batch() -> None:
    """Else it would switch on dropout, or receive the other's values."""
    shared, x = ReturnsDictionary(network(0)), torch.randn(9, 6)
    one, other = (LayeredNetwork(shared, x) for _ in range(2))
    expected = values_of(one, 2 * x)
    found: dict[str, Tensor] = {}
    second = Thread(target=lambda: found.update(values_of(other, 2 * x)))

    def take(layer: Any, _: Tensor) -> None:
        if layer.name == "fc1":
            second.start()
            second.join(0.1)
        assert not found

    one.run(x, take)
    second.join()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_other_threads_may_use_modules_while_a_network_is_traced() -> None:
    """As when a network is trained in the background."""
    other, x = network(1).eval(), torch.randn(3, 6)
    expected = other(x)
    found: list[Tensor] = []

    class StartsThread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 5)

        def forward(self, x_own: Tensor) -> Tensor:
            thread = Thread(target=lambda: found.append(other(x) + self.first.weight.sum()))
            thread.start()
            thread.join()
            return torch.relu(self.first(x_own))

    layered = LayeredNetwork(model := StartsThread(), x)
    assert "layers are nodes of the network's graph, traced by torch.fx" in layered.notes
    assert len(found) >= 2  # of the network itself, and of its trace
    assert all(torch.equal(each, expected + model.first.weight.sum()) for each in found)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_that_is_forked_during_a_run_has_networks_that_run() -> None:
    """As the workers of a loader are, while another thread compares models."""
    x, started, stopped = torch.randn(9, 6), Event(), Event()
    layered, other = (LayeredNetwork(ReturnsDictionary(network(0)), x) for _ in range(2))

    def run() -> None:
        def take(*_: Any) -> None:
            started.set()
            stopped.wait(0.3)

        layered.run(x, take)

    thread = Thread(target=run)
    thread.start()
    started.wait()
    process = multiprocessing.get_context("fork").Process(target=values_of, args=(other, x))
    process.start()
    process.join(10)
    code = process.exitcode
    process.kill()
    thread.join()
    assert code == 0
    assert list(values_of(other, x)) == ["fc1", "fc2"]
