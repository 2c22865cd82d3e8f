"""Checks of the public functions' arguments, with one-line errors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .backends import resolve_device
from .backends.base import Device

# Neurons per sample. Unrelated activations of n neurons over d samples are sqrt(1 - n/d) from a
# span, so above this ratio part of the similarity is chance.
FEW_SAMPLES = 0.2
# Area minus cross-fitted area. Simulated layers of 64 neurons have a gap of 0.025 to 0.05 at 0.2
# neurons per image. Real layers can have it with more images.
LARGE_GAP = 0.03


def in_words(value: Any) -> str:
    """Describe a value of a wrong type in an error: short and in one line.

    Example:
        >>> in_words(np.ones((5, 2))), in_words("a.npy"), in_words(None)
        ('an array of shape (5, 2)', "'a.npy'", 'None')
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"an array of shape {tuple(shape)}"
    if value is None or isinstance(value, (str, bytes, bool, int, float)):
        return repr(value)
    return f"an object of type {type(value).__name__}"


def check_type(argument: str, value: Any, kinds: type | tuple[type, ...], expected: str) -> None:
    """Raise a ValueError unless a value has one of these types; ``expected`` says how to get it."""
    if not isinstance(value, kinds):
        raise ValueError(f"{argument}: expected {expected}, found {in_words(value)}")


def check_seed(seed: Any) -> None:
    """Raise a ValueError unless a seed is a whole number of at least 0."""
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(
            f"seed: expected a whole number of at least 0, found {in_words(seed)}; equal seeds give"
            " equal results"
        )


def check_list(argument: str, value: Any) -> None:
    """Raise a ValueError unless a value can be a list of activations."""
    if not hasattr(value, "__len__") or isinstance(value, (str, bytes)):
        raise ValueError(
            f"{argument}: expected a list of arrays of shape (samples, neurons), found"
            f" {in_words(value)}"
        )


def as_activations(argument: str, value: Any) -> Any:
    """Check activations (samples, neurons), and convert sequences to a NumPy array.

    Args:
        argument: name to use in an error.
        value: NumPy array, torch tensor, Zarr array, or nested sequence of numbers.

    Returns:
        The array itself, or a NumPy array for a sequence.

    Raises:
        ValueError: if it is not a real matrix with at least one sample and one neuron, is masked,
            sparse, nested or without values, is a Zarr array with missing chunks, or a table whose
            rows are not numbered in their order.
    """
    _check_values(argument, value)
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        value = _converted(argument, value)
    _check_real(argument, value)
    shape = tuple(value.shape)
    if len(shape) != 2:
        one_neuron = "for a single neuron use array[:, None]"
        maps = "convert maps [N, C, H, W] by map.transpose(0, 2, 3, 1).reshape(-1, C)"
        raise ValueError(
            f"{argument}: expected two dimensions (samples, neurons), found shape {shape};"
            f" {one_neuron if len(shape) < 2 else maps}"
        )
    if shape[0] == 0 or shape[1] == 0:
        raise ValueError(
            f"{argument}: expected at least one sample and one neuron, found shape {shape}; leave"
            " empty layers out"
        )
    _check_chunks(argument, value)
    return value


def as_layers(argument: str, layers: Sequence[Any]) -> dict[str, Any]:
    """Check a list of activations, and name them for errors: "xs[0]" and so on."""
    names = [f"{argument}[{index}]" for index in range(len(layers))]
    return {name: as_activations(name, layer) for name, layer in zip(names, layers, strict=True)}


def _converted(argument: str, value: Any) -> np.ndarray:
    """Convert a sequence of numbers to an array; raise a ValueError for anything else."""
    expected = f"{argument}: expected an array of shape (samples, neurons), found"
    if hasattr(value, "iloc") and not np.array_equal(value.index, np.arange(len(value))):
        raise ValueError(
            f"{argument}: expected rows by their place, found a table whose rows have labels, the"
            f" first {value.index[0]!r}, which do not count here; bring the rows of both sides into"
            " one order, and pass table.to_numpy()"
        )
    if isinstance(value, (list, tuple)):
        cpu = resolve_device("cpu")
        value = [cpu.rows(part) if hasattr(part, "detach") else part for part in value]
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{expected} {type(value).__name__}: {error}") from error
    if array.dtype.kind in "OSU" and not array.ndim:
        then = "; load the file first, for example with np.load" if isinstance(value, str) else ""
        if isinstance(value, Mapping):
            then = f"; pass one of its arrays: {', '.join(map(repr, list(value)[:5]))}"
        raise ValueError(f"{expected} {in_words(value)}{then}")
    return array


def _check_real(argument: str, value: Any) -> None:
    """Raise a ValueError unless an array has real numbers."""
    name = dtype_name(value)
    if name.startswith(("float", "bfloat", "int", "uint", "bool")):
        return
    then = "convert it to float32"
    if name.startswith("complex"):
        then = "pass real and imaginary parts as separate neurons, or absolute values"
    elif name == "object":
        then = (
            "convert each column to float32: a table is of objects if its columns have different"
            " types or missing values"
        )
    raise ValueError(f"{argument}: expected real numbers, found dtype {value.dtype}; {then}")


