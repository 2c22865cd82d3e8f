"""The layers of each model, known before anything is trained.

The plan needs the names of the layers. They come from the graph of the architecture, without
weights. A file keeps them, because building that graph takes seconds of imports. The size of a
layer's map follows from the size of the images that the network sees after its preprocessing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.catalogue import SOURCES, Source, input_shape, resize_and_crop, source_of
from ..networks.layer_info import LayerInfo
from ..networks.preprocessing import Preprocessing, configured_preprocessing
from ..storage.files import damaged, read_signed, write_signed
from .comparisons import Model, models_of
from .config import Config

if TYPE_CHECKING:
    from ..networks.layered_network import LayeredNetwork


def layers_of(model: Model, config: Config, path: str | Path) -> list[LayerInfo]:
    """Return the layers of a model in the order of the forward pass.

    Args:
        model: a model of the configuration.
        config: complete configuration; sets the images to compare on, and which nodes are layers.
        path: file that keeps the list (``Paths.layers``); written if it does not exist. It also
            holds a readable shape of each layer.

    Raises:
        ValueError: if the architecture does not exist, or cannot process these images.
    """
    if Path(path).exists():
        layers = [LayerInfo(**layer) for layer in read_signed(path)["layers"]]
        # Names of layers become parts of paths, and results may come from other people.
        names = [layer.name for layer in layers]
        if wrong := [name for name in names if not re.fullmatch(r"[a-z]+[0-9]+", name)]:
            raise damaged(path, f"{wrong[0]!r}, which is not the name of a layer")
        return layers
    network = _find_layers(model, config)
    layers, left_out = network.layers, network.left_out
    shapes = {layer.node: layer.shape_in_words for layer in layers}
    records = [asdict(layer) for layer in layers]
    write_signed(path, {"layers": records, "shapes": shapes, "left_out": left_out})
    return layers


def left_out_of(path: str | Path) -> list[str]:
    """Return the nonlinearities that ``extraction.nodes: auto`` leaves out, from a list's file."""
    nodes: list[str] = read_signed(path)["left_out"]
    return nodes


def shared_layers(
    a: Sequence[LayerInfo], b: Sequence[LayerInfo]
) -> tuple[list[LayerInfo], list[str]]:
    """Return the layers that two networks share: same name, kind and map size.

    Returns:
        The shared layers, those of network A, and the names of all other layers, sorted.

    Raises:
        ValueError: if the networks share no layer.
    """
    maps_b = {layer.name: (layer.kind, layer.size) for layer in b}
    shared = [layer for layer in a if maps_b.get(layer.name) == (layer.kind, layer.size)]
    if not shared:
        raise ValueError(
            "compare: expected two networks with layers of the same name and map size, found"
            f" {_maps(a)} and {_maps(b)}; give both images of the same size (data.image_size;"
            " pretrained weights use it if network.mean and network.std are set), or compare their"
            " layers with heat_map of the library, at the same positions"
        )
    names = {layer.name for layer in shared}
    return shared, sorted({layer.name for layer in [*a, *b]} - names)


def _maps(layers: Sequence[LayerInfo]) -> str:
    return f"({', '.join(f'{layer.name} {layer.size_in_words}' for layer in layers)})"


def crop_of(model: Model, config: Config) -> int | None:
    """Return height and width to which a model's preprocessing crops images; None for no crop.

    The preprocessing is that of the pretrained weights, that of the model from which training
    starts, or that of the training data.
    """
    if model.pretrained:
        return _pretrained(model, SOURCES[model.data["name"]])[1].crop
    if model.start is not None:
        return crop_of(models_of(config)[model.start], config)
    files = SOURCES[model.data["name"]].files
    return resize_and_crop(model.data["image_size"], files=files).get("crop")


def _pretrained(model: Model, source: Source) -> tuple[dict[str, Any], Preprocessing]:
    """Return architecture and preprocessing of pretrained weights without reading these."""
    from ..networks.pretrained import resolve_pretrained

    preprocessing = configured_preprocessing(model.network, model.data["image_size"])
    return resolve_pretrained(_architecture(model, source), model.network["weights"], preprocessing)


def _architecture(model: Model, source: Source) -> dict[str, Any]:
    from ..networks.architectures import architecture_of

    return architecture_of(model.network, channels=source.channels, classes=source.classes)


def _find_layers(model: Model, config: Config) -> LayeredNetwork:
    from ..networks.architectures import outline
    from ..networks.layered_network import LayeredNetwork
    from ..networks.task_check import (
        check_saved,
        check_task,
        example_batch,
        output_for,
        varied_batch,
    )

    source, seen = source_of(model.data), source_of(config["data"])
    if source.text != seen.text:
        raise ValueError(
            f"models.{model.name}.data: expected {'texts' if seen.text else 'images'}, as in"
            f" {config['data']['name']}, the data set to compare on; found {model.data['name']}"
        )
    if source.channels != seen.channels:
        raise ValueError(
            f"models.{model.name}.data: expected images of {seen.channels} channels, as in"
            f" {config['data']['name']}, the data set to compare on; found {source.channels}"
            f" ({model.data['name']})"
        )
    crop = crop_of(model, config)
    if crop is None and (seen.files or source.files):
        raise ValueError(
            f"models.{model.name}: expected a network that crops images to one size, because the"
            f" images of {(config['data'] if seen.files else model.data)['name']} have many sizes;"
            " found a network made for images of one size; train it, and the model it starts from,"
            " on image files too"
        )
    shape, trained = (
        input_shape(data, crop or data["image_size"]) for data in (config["data"], model.data)
    )
    architecture = _architecture(model, source)
    if model.pretrained:
        architecture, preprocessing = _pretrained(model, source)
        if (channels := len(preprocessing.mean)) != source.channels:
            raise ValueError(
                f"models.{model.name}.network.weights: expected weights for images of"
                f" {source.channels} channels, as in {model.data['name']}; found weights for"
                f" {channels}"
            )
    network = outline(**architecture).eval()
    output_for(network, shape)
    reached = {key: config["extraction"][key] for key in ("nodes", "neuron_axis", "tokens")}
    layered = LayeredNetwork(network, example_batch(network, shape), **reached)
    check_saved(network, architecture, varied_batch(shape, source.classes))
    if not model.pretrained:
        check_task(network, trained, source.classes, model.training["task"])
    return layered
