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


def t5(seed: int) -> torch.nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    sizes = {"vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2}
    config = transformers.T5Config(**sizes, num_heads=2, decoder_start_token_id=0)
    return transformers.T5ForConditionalGeneration(config)


@pytest.mark.filterwarnings("ignore::subspace_match.FewSamplesWarning")
def test_a_decoder_has_the_padding_of_its_own_tokens() -> None:
    """Also if its texts are as long as the encoder's, as with a fixed length of all."""
    rng, width = np.random.default_rng(1), 9
    batches = []
    for _ in range(4):
        ids, others = (torch.from_numpy(rng.integers(1, 60, (15, width))) for _ in range(2))
        lengths = (torch.from_numpy(rng.integers(2, width + 1, (15, 1))) for _ in range(2))
        mask, other_mask = ((torch.arange(width) < each).long() for each in lengths)
        names = "input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask"
        values = ids, mask, others, other_mask
        batches.append(dict(zip(names, values, strict=True)))
    options = {"nodes": "block", "tokens": "mean", "device": "cpu"}
    models = t5(0), t5(1)
    found = sm.compare(*models, batches, **options)
    nodes = {
        "encoder.block.1.layer.1": "attention_mask",
        "decoder.block.1.layer.2": "decoder_attention_mask",
    }
    for node, name in nodes.items():
        means = [means_of(model, node, batches, name) for model in models]
        expected = sm.match_path(sm.reduce(*means, device="cpu"))
        np.testing.assert_allclose(found[node].path.critical_epsilon_x, expected.critical_epsilon_x)

    unmasked = [
        {k: v for k, v in batch.items() if k != "decoder_attention_mask"} for batch in batches
    ]
    with pytest.warns(
        sm.PaddedTokensWarning, match=r"in block\d of model_a \(9 tokens\)"
    ) as warned:
        sm.compare(*models, unmasked, nodes="block", layers="block*", device="cpu", positions=200)
    with pytest.raises(
        ValueError, match=r"block5 .*expected decoder_attention_mask.*\(tokens: all"
    ):
        sm.compare(*models, unmasked, **options)
    whole = [batch | {"attention_mask": torch.ones(15, width)} for batch in unmasked]
    assert len(sm.compare(*models, whole, **options)) == 10
    (message,) = {str(own.message) for own in warned if own.category is sm.PaddedTokensWarning}
    assert "block1 " not in message  # the encoder's


@pytest.mark.filterwarnings("ignore::subspace_match.FewSamplesWarning")
def test_a_decoders_padded_tokens_are_not_sampled_without_padding_of_the_encoder() -> None:
    """As of a model of speech or images, whose decoder alone has a mask."""
    width, found = 9, []
    for padding in (1, 2):
        rng = np.random.default_rng(0)
        batches = []
        for _ in range(4):
            ids, others = (torch.from_numpy(rng.integers(3, 60, (15, width))) for _ in range(2))
            mask = (torch.arange(width) < torch.from_numpy(rng.integers(2, width, (15, 1)))).long()
            others = torch.where(mask == 1, others, padding)
            batches.append(
                {"input_ids": ids, "decoder_input_ids": others, "decoder_attention_mask": mask}
            )
        options = {"nodes": "block", "device": "cpu", "positions": 300}
        found.append(sm.compare(t5(0), t5(1), batches, **options))
    one, other = found
    assert any(layer.layer_a.node.startswith("decoder") for layer in one.values())
    for name in one:
        paths = one[name].path, other[name].path
        np.testing.assert_allclose(*(path.critical_epsilon_x for path in paths), rtol=1e-5)


def means_of(
    model: torch.nn.Module, node: str, batches: list[dict[str, torch.Tensor]], mask: str
) -> np.ndarray:
    """Return the mean of a module's real tokens, (inputs, neurons), by a plain hook."""
    means: list[torch.Tensor] = []
    for batch in batches:
        real = batch[mask].bool()

        def keep(_: object, __: object, output: object, real: torch.Tensor = real) -> None:
            values = output[0] if isinstance(output, tuple) else output
            means.extend(own[which].mean(0) for own, which in zip(values, real, strict=True))

        handle = model.get_submodule(node).register_forward_hook(keep)
        with torch.no_grad():
            model.eval()(**batch)
        handle.remove()
    return torch.stack(means).numpy()


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
