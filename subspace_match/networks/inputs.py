"""The input of a network: a tensor, a tuple of arguments, or a dictionary of named arguments.

Axis 0 of every tensor counts inputs: images, texts, time series. An argument may be a list, tuple
or dictionary of tensors, such as a whole batch. Tensors without that axis, and values that are no
tensors, are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Inputs = Tensor | Sequence[Any] | Mapping[str, Any]

# The name under which Hugging Face's tokenizers say which tokens are real (1) and padded (0).
MASK = "attention_mask"
# The same of the tokens of a decoder that reads other ones than the encoder.
DECODER_MASK = "decoder_attention_mask"
# The names under which torch's transformers take the opposite, bool: which tokens are padded.
PADDING_MASKS = ("src_key_padding_mask", "key_padding_mask", "padding_mask")


def call(network: nn.Module, inputs: Inputs) -> Any:
    """Run a network on a tensor, a sequence of positional or a mapping of named arguments."""
    arguments, named = split(inputs)
    return network(*arguments, **named)


def split(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return positional and named arguments."""
    if isinstance(inputs, Tensor):
        return (inputs,), {}
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return tuple(inputs), {}


def count(inputs: Inputs) -> int:
    """Return the number of inputs in a batch.

    Raises:
        ValueError: if there is no tensor.

    Example:
        >>> count({"input_ids": torch.zeros(3, 8, dtype=torch.int64)})
        3
    """
    return len(first_tensor(inputs))


def rows(inputs: Inputs, index: Sequence[int]) -> Inputs:
    """Return the inputs at some indices, which may repeat.

    Example:
        >>> rows((torch.arange(3), "name"), [2, 0])
        (tensor([2, 0]), 'name')
        >>> rows(({"x": torch.arange(3)},), [1])
        ({'x': tensor([1])},)
    """
    total = count(inputs)

    def chosen(tensor: Tensor) -> Tensor:
        whole = tensor.ndim == 0 or len(tensor) != total
        return tensor if whole else tensor[torch.tensor(index, device=tensor.device)]

    return of_tensors(chosen, inputs)


def doubled(inputs: Inputs, axis: int) -> Inputs:
    """Return longer inputs: each tensor as long as the first one along an axis, twice along it.

    Example:
        >>> doubled((torch.zeros(2, 5), torch.zeros(2, 5), torch.zeros(2)), 1)[1].shape
        torch.Size([2, 10])
    """
    length = first_tensor(inputs).shape[axis]

    def longer(tensor: Tensor) -> Tensor:
        fits = tensor.ndim > axis and tensor.shape[axis] == length
        return torch.cat([tensor, tensor], axis) if fits else tensor

    return of_tensors(longer, inputs)


def axes_of_positions(inputs: Inputs) -> list[int]:
    """Return the axes along which the first tensor may be longer: height and width, or time."""
    first = first_tensor(inputs)
    if first.ndim == 2:
        return [] if first.is_floating_point() else [1]
    return list(range(1 if first.ndim == 3 else 2, first.ndim))


def to_device(inputs: Inputs, device: torch.device | None) -> Inputs:
    """Return the inputs on a device; None leaves them where they are."""
    return inputs if device is None else of_tensors(lambda tensor: tensor.to(device), inputs)


def copied(inputs: Inputs) -> Inputs:
    """Return a copy of each tensor, for code that may change its inputs in place.

    Example:
        >>> x = torch.zeros(2)
        >>> copied({"x": x})["x"].add_(1), x
        (tensor([1., 1.]), tensor([0., 0.]))
    """
    return of_tensors(torch.clone, inputs)


def of_tensors(change: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    """Apply a function to each tensor, also in lists, tuples and dictionaries."""

    def changed(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value)
        if type(value) is dict:
            return {name: changed(part) for name, part in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(changed, value))
        if isinstance(value, tuple) and hasattr(value, "_make"):  # of named fields
            return value._make(map(changed, value))
        return value

    if isinstance(inputs, Mapping):
        return {name: changed(value) for name, value in inputs.items()}
    return change(inputs) if isinstance(inputs, Tensor) else tuple(map(changed, inputs))


def real_tokens(inputs: Inputs, decoder: bool = False) -> Tensor | None:
    """Return which tokens are no padding, (inputs, tokens) bool; None if nothing says so.

    Args:
        inputs: of the network.
        decoder: whether those of a decoder that reads other tokens than the encoder.

    Example:
        >>> real_tokens({"x": torch.zeros(1, 2, 8), "padding_mask": torch.tensor([[False, True]])})
        tensor([[ True, False]])
    """
    if not isinstance(inputs, Mapping):
        return None
    mask = inputs.get(DECODER_MASK if decoder else MASK)
    if isinstance(mask, Tensor) and mask.ndim == 2:
        return mask != 0
    if decoder:
        return None
    for name in PADDING_MASKS:
        padded = inputs.get(name)
        if isinstance(padded, Tensor) and padded.ndim == 2 and padded.dtype == torch.bool:
            return ~padded
    return None


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a value, or in a tuple, list or dictionary of values.

    Example:
        >>> [len(each) for each in tensors_in({"a": torch.zeros(2), "b": (torch.ones(3), None)})]
        [2, 3]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)


def described(inputs: Inputs) -> str:
    """Return the shapes of all tensors in words."""
    if isinstance(inputs, Tensor):
        return f"a tensor {tuple(inputs.shape)}"
    items = inputs.items() if isinstance(inputs, Mapping) else enumerate(inputs)
    shapes = (
        f"{name} {tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
        for name, value in items
    )
    return f"({', '.join(shapes)})"


def first_tensor(inputs: Inputs) -> Tensor:
    """Return the first tensor that has axes."""
    for tensor in tensors_in(inputs):
        if tensor.ndim:
            return tensor
    raise ValueError(
        "inputs: expected a tensor, a tuple or a dictionary with tensors, found"
        f" {type(inputs).__name__} without one; make tensors of the items, as a collate_fn does"
    )
