"""Every pass over the samples reads as many at a time as the device asks for."""

from __future__ import annotations

from collections.abc import Callable

import cases
import numpy as np
import pytest
from helpers import Recorder

import subspace_match as sm
from subspace_match.matching.backends.torch_ import TorchDevice
from subspace_match.matching.layer_pairs import layer_pairs
from subspace_match.matching.null import null_paths
from subspace_match.matching.reduction.many import reduce_many

DEVICE = TorchDevice("cpu")
STEP = 37


def of_null(x: Recorder, y: Recorder) -> None:
    pair = sm.reduce(*cases.related(np.random.default_rng(0)), device="cpu")
    list(null_paths(pair, x, y, [np.arange(150)], device=DEVICE))


def test_chunks_of_different_lengths_are_read_as_they_are() -> None:
    """As of a Dask array, whose ``chunks`` are tuples, and whose slices are computed when read."""

    class Lazy:
        def __init__(self, layer: np.ndarray) -> None:
            self._layer, self.shape, self.dtype = layer, layer.shape, layer.dtype
            self.chunks = ((100, len(layer) - 100), (layer.shape[1],))

        def __getitem__(self, rows: slice) -> Lazy:
            return Lazy(self._layer[rows])

        def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
            return self._layer

    x, y = cases.related(np.random.default_rng(0))
    for read in (sm.reduce, sm.reduce_halves):
        for step in (None, 37):
            found = read(Lazy(x), Lazy(y), chunk_samples=step, device="cpu")
            assert found == read(x, y, chunk_samples=step, device="cpu")
    orders = [np.random.default_rng(1).permutation(len(x))]
    pair = sm.reduce(x, y, device="cpu")
    (found_null,), (expected,) = (
        null_paths(pair, *sides, orders, device="cpu") for sides in ((Lazy(x), Lazy(y)), (x, y))
    )
    assert found_null == expected


PASSES: dict[str, Callable[[Recorder, Recorder], object]] = {
    "reduce": lambda x, y: sm.reduce(x, y, device=DEVICE),
    "reduce_halves": lambda x, y: sm.reduce_halves(x, y, device=DEVICE),
    "reduce_many": lambda x, y: reduce_many([x, y], device=DEVICE),
    "layer_pairs": lambda x, y: layer_pairs([x], [y], device=DEVICE),
    "null": of_null,
}


@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
def test_the_device_decides_how_many_samples_are_read_at_a_time(
    run: Callable[[Recorder, Recorder], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = map(Recorder, cases.related(np.random.default_rng(0)))
    monkeypatch.setattr(TorchDevice, "chunk_bytes", 8 * (x.shape[1] + y.shape[1]) * STEP)
    run(x, y)
    steps = [(start, min(start + STEP, 150)) for start in range(0, 150, STEP)]
    assert x.slices == steps
    assert y.slices in (steps, [(0, 150)])  # the null holds Y
