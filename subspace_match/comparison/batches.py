"""The batches of a loader, and what each model receives of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn, strided
from torch.nn.parameter import is_lazy
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset

from ..networks.inputs import (
    MASK,
    PADDING_MASKS,
    Inputs,
    count,
    first_tensor,
    real_tokens,
    tensors_in,
)
from ..networks.layered_network import check_not_compiled
from ..networks.wording import first_few

Pick = Callable[[Any], Any]


@dataclass(frozen=True)
class KnownInputs:
    """Batches of which it is known beforehand how many inputs they have, and which labels."""

    batches: Iterable[Any]
    inputs: int
    labels: np.ndarray | None  # (inputs,) int64, those that the batches have; None without
    labels_in_words: str  # what they are, or why there are none

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class ModelInputs:
    """Takes a model's inputs out of a batch.

    Attributes:
        notes: which keys of a batch, a dictionary, the model does not take.
    """

    def __init__(self, name: str, model: nn.Module, pick: Pick | None) -> None:
        """Prepare for a model.

        Args:
            name: of the argument, for errors.
            model: a module; its ``forward`` decides which keys of a dictionary are passed on.
            pick: the user's function from a batch to the inputs; None for the usual forms.

        Raises:
            ValueError: if the model is no module, a compiled one, without values or not initialised
                yet, or ``pick`` no function.
        """
        self._name, self._pick = name, pick
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"{name}: expected a torch.nn.Module, found {type(model).__name__}; for files and"
                " names of models use 'subspace-match compare'"
            )
        if pick is not None and not callable(pick):
            raise ValueError(
                f"inputs_{name[-1]}: expected a function from a batch to the model's inputs, found"
                f" {pick!r}"
            )
        check_not_compiled(name, model)
        if lazy := [path for path, weights in _tensors_of(model) if is_lazy(weights)]:
            raise ValueError(
                f"{name}: expected weights with values, found some that its first run would draw at"
                f" random ({first_few(lazy)}); load the weights, or run the model on a batch first"
            )
        if any(weights.is_meta for weights in model.parameters()):
            raise ValueError(
                f"{name}: expected weights with values, found some on the device 'meta', which has"
                " none; load or draw them on another device"
            )
        parameters = inspect.signature(model.forward).parameters.values()
        self._named = {
            p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }
        self._takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self._shape: tuple[int, ...] | None = None
        self._masked: bool | None = None
        self.notes: list[str] = []

    def __call__(self, batch: Any) -> Inputs:
        """Return the inputs in a batch.

        Raises:
            ValueError: if it has none, they are not dense, their size is not that of the first
                batch, or it is not certain which tokens are no padding.
        """
        inputs = self._pick(batch) if self._pick else self._usual(batch)
        if not isinstance(inputs, (Tensor, Mapping, tuple, list)):
            raise ValueError(
                f"{self._name}: expected inputs as a tensor, a tuple of arguments or a dictionary"
                f" of named arguments, found {type(inputs).__name__}; {self._advice}"
            )
        for tensor in tensors_in(inputs):
            if tensor.is_nested or tensor.layout is not strided:
                kind = "a nested" if tensor.is_nested else "a sparse"
                raise ValueError(
                    f"{self._name}: expected dense tensors, of which inputs can be selected, found"
                    f" {kind} one; {self._advice}"
                )
        self._check_mask(inputs)
        first = first_tensor(inputs)
        if first.is_floating_point() and real_tokens(inputs) is None:
            size = tuple(first.shape[1:])
            self._shape = self._shape or size
            if size != self._shape:
                raise ValueError(
                    f"expected inputs of shape {self._shape}, as in the first batch, found {size};"
                    " give all inputs one size, because a layer's positions must be the same in all"
                )
        return inputs

    @property
    def about_inputs(self) -> str:
        """What to do if the model does not accept its inputs; empty if the user took them."""
        if self._pick:
            return ""
        return f"; give batches with inputs along axis 0; if it takes others, {self._advice}"

    @property
    def _advice(self) -> str:
        return f"pass a function from a batch to these as inputs_{self._name[-1]}"

    def _check_mask(self, inputs: Inputs) -> None:
        """Refuse masks in some batches only, and masks that are added to scores."""
        masked = real_tokens(inputs) is not None
        mask = inputs.get(MASK) if masked and isinstance(inputs, Mapping) else None
        if isinstance(mask, Tensor) and (mask < 0).any():
            raise ValueError(
                f"{self._name}: expected an {MASK} with 1 for real tokens and 0 for padded ones,"
                " found negative values; convert it in a function, which you pass as"
                f" inputs_{self._name[-1]}"
            )
        self._masked = masked if self._masked is None else self._masked
        if masked != self._masked:
            found = ("none", "one")[masked], ("none", "one")[self._masked]
            raise ValueError(
                f"{self._name}: expected a mask of padded tokens, such as {MASK}, in every batch or"
                f" in none, found {found[0]} in this batch and {found[1]} in the first; give one"
                " also where nothing is padded"
            )

    def _usual(self, batch: Any) -> Any:
        """Take a tensor, the first of a (tensor, label) pair, or a dictionary's known keys."""
        if isinstance(batch, (tuple, list)) and batch:
            batch, *others = batch
            if any(_is_mask_of(batch, other) for other in others):
                raise ValueError(
                    f"{self._name}: expected batches of (tensor, label) pairs or dictionaries,"
                    f" found tokens and a mask {tuple(batch.shape)}, which would be left out;"
                    f" {self._advice}, such as lambda batch: {{'input_ids': batch[0],"
                    f" '{MASK}': batch[1]}}"
                )
        if not isinstance(batch, Mapping):
            return batch
        known = {key: value for key, value in batch.items() if key in self._named}
        if self._takes_any:
            # What wraps a model passes a mask on; labels, which it may not take, are left out.
            masks = {key: batch[key] for key in (MASK, *PADDING_MASKS) if key in batch}
            known = known | masks if known else dict(batch)
        if not known:
            raise ValueError(
                f"{self._name}: expected a batch with some of the arguments that the model takes"
                f" ({', '.join(sorted(self._named))}), found {', '.join(map(str, batch))};"
                f" {self._advice}"
            )
        if left_out := [str(key) for key in batch if key not in known]:
            self.notes = [f"does not take {', '.join(left_out)}"]
        return known