def _check_chunks(argument: str, value: Any) -> None:
    """Raise a ValueError for a Zarr array with missing chunks, which would be read as zeros."""
    store = getattr(value, "store", None)
    if not getattr(store, "supports_listing", False) or not hasattr(value, "nchunks_initialized"):
        return
    block = getattr(value, "shards", None) or value.chunks
    expected = math.prod(-(-n // of) for n, of in zip(value.shape, block, strict=True))
    chunks_per_block = math.prod(of // n for of, n in zip(block, value.chunks, strict=True))
    missing = expected - value.nchunks_initialized // chunks_per_block
    empty = None
    if root := getattr(store, "root", None):  # an empty file is read as zeros too
        files = (Path(root) / value.path).rglob("*")
        empty = next((file for file in files if file.is_file() and not file.stat().st_size), None)
    if missing or empty:
        found = f"{missing} missing" if missing else f"{empty} empty"
        raise ValueError(
            f"{argument}: expected all {expected} chunks or shards of a Zarr array, found {found},"
            f" which would be read as {value.fill_value}; copy the array again, or, if that is the"
            " true value, write it with config={'write_empty_chunks': True}"
        )


def _check_values(argument: str, value: Any) -> None:
    """Raise a ValueError unless an array, or each of a sequence, has one value for each place."""
    for part in (value, *(value if isinstance(value, (list, tuple)) else ())):
        kind = type(part).__name__
        if getattr(part, "is_nested", False):
            raise ValueError(
                f"{argument}: expected an array of shape (samples, neurons), found a nested tensor;"
                " join its parts with torch.cat(x.unbind())"
            )
        if getattr(getattr(part, "device", None), "type", None) == "meta":
            raise ValueError(
                f"{argument}: expected an array with values, found a tensor on the device 'meta',"
                " which has none; compute activations on another device"
            )
        if isinstance(part, np.ma.MaskedArray) or kind == "MaskedTensor":
            raise ValueError(
                f"{argument}: expected an array without missing values, found a masked array"
                f" ({kind}); leave masked samples out of both sides, or fill them in"
            )
        layout = str(getattr(part, "layout", "torch.strided"))
        # Sparse arrays of SciPy and of the package "sparse" have todense; torch's have a layout.
        if hasattr(part, "todense") or layout != "torch.strided":
            how = "x.to_dense()" if kind == "Tensor" else "x.toarray() or x.todense()"
            raise ValueError(
                f"{argument}: expected a dense array, found a sparse one ({kind}); convert it with"
                f" {how}"
            )


def dtype_name(array: Any) -> str:
    """Return the name of an array's dtype, without torch's prefix and NumPy's byte order."""
    name = str(array.dtype)
    return name[6:] if name.startswith("torch.") else str(np.dtype(array.dtype).name)


def same_samples(
    layers: Mapping[str, Any],
    then: str = "run both networks on the same inputs in the same order",
) -> None:
    """Raise a ValueError unless all layers have the same number of samples.

    Args:
        layers: at least one, by the name to use in an error.
        then: what the error advises.
    """
    first, *others = layers
    for name in others:
        samples = [layers[one].shape[0] for one in (first, name)]
        if samples[0] != samples[1]:
            raise ValueError(
                f"{first} and {name}: expected the same samples in both, found {samples[0]} in"
                f" {first} and {samples[1]} in {name}; {then}"
            )


class FewSamplesWarning(UserWarning):
    """There are so few samples per neuron that part of the similarity is chance."""


def warn_of_few_samples(neurons: int, count: int, unit: str) -> None:
    """Warn if a layer has too many neurons for its samples or images.

    Args:
        neurons: number of neurons of the widest layer.
        count: number of samples, or of images if it is known which samples share one.
        unit: "sample" or "image".
    """
    if neurons > FEW_SAMPLES * count:
        warnings.warn(
            f"{neurons / count:.2f} neurons per {unit} ({neurons} neurons, {count} {unit}s);"
            f" above {FEW_SAMPLES:g} part of the match is chance: use more {unit}s, or compare with"
            " cross_fitted_path",
            FewSamplesWarning,
            stacklevel=3,
        )


def as_chunk_samples(chunk_samples: int | None, width: int, device: Device) -> int:
    """Check the number of samples to hold at a time; None means as many as the device likes.

    Args:
        chunk_samples: what the user asks for.
        width: numbers of a sample, of all sides.
        device: where they are.
    """
    if chunk_samples is None:
        return max(1, device.chunk_bytes // (8 * width))
    if not isinstance(chunk_samples, (int, np.integer)) or chunk_samples < 1:
        raise ValueError(
            "chunk_samples: expected a whole number of at least 1, found"
            f" {in_words(chunk_samples)}; use None for the default"
        )
    return int(chunk_samples)


def as_epsilon(epsilon: Any) -> float:
    """Check one epsilon in [0, 1) and return it as a float; raise a ValueError if invalid."""
    epsilons = as_epsilons(epsilon)
    if epsilons.ndim:
        raise ValueError(
            f"epsilon: expected one number in [0, 1), found an array of shape {epsilons.shape};"
            " pass one epsilon at a time"
        )
    return float(epsilons)


def as_epsilons(epsilon: Any) -> np.ndarray:
    """Check epsilons in [0, 1) and return them as float64; raise a ValueError if one is invalid."""
    try:
        epsilons = np.asarray(epsilon, dtype=np.float64)
    except (TypeError, ValueError):
        epsilons = None
    if epsilons is None or epsilon is None:
        raise ValueError(
            f"epsilon: expected a number in [0, 1), found {in_words(epsilon)}; the paper uses 0.15"
            " to 0.5"
        )
    outside = ~((epsilons >= 0) & (epsilons < 1))
    if outside.any():
        raise ValueError(
            f"epsilon: expected a number in [0, 1), found {epsilons[outside].flat[0]}; at 1 all"
            " neurons match"
        )
    return epsilons
