"""Small models and batches for tests of comparisons."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from subspace_match.data.prepared import Split
from subspace_match.networks.images import Images
from subspace_match.networks.preprocessing import Preprocessing

SIZE = 8  # height and width of an image


def cnn(seed: int, width: int = 6) -> nn.Module:
    """Two convolutions, of maps of 8 x 8 and 4 x 4, and a fully connected layer."""
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(2, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 10, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()),
        *(nn.Linear(160, 12), nn.ReLU(), nn.Linear(12, 5)),
    )


def mlp(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * SIZE**2, 12), nn.ReLU(), nn.Linear(12, 5))


class Text(nn.Module):
    """Token embeddings, a linear layer and a GELU; each token changes nothing but itself."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding, self.up = nn.Embedding(50, 8), nn.Linear(8, 6)
        self.act = nn.GELU()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        hidden = self.act(self.up(self.embedding(input_ids)))
        return {"last_hidden_state": hidden, "mask": attention_mask}


def images_of(pixels: np.ndarray) -> Images:
    """Return pixels (images, 2, height, width) as a network of the pipeline gets them."""
    split = Split(pixels, np.zeros(len(pixels), np.int64), np.arange(len(pixels)))
    return Images.on_device(split, Preprocessing((0.4, 0.5), (0.2, 0.3)), torch.device("cpu"))


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def loader(count: int, batch: int = 40, **options: bool) -> DataLoader[tuple[Tensor, ...]]:
    data = TensorDataset(images(count), torch.zeros(count))
    return DataLoader(data, batch_size=batch, generator=torch.Generator(), **options)


def texts(lengths: list[int], batch: int, left: bool = False) -> Iterator[dict[str, Tensor]]:
    """Yield batches as Hugging Face collates them: padded to the longest text of each."""
    generator = torch.Generator().manual_seed(0)
    made = [torch.randint(1, 50, (length,), generator=generator) for length in lengths]
    for start in range(0, len(made), batch):
        part = made[start : start + batch]
        width = max(map(len, part))
        ids, mask = (torch.zeros(len(part), width, dtype=torch.int64) for _ in range(2))
        for number, text in enumerate(part):
            place = slice(width - len(text), None) if left else slice(len(text))
            ids[number, place], mask[number, place] = text, 1
        yield {"input_ids": ids, "attention_mask": mask, "labels": torch.zeros(len(part))}
