"""``subspace-match layers``: list everything that a network computes and that can be a layer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..extras import needs

if TYPE_CHECKING:
    from torch import nn

    from ..networks.inputs import Inputs
    from ..networks.layered_network import Node
    from ..networks.preprocessing import Preprocessing

EPILOG = """examples:
  subspace-match layers torchvision:convnext_tiny
  subspace-match layers timm:vit_tiny_patch16_224 --nodes block
  subspace-match layers transformers:GPT2LMHeadModel --option n_layer=2 --option n_embd=96
  subspace-match layers my_package.models:Encoder --size 64 --nodes 'stages.*.act'

NET is a name as in network.name of a configuration, or a file of the pipeline's networks, such as
results/networks/KEY/seed_0/last.safetensors. The network sees zeros; a name gets no weights. Each
line is a node: its shape for N inputs, the axis of its neurons ("?": not certain, give
extraction.neuron_axis), the values of extraction.nodes that select it, and its name as a layer. If
no node can be a layer, an error below says why. A list of patterns selects any node with an axis.
"""
# Defaults where nothing is known of a network's inputs.
_SIZE, _SMALL, _TOKENS, _CHANNELS = 224, 32, 16, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the network and the options."""
    parser.add_argument("network", metavar="NET", help="a network's name, or its file")
    parser.add_argument(
        "--nodes",
        nargs="+",
        default=["auto"],
        metavar="N",
        help="which nodes are layers: auto (default), relu, activation, convolution, block, or"
        " patterns",
    )
    parser.add_argument("--size", type=int, metavar="PIXELS", help="height and width of the images")
    parser.add_argument("--channels", type=int, help="of the images (default: the file's, or 3)")
    parser.add_argument(
        "--tokens", type=int, metavar="N", help="give the network texts of N tokens, not images"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an entry of network.options; repeat it for more",
    )


def run(options: argparse.Namespace) -> None:
    """Print the nodes and the layers.

    Raises:
        ValueError: if there is no such network, or it does not accept the inputs.
    """
    with needs("torch", "layers"):
        from ..networks.layered_network import INPUT_REFUSED, LayeredNetwork

    for name in ("size", "channels", "tokens"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ValueError(f"--{name}: expected a number of at least 1, found {value}")
    network, known = _network(options)
    example = _example(network, known, options)
    try:
        listed = LayeredNetwork(network, example, nodes=[])
    except ValueError as error:
        if INPUT_REFUSED not in str(error):
            raise
        raise ValueError(f"{error}; --channels, --size and --tokens decide its input") from error
    names: dict[str, str] = {}
    wrong: ValueError | None = None
    try:
        chosen = LayeredNetwork(network, example, nodes_of(options.nodes))
    except ValueError as error:
        wrong, notes = error, listed.notes
    else:
        names = {layer.node: layer.name for layer in chosen.layers}
        notes = [*chosen.notes, f"{len(names)} layers with --nodes {' '.join(options.nodes)}"]
    sys.stdout.write("\n".join([*_table(listed.nodes, names), *notes, ""]))
    if wrong:
        raise wrong


def nodes_of(given: Sequence[str]) -> str | Sequence[str]:
    """Return what ``--nodes`` selects: one of the kinds of nodes, or patterns."""
    from ..networks.layered_network import AUTO, KINDS

    return given[0] if len(given) == 1 and given[0] in (AUTO, *KINDS) else given


def _network(options: argparse.Namespace) -> tuple[nn.Module, Preprocessing | None]:
    """Build the network without weights, or read it and its preprocessing from a file."""
    import torch

    from ..networks.architectures import outline
    from ..networks.checkpoints import load_network

    if Path(options.network).is_file():
        if options.option:
            raise ValueError(f"--option: expected none for a file, found {options.option[0]!r}")
        return load_network(options.network, torch.device("cpu"))
    entries = {}
    for entry in options.option:
        key, equals, value = entry.partition("=")
        if not equals:
            raise ValueError(f"--option: expected KEY=VALUE, found {entry!r}")
        try:
            entries[key] = json.loads(value)
        except ValueError:
            entries[key] = value
    hidden = [128, 128]  # of VGGs; names and maps do not depend on it
    network = outline(
        name=options.network,
        width=1.0,
        hidden=hidden,
        channels=options.channels or _CHANNELS,
        classes=1000,
        options=entries,
    )
    return network, None


def _example(
    network: nn.Module, known: Preprocessing | None, options: argparse.Namespace
) -> Inputs:
    """Return two inputs of zeros, of the kind and size that the network is made for."""
    from ..networks.small_image_networks import ARCHITECTURES
    from ..networks.task_check import example_batch

    reads_text = getattr(network, "main_input_name", None) == "input_ids"
    reads_text = reads_text or (known is not None and not known.mean)  # texts have no channels
    if options.tokens is not None or (reads_text and options.size is None):
        return example_batch(network, (options.tokens or _TOKENS,))
    size = options.size or (known and known.crop) or _own_size(network)
    if size is None:
        # The pipeline's networks that crop nothing are made for small images.
        size = _SMALL if known is not None or options.network in ARCHITECTURES else _SIZE
    channels = options.channels or (len(known.mean) if known else _CHANNELS)
    return example_batch(network, (channels, size, size))


def _own_size(network: nn.Module) -> int | None:
    """Return the size of images that a network of torchvision, timm or transformers names."""
    config: Any = getattr(network, "config", None)
    published = getattr(network, "default_cfg", None) or {}
    sizes = [
        getattr(network, "image_size", None),
        getattr(config, "image_size", None),
        getattr(getattr(network, "patch_embed", None), "img_size", None),
        published.get("input_size"),
    ]
    for size in sizes:
        if isinstance(size, (tuple, list)) and size:
            return int(size[-1])
        if isinstance(size, int):
            return size
    return None


def _table(nodes: Sequence[Node], names: dict[str, str]) -> list[str]:
    """Return aligned lines: node, shape, axis of neurons, what selects it, layer."""
    rows = [("node", "shape", "neurons", "selected by", "layer")]
    for node in nodes:
        if node.shape is None or len(node.shape) < 2:
            continue
        first = "N" if node.shape[0] == 2 else str(node.shape[0])
        shape = f"({', '.join([first, *map(str, node.shape[1:])])})"
        axis = "?" if node.axis is None else f"axis {node.axis}"
        rows.append((node.name, shape, axis, ", ".join(node.kinds), names.get(node.name, "")))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
