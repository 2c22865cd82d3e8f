"""Which layers an architecture has, known before anything is trained, and cheaply.

The workflow's graph needs the layers' names. They come from the architecture's own graph, without
weights, and are kept in a file: building that graph costs seconds of imports, reading the file
none.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..artefacts import read_record, sha256, write_record
from ..config import Config
from ..datasets import SOURCES

_MODULES = [Path(__file__).with_name(name) for name in ("architectures.py", "layers.py")]


def layers_of(config: Config, path: str | Path) -> list[dict[str, Any]]:
    """The layers of the configuration's architecture, in order of computation.

    Args:
        config: complete.
        path: file of the listing; made if it is absent or the code has changed since.

    Returns:
        A record a layer: name, node, kind, neurons, height, width.
    """
    code = [sha256(module) for module in _MODULES]
    if Path(path).exists():
        record = read_record(path)
        if record["code"] == code:
            return list(record["layers"])
    layers = _listed(config)
    write_record(path, {"code": code, "layers": layers})
    return layers


def _listed(config: Config) -> list[dict[str, Any]]:
    import torch

    from .architectures import build
    from .layers import LayeredNetwork

    source, size = SOURCES[config["data"]["name"]], config["data"]["image_size"]
    with torch.device("meta"):  # shapes, no numbers
        network = build(**config["network"], channels=source.channels, classes=source.classes)
        layers = LayeredNetwork(network).layers(source.channels, size, size)
    return [asdict(layer) for layer in layers]
