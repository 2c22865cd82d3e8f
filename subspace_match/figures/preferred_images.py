"""What neurons of one minimal match like to see: the paper's Figure 5."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .sizes import NO_MATCHES
from .style import in_words, styled

Pictures = np.ndarray | Callable[[int], np.ndarray]

_NO_IMAGES = "This run has no images that activate the neurons of its minimal matches."
_MATCHES = 5  # shown
_ROWS = 14  # of images, in all matches
_NEURONS = 6  # of one network in a match that is shown
_IMAGES = 9  # a neuron, as in the paper
_PIXELS = 96  # an image's longer side has at most about so many: more cannot be seen
# Inches.
_IMAGE, _LABEL, _BETWEEN, _HEADING, _ROW = 0.42, 0.6, 0.25, 0.34, 0.46


@styled
def top_images(
    members: pd.DataFrame, networks: pd.DataFrame, strongest: pd.DataFrame, pictures: Pictures
) -> Figure:
    """The images that activate matched neurons most (Wang et al. 2018, Figure 5).

    A block a minimal match, network A's neurons left and network B's right, a row of images a
    neuron, the strongest first. ``chosen_matches`` says which matches.

    Args:
        members: neurons of the minimal matches, the table ``minimal_match_members``.
        networks: their keys, the table of this name.
        strongest: the table ``top_images``.
        pictures: (images, channels, height, width) uint8, grey or red, green and blue; or what
            gives one image by its place in that order.
    """
    if members.empty:
        return in_words(NO_MATCHES)
    shown = chosen_matches(members)
    first = shown.iloc[0]
    keys = [network_key(networks, first, side) for side in "ab"]
    of_layer = strongest[strongest["layer"] == first["layer"]]
    ranked = [of_layer[of_layer["key"] == key].sort_values("rank") for key in keys]
    if any(own.empty for own in ranked):
        return in_words(_NO_IMAGES)
    images_of = [dict(list(own.groupby("neuron")["image"])) for own in ranked]

    rows = [_rows(match) for _, match in shown.iterrows()]
    strip = _IMAGES * _IMAGE
    width = 2 * (_LABEL + strip) + _BETWEEN
    height = 0.7 + sum(_HEADING + _ROW * count for count in rows)
    figure = Figure(figsize=(width, height))
    lefts = (_LABEL, 2 * _LABEL + strip + _BETWEEN)
    title = rf"Layer {first['layer']}, $\epsilon$ = {first['epsilon']:g}"
    figure.text(0.5, 1 - 0.12 / height, title, ha="center", va="center", fontsize=11)
    for side, left in zip("ab", lefts, strict=True):
        name = f"Network {side.upper()}: {network_words(first, side)}"
        figure.text(left / width, 1 - 0.42 / height, name, va="center", fontsize=10)
    top = 0.6
    for count, (_, match) in zip(rows, shown.iterrows(), strict=True):
        figure.text(0, 1 - (top + 0.2) / height, _words(match), va="center", weight="bold")
        top += _HEADING
        for side, left, images in zip("ab", lefts, images_of, strict=True):
            for row, neuron in enumerate(match[f"neurons_{side}"][:count]):
                below = height - top - row * _ROW - _IMAGE
                place = (left / width, below / height, strip / width, _IMAGE / height)
                axes = figure.add_axes(place)
                axes.imshow(_strip(images[neuron].iloc[:_IMAGES], pictures), aspect="auto")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                axes.set_ylabel(f"{side.upper()} {neuron}", rotation=0, ha="right", va="center")
        top += count * _ROW
    return figure


def chosen_matches(members: pd.DataFrame) -> pd.DataFrame:
    """The minimal matches whose neurons' images are shown, by size.

    They are of one pair of networks: the first of trained ones, if there are such; of the last
    fully connected layer that has minimal matches (the last layer, if none is fully connected); and
    at the largest epsilon. The smallest ones of different sizes come first, then further small
    ones, as long as there is room.
    """
    trained = (members[["stage_a", "stage_b"]] == "last").all(axis=1)
    own = members[trained] if trained.any() else members
    pair = [f"{key}_{side}" for side in "ab" for key in ("model", "seed", "stage")]
    own = own[(own[["comparison", *pair]] == own[["comparison", *pair]].iloc[0]).all(axis=1)]
    connected = own["kind"] == "fc"
    own = own[connected] if connected.any() else own
    for column in ("depth", "epsilon"):
        own = own[own[column] == own[column].max()]

    counts = [own[f"neurons_{side}"].map(len) for side in "ab"]
    own = own.assign(size=counts[0] + counts[1], longest=counts[0].clip(lower=counts[1]))
    own = own.sort_values(["size", "match"])
    small = own[own["longest"] <= _NEURONS]
    if small.empty:
        return own.head(1)
    differing = small.drop_duplicates("size")
    candidates = pd.concat([differing, small.drop(differing.index)])
    room = candidates["longest"].cumsum() <= _ROWS
    return candidates[room].head(_MATCHES).sort_values(["size", "match"])


def network_key(networks: pd.DataFrame, match: pd.Series[Any], side: str) -> str:
    """The key of network A or B of a minimal match, which the table of images has."""
    named = [networks[key] == match[f"{key}_{side}"] for key in ("model", "seed", "stage")]
    return str(networks.loc[np.logical_and.reduce(named), "key"].iloc[0])


def network_words(match: pd.Series[Any], side: str) -> str:
    """A network for a reader: its model, unless there is but one, its seed and its stage."""
    model, seed, stage = (match[f"{key}_{side}"] for key in ("model", "seed", "stage"))
    stage = f"epoch {stage}" if stage.isdigit() else stage
    return ", ".join([*([] if model == "base" else [model]), f"seed {seed}", stage])


def _rows(match: pd.Series[Any]) -> int:
    return min(_NEURONS, max(len(match["neurons_a"]), len(match["neurons_b"])))


def _words(match: pd.Series[Any]) -> str:
    counts = [len(match[f"neurons_{side}"]) for side in "ab"]
    words = f"Minimal match {match['match']}: {counts[0]} + {counts[1]} neurons"
    return words if max(counts) <= _NEURONS else f"{words}, {_NEURONS} of each are shown"


def _strip(places: Sequence[int], pictures: Pictures) -> np.ndarray:
    """Images side by side, (height, width, 3) uint8, with a white line after each."""
    parts = []
    for place in places:
        picture = _coarse(pictures(place) if callable(pictures) else pictures[place])
        colours = np.broadcast_to(picture.transpose(1, 2, 0), (*picture.shape[1:], 3))
        gap = max(1, picture.shape[2] // 32)
        parts.append(np.pad(colours, ((0, 0), (0, gap), (0, 0)), constant_values=255))
    blank = np.full_like(parts[0], 255)
    return np.concatenate([*parts, *[blank] * (_IMAGES - len(parts))], axis=1)


def _coarse(picture: np.ndarray) -> np.ndarray:
    """Means of blocks of pixels, in place of more pixels than can be seen."""
    channels, height, width = picture.shape
    block = math.ceil(max(height, width) / _PIXELS)
    whole = picture[:, : height // block * block, : width // block * block]
    blocks = whole.reshape(channels, height // block, block, width // block, block)
    return np.asarray(blocks.mean((2, 4)).round(), dtype=np.uint8)
