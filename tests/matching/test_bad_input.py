"""Every error message says what was expected, what was found, and what to do."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch
from helpers import path_of, raises

import subspace_match as sm
from subspace_match.matching.null import null_paths

GOOD = np.eye(4, 2)


@pytest.mark.parametrize(
    ("bad", "parts"),
    [
        (np.ones(4), ("expected two dimensions", "found shape (4,)", "array[:, None]")),
        (np.float64(3), ("expected two dimensions", "found shape ()")),
        (np.ones((4, 2, 3, 3)), ("two dimensions", "found shape (4, 2, 3, 3)", "transpose")),
        (np.ones((0, 2)), ("at least one sample", "found shape (0, 2)", "leave empty layers out")),
        (np.ones((4, 0)), ("one neuron", "found shape (4, 0)", "leave empty layers out")),
        (np.full((4, 2), "a"), ("expected real numbers", "found dtype <U1", "convert it to")),
        ([["1", "2"]] * 4, ("expected real numbers", "found dtype <U1")),
        (
            [[1.0, None]] * 4,
            ("expected real numbers", "found dtype object", "each column to float"),
        ),
        (np.array([[1.0, None]] * 4), ("expected real numbers", "found dtype object")),
        (np.ones((4, 2), "datetime64[s]"), ("real numbers", "found dtype datetime64[s]")),
        ([[1.0, 2.0], [3.0]], ("expected an array of shape (samples, neurons)", "found list")),
        (None, ("expected an array of shape (samples, neurons)", "found None")),
        ("a.npy", ("expected an array", "found 'a.npy'", "load the file first")),
        ({"layer": 1}, ("found an object of type dict; pass one of its arrays: 'layer'",)),
    ],
    ids=str,
)
def test_only_real_matrices_are_accepted(bad, parts):
    with raises("x: ", *parts):
        sm.reduce(bad, GOOD, device="cpu")
    with raises("y: ", *parts):
        sm.reduce(GOOD, bad, device="cpu")


@pytest.mark.parametrize(
    "bad", [GOOD * 1j, (GOOD * 1j).tolist(), torch.ones(4, 2, dtype=torch.complex64)], ids=type
)
def test_complex_numbers_are_refused_with_advice_that_keeps_them(bad):
    advice = "pass real and imaginary parts as separate neurons, or absolute values"
    with raises("x: expected real numbers, found dtype ", "complex", f"; {advice}"):
        sm.reduce(bad, GOOD, device="cpu")


def test_a_table_of_numbers_is_read_and_one_of_other_types_is_refused():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(GOOD)
    assert sm.reduce(table, table > 0, device="cpu") == sm.reduce(GOOD, GOOD, device="cpu")
    for column in (table[0] > 0, table[0].astype("Int64"), ["a"] * 4, [1, None, 2, 3]):
        bad = table.assign(new=pd.Series(column, dtype="Int64" if None in column else None))
        with raises("y: expected real numbers, found dtype object; convert each column to float32"):
            sm.reduce(GOOD, bad, device="cpu")


def test_a_table_whose_rows_have_labels_is_refused():
    """Two tables may hold the same samples in different orders."""
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)))
    for labelled in (
        table.sort_values(0),
        table[table[0] > 0],
        table.set_axis([f"image {n}" for n in range(40)]),
        pd.concat([table, table]),
        table.set_index([0, 1], drop=False),
    ):
        for function in (sm.reduce, sm.linear_cka, lambda *pair: sm.consensus_path(list(pair))):
            with raises("expected rows by their place, found a table whose rows have labels, the"):
                function(labelled, labelled)
        numbers = labelled.to_numpy()
        renumbered = labelled.reset_index(drop=True)
        assert sm.reduce(renumbered, numbers) == sm.reduce(numbers, numbers)


@pytest.mark.parametrize("kind", [{}, {"zarr_format": 2}, {"shards": (15, 4)}], ids=str)
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("emptied", [False, True])
def test_a_zarr_array_with_a_missing_chunk_is_refused(kind, centred, emptied, tmp_path, zarr):
    """The chunk would be read as zeros: neurons would be dead on part of the samples."""
    x = np.random.default_rng(0).normal(size=(40, 2))
    array = zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(5, 2), **kind)
    sm.reduce(array, x, centred=centred)
    files = (file for file in (tmp_path / "x.zarr").rglob("*") if file.is_file())
    chunk = next(file for file in files if not file.name.startswith(("zarr.json", ".z")))
    chunk.write_bytes(b"") if emptied else chunk.unlink()
    for sides in ((array, x), (x, array)):
        with raises(f"expected all {3 if 'shards' in kind else 8} chunks", "write_empty_chunks"):
            sm.reduce(*sides, centred=centred)


def test_a_zarr_array_in_memory_with_missing_chunks_is_refused(zarr):
    array = zarr.create_array({}, shape=(40, 2), chunks=(5, 2), dtype="float32")
    array[:30] = 1.0
    with raises("y: expected all 8 chunks or shards of a Zarr array, found 2 missing"):
        sm.reduce(np.eye(40, 2), array)


MASKED = np.ma.masked_greater(np.eye(4, 2), 0.5)


@pytest.mark.parametrize(
    ("bad", "parts"),
    [
        (MASKED, ("found a masked array (MaskedArray)", "leave masked samples out of both sides")),
        (np.ma.array(GOOD), ("found a masked array",)),  # a mask may be set later
        ([*MASKED], ("found a masked array",)),
        (scipy.sparse.csr_array(GOOD), ("dense array, found a sparse one (csr_array)", "toarray")),
        (scipy.sparse.coo_matrix(GOOD), ("found a sparse one (coo_matrix)",)),
        (scipy.sparse.dok_array(GOOD), ("found a sparse one (dok_array)",)),
        (torch.eye(4).to_sparse(), ("found a sparse one (Tensor)", "x.to_dense()")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_masked_and_sparse_arrays_are_refused_in_one_line(bad, parts):
    with raises("x: expected", *parts) as error:
        sm.reduce(bad, GOOD, device="cpu")
    assert "\n" not in str(error.value)
    with raises("y: expected", *parts):
        sm.reduce(GOOD, bad, device="cpu")
    with raises("ys[1]: expected", *parts):
        sm.heat_map([GOOD], [GOOD, bad], 0.3, device="cpu")
    with raises("y: expected", *parts):
        next(null_paths(sm.reduce(GOOD, GOOD), GOOD, bad, [np.arange(4)]))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_csc])
def test_every_sparse_layout_of_torch_is_refused(layout):
    with raises("y: expected a dense array, found a sparse one"):
        sm.reduce(GOOD, torch.eye(4).to_sparse(layout=layout), device="cpu")


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
def test_masked_tensors_are_refused():
    masked = torch.masked.masked_tensor(torch.eye(4), torch.eye(4) > 0)
    with raises("x: expected an array without missing values", "(MaskedTensor)"):
        sm.reduce(masked, GOOD, device="cpu")


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_refused():
    nested = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(1, 3)])
    for bad in (nested, [nested, nested]):
        with raises("y: expected an array of shape", "found a nested tensor; join its parts with"):
            sm.reduce(GOOD, bad, device="cpu")


def test_tensors_without_values_are_refused(device):
    meta = torch.ones(4, 2, device="meta")
    for bad in (meta, [*meta], meta.half()):
        for function in (sm.reduce, sm.reduce_halves):
            with raises("y: expected an array with values, found a tensor on the device 'meta'"):
                function(GOOD, bad, device=device)


def unusual_tensors(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return the same numbers in tensors that ``Tensor.numpy`` refuses."""
    numbers = torch.tensor(np.random.default_rng(0).normal(size=(40, 3)), dtype=dtype)
    tensors = {
        "requires grad": numbers.clone().requires_grad_(),
        "negative": torch._neg_view(-numbers),
    }
    if dtype in (torch.float32, torch.float64):
        tensors["of a conjugate"] = torch.complex(numbers, -numbers).conj().imag
    return tensors


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_real_tensor_and_a_list_of_its_rows_are_read(dtype, device):
    y = np.random.default_rng(1).normal(size=(40, 2))
    for tensor in unusual_tensors(dtype).values():
        numbers = tensor.detach().resolve_neg().double().numpy()
        for centred in (False, True):
            expected = sm.reduce(numbers, y, device=device, centred=centred)
            for x in (tensor, [*tensor], tuple(tensor)):
                assert sm.reduce(x, y, device=device, centred=centred) == expected


