"""Files of weights as trainings leave them: which dictionary in one is the network's.

A checkpoint holds weights beside other things, under a key of the training's choice, and before
their names stands what the network was wrapped in: ``module.``, ``_orig_mod.``, Lightning's
``model.``. None is known by its name here: the one that fits the network is taken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ..storage.lfs_pointers import is_lfs_pointer, lfs_pointer_error

ENDINGS = (".safetensors", ".pt", ".pth", ".pth.tar", ".th", ".ckpt")
# DenseNet's weights were published before a module's name could not hold a dot.
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")
_DEPTH = 3  # of dictionaries in one another; one may even hold itself
_KEYS_SHOWN = 5

Tensors = dict[str, torch.Tensor]


def read_checkpoint(file: Path) -> Any:
    """What a file of one of the ``ENDINGS`` holds, on the CPU; no code in it is run.

    Raises:
        ValueError: if it cannot be read, naming it.
    """
    if is_lfs_pointer(file):
        raise lfs_pointer_error(file)
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of any kind: the file may be anything
        said = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"network.weights: expected a file of tensors only, found one that cannot be read as"
            f" such: {file} ({said}); save network.state_dict() by itself"
        ) from error


def dictionaries(content: Any, names: Collection[str]) -> dict[str, Tensors]:
    """Each dictionary of tensors in a checkpoint, by its place there, without a prefix.

    Args:
        content: of the file.
        names: of the network's tensors; a prefix is what stands before one of them.

    Example:
        >>> weights = {"module.output.weight": torch.ones(2), "module.output.bias": torch.ones(1)}
        >>> content = {"epoch": 3, "net": weights}
        >>> [(place, list(found)) for place, found in
        ...  dictionaries(content, ["output.weight", "output.bias"]).items()]
        [('net: module.', ['output.weight', 'output.bias'])]
    """
    return {
        ": ".join(filter(None, [place, prefix])): {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        for place, tensors in _of_tensors(content, "", _DEPTH)
        for prefix in _prefixes(tensors, names)
    }


def keys_of(content: Any) -> str:
    """What a checkpoint holds, for people."""
    if not isinstance(content, Mapping):
        return f"an object of {type(content).__name__}"
    return f"the keys {_listed(content)}" if content else "no keys"


def _listed(content: Mapping[Any, Any], depth: int = 2) -> str:
    """The first keys, with what is in each."""
    shown = [
        f"{key} ({_listed(value, depth - 1)})"
        if isinstance(value, Mapping) and value and depth > 1
        else str(key)
        for key, value in list(content.items())[:_KEYS_SHOWN]
    ]
    more = len(content) - _KEYS_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _of_tensors(content: Any, place: str, depth: int) -> Iterator[tuple[str, Tensors]]:
    if not isinstance(content, Mapping) or not depth:
        return
    tensors = {
        _OLD_DENSENET.sub(r"\1\2", key): value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }
    if tensors:
        yield place, tensors
    for key, value in content.items():
        yield from _of_tensors(value, f"{place}.{key}" if place else str(key), depth - 1)


def _prefixes(tensors: Tensors, names: Collection[str]) -> list[str]:
    """What stands before as many names of tensors as the network has, or before most of them."""
    counts = Counter(
        name[:start]
        for name in tensors
        for start in (0, *(place + 1 for place, letter in enumerate(name) if letter == "."))
        if name[start:] in names
    )
    whole = [prefix for prefix, count in counts.items() if count >= len(names)]
    return whole or [prefix for prefix, _ in counts.most_common(1)]
