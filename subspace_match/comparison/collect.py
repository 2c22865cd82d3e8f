"""Samples of two models' layers, from batch to batch: into moments, or kept where asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..matching.backends.base import Device
from ..matching.backends.numpy_ import threads_for
from ..matching.null import NullNeurons, null_neurons
from ..matching.path import match_path
from ..matching.reduction.halves import reduce_split
from ..matching.reduction.streaming import StreamedPair
from ..matching.validation import FewSamplesWarning, as_chunk_samples
from ..networks.inputs import Inputs, real_tokens
from ..networks.layer_info import LayerInfo
from ..networks.layered_network import LayeredNetwork
from ..networks.sampling import image_permutation
from ..progress import Progress
from ..storage.match_files import Resampled
from .batches import has_nan, naming
from .exchange import exchangeable
from .gathered import Gathered
from .layer_result import LayerComparison
from .layers import LayerPair, matching_work
from .places import Draw, GridDraw, GroupedDraw, PairDraw, PlaceDraw, SharedDraw, on_device_of

# Size of float64 values. Squares, and sums of them, are then normal numbers.
SMALLEST, LARGEST = 1e-130, 1e150
Key = tuple[int, str]  # number of the model, and name of the layer


@dataclass(frozen=True)
class Sampling:
    """What decides the samples.

    Attributes:
        inputs: number of inputs, None if unknown.
        positions: samples of a map.
        heat_map: samples of all layers at the same places.
        permutations: of the inputs.
        seed: of places, halves and permutations.
        labels: of all inputs, (inputs,) int64, if they are known beforehand; of more than ten
            classes, groups of inputs that share places then hold several inputs of a class.
    """

    inputs: int | None
    positions: int
    heat_map: int
    permutations: int
    seed: int
    labels: np.ndarray | None = None


class Kept:
    """Samples of layers that are kept, (samples, neurons) by model and layer.

    They are float64 where the model's values are, else float32.
    """

    def __init__(self) -> None:
        self._parts: dict[Key, list[np.ndarray]] = {}
        self._gathered: dict[Key, Gathered] = {}

    def add(self, key: Key, rows: Tensor) -> None:
        """Keep a batch's samples."""
        parts = self._parts.setdefault(key, [])
        gathered = self._gathered.setdefault(key, Gathered())
        parts += [full.numpy() for (full,) in gathered.add(rows.cpu())]

    def __getitem__(self, key: Key) -> np.ndarray:
        """Return all samples of a layer."""
        parts = self._parts[key]
        parts += [full.numpy() for (full,) in self._gathered[key].rest()]
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0]

    def of_model(self, number: int) -> dict[str, np.ndarray]:
        """Return the samples of a model's layers by name."""
        return {name: self[number, name] for own, name in self._parts if own == number}


@dataclass(frozen=True)
class _Compared:
    """A pair of layers, the draw of its samples, which of them it has, and its moments so far."""

    pair: LayerPair
    draw: GroupedDraw
    own: PairDraw
    stream: StreamedPair | None  # None for the layers of one model, whose samples are kept
    gathered: Gathered = field(default_factory=Gathered)  # samples on their way to the stream

    @property
    def neurons(self) -> int:
        """Number of neurons of both layers."""
        return self.pair.a.neurons + self.pair.b.neurons

    @property
    def work(self) -> float:
        """What a path takes, in any unit."""
        return matching_work(self.neurons)