def _tensors_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _is_mask_of(tokens: Any, other: Any) -> bool:
    """Return whether a tensor says by 0 and 1 which of other tensor's tokens are real."""
    if not isinstance(tokens, Tensor) or not isinstance(other, Tensor):
        return False
    whole = not (tokens.is_floating_point() or other.is_floating_point())
    alike = whole and tokens.ndim == 2 and tokens.shape == other.shape
    return bool(alike and (tokens > 1).any() and ((other == 0) | (other == 1)).all())


def number_of_inputs(loader: Any) -> int | None:
    """Return how many inputs a loader will yield; None if only reading it would tell.

    Args:
        loader: a DataLoader, a list or tuple of batches with tensors, or any other iterable.

    Example:
        >>> import torch
        >>> from torch.utils.data import TensorDataset
        >>> data = TensorDataset(torch.zeros(10, 3))
        >>> number_of_inputs(DataLoader(data, batch_size=4, drop_last=True))
        8
    """
    if isinstance(loader, KnownInputs):
        return loader.inputs
    if isinstance(loader, DataLoader):
        batches = loader.batch_sampler
        if isinstance(loader.dataset, IterableDataset) or type(batches) is not BatchSampler:
            return None
        try:
            inputs = len(loader.sampler)  # type: ignore[arg-type]  # not every sampler has one
        except TypeError:
            return None
        return inputs - inputs % batches.batch_size if batches.drop_last else inputs
    if isinstance(loader, (list, tuple)) and all(_has_tensor(batch) for batch in loader):
        return sum(count(batch) for batch in loader)
    return None


def holds_more(loader: Any, batch: Any, inputs: int) -> bool:
    """Return whether a batch gave more inputs than ``number_of_inputs`` counts for it.

    Its items may be batches themselves (``collate_fn``, ``inputs_a``), or its first tensor may
    count something else. Then the loader's length says nothing of the number of inputs.

    Args:
        loader: as for ``number_of_inputs``.
        batch: one of its batches.
        inputs: how many inputs were taken from it.

    Example:
        >>> import torch
        >>> prebatched = DataLoader([torch.zeros(50, 3)] * 4, collate_fn=lambda items: items[0])
        >>> number_of_inputs(prebatched), holds_more(prebatched, torch.zeros(50, 3), 50)
        (4, True)
    """
    if isinstance(loader, DataLoader):
        return loader.batch_size is not None and inputs > loader.batch_size
    return isinstance(loader, (list, tuple)) and inputs > count(batch)


def _has_tensor(batch: Any) -> bool:
    return any(tensor.ndim and not tensor.is_nested for tensor in tensors_in(batch))


def read(loader: Any) -> Iterator[tuple[int, Any]]:
    """Yield the number of each batch, from 1, and the batch.

    Raises:
        ValueError: if the loader is no iterable of batches, or has none.
    """
    if isinstance(loader, (Tensor, Mapping, str)) or not isinstance(loader, Iterable):
        advice = "for a single batch write [batch]"
        if isinstance(loader, Dataset):
            advice = "write DataLoader(dataset, batch_size=100)"
        raise ValueError(
            "loader: expected an iterable of batches, such as a DataLoader or a list of tensors,"
            f" found {type(loader).__name__}; {advice}"
        )
    _check_no_pair(loader)
    number = 0
    for number, batch in enumerate(loader, start=1):
        yield number, batch
    if number == 0:
        raise ValueError(
            "loader: expected at least one batch, found none; a generator can be read only once:"
            " make a new one for each call"
        )


def _check_no_pair(loader: Any) -> None:
    """Refuse a (tensor, label) pair in the place of batches: no model takes both as inputs."""
    if not isinstance(loader, (tuple, list)) or len(loader) != 2:
        return
    inputs, labels = loader
    if isinstance(inputs, Tensor) and isinstance(labels, Tensor) and labels.ndim < inputs.ndim:
        raise ValueError(
            "loader: expected an iterable of batches, found a pair of tensors of shapes"
            f" {tuple(inputs.shape)} and {tuple(labels.shape)}; for a single batch of inputs and"
            " labels write [(inputs, labels)]"
        )


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Begin the message of a ValueError with where it happened, and name arguments, not keys."""
    try:
        yield
    except ValueError as error:
        # Modules of a model may be called extraction, too.
        words = re.sub(r"\bextraction\.(nodes|neuron_axis|tokens)\b", r"\1", str(error))
        raise ValueError(f"{where}: {words}") from error


def has_nan(inputs: Inputs) -> bool:
    """Return whether any number of the inputs is NaN or infinite."""
    tensors = [tensor for tensor in tensors_in(inputs) if tensor.is_floating_point()]
    return not all(tensor.isfinite().all() for tensor in tensors)
