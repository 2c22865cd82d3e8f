"""Windows of text as input of a network, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..data.prepared import TextSplit
from .items import Batch, Items


class Texts(Items):
    """Windows of tokens, all of one length, on the device of a network.

    Example:
        >>> import numpy as np
        >>> split = TextSplit(np.arange(6, dtype=np.uint8).reshape(2, 3), np.arange(2))
        >>> texts = Texts(split, torch.device("cpu"))
        >>> len(texts), texts.evenly_spaced(1)
        (2, tensor([[0, 1, 2]]))
    """

    def __init__(self, split: TextSplit, device: torch.device) -> None:
        self._tokens = torch.from_numpy(split.tokens).to(device)

    @property
    def device(self) -> torch.device:
        return self._tokens.device

    def __len__(self) -> int:
        return len(self._tokens)

    def evenly_spaced(self, count: int) -> torch.Tensor:
        return self._tokens[self._spaced(count)].long()

    def batches(self, size: int) -> Iterator[Batch]:
        for part in torch.split(self._tokens, size):
            windows = part.long()
            yield windows, windows

    def training_batches(
        self,
        order: torch.Tensor,
        size: int,
        settings: Mapping[str, Any],  # noqa: ARG002 - texts are not changed at random
        generator: torch.Generator,  # noqa: ARG002
    ) -> Iterator[Batch]:
        for index in torch.split(order.to(self.device), size):
            windows = self._tokens[index].long()
            yield windows, windows
