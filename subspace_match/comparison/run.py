"""Compare two models, or the layers of one, on the inputs of a loader."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..extras import needs
from ..matching.backends import resolve_device
from ..matching.backends.base import Device, DeviceLike
from ..matching.null import null_paths
from ..matching.path import match_path
from ..matching.reduction.moments import PairMoments, reduce
from ..matching.reduction.streaming import StreamedPair
from ..matching.validation import FEW_SAMPLES, FewSamplesWarning
from ..progress import Progress
from .result import Comparison, LayerComparison

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..networks.layer_info import LayerInfo
    from ..networks.layered_network import LayeredNetwork
    from .batches import ModelInputs
    from .layers import LayerPair
    from .places import Draw

log = logging.getLogger(__name__)


class ShortLoaderWarning(UserWarning):
    """A loader yielded fewer inputs than its length says."""


def compare(
    model_a: nn.Module,
    model_b: nn.Module | None = None,
    loader: Iterable[Any] | None = None,
    *,
    nodes: str | Sequence[str] = "auto",
    layers: Sequence[str | tuple[str, str]] | None = None,
    positions: int = 10_000,
    permutations: int = 0,
    heat_map: int = 4_000,
    inputs_a: Callable[[Any], Any] | None = None,
    inputs_b: Callable[[Any], Any] | None = None,
    tokens: str = "all",
    neuron_axis: int | None = None,
    seed: int = 0,
    device: DeviceLike = "auto",
) -> Comparison:
    """Compare two models layer by layer, or the layers of one model with one another.

    Each model runs once on every batch, in evaluation mode and without gradients; afterwards it is
    as it was. Samples go straight into moments: memory holds a few matrices of (n_a + n_b)^2
    numbers for each pair of layers and the samples of a batch, for any number of inputs. More is
    kept for the null distribution and the heat map; the log (``logging``) says how much.

    The samples, and so all numbers, are those that the pipeline takes from the same inputs in its
    first draw. If the number of inputs cannot be known before they are read (a generator), every
    input gives each map one sample.

    Args:
        model_a: on any device.
        model_b: may have another device, architecture and input; None to compare every two layers
            of ``model_a``.
        loader: yields batches: tensors, (tensor, label) pairs, or dictionaries, of which each model
            gets the keys that it takes. Both models see the same batches, so it may shuffle.
        nodes: what is a layer: "auto", "relu", "activation", "convolution", "block", or shell
            patterns over nodes; ``subspace-match layers`` lists them.
        layers: names or shell patterns of the layers to compare, or pairs (a layer of A, a layer of
            B). None for all layers of the same name, kind and map size.
        positions: (input, position) samples of a map or of tokens, spread over the inputs.
        permutations: of the inputs of B, for a null distribution and p-values. The samples of both
            sides are kept for it.
        heat_map: samples for ``Comparison.heat_map``, at the same places in all layers, which are
            kept; 0 for none.
        inputs_a: function from a batch to the inputs of A: a tensor, a tuple of arguments, or a
            dictionary of named arguments.
        inputs_b: the same for B.
        tokens: samples of a layer of tokens: "all" (padded ones never), or one per input: the
            "first", the "last" or their "mean".
        neuron_axis: axis of neurons where it is not certain.
        seed: of the samples' places and of the permutations.
        device: "cpu", "cuda" or "auto", where to match. The models stay where they are.

    Returns:
        The comparison.

    Raises:
        ValueError: if an argument is not valid; if a model does not accept its inputs, or gives
            NaN or other values in a second run; if no layers can be compared; if the loader is
            empty, or its inputs change their size.
        MissingExtraError: without torch.

    Warns:
        ShortLoaderWarning: if the loader ends early; the result is that of the inputs it gave.
        FewSamplesWarning: above 0.2 neurons per sample, where part of a match is chance.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> def model():
        ...     return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU())
        >>> batches = [torch.randn(100, 8) for _ in range(5)]
        >>> result = compare(model(), model(), batches)
        >>> result
        <Comparison of Sequential (A) and Sequential (B): 2 layers, 500 inputs>
        >>> list(result), result["fc1"].pair
        (['fc1', 'fc2'], <PairMoments of 6 + 6 neurons, 500 samples>)
    """
    for name, value, least in (
        *(("positions", positions, 1), ("permutations", permutations, 0)),
        *(("heat_map", heat_map, 0), ("seed", seed, 0)),
    ):
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name}: expected a whole number of at least {least}, found {value}")
    with needs("torch", "compare"):
        import torch

        from .batches import ModelInputs, number_of_inputs
    models = [model_a] if model_b is None else [model_a, model_b]
    for side, model in zip("ab", models, strict=False):
        if not isinstance(model, torch.nn.Module):
            raise ValueError(
                f"model_{side}: expected a torch.nn.Module, found {type(model).__name__}; for files"
                " and names of models use 'subspace-match compare'"
            )
    inputs = [
        ModelInputs(f"model_{side}", model, pick)
        for side, model, pick in zip("ab", models, (inputs_a, inputs_b), strict=False)
    ]
    options = {"nodes": nodes, "neuron_axis": neuron_axis, "tokens": tokens}
    total = number_of_inputs(loader, inputs)
    run = _Run(models, inputs, options, layers, total, positions, heat_map, permutations, seed)
    run.device = resolve_device(device)
    seen = run.read(loader)
    results = run.results(seen)
    _warn_of_few_samples(results)
    settings = {
        "nodes": nodes if isinstance(nodes, str) else list(nodes),
        **{"positions": positions, "permutations": permutations, "seed": seed, "tokens": tokens},
    }
    return Comparison(
        tuple(type(model).__name__ for model in models),
        {result.name: result for result in results},
        seen,
        run.left_out,
        settings,
        run.kept_for_heat_map(),
        run.device,
    )


@dataclass
class _Compared:
    """A pair of layers, its samples so far, and the draw that decides them."""

    pair: LayerPair
    number: int  # of the draw
    stream: StreamedPair | None  # None if its rows are among those that a draw keeps


@dataclass
class _Run:
    """What one pass over the loader reads and leaves."""

    models: list[nn.Module]
    inputs: list[ModelInputs]
    options: dict[str, Any]
    wanted: Sequence[str | tuple[str, str]] | None
    total: int | None
    positions: int
    places: int
    permutations: int
    seed: int
    device: Device = field(default_factory=lambda: resolve_device("cpu"))
    left_out: list[str] = field(default_factory=list)

    def read(self, loader: Any) -> int:
        """Run the models on all batches and add up their samples; return the number of inputs."""
        from ..networks.inputs import count
        from .batches import read

        seen = 0
        with Progress("inputs", self.total) as progress:
            for number, batch in read(loader):
                with _in_batch(number):
                    own = [pick(batch) for pick in self.inputs]
                    sizes = [count(each) for each in own]
                    if len(set(sizes)) > 1:
                        raise ValueError(
                            "expected as many inputs for model_a as for model_b, found"
                            f" {sizes[0]} and {sizes[1]}; both must see the same inputs"
                        )
                if seen == 0:
                    self._prepare(own)
                with _in_batch(number):
                    self._add(own, seen, sizes[0])
                seen += sizes[0]
                progress.update(sizes[0])
        if self.total is not None and seen != self.total:
            warnings.warn(
                f"loader: expected {self.total} inputs, its length, found {seen}; the result is"
                " that of these inputs",
                ShortLoaderWarning,
                stacklevel=3,
            )
        return seen

    def _prepare(self, first: list[Any]) -> None:
        """Find the layers, decide where they are sampled, and say what is kept."""
        from ..networks.inputs import count, real_tokens, rows
        from ..networks.layered_network import LayeredNetwork
        from .layers import pairs_of_layers
        from .places import SharedDraw

        self._networks: list[LayeredNetwork] = []
        for side, model, batch, pick in zip("ab", self.models, first, self.inputs, strict=False):
            with _naming(f"model_{side}"):
                network = LayeredNetwork(model, batch, **self.options)
                few = min(4, count(batch))
                network.check_repeatable(rows(batch, [n % few for n in range(max(2, few))]))
            for note in network.notes:
                log.info("model_%s: %s", side, note)
            if pick.left_out:
                log.info("model_%s does not take %s", side, ", ".join(pick.left_out))
            self._networks.append(network)
        self.layers = [network.layers for network in self._networks]
        two = len(self.layers) > 1
        pairs, self.left_out = pairs_of_layers(
            self.layers[0], self.layers[1] if two else None, self.wanted
        )
        if self.left_out and self.wanted is None:
            log.info("only one model has these layers: %s", ", ".join(self.left_out))
        padded = any(real_tokens(batch) is not None for batch in first)
        self._draws: list[Draw] = []
        numbers: dict[Any, int] = {}
        self.compared = [self._compared(pair, numbers, padded) for pair in pairs]
        # Draws that sample a layer, by side and layer; and rows that are kept, by draw, too.
        self._needed: dict[tuple[int, str], set[int]] = {}
        self._kept: dict[tuple[int, int, str], list[np.ndarray]] = {}
        for each in self.compared:
            for side, layer in enumerate((each.pair.a, each.pair.b)):
                key = side if two else 0, layer.name
                self._needed.setdefault(key, set()).add(each.number)
        # A layer of one model has many partners, so its rows are kept once, and serve both.
        self._kept_draw = None if two else 0
        if self.places and two:
            self._kept_draw = len(self._draws)
            self._draws.append(SharedDraw(self.total, self.places, self.seed))
            for side, layers in enumerate(self.layers):
                for layer in layers:
                    self._needed.setdefault((side, layer.name), set()).add(self._kept_draw)
        self._say_what_is_kept()

    def _compared(self, pair: LayerPair, numbers: dict[Any, int], padded: bool) -> _Compared:
        """Find the draw of a pair, by what it depends on, or make it."""
        from .places import GridDraw, PlaceDraw

        one = len(self.layers) == 1
        grid = not (self.total is None or one or (padded and pair.a.kind == "tokens"))
        key = (pair.a.kind, pair.a.height, pair.a.width) if grid and pair.alike else "places"
        if key not in numbers:
            numbers[key] = len(self._draws)
            if key == "places":
                self._draws.append(PlaceDraw(self.total, self.positions, self.seed))
            else:
                assert self.total is not None
                self._draws.append(GridDraw(pair.a, self.total, self.positions, self.seed))
        stream = None
        if not one:
            stream = StreamedPair(
                *(pair.a.neurons, pair.b.neurons, self._draws[numbers[key]].samples),
                device=self.device,
                keep=self.permutations > 0,
            )
        return _Compared(pair, numbers[key], stream)

    def _say_what_is_kept(self) -> None:
        """Log how much memory the samples that are kept will take."""
        neurons = sum(layer.neurons for layers in self.layers for layer in layers)
        if len(self.layers) == 1:
            self._log_kept("pairs of layers", neurons, self._draws[0].samples)
            return
        if self._kept_draw is not None:
            log.info("heat map: keeps %.1f MB of samples", 4e-6 * self.places * neurons)
        for number, draw in enumerate(self._draws):
            own = [each.pair for each in self.compared if each.number == number]
            if own and self.permutations:
                neurons = sum(pair.a.neurons + pair.b.neurons for pair in own)
                self._log_kept("null distribution", neurons, draw.samples)

    @staticmethod
    def _log_kept(purpose: str, neurons: int, samples: int | None) -> None:
        if samples is None:
            log.info("%s: keeps %d bytes for each input", purpose, 4 * neurons)
        else:
            log.info("%s: keeps %.1f MB of samples", purpose, 4e-6 * neurons * samples)

    def _add(self, batch: list[Any], first: int, count: int) -> None:
        """Run the models on a batch, and add its samples."""
        from ..networks.inputs import real_tokens

        for draw in self._draws:
            draw.start(first, count)
        taken: dict[tuple[int, int, str], Tensor] = {}
        for side, (network, inputs) in enumerate(zip(self._networks, batch, strict=True)):

            def sample(
                layer: LayerInfo,
                values: Tensor,
                side: int = side,
                real: Tensor | None = real_tokens(inputs),
            ) -> None:
                for number in self._needed.get((side, layer.name), ()):
                    rows = self._draws[number].rows(layer, values, real)
                    taken[number, side, layer.name] = rows.float()

            network.run(inputs, sample)
        self._check_finite(taken, batch)
        for each in self.compared:
            if each.stream is not None:
                x, y = (
                    taken[each.number, side, layer.name]
                    for side, layer in enumerate((each.pair.a, each.pair.b))
                )
                if len(x):
                    each.stream.add(x, y)
        for key, rows in taken.items():
            if key[0] == self._kept_draw and len(rows):
                self._kept.setdefault(key, []).append(rows.cpu().numpy())

    def _check_finite(self, taken: dict[tuple[int, int, str], Tensor], batch: list[Any]) -> None:
        import torch

        from .batches import has_nan

        for side, own in enumerate(batch):
            rows = {layer: values for (_, s, layer), values in taken.items() if s == side}
            if not rows or bool(torch.stack([v.isfinite().all() for v in rows.values()]).all()):
                continue
            name = next(layer for layer, values in rows.items() if not values.isfinite().all())
            count = int((~rows[name].isfinite()).sum())
            cause = "the batch itself has NaN or infinite values" if has_nan(own) else (
                "the batch itself is finite, so the model overflows"
            )
            raise ValueError(
                f"model_{'ab'[side]}, {name}: expected finite activations, found {count} NaN or"
                f" infinite values; {cause}"
            )

    def results(self, seen: int) -> list[LayerComparison]:
        """Match all pairs of layers."""
        found = []
        with Progress("layers", len(self.compared)) as progress, warnings.catch_warnings():
            warnings.simplefilter("ignore", FewSamplesWarning)  # ``compare`` warns once
            while self.compared:  # each pair's sums are freed when it is matched
                found.append(self._result(self.compared.pop(0), seen))
                progress.update()
        return found

    def _result(self, compared: _Compared, seen: int) -> LayerComparison:
        pair, draw = compared.pair, self._draws[compared.number]
        moments: PairMoments
        if compared.stream is None:
            x, y = (self._rows(0, 0, layer.name) for layer in (pair.a, pair.b))
            moments = reduce(x, y, device=self.device)
        else:
            moments = compared.stream.pair()
            if self.permutations:
                x, y = compared.stream.samples()
        null = None
        if self.permutations:
            rng = np.random.default_rng(self.seed)
            orders = (draw.permuted(seen, rng) for _ in range(self.permutations))
            paths = null_paths(moments, x, y, orders, device=self.device)
            null = np.stack([path.critical_epsilon for path in paths])
        path = match_path(moments, device=self.device)
        return LayerComparison(pair.name, pair.a, pair.b, path, null)

    def _rows(self, number: int, side: int, layer: str) -> np.ndarray:
        parts = self._kept[number, side, layer]
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0]

    def kept_for_heat_map(self) -> list[dict[str, np.ndarray]]:
        """Return the kept samples of A's and of B's layers by name; empty without a heat map."""
        number = self._kept_draw
        if number is None:
            return []
        sides = [
            {name: self._rows(number, side, name) for _, side, name in self._kept if side == own}
            for own in range(len(self.layers))
        ]
        return sides if len(sides) > 1 else sides * 2


@contextmanager
def _in_batch(number: int) -> Iterator[None]:
    """Name the batch in errors."""
    with _naming(f"batch {number} of the loader"):
        yield


@contextmanager
def _naming(where: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _warn_of_few_samples(results: Sequence[LayerComparison]) -> None:
    few = [r for r in results if r.neurons_per_sample > FEW_SAMPLES]
    if few:
        most = max(few, key=lambda result: result.neurons_per_sample)
        warnings.warn(
            f"{len(few)} of {len(results)} layers have more than {FEW_SAMPLES:g} neurons per sample"
            f" ({most.name} has {most.neurons_per_sample:.2f}), where part of the match is chance:"
            " use more inputs, or see chance with permutations=19",
            FewSamplesWarning,
            stacklevel=3,
        )
