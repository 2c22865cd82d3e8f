"""Samples that arrive in pieces, against ``reduce_halves`` on the whole arrays."""

from __future__ import annotations

import warnings

import cases
import numpy as np
import pytest

import subspace_match as sm
from subspace_match.matching.backends.base import Device
from subspace_match.matching.backends.numpy_ import Cpu
from subspace_match.matching.reduction import streaming
from subspace_match.matching.reduction.halves import random_half, split_images
from subspace_match.matching.reduction.streaming import StreamedPair

RNG = np.random.default_rng(0)
SIZES = (1, 7, 400, 64, 1500)  # of the pieces, again and again


def streamed(
    x: np.ndarray, y: np.ndarray, samples: int | None, device: str = "cpu", **options: bool
) -> sm.HalvedMoments:
    pair = StreamedPair(x.shape[1], y.shape[1], samples, device=device, **options)
    in_first, images = split_images(images_of(x), len(x), 0)
    start = piece = 0
    while start < len(x):
        stop = start + SIZES[piece % len(SIZES)]
        pair.add(x[start:stop], y[start:stop], in_first[start:stop])
        start, piece = stop, piece + 1
    return pair.halves(images)


def images_of(x: np.ndarray) -> np.ndarray:
    """Three successive samples are one image, as the positions of a map are."""
    return np.arange(len(x)) // 3


def at_once(x: np.ndarray, y: np.ndarray) -> sm.HalvedMoments:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sm.FewSamplesWarning)
        return sm.reduce_halves(x, y, images_of(x), device="cpu")


PARTS = ("whole", "first", "second")


