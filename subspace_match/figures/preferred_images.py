"""Images that activate the neurons of a minimal match most: Figure 5 of Wang et al. (2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..results.wording import network_in_words
from .sizes import NO_MATCHES
from .style import message_figure, styled

Images = np.ndarray | Callable[[int], np.ndarray]

_MAX_MATCHES = 5
_MAX_ROWS = 14  # of images, over all matches
_MAX_NEURONS = 6  # per network and match
_IMAGES_PER_NEURON = 9  # as in the paper
_PIXELS = 96  # approximate limit of an image's longer side: more pixels are not visible
# Inches.
_IMAGE, _LABEL, _GAP, _HEADING, _ROW = 0.42, 0.6, 0.25, 0.34, 0.46


@styled
def top_images(
    members: pd.DataFrame, networks: pd.DataFrame, ranking: pd.DataFrame, images: Images | None
) -> Figure:
    """Draw the images that activate matched neurons most (Wang et al. 2018, Figure 5).

    One block per minimal match, see ``chosen_matches``: neurons of network A on the left, of
    network B on the right. One row of images per neuron, strongest activation first.

    The first arguments are the tables ``minimal_match_members``, ``networks`` and ``top_images``.
    The images are (images, channels, height, width) uint8, grey or RGB, or a function that returns
    the image of a given index; None for texts.
    """
    if images is None:
        return message_figure("The networks of this run were compared on texts, not on images.")
    if members.empty:
        return message_figure(NO_MATCHES)
    shown = chosen_matches(members)
    first = shown.iloc[0]
    keys = [network_key(networks, first, side) for side in "ab"]
    of_layer = ranking[ranking["layer"] == first["layer"]]
    ranked = [of_layer[of_layer["key"] == key].sort_values("rank") for key in keys]
    if any(own.empty for own in ranked):
        return message_figure("This run has no images of the neurons of its minimal matches.")
    indices = [dict(list(own.groupby("neuron")["image"])) for own in ranked]

    counts = shown["longest"].clip(upper=_MAX_NEURONS)
    strip = _IMAGES_PER_NEURON * _IMAGE
    width = 2 * (_LABEL + strip) + _GAP
    height = 0.7 + sum(_HEADING + _ROW * count for count in counts)
    figure = Figure(figsize=(width, height))
    lefts = (_LABEL, 2 * _LABEL + strip + _GAP)
    title = rf"Layer {first['layer']}, $\epsilon$ = {first['epsilon']:g}"
    figure.text(0.5, 1 - 0.12 / height, title, ha="center", va="center", fontsize=11)
    for side, left in zip("ab", lefts, strict=True):
        name = f"Network {side.upper()}: {network_words(first, side)}"
        figure.text(left / width, 1 - 0.42 / height, name, va="center", fontsize=10)
    top = 0.6
    for count, (_, match) in zip(counts, shown.iterrows(), strict=True):
        figure.text(0, 1 - (top + 0.2) / height, _heading(match), va="center", weight="bold")
        top += _HEADING
        for side, left, by_neuron in zip("ab", lefts, indices, strict=True):
            for row, neuron in enumerate(match[f"neurons_{side}"][:count]):
                below = height - top - row * _ROW - _IMAGE
                box = (left / width, below / height, strip / width, _IMAGE / height)
                axes = figure.add_axes(box)
                own = by_neuron[neuron].iloc[:_IMAGES_PER_NEURON]
                axes.imshow(_strip(own, images), aspect="auto")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                axes.set_ylabel(f"{side.upper()} {neuron}", rotation=0, ha="right", va="center")
        top += count * _ROW
    return figure


def describe_top_images(members: pd.DataFrame, *_: pd.DataFrame) -> str:
    """Describe ``top_images``."""
    first = chosen_matches(members).iloc[0]
    of_a, of_b = (network_words(first, side) for side in "ab")
    sampled = "" if first["kind"] == "fc" else " Only the positions of the first draw count."
    return (
        f"Images of the evaluation split.{sampled} Each block is a minimal match in layer"
        f" {first['layer']} at epsilon {first['epsilon']:g}, with its neurons in network A ({of_a})"
        f" on the left and in network B ({of_b}) on the right. The matches have different sizes"
        " where possible."
    )


def chosen_matches(members: pd.DataFrame) -> pd.DataFrame:
    """Choose the minimal matches to show, sorted by size.

    All are from one pair of networks (the first trained pair, if any is trained), from the last
    fully connected layer with minimal matches (from the last layer, if none is fully connected)
    and at the largest epsilon. The smallest match of each size comes first, then further small
    matches, until the rows are used up.
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
    small = own[own["longest"] <= _MAX_NEURONS]
    if small.empty:
        return own.head(1)
    one_per_size = small.drop_duplicates("size")
    candidates = pd.concat([one_per_size, small.drop(one_per_size.index)])
    fits = candidates["longest"].cumsum() <= _MAX_ROWS
    return candidates[fits].head(_MAX_MATCHES).sort_values(["size", "match"])


def network_key(networks: pd.DataFrame, match: pd.Series[Any], side: str) -> str:
    """Return the key of network A or B of a minimal match, as in the table ``top_images``."""
    named = [networks[key] == match[f"{key}_{side}"] for key in ("model", "seed", "stage")]
    return str(networks.loc[np.logical_and.reduce(named), "key"].iloc[0])


def network_words(match: pd.Series[Any], side: str) -> str:
    """Name network A or B of a minimal match; the base model goes without saying."""
    model, seed, stage = (match[f"{key}_{side}"] for key in ("model", "seed", "stage"))
    also = ["stage"] if model == "base" else ["model", "stage"]
    return network_in_words(model, seed, stage, also=also)


def _heading(match: pd.Series[Any]) -> str:
    a, b = (len(match[f"neurons_{side}"]) for side in "ab")
    words = f"Minimal match {match['match']}: {a} + {b} neurons"
    return words if max(a, b) <= _MAX_NEURONS else f"{words}, {_MAX_NEURONS} of each are shown"


def _strip(indices: Sequence[int], images: Images) -> np.ndarray:
    """Join images side by side, (height, width, 3) uint8, with a white line after each."""
    parts = []
    for index in indices:
        image = _downsampled(images(index) if callable(images) else images[index])
        colours = np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3))
        gap = max(1, image.shape[2] // 32)
        parts.append(np.pad(colours, ((0, 0), (0, gap), (0, 0)), constant_values=255))
    blank = np.full_like(parts[0], 255)
    return np.concatenate([*parts, *[blank] * (_IMAGES_PER_NEURON - len(parts))], axis=1)


def _downsampled(image: np.ndarray) -> np.ndarray:
    """Average blocks of pixels so that the longer side has about ``_PIXELS`` at most."""
    channels, height, width = image.shape
    block = math.ceil(max(height, width) / _PIXELS)
    whole = image[:, : height // block * block, : width // block * block]
    blocks = whole.reshape(channels, height // block, block, width // block, block)
    return np.asarray(blocks.mean((2, 4)).round(), dtype=np.uint8)
