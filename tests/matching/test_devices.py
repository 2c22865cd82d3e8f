"""Every operation of every device is correct, for all memory layouts and for empty arrays."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from subspace_match.matching import device_names
from subspace_match.matching.backends import torch_
from subspace_match.matching.backends.numpy_ import Cpu
from subspace_match.matching.backends.torch_ import TorchDevice

RNG = np.random.default_rng(0)


def c_order(matrix: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(matrix)


def fortran_order(matrix: np.ndarray) -> np.ndarray:
    return np.asfortranarray(matrix)


def c_slice(matrix: np.ndarray) -> np.ndarray:
    return np.pad(matrix, ((0, 0), (2, 1)))[:, 2:-1]


def fortran_slice(matrix: np.ndarray) -> np.ndarray:
    return np.asfortranarray(np.pad(matrix, ((2, 1), (0, 0))))[2:-1]


LAYOUTS = [c_order, fortran_order, c_slice, fortran_slice]
SHAPES = [(4, 3, 5), (1, 1, 1), (0, 3, 5), (4, 0, 5), (4, 3, 0)]


def on(device, matrix: np.ndarray, layout):
    """Copy a matrix to a device in a memory layout."""
    laid = layout(matrix)
    if isinstance(device, Cpu):
        return laid
    return torch.from_numpy(laid).to(device.name)


def triangle(width: int) -> np.ndarray:
    return np.triu(RNG.normal(size=(width, width))) + 3 * np.eye(width)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layouts", list(itertools.product(LAYOUTS, LAYOUTS)))
def test_products_are_correct(shape, layouts, device):
    rows, inner, columns = shape
    left, right = RNG.normal(size=(rows, inner)), RNG.normal(size=(inner, columns))
    a, b = (on(device, *what) for what in zip((left, right), layouts, strict=True))
    np.testing.assert_allclose(device.numpy(device.product(a, b)), left @ right, atol=1e-14)
    for by_column in (False, True):
        total = device.zeros(columns, rows).T if by_column else device.zeros(rows, columns)
        device.add_product(total, a, b, scale=-2.0)
        device.add_product(total, a, b)
        np.testing.assert_allclose(device.numpy(total), -left @ right, atol=1e-14)


@pytest.mark.parametrize("width", [1, 5, 1100])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gram_matrices_are_correct(width, layout, device):
    chunk = RNG.normal(size=(300, width))
    total = device.zeros(width, width)
    device.add_upper_gram(total, on(device, chunk, layout))
    device.add_upper_gram(total, on(device, chunk[:7], layout))
    expected = chunk.T @ chunk + chunk[:7].T @ chunk[:7]
    np.testing.assert_allclose(np.triu(device.numpy(total)), np.triu(expected), atol=1e-12)
    np.testing.assert_allclose(device.numpy(device.symmetric(total)), expected, atol=1e-12)


@pytest.mark.parametrize("layouts", list(itertools.product(LAYOUTS, LAYOUTS)))
@pytest.mark.parametrize("columns", [0, 1, 6])
def test_triangular_operations_are_correct(layouts, columns, device):
    upper, right = triangle(4), RNG.normal(size=(4, columns))
    a, b = (on(device, *what) for what in zip((upper, right), layouts, strict=True))
    for found, expected in (
        (device.triangular_solve(a, b), np.linalg.solve(upper, right)),
        (device.triangular_product(a, b), upper @ right),
        (device.triangular_solve(a, b, transposed=True), np.linalg.solve(upper.T, right)),
        (device.triangular_inverse(a), np.linalg.inv(upper)),
        (device.gram_inverse(a), np.linalg.inv(upper.T @ upper)),
    ):
        np.testing.assert_allclose(device.numpy(found), expected, atol=1e-13)
    np.testing.assert_array_equal(device.numpy(b), right)  # unchanged


@pytest.mark.parametrize("width", [1500, 2049])
def test_wide_triangles_are_inverted(width, device):
    upper = np.triu(RNG.normal(size=(width, width)) / width) + np.eye(width)
    inverse = device.numpy(device.triangular_inverse(device.array(upper)))
    np.testing.assert_allclose(inverse @ upper, np.eye(width), atol=1e-13)
    np.testing.assert_array_equal(inverse, np.triu(inverse))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cholesky_is_correct_or_none(layout, device):
    upper = triangle(5)
    square = upper.T @ upper
    found = device.numpy(device.cholesky(on(device, square, layout)))
    np.testing.assert_allclose(found.T @ found, square, atol=1e-13)
    np.testing.assert_array_equal(found, np.triu(found))
    assert device.cholesky(on(device, square - 2 * np.diag(np.diag(square)), layout)) is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [6, 90])
def test_householder_qr_is_correct(rows, layout, device):
    matrix, others = RNG.normal(size=(rows, 6)), RNG.normal(size=(rows, 4))
    packed, scales = device.householder_qr(on(device, matrix, layout))
    rotated = device.numpy(device.apply_q_transposed(packed, scales, on(device, others, layout)))
    q, r = scipy.linalg.qr(matrix)
    signs = np.sign(np.diagonal(r)) * np.sign(np.diagonal(device.numpy(packed)))
    np.testing.assert_allclose(rotated[: len(signs)], signs[:, None] * (q.T @ others)[: len(signs)])
    norms = np.linalg.norm(others, axis=0)
    np.testing.assert_allclose(np.linalg.norm(rotated, axis=0), norms)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [1, 6, 90])
def test_rows_are_appended_to_a_triangle(rows, layout, device):
    upper, matrix = triangle(6), RNG.normal(size=(rows, 6))
    found = device.numpy(device.append_rows(device.array(upper), on(device, matrix, layout)))
    np.testing.assert_allclose(found.T @ found, upper.T @ upper + matrix.T @ matrix, atol=1e-12)
    np.testing.assert_allclose(found, np.triu(found), atol=1e-14)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_sums_copies_and_blocks_are_correct(rows, device):
    matrix = RNG.normal(size=(rows, 3))
    there = device.array(matrix)
    np.testing.assert_allclose(device.numpy(device.column_sums(there)), matrix.sum(0), atol=1e-12)
    tails = np.array([matrix[row:].sum(0) for row in range(rows + 1)])
    np.testing.assert_allclose(device.numpy(device.suffix_sums(there)), tails, atol=1e-12)
    np.testing.assert_array_equal(
        device.numpy(device.take(there, np.array([0, 0]))), matrix[[0, 0]]
    )
    columns = device.numpy(device.take(there, np.array([2, 0]), axis=1))
    np.testing.assert_array_equal(columns, matrix[:, [2, 0]])
    block = device.empty(rows, 4)
    device.fill_with_distances(
        block, device.rows(matrix.astype(np.float32)), device.array(np.ones(3))
    )
    narrow = matrix.astype(np.float32).astype(np.float64)
    expected = np.column_stack([narrow, ((narrow - 1) ** 2).sum(1)])
    np.testing.assert_allclose(device.numpy(block), expected, rtol=1e-14)


def test_sums_over_many_samples_lose_no_digits(device):
    ones = np.full((200_000, 2), 0.1)
    found = device.numpy(device.column_sums(device.array(ones)))
    np.testing.assert_allclose(found, 20_000.0, rtol=1e-13)


CODE = """
import sys
import numpy as np
import subspace_match as sm
x, y = np.random.default_rng(0).random((2, 50, 3))
path = sm.match_path(sm.reduce(x, y, device={device!r}), device={device!r})
path.verify(0.3, device={device!r}), sm.minimal_matches(path, 0.3), sm.all_measures(path.pair)
print("torch" in sys.modules)
"""


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_matching_on_a_cpu_does_not_import_torch(device):
    if device == "auto" and any(Path(driver).exists() for driver in device_names._DRIVERS):
        pytest.skip("this machine has a GPU driver, so torch is imported")
    assert output(CODE.format(device=device)) == "False\n"


def output(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


WITH_DRIVER = """
import sys
from subspace_match.matching import device_names
device_names._DRIVERS = (sys.executable,)  # a file that exists
print(device_names.device_name("auto") in ("cpu", "cuda"), "torch" in sys.modules)
"""


def test_torch_is_imported_where_a_gpu_driver_exists():
    assert output(WITH_DRIVER) == "True True\n"


@pytest.mark.parametrize("view", [np.s_[:], np.s_[:, 2:-1], np.s_[:1]], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.int64, bool])
def test_large_arrays_come_back_unchanged(dtype, view, device):
    """A GPU copies them in several pieces."""
    shape = (2501, 2003) if device.name == "cuda" else (25, 23)
    values = (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)
    there = device.array(values)
    for expected, found in ((values[view], there[view]), (values[view].T, there[view].T)):
        later = device.numpy_later(found)
        np.testing.assert_array_equal(device.numpy(found), expected)
        np.testing.assert_array_equal(later(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_copy_waits_for_the_work_of_its_stream_on_cuda():
    device = TorchDevice("cuda")
    factor = torch.eye(3000, dtype=torch.float64, device="cuda")
    values = torch.rand(3000, 3000, dtype=torch.float64, device="cuda")
    expected = values.cpu().numpy()
    with torch.cuda.stream(torch.cuda.Stream()):
        found = values.zero_()
        for _ in range(20):  # takes longer than a copy
            found = factor @ found
        found += torch.from_numpy(expected).to("cuda")
        later = device.numpy_later(found)
    np.testing.assert_array_equal(later(), expected)


@pytest.mark.parametrize("bytes_each", [1, 100, 160, 10_000])
def test_pieces_are_all_rows_and_each_starts_before_the_one_before_it_is_used(
    bytes_each, monkeypatch
):
    monkeypatch.setattr(torch_, "PIECE", bytes_each)
    rows, started = torch.arange(70.0).view(7, 10), []

    def start(piece: slice) -> torch.Tensor:
        started.append(piece)
        return rows[piece]

    pieces, used = list(torch_._pieces(rows)), []
    for part in torch_._one_ahead(map(start, pieces)):
        used.append(part)
        assert part.nbytes <= max(bytes_each, rows[0].nbytes)
        assert len(started) == min(len(used) + 1, len(pieces))
    assert torch.equal(torch.cat(used), rows)
