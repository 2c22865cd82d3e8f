"""The images that activate neurons most, as one picture of tiles that a page can carry."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
import pandas as pd

from .runs import Images

_TILE = 64  # pixels, at most: more cannot be seen beside eight others
_ABSENT = 0xFFFF  # in place of an image that had no room; so at most as many tiles
_SIDE = 16_000  # pixels, at most, of what the format holds


def atlas(strongest: pd.DataFrame, images: Images, budget: int) -> dict[str, Any]:
    """One picture of all images that the neurons share, and where each lies in it.

    Images that are the first of some neuron come before those that are but a second, and so on;
    those beyond the budget are left out.

    Args:
        strongest: the table ``top_images``.
        images: of the data set.
        budget: bytes of the picture.

    Returns:
        ``url`` (a data address), ``tile`` (pixels), ``columns``, ``place`` and ``label`` of each
        tile's image, and ``wanted``, how many images there would be.
    """
    best = strongest.groupby("image")["rank"].agg(["min", "count"]).reset_index()
    order = best.sort_values(["min", "count", "image"], ascending=[True, False, True])
    places = order["image"].to_numpy()
    first = images.pictures(places[:1].tolist())
    block = math.ceil(max(first.shape[2:]) / _TILE)
    tile = max(first.shape[2:]) // block
    kept = min(len(places), _ABSENT, (_SIDE // tile) ** 2)
    tiles = _tiles(images, places[:kept], block, tile)
    encoded = _encoded(tiles)
    while len(encoded) > budget and kept > 1:
        # A little below the share that would fit if all took the same room.
        kept = max(1, int(kept * 0.97 * budget / len(encoded)))
        encoded = _encoded(tiles[:kept])
    return {
        "url": f"data:image/webp;base64,{base64.b64encode(encoded).decode()}",
        "tile": tile,
        "columns": _columns(kept),
        "place": places[:kept].tolist(),
        "label": images.labels[places[:kept]].tolist(),
        "wanted": len(places),
    }


def tiles_of_neurons(strongest: pd.DataFrame, place: list[int]) -> dict[str, dict[str, np.ndarray]]:
    """Of each network and layer the tiles of its neurons, (neurons, ranks) uint16.

    Args:
        strongest: the table ``top_images``.
        place: of the image of each tile.
    """
    number = {image: tile for tile, image in enumerate(place)}
    ordered = strongest.sort_values(["key", "layer", "neuron", "rank"])
    tiles = ordered["image"].map(number).fillna(_ABSENT).astype(np.uint16)
    found: dict[str, dict[str, np.ndarray]] = {}
    for (key, layer), own in tiles.groupby([ordered["key"], ordered["layer"]], sort=False):
        neurons = ordered.loc[own.index, "neuron"].nunique()
        found.setdefault(str(key), {})[str(layer)] = own.to_numpy().reshape(neurons, -1)
    return found


def _tiles(images: Images, places: np.ndarray, block: int, tile: int) -> np.ndarray:
    """(tiles, tile, tile, 3) uint8, means of blocks of pixels; smaller images on black."""
    made = np.zeros((len(places), tile, tile, 3), np.uint8)
    for start in range(0, len(places), 256):
        pictures = images.pictures(places[start : start + 256].tolist())
        count, channels, height, width = pictures.shape
        height, width = height // block, width // block
        whole = pictures[:, :, : height * block, : width * block]
        blocks = whole.reshape(count, channels, height, block, width, block).mean((3, 5))
        shown = blocks.round().astype(np.uint8).transpose(0, 2, 3, 1)
        made[start : start + count, :height, :width] = shown
    return made


def _encoded(tiles: np.ndarray) -> bytes:
    from PIL import Image

    columns, side = _columns(len(tiles)), tiles.shape[1]
    rows = math.ceil(len(tiles) / columns)
    blank = np.zeros((rows * columns - len(tiles), *tiles.shape[1:]), np.uint8)
    grid = np.concatenate([tiles, blank]).reshape(rows, columns, side, side, 3)
    picture = grid.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "webp", quality=70, method=4)
    return stream.getvalue()


def _columns(count: int) -> int:
    return math.ceil(math.sqrt(count))