def test_a_list_that_numpy_cannot_read_is_refused():
    bad = [[torch.tensor(1.0, requires_grad=True)] * 2] * 4
    with raises("x: expected an array of shape (samples, neurons), found list: ", "requires grad"):
        sm.reduce(bad, GOOD)


PAIR = sm.reduce(GOOD, GOOD, device="cpu")
HALVES = sm.reduce_halves(np.eye(8)[:, :2], np.eye(8)[:, :2], device="cpu")
# What a user may pass by mistake instead of a pair or its halves.
OTHERS = {
    "an array of shape (4, 2)": GOOD,
    "None": None,
    "'a.npy'": "a.npy",
    "an object of type list": [GOOD, GOOD],
    "an object of type MinimalMatches": sm.minimal_matches(PAIR, 0.1),
}
OF_PAIRS = {
    "match_path": sm.match_path,
    "minimal_match": lambda pair: sm.minimal_match(pair, 0.1, ("x", 0)),
    "minimal_matches": lambda pair: sm.minimal_matches(pair, 0.1),
    "smallest_minimal_matches": lambda pair: sm.smallest_minimal_matches(pair, 0.1),
    "simple_matches": sm.simple_matches,
}


@pytest.mark.parametrize("found", OTHERS)
@pytest.mark.parametrize("function", OF_PAIRS.values(), ids=OF_PAIRS)
def test_anything_but_a_pair_is_refused(function, found):
    with raises("pair: expected the moments of two layers, reduce(x, y)", f"found {found}"):
        function(OTHERS[found])
    with raises(
        "pair: expected the moments of two layers", "found an object of type HalvedMoments"
    ):
        function(HALVES)


