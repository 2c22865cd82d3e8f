"""Extract the activations of a network's layers at given samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from .inputs import count
from .items import Items
from .layer_info import LayerInfo
from .layered_network import LayeredNetwork
from .tasks import Performance, Tally

Sink = Callable[[str, int, np.ndarray], None]


def extract(
    network: LayeredNetwork,
    items: Items,
    samples: Mapping[str, Sequence[np.ndarray]],
    *,
    task: str,
    batch_size: int,
    sink: Sink,
    batch_done: Callable[[], object],
) -> Performance | None:
    """Run each input through the network once, and pass the samples of each layer to a sink.

    Args:
        network: on the inputs' device.
        items: all inputs and targets, in the order of ``samples``.
        samples: by layer name, the sorted flat indices of every draw (``sampling``).
        task: of the network, "classify" or "language_model".
        batch_size: inputs per forward pass.
        sink: called with a layer's name, the draw's number and (samples, neurons) float32, in the
            samples' order.
        batch_done: called after each batch.

    Returns:
        How well the network does its task; None if its output are not the task's scores.

    Raises:
        ValueError: if the network's values for an input change from run to run or with the batch,
            or a layer's shape changes from batch to batch.
    """
    network.check_repeatable(items.evenly_spaced(4))
    start, tally = 0, Tally(task, items.device)
    for inputs, targets in items.batches(batch_size):

        def take(layer: LayerInfo, values: torch.Tensor, start: int = start) -> None:
            for draw, index in enumerate(samples[layer.name]):
                chosen = _in_batch(index, layer, start, len(values))
                if len(chosen):
                    rows = sampled_rows(values, torch.from_numpy(chosen).to(values.device))
                    sink(layer.name, draw, rows.float().cpu().numpy())

        tally.add(network.run(inputs, take), targets)
        start += count(inputs)
        batch_done()
    return tally.performance if tally.has_scores else None


def sampled_rows(values: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """Return rows (samples, neurons) of a layer's values, without copying the other values.

    Args:
        values: (inputs, neurons), (inputs, positions, neurons) or (inputs, height, width, neurons),
            as ``LayeredNetwork.run`` passes them.
        flat: (samples,) int64, indices into all axes but the last: (input * height + row) * width
            + column.

    Example:
        >>> sampled_rows(torch.arange(12).reshape(1, 2, 3, 2), torch.tensor([0, 5]))
        tensor([[ 0,  1],
                [10, 11]])
    """
    if values.ndim == 2:
        return values[flat]
    return values[torch.unravel_index(flat, values.shape[:-1])]


def _in_batch(samples: np.ndarray, layer: LayerInfo, start: int, inputs: int) -> np.ndarray:
    """Return the samples that lie in a batch, as flat indices into the batch."""
    size = layer.positions
    first, last = np.searchsorted(samples // size, [start, start + inputs])
    return np.asarray(samples[first:last] - start * size)
