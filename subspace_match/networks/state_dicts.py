"""Find a network's state dict in the content of a checkpoint.

A checkpoint may hold the weights under any key, beside other data, and wrappers put a prefix before
the names: ``module.``, ``_orig_mod.``, Lightning's ``model.``. No key or prefix is hard-coded: the
dictionary that fits the network is used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch

from .architectures import outline
from .source_names import is_user_code
from .wording import first_few

Tensors = dict[str, torch.Tensor]

# DenseNet's weights were published when names of modules could contain a dot.
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")
_DEPTH = 3  # of nested dictionaries; one may even contain itself


def find_state_dict(
    content: Any, architecture: Mapping[str, Any], source: str
) -> tuple[dict[str, Any], Tensors]:
    """Return the architecture and the tensors of the one dictionary that fits the network.

    Args:
        content: content of the checkpoint.
        architecture: arguments of ``build``; ``classes`` follows the tensors, except for user code.
        source: name of the checkpoint in errors.

    Raises:
        ValueError: if none fits (with the differences, or the keys found), or several do.
    """
    expected = outline(**architecture).state_dict()
    fitting: dict[str, tuple[dict[str, Any], Tensors]] = {}
    faults: list[list[str]] = []
    for location, found in tensor_dicts(content, expected.keys()).items():
        adapted, wanted = dict(architecture), expected
        if not is_user_code(architecture["name"]):
            adapted["classes"] = _classes(architecture["classes"], expected, found)
        if adapted != architecture:
            wanted = outline(**adapted).state_dict()
        faults.append(_faults(wanted, found))
        if not faults[-1] and not any(_equal(found, other) for _, other in fitting.values()):
            fitting[location] = adapted, found
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise ValueError(
            f"network.weights: expected one dictionary of the network's tensors, found several in"
            f" {source}: {'; '.join(fitting)}; save the right one by itself"
        )
    if not faults:
        raise ValueError(
            "network.weights: expected a dictionary of the network's tensors, such as"
            f" {next(iter(expected), None)}, found {source} with {_description(content)}"
        )
    raise ValueError(
        f"network.weights: expected weights of the network, found {source}:"
        f" {first_few(min(faults, key=len), '; ')}"
    )


def tensor_dicts(content: Any, names: Collection[str]) -> dict[str, Tensors]:
    """Return each dictionary of tensors in a checkpoint by its location, prefixes removed.

    A prefix is whatever precedes one of the ``names`` of the network's tensors.

    Example:
        >>> weights = {"module.output.weight": torch.ones(2), "module.output.bias": torch.ones(1)}
        >>> content = {"epoch": 3, "net": weights}
        >>> [(location, list(found)) for location, found in
        ...  tensor_dicts(content, ["output.weight", "output.bias"]).items()]
        [('net: module.', ['output.weight', 'output.bias'])]
    """
    return {
        ": ".join(filter(None, [location, prefix])): {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        for location, tensors in _nested(content, "", _DEPTH)
        for prefix in _prefixes(tensors, names)
    }


def _nested(content: Any, location: str, depth: int) -> Iterator[tuple[str, Tensors]]:
    if not isinstance(content, Mapping) or not depth:
        return
    tensors = {
        _OLD_DENSENET.sub(r"\1\2", key): value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }
    if tensors:
        yield location, tensors
    for key, value in content.items():
        yield from _nested(value, f"{location}.{key}" if location else str(key), depth - 1)


def _prefixes(tensors: Tensors, names: Collection[str]) -> list[str]:
    """Return the prefixes shared by a full set of names, or else the most frequent prefix."""
    counts = Counter(
        name[:start]
        for name in tensors
        for start in (0, *(i + 1 for i, letter in enumerate(name) if letter == "."))
        if name[start:] in names
    )
    full = [prefix for prefix, count in counts.items() if count >= len(names)]
    return full or [prefix for prefix, _ in counts.most_common(1)]


def _faults(expected: Mapping[str, torch.Tensor], found: Tensors) -> list[str]:
    """Return the differences between expected and found tensors."""
    faults = [
        f"{name} should have shape {tuple(tensor.shape)}, has {tuple(found[name].shape)}"
        if name in found
        else f"{name} is missing"
        for name, tensor in expected.items()
        if name not in found or found[name].shape != tensor.shape
    ]
    return faults + [f"{name} is unknown" for name in found if name not in expected]


def _equal(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _classes(classes: int, expected: Mapping[str, torch.Tensor], tensors: Tensors) -> int:
    """Return the number of classes of the tensors' network.

    It is the length of the first axis of tensors that differ from the expected ones in this only.
    """
    found = {
        tensors[name].shape[0]
        for name, tensor in expected.items()
        if name in tensors
        and tensors[name].shape != tensor.shape
        and tensor.shape[:1] == (classes,)
        and tensors[name].shape[1:] == tensor.shape[1:]
        and tensors[name].ndim == tensor.ndim
    }
    return found.pop() if len(found) == 1 else classes


def _description(content: Any) -> str:
    """Describe a checkpoint by its first keys, each with the first keys of its value."""
    if not isinstance(content, Mapping):
        return f"an object of {type(content).__name__}"
    keys = [
        f"{key} ({first_few(list(map(str, value)))})"
        if isinstance(value, Mapping) and value
        else str(key)
        for key, value in content.items()
    ]
    return f"the keys {first_few(keys)}" if keys else "no keys"