@pytest.mark.parametrize("found", OTHERS)
@pytest.mark.parametrize("function", [sm.cross_fitted_path, sm.held_out_path])
def test_anything_but_halves_is_refused(function, found):
    with raises("halves: expected the moments of two halves, reduce_halves(x, y)", f"{found}"):
        function(OTHERS[found])
    with raises("halves: expected", "found an object of type PairMoments"):
        function(PAIR)


@pytest.mark.parametrize("found", ["None", "'a.npy'", "an object of type PairMoments"])
def test_anything_but_a_list_of_layers_is_refused(found):
    bad = OTHERS.get(found, PAIR)
    expected = f"expected a list of arrays of shape (samples, neurons), found {found}"
    for call in (sm.consensus_path, lambda layers: sm.consensus_match(layers, 0.1)):
        with raises(f"layers: {expected}"):
            call(bad)
    for call in (lambda *both: sm.heat_map(*both, 0.3), sm.layer_pairs):
        with raises(f"xs: {expected}"):
            call(bad, [GOOD])
        with raises(f"ys: {expected}"):
            call([GOOD], bad)


@pytest.mark.parametrize("seed", [-1, "a", 1.5, None])
def test_a_seed_must_be_a_whole_number(seed):
    for call in (
        lambda: sm.reduce_halves(GOOD, GOOD, seed=seed),
        lambda: sm.smallest_minimal_matches(PAIR, 0.1, seed=seed),
    ):
        with raises(f"seed: expected a whole number of at least 0, found {seed!r}; equal seeds"):
            call()


def test_other_options_of_a_wrong_type_are_refused():
    with raises("partial: expected the PartialMatches of an unfinished call", "found 3"):
        sm.minimal_matches(PAIR, 0.1, partial=3)
    with raises("neurons: expected a list of ('x', index) or ('y', index), or None, found 3"):
        sm.minimal_matches(PAIR, 0.1, neurons=3)
    with raises("progress: expected a function of a number of neurons, found True; use for"):
        sm.minimal_matches(PAIR, 0.1, progress=True)
    for option in ("order", "restarts", "threads"):
        with raises(f"{option}: expected", "found an array of shape (2, 2)"):
            sm.minimal_matches(PAIR, 0.1, **{option: np.ones((2, 2))})
    with raises("neuron: expected ('x', index)", "found (array(['x'"):
        sm.minimal_match(PAIR, 0.1, (np.array(["x", "y"]), 0))
    with raises("variance: expected a fraction in (0, 1], found 'all'"):
        sm.svcca(PAIR, "all")


def test_an_error_shows_a_large_argument_in_one_line():
    for wrong in (np.ones((50, 50)), [HALVES] * 9):
        for call in (
            lambda value: sm.reduce(GOOD, GOOD, chunk_samples=value),
            path_of(GOOD, GOOD).similarity,
            sm.match_path,
        ):
            with raises("expected") as error:
                call(wrong)
            assert len(str(error.value).splitlines()) == 1
            assert len(str(error.value)) < 150


def test_different_numbers_of_samples_are_refused():
    with raises(
        "x and y: expected the same samples in both, found 4 in x and 5 in y; run both networks"
    ):
        sm.reduce(GOOD, np.eye(5), device="cpu")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("chunk_samples", [None, 3])
