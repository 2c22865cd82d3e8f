"""Language models of transformers, with batches as its collators make them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import texts

import subspace_match as sm

LENGTHS = [int(length) for length in np.random.default_rng(0).integers(4, 16, 60)]


def gpt2(seed: int) -> torch.nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    sizes = {"vocab_size": 60, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))


def bert(seed: int) -> torch.nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    sizes = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24}
    config = transformers.BertConfig(**sizes, num_attention_heads=2, max_position_embeddings=32)
    return transformers.BertModel(config)


def test_two_architectures_are_compared_block_by_block() -> None:
    def without_labels(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {key: batch[key] for key in ("input_ids", "attention_mask")}

    batches = list(texts(LENGTHS, 20))
    found = sm.compare(
        *(gpt2(0), bert(0), batches),
        nodes="block",
        inputs_a=without_labels,
        positions=240,
        permutations=19,
        device="cpu",
    )
    assert list(found) == ["block1", "block2"]
    # Four tokens of each text, the same in both models.
    assert {layer.pair.samples for layer in found.values()} == {240}
    assert any("model_b: does not take labels" in note for note in found.notes)
    same = sm.compare(bert(0), bert(0), batches, nodes="block", positions=240, device="cpu")
    assert all(layer.path.similarity(0.01) == 1 for layer in same.values())