class Collector:
    """Takes samples from values, and finishes with matches.

    Attributes:
        notes: how layers are sampled where that is not as in the pipeline, and what is kept.
        padded: what is said of layers all of whose tokens are sampled, by model and layer, because
            the mask of padded ones is that of other tokens.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[LayerInfo]],
        pairs: Sequence[LayerPair],
        sampling: Sampling,
        padded: bool,
        device: Device,
        number_bytes: int,
    ) -> None:
        """Decide where layers are sampled.

        Args:
            layers: of one or two models.
            pairs: to compare.
            sampling: what decides the samples.
            padded: whether tokens may be padded.
            device: where to match.
            number_bytes: size of a number that is kept, for the notes.
        """
        self._number_bytes = number_bytes
        self._sampling, self._device, self._one = sampling, device, len(layers) == 1
        self._draws: dict[object, GroupedDraw] = {}
        self._most = max((own.positions for pair in pairs for own in (pair.a, pair.b)), default=1)
        self._compared = [self._with_draw(pair, padded) for pair in pairs]
        # A layer of one model has many partners: its samples are kept once, for all of them.
        self._keeps: Draw | None = None
        if self._one:
            self._keeps = self._compared[0].draw
        elif sampling.heat_map:
            self._keeps = SharedDraw(sampling.inputs, sampling.heat_map, sampling.seed)
        self._kept = Kept()
        self._in_first: list[np.ndarray] = []  # of the kept samples of one model
        self._needed: dict[Key, list[Draw]] = {}
        for each in self._compared:
            for side, layer in enumerate((each.pair.a, each.pair.b)):
                own = self._needed.setdefault((0 if self._one else side, layer.name), [])
                if each.draw not in own:
                    own.append(each.draw)
        if not self._one and self._keeps is not None:
            for side, own_layers in enumerate(layers):
                for layer in own_layers:
                    self._needed.setdefault((side, layer.name), []).append(self._keeps)
        self._taken: dict[tuple[Key, Draw], Tensor] = {}
        self.notes = list(self._note(layers))
        self.padded: dict[Key, str] = {}

    def _with_draw(self, pair: LayerPair, padded: bool) -> _Compared:
        """Find the draw of a pair, or make it."""
        inputs, positions = self._sampling.inputs, self._sampling.positions
        seed, labels = self._sampling.seed, self._sampling.labels
        # A convolution of texts has one position for each token, too.
        maybe_padded = padded and pair.a.kind != "fc" and pair.a.height == 1
        if inputs is None or self._one or not pair.alike or maybe_padded:
            key: object = "places"
            if key not in self._draws:
                self._draws[key] = PlaceDraw(inputs, positions, self._most, seed, labels)
        else:
            key = pair.a.kind, pair.a.size
            if key not in self._draws:
                self._draws[key] = GridDraw(pair.a, inputs, positions, seed, labels)
        draw = self._draws[key]
        stream, own = None, draw.of_pair(pair.a, pair.b)
        if not self._one:
            stream = StreamedPair(
                *(pair.a.neurons, pair.b.neurons, own.samples),
                device=self._device,
                keep=self._sampling.permutations > 0,
            )
        return _Compared(pair, draw, own, stream)

    def _note(self, layers: Sequence[Sequence[LayerInfo]]) -> Iterator[str]:
        """Say how layers are sampled where that is not as in the pipeline, and what is kept."""
        if self._sampling.inputs is None:
            yield (
                "the number of inputs is not known before they are read: each input gives every map"
                " one sample"
            )
        neurons = sum(layer.neurons for own in layers for layer in own)
        if self._one:
            yield self._kept_words("pairs of layers", neurons, self._compared[0].draw.samples)
            return
        if self._keeps is not None:
            yield self._kept_words("heat map", neurons, self._sampling.heat_map)
        if self._sampling.permutations:
            kept = [(each.own.samples, each.pair) for each in self._compared]
            sizes = [(count or 1) * (pair.a.neurons + pair.b.neurons) for count, pair in kept]
            known = None if self._sampling.inputs is None else 1  # sizes contain the samples
            yield self._kept_words("null distribution", sum(sizes), known)

    def _kept_words(self, purpose: str, neurons: int, samples: int | None) -> str:
        size = self._number_bytes * neurons
        if samples is None:
            return f"{purpose}: keeps {size} bytes for each input"
        return f"{purpose}: keeps {1e-6 * size * samples:.1f} MB of samples"

    def start(self, first: int, count: int) -> None:
        """Prepare for a batch of ``count`` inputs, of which the first has the number ``first``."""
        for draw in {id(draw): draw for own in self._needed.values() for draw in own}.values():
            draw.start(first, count)
        self._taken = {}

    def sink(
        self, side: int, network: LayeredNetwork, inputs: Inputs
    ) -> Callable[[LayerInfo, Tensor], None]:
        """Return a function that samples the values of a model's layers for a batch."""
        mask = real_tokens(inputs)
        some_padded = mask is not None and not bool(mask.all())

        def sample(layer: LayerInfo, values: Tensor) -> None:
            key = side, layer.name
            draws = self._needed.get(key, ())
            found = values.shape[1] if values.ndim == 3 else 1  # a single one has all texts in it
            real = network.real_tokens(layer, inputs)
            unknown = real is None or real.shape[1] != found
            if draws and some_padded and found != 1 and unknown:
                self.padded[key] = f"{layer.name} of model_{'ab'[side]} ({found} tokens)"
            for draw in draws:
                with naming(f"model_{'ab'[side]}, {layer.name}"):
                    self._taken[key, draw] = _in_range(draw.rows(values, real))

        return sample

    def add(self, batch: Sequence[Inputs]) -> None:
        """Add a batch's samples, after all its models ran.

        Raises:
            ValueError: if a sample is NaN or infinite.
        """
        for side, inputs in enumerate(batch):
            self._check_finite(side, inputs)
        for each in self._compared:
            if each.stream is not None:
                x = self._taken[(0, each.pair.a.name), each.draw]
                y = self._taken[(1, each.pair.b.name), each.draw]
                own = each.own.in_batch()
                in_first = torch.from_numpy(each.draw.in_first[own])
                for full in each.gathered.add(_chosen(x, own), _chosen(y, own), in_first):
                    _add(each.stream, full)
        if self._one:
            self._in_first.append(self._compared[0].draw.in_first)
        for (key, draw), rows in self._taken.items():
            if draw is self._keeps and len(rows):
                self._kept.add(key, rows)

    def _check_finite(self, side: int, inputs: Inputs) -> None:
        rows = {key[1]: values for (key, _), values in self._taken.items() if key[0] == side}
        # One answer for all layers, because a GPU would wait for each.
        fits = {layer: values.abs() < LARGEST for layer, values in rows.items()}
        if not rows or torch.stack([own.all() for own in fits.values()]).all():
            return
        name = next(layer for layer, own in fits.items() if not own.all())
        wrong = int((~fits[name]).sum())
        double = rows[name].dtype == torch.float64
        infinite = f"infinite values, or above {LARGEST:g}" if double else "infinite values"
        cause = "the batch's own values are finite, so the model overflows"
        if has_nan(inputs):
            cause = "the batch itself has NaN or infinite values: leave these inputs out"
        raise ValueError(
            f"model_{'ab'[side]}, {name}: expected finite activations, found {wrong} NaN or"
            f" {infinite}; {cause}"
        )

    def repeated_tokens(self, seen: int) -> str | None:
        """Say that some tokens are several samples, if some texts have fewer tokens than samples.

        Args:
            seen: number of inputs.
        """
        draw = self._draws.get("places")
        if not isinstance(draw, PlaceDraw) or draw.shortest == draw.each:
            return None
        return (
            f"positions: expected at most {draw.shortest * seen} for {seen} texts of which the"
            f" shortest has {draw.shortest} real tokens, found {self._sampling.positions}, so that"
            f" each text gives {draw.each} samples: some tokens count several times"
        )

    def results(self, seen: int, labels: np.ndarray | None) -> Iterator[LayerComparison]:
        """Match all pairs of layers; the moments of each are released when it is matched.

        Args:
            seen: number of inputs.
            labels: of the inputs, (inputs,) int64, for permutations within classes.
        """
        exchanged = [self._exchanged(each.own, seen, labels) for each in self._compared]
        work = sum(
            (1 + self._sampling.permutations * len(own)) * each.work
            for each, own in zip(self._compared, exchanged, strict=True)
        )
        with Progress("layers", len(self._compared), work) as progress:
            for own in exchanged:
                compared = self._compared.pop(0)
                with warnings.catch_warnings(), threads_for(compared.neurons):
                    warnings.simplefilter("ignore", FewSamplesWarning)  # ``compare`` warns once
                    result = self._result(compared, own, progress)
                progress.update(1, compared.work)
                yield result

    def _exchanged(
        self, own: PairDraw, seen: int, labels: np.ndarray | None
    ) -> list[list[np.ndarray]]:
        """Return the groups in which each null of two layers permutes inputs: any, of one class."""
        if not self._sampling.permutations:
            return []
        groups = own.groups(seen)
        within = None
        if labels is not None:
            within = exchangeable(groups, labels, own.sampled(seen), own.alike)
        return [groups] if within is None else [groups, within]

    def _result(
        self, compared: _Compared, exchanged: list[list[np.ndarray]], progress: Progress
    ) -> LayerComparison:
        pair, stream, count = compared.pair, compared.stream, self._sampling.permutations
        images = compared.draw.halves.images
        if stream is None:
            own = compared.own.in_all()
            x, y = (self._kept[0, layer.name][own] for layer in (pair.a, pair.b))
            in_first = np.concatenate(self._in_first)[own]
            step = as_chunk_samples(None, compared.neurons, self._device)
            halves = reduce_split(x, y, in_first, images, step, self._device)
        else:
            for rest in compared.gathered.rest():
                _add(stream, rest)
            halves = stream.halves(images)
            x, y = stream.samples() if count else (np.empty(0), np.empty(0))
        nulls: list[NullNeurons] = []
        for number, groups in enumerate(exchanged):
            # The pipeline's random numbers: [seed], and within classes [seed, 1].
            rng = np.random.default_rng([self._sampling.seed, 1][: number + 1])
            orders = (compared.own.permuted(image_permutation(groups, rng)) for _ in range(count))
            found = []
            for permuted in null_neurons(halves.whole, x, y, orders, device=self._device):
                found.append(permuted)
                progress.update(0, compared.work)
            nulls.append(NullNeurons.stacked(found))
        path = match_path(halves.whole, device=self._device)
        resampled = Resampled.of(*nulls) if nulls else None
        return LayerComparison(pair.name, pair.a, pair.b, path, halves, resampled, self._device)

    def kept(self) -> list[dict[str, np.ndarray]]:
        """Return the samples for a heat map of A's and of B's layers; empty without."""
        if self._keeps is None or not self._sampling.heat_map:
            return []
        return [self._kept.of_model(0), self._kept.of_model(0 if self._one else 1)]


def _chosen(rows: Tensor, own: np.ndarray | slice) -> Tensor:
    return rows[own if isinstance(own, slice) else on_device_of(rows, own)]


def _in_range(rows: Tensor) -> Tensor:
    """Return float64 rows as float64, all others as float32.

    The squares of float32 are exact in float64. Those of float64 must not underflow.
    """
    if rows.dtype != torch.float64:
        return rows.float()
    return rows.masked_fill(rows.abs() < SMALLEST, 0.0)


def _add(stream: StreamedPair, rows: Sequence[Tensor]) -> None:
    x, y, in_first = rows
    stream.add(x, y, in_first.numpy())