def test_nan_and_infinity_errors_name_a_neuron(dtype, chunk_samples, device):
    bad = np.ones((10, 6), dtype=dtype)
    bad[[2, 9], 4], bad[5, 5] = np.nan, -np.inf
    for x, y, argument in ((bad, bad[:, :2], "x"), (bad[:, :2], bad, "y")):
        with raises(f"{argument}: expected finite", "found 3 NaN", "in 2 neurons", "neuron 4;"):
            sm.reduce(x, y, device=device, chunk_samples=chunk_samples)


def test_an_infinite_neuron_is_reported_before_an_overflowing_one():
    bad = np.ones((4, 3))
    bad[0, 0], bad[0, 2] = 1e200, np.inf
    with raises("x: expected finite", "found 1 NaN or infinite", "in 1 neurons", "neuron 2;"):
        sm.reduce(bad, GOOD, device="cpu")


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (1e200, ("so large that their squares overflow", "scale its column down")),
        (1e-170, ("so small that their squares underflow", "scale its column up")),
        (1e-150, ("so small that their squares underflow", "scale its column up")),
    ],
)
def test_squares_outside_float64_are_refused(value, parts, device):
    bad = np.eye(4, 3)
    bad[2, 1] = value
    bad[1, 1] = 0.0
    with raises("y: ", "squares fit in float64", "found neuron 1", *parts):
        sm.reduce(GOOD, bad, device=device)


def test_the_smallest_float32_is_accepted():
    tiny = np.full((4, 1), np.finfo(np.float32).smallest_subnormal, dtype=np.float32)
    assert sm.maximum_match(tiny, np.ones((4, 1)), 0.1).x.tolist() == [0]


@pytest.mark.parametrize("chunk_samples", [0, -3, 2.5, "many"])
def test_chunk_samples_must_be_a_positive_integer(chunk_samples):
    with raises("chunk_samples: ", "whole number of at least 1", f"found {chunk_samples!r}"):
        sm.reduce(GOOD, GOOD, chunk_samples=chunk_samples, device="cpu")


@pytest.mark.parametrize("device", ["gpu", "tpu:0", "cuda:x", ""])
def test_an_unknown_device_is_refused(device):
    with raises("device: expected 'cpu', 'cuda' or 'auto'", f"found {device!r}", "use device="):
        sm.reduce(GOOD, GOOD, device=device)


def test_a_device_without_float64_is_refused():
    with raises("device: expected one with float64", "found 'mps'", "use device='cpu'"):
        sm.reduce(GOOD, GOOD, device="mps")


def test_cuda_without_a_cuda_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    pair = sm.reduce(GOOD, GOOD, device="auto")
    with raises("device: expected a CUDA device for 'cuda', found none", "use device='cpu'"):
        sm.reduce(GOOD, GOOD, device="cuda")
    with raises("device: expected a CUDA device"):
        sm.match_path(pair, device="cuda:1")


@pytest.mark.parametrize("epsilon", [1, 1.0, -0.1, np.nan, np.inf])
def test_an_epsilon_outside_the_range_is_refused(epsilon):
    path = path_of(GOOD, GOOD)
    parts = ("epsilon: expected a number in [0, 1)", f"found {float(epsilon)}", "at 1 all neurons")
    with raises(*parts):
        path.maximum_match(epsilon)
    with raises(*parts):
        path.similarity(epsilon)
    with raises(*parts):
        path.similarity(np.array([0.1, epsilon]))
    with raises(*parts):
        sm.maximum_match(GOOD, GOOD, epsilon, device="cpu")


@pytest.mark.parametrize("epsilon", ["a third", None, [[0.1], [0.1, 0.2]]])
def test_an_epsilon_that_is_not_a_number_is_refused(epsilon):
    path = path_of(GOOD, GOOD)
    with raises("epsilon: expected a number in [0, 1), found"):
        path.similarity(epsilon)


def test_a_maximum_match_takes_one_epsilon():
    path = path_of(GOOD, GOOD)
    with raises(
        "epsilon: expected one number", "found an array of shape (2,)", "one epsilon at a time"
    ):
        path.maximum_match([0.1, 0.2])


def test_epsilon_is_checked_before_samples_are_read():
    class Unread:
        shape, dtype = (4, 2), np.dtype(np.float32)

        def __getitem__(self, rows):
            raise AssertionError("read")

    with raises("epsilon: "):
        sm.maximum_match(Unread(), Unread(), 2.0, device="cpu")
