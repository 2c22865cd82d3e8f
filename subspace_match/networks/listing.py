"""Which layers an architecture has, known before anything is trained, and cheaply.

The workflow's graph needs the layers' names. They come from the architecture's own graph, without
weights, and are kept in a file: building that graph costs seconds of imports, reading the file
none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..artefacts import read_record, sha256, write_record
from ..comparisons import Model
from ..config import Config
from ..datasets import source_of
from ..imports import file_of_module

_MODULES = [
    Path(__file__).with_name(name)
    for name in ("architectures.py", "axes.py", "layers.py", "task.py")
]
_SHAPE = ("kind", "height", "width")

Listed = dict[str, Any]


def layers_of(model: Model, config: Config, path: str | Path) -> list[Listed]:
    """The layers of a model's architecture, in order of computation.

    Args:
        model: of the configuration.
        config: complete; it says on which images networks are compared, and what a layer is.
        path: file of the listing, which says each layer's shape and axis of neurons too; made if
            it is absent or the code has changed since.

    Returns:
        A record a layer: name, node, kind, neurons, height, width.

    Raises:
        ValueError: if there is no such architecture, or it cannot see these images.
    """
    own_code = map(Path, file_of_module(model.network["name"]))
    code = [sha256(file) for file in [*_MODULES, *own_code]]
    if Path(path).exists():
        record = read_record(path)
        if record["code"] == code:
            return list(record["layers"])
    layers = _listed(model, config)
    shapes = {layer["node"]: _shape(layer) for layer in layers}
    write_record(path, {"code": code, "layers": layers, "shapes": shapes})
    return layers


def shared_layers(a: Sequence[Listed], b: Sequence[Listed]) -> tuple[list[Listed], list[str]]:
    """The layers of network A that network B has too: of the same name, kind and map size.

    Returns:
        Those layers, as A has them, and the names of the layers of either that are not among them.

    Raises:
        ValueError: if there are none.
    """
    of_b = {layer["name"]: layer for layer in b}
    shared = [
        layer
        for layer in a
        if layer["name"] in of_b and all(layer[k] == of_b[layer["name"]][k] for k in _SHAPE)
    ]
    if not shared:
        raise ValueError(
            "compare: expected two networks with layers of the same name and map size, found"
            f" {[layer['name'] for layer in a]} and {list(of_b)}; their layers can be compared in"
            " the library by heat_map, at the same places"
        )
    names = {layer["name"] for layer in shared}
    return shared, sorted({layer["name"] for layer in [*a, *b]} - names)


def _shape(layer: Listed) -> str:
    """Of a layer's values, for people."""
    place = f" x {layer['height']} x {layer['width']}" if layer["kind"] == "conv" else ""
    return f"images x {layer['neurons']} neurons{place}"


def _listed(model: Model, config: Config) -> list[Listed]:
    from .architectures import outline
    from .layers import LayeredNetwork
    from .task import check_classifies

    source, seen = (source_of(data["name"], data["root"]) for data in (model.data, config["data"]))
    if source.channels != seen.channels:
        raise ValueError(
            f"models.{model.name}.data: expected images of {seen.channels} channels, as"
            f" {config['data']['name']} has, on which networks are compared; found"
            f" {source.channels} ({model.data['name']})"
        )
    size = config["data"]["image_size"]
    architecture = {key: model.network[key] for key in ("name", "width", "hidden")}
    network = outline(**architecture, channels=source.channels, classes=source.classes)
    layered = LayeredNetwork(network, config["extraction"]["nodes"])
    layers = layered.layers(source.channels, size, size)
    if not model.given:
        check_classifies(network, (source.channels, size, size), source.classes)
    return [asdict(layer) for layer in layers]
