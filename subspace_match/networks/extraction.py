"""Extract the activations of a network's layers at given samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from .images import Images
from .inputs import count
from .layer_info import LayerInfo
from .layered_network import LayeredNetwork

Sink = Callable[[str, int, np.ndarray], None]


def extract(
    network: LayeredNetwork,
    images: Images,
    samples: Mapping[str, Sequence[np.ndarray]],
    *,
    batch_size: int,
    sink: Sink,
    batch_done: Callable[[], object],
) -> float | None:
    """Run each input through the network once, and pass the samples of each layer to a sink.

    Args:
        network: on the inputs' device.
        images: all inputs, in the order of ``samples``.
        samples: by layer name, the sorted flat indices of every draw (``sampling``).
        batch_size: inputs per forward pass.
        sink: called with a layer's name, the draw's number and (samples, neurons) float32, in the
            samples' order.
        batch_done: called after each batch.

    Returns:
        The accuracy of the network on the inputs; None if its output is not (inputs, classes).

    Raises:
        ValueError: if the network's values for an input change from run to run or with the batch,
            or a layer's shape changes from batch to batch.
    """
    network.check_repeatable(images.evenly_spaced(4))
    start = 0
    correct: torch.Tensor | None = torch.zeros((), dtype=torch.int64, device=images.labels.device)
    for inputs, labels in images.batches(batch_size):

        def take(layer: LayerInfo, values: torch.Tensor, start: int = start) -> None:
            for draw, index in enumerate(samples[layer.name]):
                chosen = _in_batch(index, layer, start, len(values))
                if len(chosen):
                    rows = sampled_rows(values, torch.from_numpy(chosen).to(values.device))
                    sink(layer.name, draw, rows.float().cpu().numpy())

        output = network.run(inputs, take)
        if not isinstance(output, torch.Tensor) or output.ndim != 2 or labels.ndim != 1:
            correct = None
        if correct is not None:
            correct = correct + (output.argmax(1) == labels).sum()
        start += count(inputs)
        batch_done()
    return None if correct is None else int(correct) / len(images)


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
