"""Networks of Hugging Face's transformers, which is imported only for these.

A class of models has a configuration with its sizes. A folder holds such a configuration, which
names the class, and weights.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..extras import needs
from .source_names import TRANSFORMERS, model_folder, read_model_config, weight_files
from .wording import first_few

# Entries of config.json that are no sizes: who wrote it, and the format of its weights.
_NO_OPTIONS = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"}
_NO_OPTIONS |= {"model_type", "auto_map"}


def without_folder(name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Replace a folder by the class and the sizes in its ``config.json``.

    A checkpoint that names the class and the sizes can be read without the folder.

    Args:
        name: with the prefix.
        options: the user's; they override the folder's sizes.

    Returns:
        ``transformers:CLASS`` and all options; name and options unchanged if there is no folder.

    Raises:
        ValueError: if the folder does not name one class, or the class has no such options.
    """
    folder = model_folder(name)
    if folder is None:
        _check_options(name, options)
        return name, dict(options)
    config = read_model_config(folder)
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or len(architectures) != 1:
        raise ValueError(
            f"{folder / 'config.json'}: expected the name of one class under 'architectures', found"
            f" {architectures!r}; save the model with transformers' save_pretrained"
        )
    name = f"{TRANSFORMERS}{architectures[0]}"
    _check_options(name, options)
    sizes = {key: value for key, value in config.items() if key not in _NO_OPTIONS}
    return name, sizes | dict(options)


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse unknown options, which transformers would ignore."""
    made = _class(name)
    names = _option_names(made)
    if unknown := sorted(set(options) - names):
        near = difflib.get_close_matches(unknown[0], names, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"network.options: expected options of {made.config_class.__name__}, found"
            f" {first_few(unknown)}; the nearest to {unknown[0]!r} is {near!r}"
        )


def _option_names(made: Any) -> set[str]:
    known = made.config_class()
    return {*known.to_dict(), *known.attribute_map, "num_labels"}


def build_transformers(
    name: str, options: Mapping[str, Any], *, channels: int, classes: int
) -> nn.Module:
    """Build ``transformers:CLASS`` with its constructor's weights.

    Args:
        name: with the prefix, without a folder.
        options: of the class's configuration, such as ``n_layer``. Those that a folder or the user
            does not set have the class's defaults, except those below.
        channels: channels of an image (``num_channels``); 0 for texts.
        classes: number of outputs: ``num_labels``, or for texts the number of different tokens,
            ``vocab_size``.

    Raises:
        ValueError: if transformers has no such class, or cannot make it with these options.
    """
    made = _class(name)
    known, names = made.config_class(), _option_names(made)
    sizes = {"vocab_size": classes} if not channels else {"num_channels": channels}
    if channels and "id2label" not in options:
        sizes["num_labels"] = classes
    wanted = {key: size for key, size in sizes.items() if key in names} | dict(options)
    if "use_cache" in names:
        wanted["use_cache"] = False  # keys and values of past tokens, which nothing reads here
    # Special tokens beyond the vocabulary, as in the defaults of GPT-2, do not exist.
    specials = [key for key in names if key.endswith("_token_id") and key not in options]
    vocabulary = wanted.get("vocab_size", classes)
    wanted |= {
        key: None
        for key in specials
        if isinstance(number := getattr(known, key, None), int) and number >= vocabulary
    }
    try:
        network: nn.Module = made(made.config_class(**wanted))
    except Exception as error:  # a model's code may raise anything
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"network.options: expected options with which transformers makes a {made.__name__},"
            f" found {dict(options)} ({type(error).__name__}: {reason})"
        ) from error
    return network


def load_transformers(name: str, folder: Path, network: nn.Module) -> nn.Module:
    """Return a network with the weights in a folder.

    Args:
        name: ``transformers:CLASS``, as ``without_folder`` returns it.
        folder: holds the weights.
        network: of this class; its configuration decides the sizes.

    Raises:
        ValueError: if a file or a tensor is missing, or a tensor has another shape.
    """
    made = _class(name)
    weight_files(folder)  # transformers' own error for a missing file does not say what to do
    from transformers.utils import logging

    logging.disable_progress_bar()
    loaded, about = made.from_pretrained(
        folder,
        config=network.config,
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
    )
    faults = [f"{key} is missing" for key in sorted(about["missing_keys"])]
    faults += [f"{key[0]} has another shape" for key in sorted(about["mismatched_keys"])]
    if faults:
        raise ValueError(
            f"network.weights: expected weights of {type(network).__name__}, found {folder}:"
            f" {first_few(faults, '; ')}"
        )
    return loaded  # type: ignore[no-any-return]


def _class(name: str) -> Any:
    with needs("models", f"network.name {name}"):
        import transformers

    target = name.removeprefix(TRANSFORMERS)
    found = getattr(transformers, target, None)
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        near = difflib.get_close_matches(target, dir(transformers), n=3, cutoff=0.0)
        raise ValueError(
            f"network.name: expected {TRANSFORMERS} and a class of models of transformers, or a"
            f" folder with config.json; found {name!r}; near names are {', '.join(near)}"
        )
    return found
