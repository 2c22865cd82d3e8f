"""Centring: a common offset matches nothing, and large offsets lose no digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import subspace_match as sm
from subspace_match.matching.null import null_paths
from subspace_match.matching.reduction.centred import Deviations

RNG = np.random.default_rng(0)
X = RNG.normal(size=(700, 12))
Y = np.hstack([X[:, :5] @ RNG.normal(size=(5, 5)), RNG.normal(size=(700, 4))])
Y += 0.1 * RNG.normal(size=Y.shape)


def critical(x: Any, y: Any, **options: Any) -> np.ndarray:
    return sm.match_path(sm.reduce(x, y, **options)).critical_epsilon


def test_a_common_offset_matches_nothing_after_centring() -> None:
    """A common mean of 3 makes independent layers match completely at 0.5."""
    x, y = RNG.normal(size=(2, 2000, 20)) + 3
    assert sm.match_path(sm.reduce(x, y)).similarity(0.5) == 1
    assert sm.match_path(sm.reduce(x, y, centred=True)).similarity(0.5) == 0


@pytest.mark.parametrize("kind", ["numpy", "float32", "torch", "bfloat16", "zarr", "integers"])
@pytest.mark.parametrize("chunk_samples", [None, 1, 97])
def test_centring_equals_subtracting_the_means(
    kind: str, chunk_samples: int | None, tmp_path: Path
) -> None:
    x, y = X + 2, Y - 1
    if kind == "integers":
        x, y = np.round(100 * x).astype(np.int32), np.round(100 * y).astype(np.int32)
    sides: list[Any] = [x, y]
    if kind == "float32":
        sides = [side.astype(np.float32) for side in sides]
    elif kind in ("torch", "bfloat16"):
        dtype = torch.bfloat16 if kind == "bfloat16" else torch.float64
        sides = [torch.from_numpy(side).to(dtype) for side in sides]
    elif kind == "zarr":
        zarr = pytest.importorskip("zarr")
        sides = [
            zarr.create_array(tmp_path / str(n), data=side, chunks=(100, side.shape[1]))
            for n, side in enumerate(sides)
        ]
    exact = [np.asarray(s.double() if isinstance(s, torch.Tensor) else s[:], float) for s in sides]
    pair = sm.reduce(*sides, centred=True, chunk_samples=chunk_samples)
    expected = sm.reduce(*(side - side.mean(0) for side in exact))
    scale = np.outer(expected.norms, expected.norms)
    np.testing.assert_allclose(
        pair.second_moments / scale, expected.second_moments / scale, atol=1e-12
    )
    np.testing.assert_allclose(
        sm.match_path(pair).critical_epsilon, sm.match_path(expected).critical_epsilon, atol=1e-9
    )
    assert pair.centred
    assert not expected.centred


@pytest.mark.parametrize("ratio", [1e3, 1e6, 1e9])
def test_means_much_larger_than_deviations_lose_no_digits(ratio: float) -> None:
    # Rounded so that adding the means is exact: the shifted arrays have the same deviations.
    x, y = (np.round(side * 2**16) / 2**16 for side in (X, Y))
    shifted = critical(x + ratio, y - ratio, centred=True)
    np.testing.assert_allclose(shifted, critical(x, y, centred=True), atol=1e-10)


def test_a_constant_neuron_is_dead_after_centring() -> None:
    x = X.astype(np.float32)
    x[:, 3] = np.float32(0.1)
    pair = sm.reduce(x, Y, centred=True)
    assert np.flatnonzero(~pair.live).tolist() == [3]
    assert np.isnan(sm.match_path(pair).critical_epsilon_x[3])
    assert sm.reduce(x, Y).live.all()


def test_matches_of_centred_activations_are_proved() -> None:
    path = sm.match_path(sm.reduce(X + 5, Y + 5, centred=True))
    proofs = path.verify([0.1, 0.3, 0.5])
    assert all(proof.sound and proof.complete for proof in proofs)


def test_the_null_of_a_centred_pair_is_centred() -> None:
    x, y = X + 3, Y + 3
    orders = [RNG.permutation(len(x)) for _ in range(3)]
    null = null_paths(sm.reduce(x, y, centred=True), x, y, orders)
    for path, order in zip(null, orders, strict=True):
        expected = critical(x, y[order], centred=True)
        np.testing.assert_allclose(path.critical_epsilon, expected, atol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_reported_with_and_without_centring(value: float) -> None:
    y = Y.copy()
    y[[3, 5], 2] = value
    message = "y: expected finite activations, found 2 NaN or infinite values in 1 neurons"
    for centred in (False, True):
        with pytest.raises(ValueError, match=message):
            sm.reduce(X, y, centred=centred)


def test_slices_of_deviations_are_consistent() -> None:
    deviations = Deviations("x", X + 7, step=100)
    assert deviations.shape == X.shape
    np.testing.assert_array_equal(deviations[50:60], deviations[:][50:60])
    np.testing.assert_allclose(deviations[:].mean(0), 0, atol=1e-15)
