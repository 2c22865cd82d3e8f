"""The images that activate neurons most, as one atlas: a picture made of equal tiles."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .runs import Images

_MAX_TILE = 64  # pixels; the page shows nine tiles in a row, so more would not be visible
_MAX_SIDE = 16_000  # pixels; WebP allows 16,383
_LEFT_OUT = -1  # tile number of an image that did not fit


def atlas(ranking: pd.DataFrame, images: Images, budget: int) -> dict[str, Any]:
    """Make one picture of all images, and list the image in each tile.

    Images are sorted by their best rank for any neuron. Those that exceed the budget are left out.

    Args:
        ranking: the table ``top_images``.
        images: of the data set.
        budget: maximum size of the picture in bytes.

    Returns:
        ``url`` (a data URL), ``columns`` and ``tile`` (pixels) of the picture; ``image`` (index)
        and ``label`` of each tile; ``total``, the number of images including those left out.
    """
    best = ranking.groupby("image")["rank"].agg(["min", "count"]).reset_index()
    order = best.sort_values(["min", "count", "image"], ascending=[True, False, True])
    indices = order["image"].to_numpy()
    first = images.pictures(indices[:1].tolist())
    block = math.ceil(max(first.shape[2:]) / _MAX_TILE)
    tile = max(first.shape[2:]) // block
    kept = min(len(indices), (_MAX_SIDE // tile) ** 2)
    tiles = _tiles(images, indices[:kept], block, tile)
    encoded = _encoded(tiles)
    while len(encoded) > budget and kept > 1:
        # Keep slightly less than what would fit if all tiles had equal size.
        kept = max(1, int(kept * 0.97 * budget / len(encoded)))
        encoded = _encoded(tiles[:kept])
    return {
        "url": f"data:image/webp;base64,{base64.b64encode(encoded).decode()}",
        "tile": tile,
        "columns": _columns(kept),
        "image": indices[:kept].tolist(),
        "label": images.labels[indices[:kept]].tolist(),
        "total": len(indices),
    }


def tiles_of_neurons(
    ranking: pd.DataFrame, indices: Sequence[int]
) -> dict[str, dict[str, list[int]]]:
    """Return the tile numbers by network key and layer, sorted by neuron and rank.

    Args:
        ranking: the table ``top_images``.
        indices: the image in each tile, from ``atlas``.
    """
    tile_of = {image: tile for tile, image in enumerate(indices)}
    found: dict[str, dict[str, list[int]]] = {}
    ordered = ranking.sort_values(["neuron", "rank"])
    tiles = ordered["image"].map(tile_of).fillna(_LEFT_OUT).astype(int)
    for (key, layer), own in tiles.groupby([ordered["key"], ordered["layer"]]):
        found.setdefault(str(key), {})[str(layer)] = own.tolist()
    return found


def _tiles(images: Images, indices: np.ndarray, block: int, tile: int) -> np.ndarray:
    """Average blocks of pixels: (tiles, tile, tile, 3) uint8, smaller images padded with black."""
    made = np.zeros((len(indices), tile, tile, 3), np.uint8)
    for start in range(0, len(indices), 256):
        pictures = images.pictures(indices[start : start + 256].tolist())
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
