"""The reduction: its results, its number of reads, and its memory."""

from __future__ import annotations

import cases
import numpy as np
import pytest
import torch
from helpers import path_of

import subspace_match as sm


class Recorder:
    """An array-like that generates samples when they are read, and records the slices."""

    def __init__(self, samples: int, neurons: int, seed: int, copies: bool = False) -> None:
        self.shape, self.dtype = (samples, neurons), np.dtype(np.float32)
        self.slices: list[tuple[int, int]] = []
        self._seed, self._copies = seed, copies

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        self.slices.append((start, stop))
        rng = np.random.default_rng([self._seed, start])
        block = rng.normal(size=(stop - start, self.shape[1])).astype(np.float32)
        if self._copies:
            block[:, 1] = block[:, 0]
        return block


class Chunked:
    """An array in chunks of 64 samples that records the first sample of each chunk read."""

    chunks = (64, 3)

    def __init__(self, layer: np.ndarray) -> None:
        self.shape, self.dtype = layer.shape, layer.dtype
        self.read: list[int] = []
        self._layer = layer

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        self.read += range(start // 64 * 64, stop, 64)
        return self._layer[rows]


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_moments_sums_and_factors_are_correct(case, device):
    x, y = case(np.random.default_rng(0))
    pair = sm.reduce(x, y, device=device, chunk_samples=13)
    joint = np.hstack([x, y])
    norms = np.linalg.norm(joint, axis=0)
    scale = np.outer(norms, norms)
    np.testing.assert_array_less(
        np.abs(pair.second_moments - joint.T @ joint), 1e-13 * scale + 1e-300
    )
    np.testing.assert_array_equal(pair.second_moments, pair.second_moments.T)
    np.testing.assert_allclose(pair.sums, joint.sum(0), rtol=1e-9, atol=1e-9 * norms.max())
    np.testing.assert_allclose(pair.norms, norms, rtol=1e-13)
    np.testing.assert_array_equal(pair.live, norms > 0)
    assert (pair.neurons_x, pair.neurons_y) == (x.shape[1], y.shape[1])
    assert pair.samples == len(x)
    lengths = np.stack([np.sum((side - side.mean(0)) ** 2, axis=1) for side in (x, y)])
    with np.errstate(invalid="ignore"):
        lengths /= lengths.sum(1, keepdims=True)
    np.testing.assert_allclose(pair.length_products, lengths @ lengths.T, rtol=1e-9)

    unit = joint[:, norms > 0] / norms[norms > 0]
    np.testing.assert_allclose(pair.factor.T @ pair.factor, unit.T @ unit, atol=1e-13)
    np.testing.assert_array_equal(pair.factor, np.triu(pair.factor))

    centred = unit - unit.mean(0)
    assert pair.centred_factor is not None
    np.testing.assert_allclose(
        pair.centred_factor.T @ pair.centred_factor, centred.T @ centred, atol=1e-13
    )
    np.testing.assert_array_equal(pair.centred_factor, np.triu(pair.centred_factor))


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (cases.related, True),
        (cases.scaled_columns, True),
        (cases.exact_duplicates, False),
        (cases.near_duplicates, False),
        (cases.more_neurons_than_samples, False),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_dependent_neurons_are_not_well_conditioned(case, expected, device):
    pair = sm.reduce(*case(np.random.default_rng(0)), device=device)
    assert pair.well_conditioned is expected


@pytest.mark.parametrize("samples", [1_000, 20_000])
def test_memory_does_not_grow_with_the_number_of_samples(samples):
    """No slice is longer than a chunk, and each sample is read once."""
    x, y = Recorder(samples, 3, seed=0), Recorder(samples, 2, seed=1)
    pair = sm.reduce(x, y, device="cpu", chunk_samples=128)
    assert pair.samples == samples
    for slices in (x.slices, y.slices):
        assert max(stop - start for start, stop in slices) == 128
        starts, stops = zip(*slices, strict=True)
        assert starts == (0, *stops[:-1])
        assert stops[-1] == samples


def test_factoring_in_steps_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = cases.everything_at_once(rng)
    whole = sm.reduce(x, y, device="cpu")
    monkeypatch.setattr("subspace_match.matching.reduction.moments.QR_ROWS", 1)
    parts = sm.reduce(x, y, device="cpu")
    products = [pair.factor.T @ pair.factor for pair in (parts, whole)]
    np.testing.assert_allclose(*products, atol=1e-13)


def test_a_factor_of_few_samples_has_no_more_rows_than_samples(device):
    """Each row costs time in whatever factors the columns again."""
    x, y = np.random.default_rng(0).normal(size=(2, 7, 12))
    x[:, 4] = 3 * x[:, 1]  # without a direction of its own, so later columns need the row
    pair = sm.reduce(x, y, device=device)
    assert (pair.factor.shape, pair.centred_factor.shape) == ((7, 24), (6, 24))
    z = np.hstack([x, y])
    norms = np.linalg.norm(z, axis=0)
    for factor, columns in ((pair.factor, z), (pair.centred_factor, z - z.mean(0))):
        products = (columns / norms).T @ (columns / norms)
        np.testing.assert_allclose(factor.T @ factor, products, atol=1e-14)
        assert (factor == np.triu(factor)).all()


def test_layers_with_dependent_neurons_are_read_twice():
    x, y = Recorder(1_000, 3, seed=0, copies=True), Recorder(1_000, 2, seed=1)
    assert not sm.reduce(x, y, device="cpu", chunk_samples=100).well_conditioned
    assert sum(stop - start for start, stop in x.slices) == 2_000
    assert max(stop - start for start, stop in x.slices) == 100


@pytest.mark.parametrize("chunk_samples", [7, 64, 90, 200, None])
def test_each_chunk_of_a_chunked_array_is_read_once(chunk_samples):
    rng = np.random.default_rng(0)
    plain = [rng.normal(size=(1_000, width)).astype(np.float32) for width in (3, 2)]
    x, y = map(Chunked, plain)
    found = sm.reduce(x, y, device="cpu", chunk_samples=chunk_samples)
    assert x.read == y.read == list(range(0, 1_000, 64))
    expected = sm.reduce(*plain, device="cpu", chunk_samples=chunk_samples)
    for name in ("second_moments", "sums", "length_products", "factor"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_default_chunk_is_bounded_in_bytes():
    x, y = Recorder(60_000, 300, seed=0), Recorder(60_000, 300, seed=1)
    sm.reduce(x, y, device="cpu")
    assert max(stop - start for start, stop in x.slices) * 600 * 8 <= 32 * 2**20


def test_arguments_are_not_changed():
    x, y = cases.everything_at_once(np.random.default_rng(0))
    copies = x.copy(), y.copy()
    path_of(x, y)
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(y, copies[1])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int64, np.float16, bool])
def test_all_numpy_dtypes_are_accepted(dtype, device):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 2, (30, 4)).astype(dtype) for _ in range(2))
    expected = sm.reduce(x.astype(np.float64), y.astype(np.float64), device=device)
    found = sm.reduce(x, y, device=device)
    np.testing.assert_array_equal(found.second_moments, expected.second_moments)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int32, torch.bool])
def test_all_torch_dtypes_are_accepted(dtype, device):
    x, y = (torch.arange(12).reshape(6, 2).to(dtype), torch.ones(6, 1).to(dtype))
    expected = sm.reduce(x.double(), y.double(), device=device)
    found = sm.reduce(x, y, device=device)
    np.testing.assert_array_equal(found.second_moments, expected.second_moments)
