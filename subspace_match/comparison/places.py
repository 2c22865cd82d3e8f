"""Where layers are sampled, batch by batch, in the same places of both models.

A draw decides the samples of every layer that it serves. Rows arrive in the order of inputs, each
input's places in a fixed order, so row i is the same sample in both models.

- ``GridDraw``: layers of one size, if the number of inputs is known. These are the samples of the
  pipeline (``sampling.draw_samples``).
- ``PlaceDraw``: points of the input, as in the pipeline's heat map; a layer is sampled at the
  position that contains the point. It serves layers of different sizes, tokens with padding (a
  point is then a share of the real tokens), and loaders of unknown length.

Groups of inputs share their places, so inputs can be permuted for a null distribution. Inputs are
split in two halves, so that matches can be cross-fitted (``Halves``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from ..matching.reduction.halves import random_half
from ..networks.extraction import sampled_rows
from ..networks.layer_info import LayerInfo
from ..networks.sampling import (
    draw_samples,
    image_groups,
    permuted_samples,
    positions_at,
    random_points,
    shared_places,
    uses_all_samples,
)

ALL = slice(None)
# Groups of inputs, if their number is unknown: so few that a permutation within groups also moves
# most of some hundred inputs.
GROUPS = 50


class Halves:
    """Inputs in two random halves.

    Of inputs that are known beforehand, half are in the first half, chosen as ``reduce_halves``
    does. Otherwise one of every two successive inputs is, at random.

    Attributes:
        images: number of inputs so far in the first and in the second half.
    """

    def __init__(self, sampled: np.ndarray | None, seed: int) -> None:
        """Split the inputs.

        Args:
            sampled: the inputs that have samples, (inputs,) int64, ascending; None if all have, and
                their number is unknown.
            seed: of the split.
        """
        self._rng = np.random.default_rng([seed, 1])
        self._unknown = sampled is None
        self._in_first = np.empty(0, dtype=bool)
        if sampled is not None:
            self._in_first = np.zeros(sampled.max(initial=-1) + 1, dtype=bool)
            self._in_first[sampled] = random_half(len(sampled), seed)
        self.images = (0, 0)

    def next(self, inputs: np.ndarray) -> np.ndarray:
        """Return whether each of the next samples is in the first half, (samples,) bool.

        Args:
            inputs: the samples' inputs, (samples,) int64, ascending, none of an earlier call.
        """
        last = inputs.max(initial=-1)
        if self._unknown and last >= len(self._in_first):
            one = self._rng.random((last + 2 - len(self._in_first)) // 2) < 0.5
            pairs = np.stack([one, ~one], axis=1).ravel()
            self._in_first = np.concatenate([self._in_first, pairs])
        first, second = self.images
        added = self._in_first[np.unique(inputs)]
        self.images = first + int(added.sum()), second + int((~added).sum())
        return np.asarray(self._in_first[inputs])


class Draw(ABC):
    """The samples of some layers."""

    @abstractmethod
    def start(self, first: int, count: int) -> None:
        """Prepare for a batch of ``count`` inputs, of which the first has the number ``first``."""

    @abstractmethod
    def rows(self, values: Tensor, real: Tensor | None) -> Tensor:
        """Return the batch's samples of a layer, (samples, neurons).

        Args:
            values: (inputs, ..., neurons), as ``LayeredNetwork.run`` passes them.
            real: which tokens are no padding, (inputs, tokens) bool; None if all are real.
        """


class GroupedDraw(Draw):
    """Samples in groups of inputs that share their places.

    Attributes:
        samples: number of samples expected in all; None if unknown.
        halves: the inputs' halves.
        in_first: whether each of the batch's samples is in the first half, (samples,) bool.
    """

    samples: int | None
    halves: Halves
    in_first: np.ndarray

    @abstractmethod
    def of_pair(self, a: LayerInfo, b: LayerInfo) -> PairDraw:
        """Return the samples of two layers, without those that are the same in both layers."""


class PairDraw(ABC):
    """Which of a draw's samples two layers have, each once.

    Attributes:
        samples: number of samples expected in all; None if unknown.
        alike: whether all inputs that have samples have them at the same positions.
    """

    samples: int | None
    alike: bool

    @abstractmethod
    def in_batch(self) -> np.ndarray | slice:
        """Select from the batch's samples of the draw."""

    @abstractmethod
    def in_all(self) -> np.ndarray | slice:
        """Select from all samples of the draw so far."""

    @abstractmethod
    def groups(self, inputs: int) -> list[np.ndarray]:
        """Return all inputs in groups that share their places, where they can be permuted.

        Args:
            inputs: number of inputs that arrived.
        """

    @abstractmethod
    def sampled(self, inputs: int) -> np.ndarray:
        """Return whether each input that arrived has samples, (inputs,) bool; whole groups have."""

    @abstractmethod
    def permuted(self, order: np.ndarray) -> np.ndarray:
        """Return the row that replaces each selected sample when inputs are permuted.

        Args:
            order: the input that replaces each input that arrived, (inputs,), from
                ``image_permutation``.
        """


