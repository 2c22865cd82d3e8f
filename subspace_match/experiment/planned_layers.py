"""Which layers an architecture has, known before anything is trained, and cheaply.

The workflow's graph needs the layers' names. They come from the architecture's own graph, without
weights, and are kept in a file: building that graph costs seconds of imports, reading the file
none. A layer's map is of the size that the network will see, which its preprocessing decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..data.catalogue import resize_and_crop, source_of
from ..networks.preprocessing import Preprocessing, configured_preprocessing
from ..storage.files import damaged, read_signed, write_signed
from .comparisons import Model, models_of
from .config import Config

_SHAPE = ("kind", "height", "width")

Listed = dict[str, Any]


def layers_of(model: Model, config: Config, path: str | Path) -> list[Listed]:
    """The layers of a model's architecture, in order of computation.

    Args:
        model: of the configuration.
        config: complete; it says on which images networks are compared, and what a layer is.
        path: file of the listing, of a name that says what decides it; made if it is absent. It
            says each layer's shape and axis of neurons too.

    Returns:
        A record a layer: name, node, kind, neurons, height, width.

    Raises:
        ValueError: if there is no such architecture, or it cannot see these images.
    """
    if Path(path).exists():
        layers: list[Listed] = list(read_signed(path)["layers"])
        # Names of layers become parts of paths.
        names = [layer["name"] for layer in layers]
        if wrong := [name for name in names if not re.fullmatch(r"[a-z]+[0-9]+", name)]:
            raise damaged(path, f"{wrong[0]!r} is no layer's name")
        return layers
    layers = _listed(model, config)
    shapes = {layer["node"]: _shape(layer) for layer in layers}
    write_signed(path, {"layers": layers, "shapes": shapes})
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
            f" {_maps(a)} and {_maps(b)}; let both see images of one size (data.image_size, or"
            " network.mean and network.std, with which given weights see it too), or compare their"
            " layers in the library by heat_map, at the same places"
        )
    names = {layer["name"] for layer in shared}
    return shared, sorted({layer["name"] for layer in [*a, *b]} - names)


def _shape(layer: Listed) -> str:
    """Of a layer's values, for people."""
    place = f" x {layer['height']} x {layer['width']}" if layer["kind"] == "conv" else ""
    return f"images x {layer['neurons']} neurons{place}"


def _maps(layers: Sequence[Listed]) -> str:
    shown = (f"{layer['name']} {layer['height']} x {layer['width']}" for layer in layers)
    return f"({', '.join(shown)})"


def crop_of(model: Model, config: Config) -> int | None:
    """Height and width of what a model's networks see of every image, None for the image's own.

    It is the crop of the preprocessing that their files will hold: that of given weights, or that
    of the network they start from, or of the data that they are trained on.
    """
    if model.pretrained:
        return _given(model, {})[1].crop
    if model.start is not None:
        return crop_of(models_of(config)[model.start], config)
    files = source_of(model.data["name"], model.data["root"]).files
    return resize_and_crop(model.data["image_size"], files=files).get("crop")


def _given(model: Model, images: Listed) -> tuple[dict[str, Any], Preprocessing]:
    """Architecture and preprocessing of given weights, which are not read."""
    from ..networks.pretrained import resolve_pretrained

    network = model.network
    architecture = {key: network[key] for key in ("name", "width", "hidden")} | images
    return resolve_pretrained(
        architecture,
        network["weights"],
        configured_preprocessing(network, model.data["image_size"]),
    )


def _listed(model: Model, config: Config) -> list[Listed]:
    from ..networks.architectures import outline
    from ..networks.layer_graph import LayeredNetwork
    from ..networks.task_check import check_classifies

    source, seen = (source_of(data["name"], data["root"]) for data in (model.data, config["data"]))
    if source.channels != seen.channels:
        raise ValueError(
            f"models.{model.name}.data: expected images of {seen.channels} channels, as"
            f" {config['data']['name']} has, on which networks are compared; found"
            f" {source.channels} ({model.data['name']})"
        )
    crop = crop_of(model, config)
    if crop is None and (seen.files or source.files):
        raise ValueError(
            f"models.{model.name}: expected networks that cut images to one size, for the images of"
            f" {(config['data'] if seen.files else model.data)['name']} are files of many; found"
            " networks made for images of one size; train them, and what they start from, on image"
            " files too"
        )
    size = crop or config["data"]["image_size"]
    images = {"channels": source.channels, "classes": source.classes}
    architecture = {key: model.network[key] for key in ("name", "width", "hidden")} | images
    if model.pretrained:
        architecture, preprocessing = _given(model, images)
        if (channels := len(preprocessing.mean)) != source.channels:
            raise ValueError(
                f"models.{model.name}.network.weights: expected weights for images of"
                f" {source.channels} channels, as {model.data['name']} has; found weights for"
                f" {channels}"
            )
    network = outline(**architecture)
    layered = LayeredNetwork(network, config["extraction"]["nodes"])
    layers = layered.layers(source.channels, size, size)
    if not model.pretrained:
        trained = crop or model.data["image_size"]
        check_classifies(network, (source.channels, trained, trained), source.classes)
    return [asdict(layer) for layer in layers]
