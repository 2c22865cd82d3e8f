"""Where a data set's own files lie and how many processes read them: nothing that decides a result.

So it is no parameter of a rule: a folder that was moved makes nothing anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEYS = ("root", "workers")


def deciding(data: Mapping[str, Any]) -> dict[str, Any]:
    """A section ``data`` without its whereabouts: what decides the prepared data set.

    Of a folder of images its place is all that tells it from another.

    Example:
        >>> deciding({"name": "cifar10", "root": "somewhere", "workers": 2})
        {'name': 'cifar10'}
        >>> deciding({"name": "image_folder", "root": "somewhere", "workers": 2})
        {'name': 'image_folder', 'root': 'somewhere'}
    """
    neutral = KEYS[1:] if data["name"] == "image_folder" else KEYS
    return {key: value for key, value in data.items() if key not in neutral}


def whereabouts(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Root and workers of the data set that has these settings, the experiment's or a model's.

    Args:
        config: complete.
        settings: of a data set, as ``deciding`` leaves them.

    Example:
        >>> config = {"data": {"name": "cifar10", "root": "c", "workers": 2},
        ...           "models": {"other": {"data": {"name": "cifar100", "root": "d"}}}}
        >>> whereabouts(config, {"name": "cifar100"})
        {'root': 'd', 'workers': 2}
    """
    own = [model.get("data", {}) for model in config["models"].values()]
    sections = [config["data"] | changes for changes in [{}, *own]]
    section = next(section for section in sections if deciding(section) == settings)
    return {key: section[key] for key in KEYS}
