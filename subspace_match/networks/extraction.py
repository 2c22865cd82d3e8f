"""Extract the activations of a network's layers at given samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from .inputs import count, real_tokens
from .items import Items
from .layer_info import LayerInfo
from .layered_network import LayeredNetwork
from .tasks import Performance, Tally

# By layer name, the sorted flat indices of every draw (``sampling``).
Samples = Mapping[str, Sequence[np.ndarray]]
# Called with a layer's name, a draw's number and its next samples, (samples, neurons) float32.
Sink = Callable[[str, int, np.ndarray], None]


def extract(
    network: LayeredNetwork,
    items: Items,
    recordings: Sequence[tuple[Samples, Sink]],
    *,
    task: str,
    batch_size: int,
    batch_done: Callable[[], object],
) -> Performance | None:
    """Run each input through the network once, and pass samples of each layer to sinks.

    Args:
        network: on the inputs' device.
        items: all inputs and targets, in the order of the samples.
        recordings: samples of every layer, and the sink that gets them in their order.
        task: of the network, "classify" or "language_model".
        batch_size: inputs per forward pass.
        batch_done: called after each batch.

    Returns:
        How well the network does its task; None if its output has no scores for it.

    Raises:
        ValueError: if the network's values for an input change from run to run or with the batch,
            a layer's shape changes from batch to batch, or a layer of tokens has padded ones.
    """
    of_tokens = [layer for layer in network.layers if layer.kind == "tokens"]
    network.check_repeatable(items.evenly_spaced(4))
    start, tally, to_host = 0, Tally(task, items.device), _ToHost()
    for inputs, targets in items.batches(batch_size):

        def take(layer: LayerInfo, values: torch.Tensor, start: int = start) -> None:
            wanted = [
                (sink, draw, _in_batch(own, layer, start, len(values)))
                for samples, sink in recordings
                for draw, own in enumerate(samples[layer.name])
            ]
            rows = sampled_rows(values, np.concatenate([own for *_, own in wanted])).float()
            parts = torch.split(rows, [len(own) for *_, own in wanted])
            for (sink, draw, _), part in zip(wanted, parts, strict=True):
                if len(part):
                    to_host.add(sink, layer.name, draw, part)

        if of_tokens and (real := real_tokens(inputs)) is not None and not bool(real.all()):
            raise ValueError(
                f"{of_tokens[0].name}: expected texts of one length, found padded tokens in"
                " attention_mask; cut the texts to one length, or set extraction.tokens to first,"
                " last or mean"
            )
        tally.add(network.run(inputs, take), targets)
        to_host.end_batch()
        start += count(inputs)
        batch_done()
    to_host.end()
    return tally.performance if tally.has_scores else None


class _ToHost:
    """Passes sampled rows on to their sinks, in order.

    Rows on a GPU are copied together at the end of a batch, into page-locked memory. The GPU goes
    on with the next batch meanwhile, and the sinks get them when that one is under way. A copy for
    each layer would make the GPU wait for each.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[Sink, str, int, torch.Tensor]] = []
        self._copied: _Copied | None = None

    def add(self, sink: Sink, name: str, draw: int, rows: torch.Tensor) -> None:
        """Take rows of a layer, (samples, neurons) float32."""
        if rows.device.type == "cpu":
            sink(name, draw, rows.numpy())
        else:
            self._rows.append((sink, name, draw, rows))

    def end_batch(self) -> None:
        """Begin to copy the rows of this batch, and pass on those of the batch before."""
        before, self._copied = self._copied, _Copied(self._rows) if self._rows else None
        self._rows = []
        if before is not None:
            before.pass_on()

    def end(self) -> None:
        """Pass on all rows that are left."""
        self.end_batch()
        self.end_batch()


class _Copied:
    """Rows of several layers on their way from a GPU to the host, in one copy."""

    def __init__(self, rows: Sequence[tuple[Sink, str, int, torch.Tensor]]) -> None:
        self._keys = [(sink, name, draw, part.shape) for sink, name, draw, part in rows]
        flat = torch.cat([part.flatten() for *_, part in rows])
        self._host = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
        self._host.copy_(flat, non_blocking=True)
        self._done = torch.cuda.current_stream(flat.device).record_event()

    def pass_on(self) -> None:
        """Wait for the copy, and call the sink of each layer."""
        self._done.synchronize()
        parts = torch.split(self._host, [shape.numel() for *_, shape in self._keys])
        for (sink, name, draw, shape), part in zip(self._keys, parts, strict=True):
            # The sink may keep it, but page-locked memory is scarce.
            sink(name, draw, part.view(shape).numpy().copy())


def sampled_rows(values: torch.Tensor, flat: np.ndarray) -> torch.Tensor:
    """Return rows (samples, neurons) of a layer's values, without copying the other values.

    Args:
        values: (inputs, ..., neurons), as ``LayeredNetwork.run`` passes them.
        flat: (samples,) int64, indices into all axes but the last: (input * height + row) * width
            + column.

    Example:
        >>> sampled_rows(torch.arange(12).reshape(1, 2, 3, 2), np.array([0, 5]))
        tensor([[ 0,  1],
                [10, 11]])
    """
    axes = np.stack(np.unravel_index(flat, values.shape[:-1]))
    # Few numbers: the GPU takes them in its turn, and nothing waits.
    return values[tuple(torch.from_numpy(axes).to(values.device, non_blocking=True))]


def _in_batch(samples: np.ndarray, layer: LayerInfo, start: int, inputs: int) -> np.ndarray:
    """Return the samples that lie in a batch, as flat indices into the batch."""
    size = layer.positions
    first, last = np.searchsorted(samples, [start * size, (start + inputs) * size])
    return np.asarray(samples[first:last] - start * size)