class GridDraw(GroupedDraw, PairDraw):
    """The pipeline's samples of layers of one size; no position is drawn twice."""

    def __init__(
        self,
        layer: LayerInfo,
        inputs: int,
        positions: int,
        seed: int,
        labels: np.ndarray | None = None,
    ) -> None:
        """Draw the samples of all layers of ``layer``'s kind and size; see ``draw_samples``."""
        self._layer = layer
        (self._index,) = draw_samples(layer, inputs, positions, 1, seed, labels)
        self._groups = image_groups(inputs, positions, seed, labels)
        self.alike = uses_all_samples(layer, inputs, positions)
        self._map_size = layer.positions
        self.samples = len(self._index)
        self.halves = Halves(np.unique(self._index // self._map_size), seed)
        self._batch = np.empty(0, dtype=np.int64)

    def start(self, first: int, count: int) -> None:
        ends = np.searchsorted(self._index, np.array([first, first + count]) * self._map_size)
        self._batch = self._index[slice(*ends)] - first * self._map_size
        self.in_first = self.halves.next(first + self._batch // self._map_size)

    def rows(self, values: Tensor, real: Tensor | None) -> Tensor:
        positions = values.shape[1:-1].numel()
        if positions != self._map_size:
            raise ValueError(
                f"expected {self._map_size} positions, as for the first inputs, found {positions};"
                " pad texts to one length, with an attention_mask"
            )
        return sampled_rows(values, self._batch)

    def of_pair(self, a: LayerInfo, b: LayerInfo) -> PairDraw:
        return self

    def in_batch(self) -> slice:
        return ALL

    def in_all(self) -> slice:
        return ALL

    def groups(self, inputs: int) -> list[np.ndarray]:
        return [group[group < inputs] for group in self._groups]

    def sampled(self, inputs: int) -> np.ndarray:
        return np.isin(np.arange(inputs), self._index // self._map_size)

    def permuted(self, order: np.ndarray) -> np.ndarray:
        samples = self._index[self._index < len(order) * self._map_size]
        return permuted_samples(samples, self._layer, order)


class PlaceDraw(GroupedDraw):
    """The same points of the inputs in every layer.

    Attributes:
        points: of each group of inputs, (3, groups, points) in [0, 1): from the first to the last
            frame, down, and right.
        group: the group of each input, (inputs,); -1 for those without samples.
        places: the group of each sampled input of the batch.
        each: number of points of an input.
        shortest: smallest number of real tokens of a sampled input so far; ``each`` if none is
            shorter.
    """

    def __init__(
        self,
        inputs: int | None,
        positions: int,
        most: int,
        seed: int,
        labels: np.ndarray | None = None,
    ) -> None:
        """Draw the points.

        Args:
            inputs: number of inputs; None if unknown. Then each has one point.
            positions: number of samples, spread evenly over the inputs. If there are more inputs,
                only some groups of them are sampled.
            most: points that an input has at most: the positions of the largest layer.
            seed: of the draw.
            labels: of all inputs, as for ``image_groups``; None if they are not known beforehand.
        """
        self._rng = np.random.default_rng([seed, 0 if inputs is None else inputs])
        self._known = inputs
        if inputs is None:
            self.each, groups = 1, GROUPS
            self.group = np.empty(0, dtype=np.int64)
            self.samples, self.halves = None, Halves(None, seed)
        else:
            self.each = min(max(1, positions // inputs), most)
            members = image_groups(inputs, positions, seed, labels)
            groups = len(members)
            self.group = np.full(inputs, -1)
            left = positions
            for number in self._rng.permutation(groups):
                if self.each * len(members[number]) <= left:
                    left -= self.each * len(members[number])
                    self.group[members[number]] = number
            sampled = np.flatnonzero(self.group >= 0)
            self.samples, self.halves = self.each * len(sampled), Halves(sampled, seed)
        # Evenly spaced from left to right, so that no token is sampled twice if there are enough.
        down, right = self._rng.random((2, groups, self.each))
        order = self._rng.permuted(np.tile(np.arange(self.each), (groups, 1)), axis=1)
        frame = np.random.default_rng([seed, inputs or 0, 1]).random((groups, self.each))
        self.points = np.stack([frame, down, (order + right) / self.each])
        self._inputs = self.places = np.empty(0, dtype=np.int64)
        self.shortest = self.each
        self._pairs: dict[object, PairDraw] = {}

    def start(self, first: int, count: int) -> None:
        if self._known is None:
            more = (self._rng.random(count) * GROUPS).astype(np.int64)
            self.group = np.concatenate([self.group, more])
        group = self.group[first : first + count]
        sampled = np.flatnonzero(group >= 0)
        self._inputs, self.places = np.repeat(sampled, self.each), group[sampled]
        self.in_first = self.halves.next(first + self._inputs)

    def rows(self, values: Tensor, real: Tensor | None) -> Tensor:
        if real is not None and real.shape == values.shape[:2]:
            lengths = real.sum(1).cpu().numpy()[self._inputs]
            self.shortest = int(lengths.min(initial=self.shortest))
        points = self.points[:, self.places].reshape(3, -1)
        return at_points(values, real, self._inputs, points)

    def of_pair(self, a: LayerInfo, b: LayerInfo) -> PairDraw:
        sizes = a.size, b.size
        if sizes not in self._pairs:
            self._pairs[sizes] = _DistinctPlaces(self, sizes)
        return self._pairs[sizes]


class _DistinctPlaces(PairDraw):
    """The points of a ``PlaceDraw`` that are different positions of at least one of two layers.

    A point of which both layers have the same values as of another point of the input is no sample
    of its own. Inputs of a group share their points, so they also share the distinct ones. Texts
    with fewer real tokens than points still have some twice, of which ``compare`` warns.
    """

    def __init__(self, draw: PlaceDraw, sizes: tuple[tuple[int, int, int], ...]) -> None:
        self._draw = draw
        groups = draw.points.shape[1]
        self._distinct = np.zeros(draw.points.shape[1:], dtype=bool)
        for group in range(groups):
            own = np.concatenate([positions_at(draw.points[:, group], size) for size in sizes])
            self._distinct[group, np.unique(own, axis=1, return_index=True)[1]] = True
        self.alike = all(max(size) == 1 for size in sizes)  # a single position
        self.samples = None
        if draw.samples is not None:
            self.samples = int(self._distinct[draw.group[draw.group >= 0]].sum())

    def in_batch(self) -> np.ndarray | slice:
        return self._selected(self._draw.places)

    def in_all(self) -> np.ndarray | slice:
        return self._selected(self._draw.group[self._draw.group >= 0])

    def _selected(self, groups: np.ndarray) -> np.ndarray | slice:
        """Select from the samples of inputs of these groups; no copy is needed of all samples."""
        return ALL if self._distinct.all() else self._distinct[groups].ravel()

    def groups(self, inputs: int) -> list[np.ndarray]:
        group = self._draw.group[:inputs]
        return [np.flatnonzero(group == number) for number in np.unique(group)]

    def sampled(self, inputs: int) -> np.ndarray:
        return np.asarray(self._draw.group[:inputs] >= 0)

    def permuted(self, order: np.ndarray) -> np.ndarray:
        group = self._draw.group[: len(order)]
        sampled = np.flatnonzero(group >= 0)
        counts = self._distinct[group[sampled]].sum(1)
        first = np.zeros(len(order), dtype=np.int64)  # row of each sampled input
        first[sampled] = np.cumsum(counts) - counts
        moved = np.repeat(first[order[sampled]] - first[sampled], counts)
        rows: np.ndarray = np.arange(len(moved)) + moved
        return rows


class SharedDraw(Draw):
    """The pipeline's samples of a heat map: few points, each of an input of its own if possible."""

    def __init__(self, inputs: int | None, places: int, seed: int) -> None:
        """Draw the points; of an unknown number of inputs, the first ones have one each."""
        if inputs is None:
            rng = np.random.default_rng([seed, places])
            self._image = np.arange(places)
            self._points = random_points(rng, places)
        else:
            self._image, self._points = shared_places(inputs, places, seed)
        self._batch, self._first = slice(0, 0), 0

    def start(self, first: int, count: int) -> None:
        self._batch = slice(*np.searchsorted(self._image, [first, first + count]))
        self._first = first

    def rows(self, values: Tensor, real: Tensor | None) -> Tensor:
        inputs = self._image[self._batch] - self._first
        return at_points(values, real, inputs, self._points[:, self._batch])


def at_points(
    values: Tensor, real: Tensor | None, inputs: np.ndarray, points: np.ndarray
) -> Tensor:
    """Return a layer's values at points of the inputs, (points, neurons).

    Args:
        values: as for ``Draw.rows``.
        real: as for ``Draw.rows``; used if it has the layer's number of tokens.
        inputs: (points,) int64, the input of each point.
        points: (3, points) in [0, 1): from the first to the last frame, from top to bottom, and
            from left to right or from the first to the last real token.
    """
    axes = values.ndim - 2
    if axes != 1:
        places = positions_at(points[3 - axes :], values.shape[1:-1])
        return values[tuple(on_device_of(values, index) for index in (inputs, *places))]
    right, tokens = points[2], values.shape[1]
    if real is None or real.shape != values.shape[:2]:
        token = (right * tokens).astype(np.int64)
    else:
        mask = real.cpu().numpy()
        lengths = mask.sum(1)
        if not lengths.all():
            raise ValueError(
                "expected at least one real token in every input, found an attention_mask of"
                " zeros; leave empty texts out"
            )
        # Real tokens first, in their order, wherever the padding is.
        order = np.argsort(~mask, axis=1, kind="stable")
        token = order[inputs, (right * lengths[inputs]).astype(np.int64)]
    return values[on_device_of(values, inputs), on_device_of(values, token)]


def on_device_of(values: Tensor, index: np.ndarray) -> Tensor:
    """Return an index, or a mask, where the values are."""
    return torch.from_numpy(index).to(values.device, non_blocking=True)