def layers(samples: int, n_x: int, n_y: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = cases.related(RNG, n_x, n_y, samples)
    return x.astype(np.float32), y.astype(np.float32)


def float32(case) -> tuple[np.ndarray, np.ndarray]:
    x, y = case(np.random.default_rng(1))
    return x.astype(np.float32), y.astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "n_x", "n_y"), [(9000, 12, 9), (5000, 40, 130), (3000, 20, 30), (300, 20, 30)]
)
@pytest.mark.parametrize("keep", [False, True])
def test_the_moments_are_those_of_the_whole_arrays_bit_for_bit(
    samples: int, n_x: int, n_y: int, keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Steps of about 1,000 samples for 50 neurons, so that blocks end with a step too.
    monkeypatch.setattr(Cpu, "chunk_bytes", 400_000)
    x, y = layers(samples, n_x, n_y)
    expected = at_once(x, y)
    assert expected.whole.well_conditioned
    assert streamed(x, y, samples, keep=keep) == expected


def test_a_half_that_begins_late_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rough means are those of the first half's first block, whichever half fills one first."""
    monkeypatch.setattr(streaming, "KEPT_PER_NEURON", 0)
    x, y = layers(9000, 12, 9)
    order = np.argsort(random_half(9000, 0), kind="stable")  # the second half's samples first
    images = np.empty(9000, dtype=np.int64)
    images[:] = order  # the image with number i is at the place of ``order``
    in_first, counts = split_images(images, 9000, 0)
    assert not in_first[:4500].any()
    pair = StreamedPair(12, 9, 9000, device="cpu")
    for start in range(0, 9000, 700):
        part = slice(start, start + 700)
        pair.add(x[part], y[part], in_first[part])
    assert pair.halves(counts) == sm.reduce_halves(x, y, images, device="cpu")


def test_an_unknown_number_of_samples_changes_only_the_bound_of_rounding() -> None:
    x, y = layers(9000, 12, 9)
    halves, whole = streamed(x, y, None), at_once(x, y)
    for part in PARTS:
        found, expected = getattr(halves, part), getattr(whole, part)
        for name in ("second_moments", "sums", "length_products", "factor"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert expected.moment_error < found.moment_error < 2 * expected.moment_error
    np.testing.assert_array_equal(halves.whole.centred_factor, whole.whole.centred_factor)


def test_fewer_samples_than_expected_are_all_used() -> None:
    x, y = layers(3000, 12, 9)
    found, expected = streamed(x, y, 9000), at_once(x, y)
    for part in PARTS:
        assert getattr(found, part).samples == getattr(expected, part).samples
        np.testing.assert_array_equal(getattr(found, part).factor, getattr(expected, part).factor)


def test_one_image_leaves_a_half_without_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = layers(300, 6, 5)
    whole = sm.reduce(x, y, device="cpu")
    for kept in (20, 0):
        monkeypatch.setattr(streaming, "KEPT_PER_NEURON", kept)
        pair = StreamedPair(6, 5, 300, device="cpu")
        pair.add(x, y, np.zeros(300, dtype=bool))
        halves = pair.halves((0, 1))
        assert (halves.first.samples, halves.second.samples) == (0, 300)
        np.testing.assert_allclose(halves.whole.factor, whole.factor, rtol=1e-12, atol=1e-12)
        with pytest.warns(sm.FewSamplesWarning, match="6 neurons and 0 images"):
            assert sm.cross_fitted_path(halves).note


@pytest.mark.parametrize("case", cases.CASES)
def test_matches_and_measures_of_nearly_dependent_layers_need_no_second_read(
    case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "KEPT_PER_NEURON", 0)
    x, y = float32(case)
    halves, whole = streamed(x, y, len(x)), at_once(x, y)
    for part in PARTS:
        own, other = getattr(halves, part), getattr(whole, part)
        assert own.well_conditioned == other.well_conditioned
        for name in ("critical_epsilon_x", "critical_epsilon_y"):
            np.testing.assert_allclose(
                *(getattr(sm.match_path(pair), name) for pair in (own, other)), atol=2e-8
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # On new images, copies that differ by float32 rounding only are worse conditioned: another
        # order of the samples moves the distances from ``reduce_halves`` by up to 6e-6.
        for find in (sm.cross_fitted_path, sm.held_out_path):
            np.testing.assert_allclose(
                *(find(both).critical_epsilon for both in (halves, whole)), atol=5e-6
            )
        ours, theirs = (sm.all_measures(both.whole) for both in (halves, whole))
    np.testing.assert_allclose(
        halves.whole.length_products, whole.whole.length_products, rtol=1e-12
    )
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name


def test_means_much_larger_than_deviations_lose_no_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "KEPT_PER_NEURON", 0)
    x, y = layers(2000, 10, 8)
    x, y = x + np.float32(3000), y - np.float32(2000)
    found, expected = streamed(x, y, len(x)).whole, at_once(x, y).whole
    for pair in (found, expected):
        assert pair.centred_factor is not None
    ours, theirs = sm.all_measures(found), sm.all_measures(expected)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


def test_samples_are_kept_on_request_and_where_that_takes_less_memory() -> None:
    x, y = layers(300, 20, 12)
    pair, in_first = StreamedPair(20, 12, 300, device="cpu", keep=True), random_half(700, 0)
    for start in (0, 100, 200):
        part = slice(start, start + 100)
        pair.add(x[part], y[part], in_first[part])
    for kept, layer in zip(pair.samples(), (x, y), strict=True):
        np.testing.assert_array_equal(kept, layer)
    x, y = layers(700, 20, 12)
    # 640 samples of 32 neurons are kept, one more is not.
    for samples, kept in ((640, True), (641, False)):
        pair = StreamedPair(20, 12, None, device="cpu")
        pair.add(x[:samples], y[:samples], in_first[:samples])
        assert (pair._sums is None) == kept
        assert pair.halves((350, 350)).whole.samples == samples


def test_a_gpu_adds_up_tensors_where_they_are(device: Device) -> None:
    torch = pytest.importorskip("torch")
    x, y = layers(3000, 20, 12)
    in_first, images = split_images(None, 3000, 0)
    pair = StreamedPair(20, 12, 3000, device=device)
    for start in range(0, 3000, 700):
        part = slice(start, start + 700)
        pair.add(*(torch.from_numpy(side[part]).to(device.name) for side in (x, y)), in_first[part])
    found, expected = pair.halves(images), sm.reduce_halves(x, y, device="cpu")
    for part in PARTS:
        np.testing.assert_allclose(
            getattr(found, part).second_moments, getattr(expected, part).second_moments, rtol=1e-12
        )
