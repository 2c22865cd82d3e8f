"""Names of networks, and the files of Hugging Face that they stand for; neither needs torch.

A network's name begins with its source and a colon, or it is one of the small-image networks:

- ``torchvision:MODEL`` and ``timm:MODEL``, a model of that library;
- ``transformers:CLASS``, a class of models, whose sizes are in ``network.options``;
- ``transformers:FOLDER``, a folder with ``config.json`` and weights (``.safetensors``), or
  ``transformers:OWNER/NAME`` and ``transformers:OWNER/NAME@REVISION``, such a folder in the user's
  Hugging Face cache;
- anything else with a colon is the user's own code, ``package.module:callable``.

Nothing is ever downloaded here, because many jobs may run at once, often without internet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..extras import needs

TORCHVISION, TIMM, TRANSFORMERS = "torchvision:", "timm:", "transformers:"
EXTRA_SOURCES = ("timm", "transformers")  # packages of the extra "models"
# Value of ``network.weights`` for the weights in a folder of transformers.
PUBLISHED = "published"


def is_user_code(name: str) -> bool:
    """Return whether a name is an import path ``package.module:callable``.

    Example:
        >>> is_user_code("my_package.models:Encoder"), is_user_code("timm:resnet18")
        (True, False)
    """
    return ":" in name and not name.startswith((TORCHVISION, TIMM, TRANSFORMERS))


def short_name(name: str) -> str:
    """Return a name without the location of a folder.

    Example:
        >>> short_name("transformers:/models/bert-tiny"), short_name("timm:resnet18")
        ('transformers:bert-tiny', 'timm:resnet18')
    """
    source, colon, target = name.partition(":")
    return source + colon + target.rstrip("/").rpartition("/")[2]


def model_folder(name: str) -> Path | None:
    """Return the folder with the files of a model of transformers; None for other networks.

    Raises:
        ValueError: if it has no ``config.json``, or is not in the user's cache; the message has the
            command that fetches it.
    """
    target = name.removeprefix(TRANSFORMERS)
    if target == name:
        return None
    folder = Path(target).expanduser()
    if "/" in target and not folder.exists() and target[0] not in "/.~":
        return _cached(target)
    if not folder.is_dir():
        if "/" not in target:
            return None
        raise ValueError(f"network.name: expected a folder, found none at {folder}")
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"network.name: expected a folder with config.json, as transformers saves models, found"
            f" none in {folder}"
        )
    return folder


def _cached(target: str) -> Path:
    """Return the folder of OWNER/NAME[@REVISION] in the user's Hugging Face cache."""
    with needs("models", f"network.name {TRANSFORMERS}{target}"):
        from huggingface_hub import try_to_load_from_cache

    repository, _, revision = target.partition("@")
    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision or None)
    except ValueError as error:  # not a name of a repository
        raise ValueError(
            f"network.name: expected a folder, or OWNER/NAME of a model, found {target!r} ({error})"
        ) from error
    if not isinstance(found, str):
        fetch = f"hf download {repository}" + (f" --revision {revision}" if revision else "")
        raise ValueError(
            f"network.name: expected {target} in Hugging Face's cache (set by HF_HOME), or a folder"
            f" of that name, found none; fetch it with: {fetch}"
        )
    return Path(found).parent


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights in a folder of transformers, which may be divided.

    Raises:
        ValueError: if any is missing.
    """
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(index, error) from error
    files = [folder / name for name in names]
    if missing := [file for file in files if not file.is_file()]:
        raise ValueError(
            f"network.weights: expected the model's weights in {missing[0]}, found none; save them"
            " with transformers' save_pretrained, or fetch the whole model"
        )
    return [*files, *([index] if index.is_file() else [])]


def read_model_config(folder: Path) -> dict[str, Any]:
    """Return the content of ``config.json`` in a folder of transformers."""
    file = folder / "config.json"
    try:
        found = json.loads(file.read_text("utf-8"))
        return dict(found)
    except (ValueError, TypeError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{file}: expected JSON as transformers saves it, found an unreadable file ({error}); save"
        " or fetch the model again"
    )


def published_timm(name: str, weights: str) -> tuple[Any, Path]:
    """Return timm's description of published weights, and their file in the user's cache.

    Args:
        name: ``timm:MODEL``.
        weights: TAG or TAG@REVISION; timm calls the weights MODEL.TAG.

    Raises:
        ValueError: if there are no such weights (the message lists those that exist), or the file
            is not in the cache (the message has the command that fetches it).
    """
    with needs("models", f"network.name {name}"):
        import timm
        from huggingface_hub import try_to_load_from_cache

    model = name.removeprefix(TIMM)
    tag, _, revision = weights.partition("@")
    known = [each.partition(".")[2] for each in timm.list_pretrained(f"{model}.*")]
    if tag not in known:
        raise ValueError(
            f"network.weights: expected a file, or one of timm's weights for {model}:"
            f" {', '.join(known) or 'there are none'}; found {tag!r}"
        )
    about: Any = timm.models.get_pretrained_cfg(f"{model}.{tag}")
    repository = about.hf_hub_id
    found = try_to_load_from_cache(repository, "model.safetensors", revision=revision or None)
    if not isinstance(found, str):
        fetch = f"hf download {repository} model.safetensors"
        raise ValueError(
            f"network.weights: expected {model}.{weights} in Hugging Face's cache (set by HF_HOME),"
            f" found none; fetch it with: {fetch}{f' --revision {revision}' if revision else ''}"
        )
    return about, Path(found)


def model_files(name: str, weights: str | None) -> list[Path]:
    """Return the files of Hugging Face that a network is made from: its sizes and its weights.

    Args:
        name: of the network.
        weights: ``network.weights``; files and torchvision's weights are not meant here.
    """
    if name.startswith(TIMM) and weights is not None and not Path(weights).suffix:
        return [published_timm(name, weights)[1]]
    folder = model_folder(name)
    if folder is None:
        return []
    return [folder / "config.json", *(weight_files(folder) if weights == PUBLISHED else [])]


def revision_of(name: str, weights: str | None) -> str | None:
    """Return the commit of published files in the user's cache; None for other files.

    The cache holds the files of each commit in a folder of that name.
    """
    files = model_files(name, weights)
    folder = files[0].parent if files else Path()
    return folder.name if folder.parent.name == "snapshots" else None
