"""Samples that arrive in pieces, against ``reduce`` on the whole arrays."""

from __future__ import annotations

import warnings

import cases
import numpy as np
import pytest

import subspace_match as sm
from subspace_match.matching.backends.base import Device
from subspace_match.matching.reduction import streaming
from subspace_match.matching.reduction.streaming import StreamedPair

RNG = np.random.default_rng(0)
SIZES = (1, 7, 400, 64, 1500)  # of the pieces, again and again


def streamed(
    x: np.ndarray, y: np.ndarray, samples: int | None, device: str = "cpu", **options: bool
) -> sm.PairMoments:
    pair = StreamedPair(x.shape[1], y.shape[1], samples, device=device, **options)
    start = piece = 0
    while start < len(x):
        stop = start + SIZES[piece % len(SIZES)]
        pair.add(x[start:stop], y[start:stop])
        start, piece = stop, piece + 1
    return pair.pair()


def layers(samples: int, n_x: int, n_y: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = cases.related(RNG, n_x, n_y, samples)
    return x.astype(np.float32), y.astype(np.float32)


def float32(case) -> tuple[np.ndarray, np.ndarray]:
    x, y = case(np.random.default_rng(1))
    return x.astype(np.float32), y.astype(np.float32)


@pytest.mark.parametrize(("samples", "n_x", "n_y"), [(9000, 12, 9), (5000, 40, 130), (300, 20, 30)])
@pytest.mark.parametrize("keep", [False, True])
def test_the_moments_are_those_of_the_whole_arrays_bit_for_bit(
    samples: int, n_x: int, n_y: int, keep: bool
) -> None:
    x, y = layers(samples, n_x, n_y)
    expected = sm.reduce(x, y, device="cpu")
    assert expected.well_conditioned
    assert streamed(x, y, samples, keep=keep) == expected


def test_an_unknown_number_of_samples_changes_only_the_bound_of_rounding() -> None:
    x, y = layers(9000, 12, 9)
    expected, found = sm.reduce(x, y, device="cpu"), streamed(x, y, None)
    for name in ("second_moments", "sums", "length_products", "factor", "centred_factor"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert expected.moment_error < found.moment_error < 2 * expected.moment_error


def test_fewer_samples_than_expected_are_all_used() -> None:
    x, y = layers(3000, 12, 9)
    found = streamed(x, y, 9000)
    assert found.samples == 3000
    np.testing.assert_array_equal(found.factor, sm.reduce(x, y, device="cpu").factor)


@pytest.mark.parametrize("case", cases.CASES)
def test_matches_and_measures_of_nearly_dependent_layers_need_no_second_read(
    case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "KEPT_PER_NEURON", 0)
    x, y = float32(case)
    found, expected = streamed(x, y, len(x)), sm.reduce(x, y, device="cpu")
    assert found.well_conditioned == expected.well_conditioned
    for name in ("critical_epsilon_x", "critical_epsilon_y"):
        np.testing.assert_allclose(
            *(getattr(sm.match_path(pair), name) for pair in (found, expected)), atol=2e-8
        )
    np.testing.assert_allclose(found.length_products, expected.length_products, rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = sm.all_measures(found), sm.all_measures(expected)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name


def test_means_much_larger_than_deviations_lose_no_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "KEPT_PER_NEURON", 0)
    x, y = layers(2000, 10, 8)
    x, y = x + np.float32(3000), y - np.float32(2000)
    found, expected = streamed(x, y, len(x)), sm.reduce(x, y, device="cpu")
    for pair in (found, expected):
        assert pair.centred_factor is not None
    ours, theirs = sm.all_measures(found), sm.all_measures(expected)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


def test_samples_are_kept_on_request_and_where_that_takes_less_memory() -> None:
    x, y = layers(300, 20, 12)
    pair = StreamedPair(20, 12, 300, device="cpu", keep=True)
    for start in (0, 100, 200):
        pair.add(x[start : start + 100], y[start : start + 100])
    for kept, layer in zip(pair.samples(), (x, y), strict=True):
        np.testing.assert_array_equal(kept, layer)
    x, y = layers(330, 20, 12)
    # 320 samples of 32 neurons are kept, one more is not.
    for samples, kept in ((320, True), (321, False)):
        pair = StreamedPair(20, 12, None, device="cpu")
        pair.add(x[:samples], y[:samples])
        assert (pair._sums is None) == kept
        assert pair.pair().samples == samples


def test_a_gpu_adds_up_tensors_where_they_are(device: Device) -> None:
    torch = pytest.importorskip("torch")
    x, y = layers(3000, 20, 12)
    pair = StreamedPair(20, 12, 3000, device=device)
    for start in range(0, 3000, 700):
        stop = start + 700
        pair.add(*(torch.from_numpy(side[start:stop]).to(device.name) for side in (x, y)))
    expected = sm.reduce(x, y, device="cpu")
    np.testing.assert_allclose(pair.pair().second_moments, expected.second_moments, rtol=1e-12)
