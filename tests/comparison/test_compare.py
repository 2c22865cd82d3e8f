"""Two models in one call, against the pipeline and against a plain loop on whole arrays."""

from __future__ import annotations

import logging
import math
import re
import warnings
import weakref
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import SIZE, Text, cnn, images, images_of, loader, mlp, texts
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import subspace_match as sm
from subspace_match.comparison.gathered import Gathered
from subspace_match.comparison.layers import why_left_out
from subspace_match.comparison.places import Halves, PlaceDraw
from subspace_match.matching.reduction.halves import split_images as halves_of_images
from subspace_match.networks.extraction import extract
from subspace_match.networks.images import Images
from subspace_match.networks.layer_info import LayerInfo
from subspace_match.networks.layered_network import LayeredNetwork
from subspace_match.networks.sampling import (
    draw_samples,
    draw_shared_positions,
    image_permutation,
)
from subspace_match.networks.tasks import CLASSIFY
from subspace_match.results.heat_map import heat_map
from subspace_match.results.layer_nulls import resampled_layer
from subspace_match.results.store_pair import StorePair
from subspace_match.storage.activations import new_store

COUNT, BATCH, POSITIONS = 300, 64, 2000


def split_images() -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 2, SIZE, SIZE), dtype=np.uint8)
    return images_of(pixels)


def store(
    path: Path,
    network: nn.Module,
    data: Images,
    places: int | None = None,
    labels: np.ndarray | None = None,
) -> Path:
    """Extract a network as the pipeline does; with places for a heat map, at these."""
    layered = LayeredNetwork(network.eval(), data.evenly_spaced(2))
    samples = {
        layer.name: draw_samples(layer, COUNT, POSITIONS, 1, 0, labels)
        if places is None
        else [draw_shared_positions(layered.layers, COUNT, places, 0)[layer.name]]
        for layer in layered.layers
    }
    entries = [
        asdict(layer) | {"depth": depth, "draws": 1, "samples": len(samples[layer.name][0])}
        for depth, layer in enumerate(layered.layers, start=1)
    ]
    about = {
        "network": path.stem,
        "checkpoint": "",
        "data": {"test_images": COUNT},
        "extraction": {"positions": POSITIONS, "position_seed": 0},
    }
    with new_store(path, about, entries) as written:
        if labels is not None:
            written.labels(labels)
        for name, (index,) in samples.items():
            written.samples(name, 0, index)
        extract(
            *(layered, data, [(samples, written.append)]),
            task=CLASSIFY,
            batch_size=BATCH,
            batch_done=lambda: None,
        )
        written.add_attributes(accuracy=None)
    return path


@pytest.fixture(scope="module")
def data() -> Images:
    return split_images()


def test_numbers_are_those_of_the_pipelines_samples_bit_for_bit(
    data: Images, tmp_path: Path
) -> None:
    networks = cnn(0), cnn(1)
    a, b = (store(tmp_path / f"{n}.zarr", own, data) for n, own in zip("ab", networks, strict=True))
    stores = StorePair(a, b, "d")
    batches = [inputs for inputs, _ in data.batches(BATCH)]
    found = sm.compare(*networks, batches, positions=POSITIONS, device="cpu", heat_map=500)
    chance = sm.compare(*networks, batches, positions=POSITIONS, device="cpu", permutations=19)
    pipeline = {
        origin.layer: (path, new)
        for origin, path, new in stores.match_paths(list(found), device="cpu", chunk_samples=None)
    }
    assert list(pipeline) == list(found) == ["conv1", "conv2", "fc1"]
    for layer, (path, new) in pipeline.items():
        assert found[layer].path == chance[layer].path == path
        np.testing.assert_array_equal(found[layer].cross_fitted.critical_epsilon, new.cross_fitted)
        np.testing.assert_array_equal(found[layer].held_out.critical_epsilon, new.held_out)
        assert (found[layer].inputs, found[layer].cross_fitted.note) == (COUNT, "")
        options = {"permutations": 19, "seed": 0, "device": "cpu"}
        null = resampled_layer(stores, layer, path.pair, **options).any_image
        np.testing.assert_array_equal(chance[layer].null, null)

    alike = StorePair(
        *(store(tmp_path / f"{n}h.zarr", own, data, 500) for n, own in enumerate(networks)), "d"
    )
    table = found.to_frame("heat_map", 0.5)
    all_layers = heat_map(alike, device="cpu", chunk_samples=None)
    np.testing.assert_array_equal(table["linear_cka"], all_layers.linear_cka.ravel())
    matched = (all_layers.critical_epsilon <= 0.5).sum(2).ravel()
    sizes = np.add.outer(*([x.neurons for x in all_layers.layers_a],) * 2).ravel()
    np.testing.assert_array_equal(table["similarity"], matched / sizes)


def rows(model: nn.Module, inputs: Tensor, last: int) -> np.ndarray:
    """Return every position of the map, or vector, behind a module, (samples, neurons)."""
    with torch.no_grad():
        values = model.eval()[: last + 1](inputs)
    values = values.movedim(1, -1) if values.ndim == 4 else values
    return values.reshape(-1, values.shape[-1]).numpy()


@pytest.mark.parametrize("permutations", [0, 19])
@pytest.mark.parametrize("count", [90, 700])  # few samples are kept, many added up
def test_values_of_float64_keep_their_digits(count: int, permutations: int) -> None:
    inputs = images(count).double() + 100  # float32 has few digits left for differences
    models = mlp(0).double(), mlp(1).double()
    found = sm.compare(
        *(*models, inputs.split(60)),
        **{"device": "cpu", "heat_map": 50, "permutations": permutations},
    )
    x, y = (rows(model, inputs, 2) for model in models)
    assert x.dtype == np.float64
    (layer,) = found.values()
    exact, rounded = (
        sm.reduce(own_x, own_y, device="cpu")
        for own_x, own_y in ((x, y), (x.astype(np.float32), y.astype(np.float32)))
    )
    np.testing.assert_allclose(layer.pair.sums, exact.sums, rtol=1e-13)
    assert not np.allclose(rounded.sums, exact.sums, rtol=1e-10, atol=0)
    expected = sm.match_path(exact, device="cpu").critical_epsilon
    np.testing.assert_allclose(layer.path.critical_epsilon, expected, atol=1e-10)
    assert len(found.to_frame("heat_map", 0.3)) == 1


def test_the_mean_of_float64_tokens_keeps_its_digits() -> None:
    model, (batch,) = Text(0).double(), texts([7] * 60, 60)
    found = sm.compare(model, model, [batch], tokens="mean", device="cpu", heat_map=0)
    with torch.no_grad():
        tokens = model(batch["input_ids"], batch["attention_mask"])["last_hidden_state"]
    expected = 2 * [*tokens.mean(1).sum(0).numpy()]
    np.testing.assert_allclose(found["mlp1"].pair.sums, expected, rtol=1e-12)


@pytest.mark.parametrize("batch", [7, 300])
def test_every_position_is_sampled_if_there_are_not_too_many(batch: int) -> None:
    inputs = images(100)
    models = cnn(0), cnn(1, width=9)
    found = sm.compare(*models, inputs.split(batch), device="cpu", positions=100_000)
    for name, last in (("conv1", 1), ("conv2", 4), ("fc1", 8)):
        x, y = (rows(model, inputs, last) for model in models)
        expected = sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")
        assert found[name].pair.samples == len(x)
        np.testing.assert_allclose(
            found[name].path.critical_epsilon, expected.critical_epsilon, atol=1e-5
        )
        assert found[str(last)] is found[name]  # by its node


def test_a_generator_gives_each_map_one_sample_of_each_input() -> None:
    models = cnn(0), cnn(0)
    found = sm.compare(*models, iter(images(500).split(60)), device="cpu", permutations=19)
    assert {layer.pair.samples for layer in found.values()} == {500}
    assert any("not known before they are read" in note for note in found.notes)
    for layer in found.values():  # equal models match, permuted ones do not
        assert layer.path.similarity(0.01) > 0.7
        # Few inputs stay where they are, and these alone match.
        assert (layer.null < 0.01).mean() < 0.1
    other = sm.compare(*models, iter(images(500).split(123)), device="cpu", permutations=19)
    for name, layer in found.items():  # the size of batches changes no sample
        np.testing.assert_allclose(layer.pair.norms, other[name].pair.norms, rtol=1e-5)
        np.testing.assert_allclose(layer.null, other[name].null, atol=1e-3)


def test_models_of_other_architectures_and_inputs_are_compared() -> None:
    both = torch.utils.data.TensorDataset(images(200), images(200, 1))
    batches = torch.utils.data.DataLoader(both, batch_size=50)
    found = sm.compare(
        *(cnn(0), mlp(0), batches),
        inputs_a=lambda batch: batch[0],
        inputs_b=lambda batch: batch[1],
        device="cpu",
    )
    assert (list(found), found.left_out) == (["fc1"], ["conv1", "conv2"])
    assert "in no pair: conv1, conv2 (only in model_a)" in found.notes
    x, y = rows(cnn(0), images(200), 8), rows(mlp(0), images(200, 1), 2)
    expected = sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")
    np.testing.assert_allclose(
        found["fc1"].path.critical_epsilon, expected.critical_epsilon, atol=1e-5
    )


def test_layers_of_other_sizes_are_compared_at_the_same_places() -> None:
    found = sm.compare(
        *(cnn(0), cnn(1), images(100).split(30)),
        layers=[("conv1", "conv2"), ("4", "fc1")],
        positions=800,
        permutations=19,
        device="cpu",
    )
    assert list(found) == ["conv1~conv2", "conv2~fc1"]
    # Of the 8 places of an image, some are the same of conv2's 16 positions.
    assert [layer.pair.samples for layer in found.values()] == [800, 700]
    assert [layer.null.shape for layer in found.values()] == [(19, 16), (19, 22)]


def test_the_layers_of_one_model_are_compared_with_one_another() -> None:
    model, inputs = cnn(0), images(80)
    found = sm.compare(model, None, [inputs], permutations=19, device="cpu", positions=640)
    assert list(found) == ["conv1~conv2", "conv1~fc1", "conv2~fc1"]
    assert found["conv2~fc1"].null.shape == (19, 22)
    table = found.to_frame("heat_map", 0.5)
    assert len(table) == 9
    same = table[table["layer_a"] == table["layer_b"]]
    assert (same["similarity"] > 0.8).all()  # but for dead neurons
    only = sm.compare(model, loader=[inputs], layers=["conv*"], device="cpu")
    assert list(only) == ["conv1~conv2"]
    assert list(sm.compare(model, loader=[inputs], layers="conv*", device="cpu")) == list(only)


@pytest.mark.parametrize("left", [False, True])
def test_padded_tokens_are_never_sampled(left: bool) -> None:
    lengths = [int(n) for n in np.random.default_rng(0).integers(3, 20, 120)]
    models = Text(0), Text(1)
    found = sm.compare(*models, texts(lengths, 16, left), device="cpu", nodes="activation")
    (layer,) = found.values()
    assert layer.pair.samples == 120  # a generator
    assert any("does not take labels" in note for note in found.notes)
    listed = list(texts(lengths, 16, left))
    found = sm.compare(*models, listed, device="cpu", positions=600, permutations=19)
    (layer,) = found.values()
    assert layer.pair.samples == 600  # five places of each text
    # The embedding of padding is made huge: any padded token would be seen.
    with torch.no_grad():
        models[0].embedding.weight[0] = 1e6
    again = sm.compare(*models, listed, device="cpu", positions=600, permutations=19)
    assert again["mlp1"].path == layer.path
    for which, samples in (("first", 120), ("mean", 120)):
        one = sm.compare(*models, listed, device="cpu", tokens=which)
        assert one["mlp1"].pair.samples == samples


@pytest.mark.parametrize("name", ["src_key_padding_mask", "key_padding_mask", "padding_mask"])
def test_the_padding_masks_of_torchs_own_layers_are_known(name: str) -> None:
    """They are True where a token is padded."""
    lengths = [int(n) for n in np.random.default_rng(0).integers(3, 20, 120)]
    batches = list(texts(lengths, 16))

    def named(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"ids": batch["input_ids"], name: batch["attention_mask"] == 0}

    class Named(Text):
        def forward(self, ids: Tensor, **masks: Tensor) -> dict[str, Tensor]:
            return super().forward(ids, masks[name])

    expected = sm.compare(Text(0), Text(1), batches, positions=600)
    for batch_of in (batches, [named(batch) for batch in batches]):
        pick = named if batch_of is batches else None
        found = sm.compare(
            Named(0), Named(1), batch_of, positions=600, inputs_a=pick, inputs_b=pick
        )
        assert found["mlp1"].path == expected["mlp1"].path


def test_a_model_that_passes_arguments_on_gets_the_mask() -> None:
    class Wrapper(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.inner = Text(seed)

        def forward(self, input_ids: Tensor, **more: Tensor) -> dict[str, Tensor]:
            assert "labels" not in more
            return self.inner(input_ids, **more)

    batches = list(texts([int(n) for n in np.random.default_rng(0).integers(3, 20, 120)], 16))
    found = sm.compare(Wrapper(0), Wrapper(1), batches, positions=600)
    expected = sm.compare(Text(0), Text(1), batches, positions=600)
    assert found["mlp1"].path == expected["mlp1"].path
    assert "model_a: does not take labels" in found.notes


class TextCnn(Text):
    """A convolution over tokens, each of which changes nothing but itself."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.convolution = nn.Conv1d(8, 6, 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        hidden = self.act(self.convolution(self.embedding(input_ids).mT))
        return {"last_hidden_state": hidden, "mask": attention_mask}


def test_padded_positions_of_a_convolution_are_never_sampled() -> None:
    models = TextCnn(0), TextCnn(1)
    batch = next(texts([int(n) for n in np.random.default_rng(0).integers(3, 20, 120)], 120))
    found = sm.compare(*models, [batch], device="cpu", positions=600)
    assert [(layer.layer_a.kind, layer.pair.samples) for layer in found.values()] == [("conv", 600)]
    with torch.no_grad():
        models[0].embedding.weight[0] = 1e6
    again = sm.compare(*models, [batch], device="cpu", positions=600)
    assert again["conv1"].path == found["conv1"].path


class Prompted(Text):
    """Texts after one more token."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        prompt = self.embedding.weight[:1].expand(len(input_ids), 1, 8)
        hidden = self.act(self.up(torch.cat([prompt, self.embedding(input_ids)], 1)))
        return {"last_hidden_state": hidden, "mask": attention_mask}


@pytest.mark.filterwarnings("ignore::subspace_match.FewSamplesWarning")
def test_padded_tokens_that_a_mask_cannot_tell_are_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    sm.compare(Prompted(0), Prompted(1), list(texts([6] * 40, 20)))
    assert not [each for each in recwarn if each.category is sm.PaddedTokensWarning]
    with pytest.warns(sm.PaddedTokensWarning) as warned:
        found = sm.compare(
            Text(0), Prompted(1), list(texts([6, 4] * 20, 20)), layers=[("mlp1", "mlp1")]
        )
    (message,) = {str(each.message) for each in warned if "padded" in str(each.message)}
    assert message in found.notes
    assert "is that of other tokens, in mlp1 of model_b (7 tokens); if some are padded" in message


def test_batches_of_texts_say_which_tokens_are_padded() -> None:
    models, batches = (Text(0), Text(1)), list(texts([6, 4] * 20, 20))
    pairs = [(batch["input_ids"], batch["attention_mask"]) for batch in batches]
    mask = r"batch 1 .*model_a: expected batches of .*, found tokens and a mask \(20, 6\), which"
    for more in ((), (torch.zeros(20),)):
        with refused(mask, r"pass a function from a batch to these as inputs_a, such as lambda"):
            sm.compare(*models, [(*pair, *more) for pair in pairs])
    with refused(mask):
        sm.compare(*models, [[pairs[0][0], pairs[0][1].bool()]])

    def named(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        return {"input_ids": batch[0], "attention_mask": batch[1]}

    found = sm.compare(*models, pairs, inputs_a=named, inputs_b=named)
    assert found["mlp1"].path == sm.compare(*models, batches)["mlp1"].path

    class Unmasked(Text):
        def forward(
            self, input_ids: Tensor, attention_mask: Tensor | None = None
        ) -> dict[str, Tensor]:
            every = torch.ones_like(input_ids)
            return super().forward(input_ids, every if attention_mask is None else attention_mask)

    labelled = [(batch["input_ids"], batch["input_ids"]) for batch in batches]  # no masks
    assert sm.compare(Unmasked(0), Unmasked(1), labelled).inputs == 40
    some = [batches[0], {"input_ids": batches[1]["input_ids"]}]
    for order, found_now in ((some, "none in this batch and one"), (some[::-1], "one in this")):
        with refused(
            f"batch 2 .*such as attention_mask, in every batch or in none, found {found_now}"
        ):
            sm.compare(Unmasked(0), Unmasked(1), order)
    added = [
        {**batch, "attention_mask": (batch["attention_mask"] - 1.0) * 1e9} for batch in batches
    ]
    with refused("batch 1 .*with 1 for real tokens and 0 for padded ones, found negative values"):
        sm.compare(*models, added)


def test_training_mode_gradients_and_hooks_are_as_they_were() -> None:
    models = cnn(0), cnn(1)
    for model in models:
        model.train()
        model[4].eval()
        model[0].weight.grad = torch.ones_like(model[0].weight)
        model[3].weight.requires_grad_(False)
    before = [[module.training for module in model.modules()] for model in models]
    weights = [[p.clone() for p in model.parameters()] for model in models]

    def fail(batch: Tensor) -> Tensor:
        raise RuntimeError(f"the user's own error at {len(batch)}")

    sm.compare(*models, images(100).split(50), device="cpu")
    with pytest.raises(RuntimeError, match="own error at 50"):
        sm.compare(*models, images(100).split(50), device="cpu", inputs_b=fail)
    with pytest.raises(ValueError, match="batch 2"):
        sm.compare(*models, [images(50), images(50).log()], device="cpu")
    for model, modes, own in zip(models, before, weights, strict=True):
        assert [module.training for module in model.modules()] == modes
        assert not any(module._forward_hooks for module in model.modules())
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), own, strict=True))
        assert bool((model[0].weight.grad == 1).all())
        assert [p.requires_grad for p in model.parameters()][2:4] == [False, True]


def test_what_is_kept_is_said_beforehand(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="subspace_match"):
        sm.compare(cnn(0), cnn(1), loader(100), device="cpu", permutations=19, positions=1000)
    # Two models of 6 + 10 + 12 neurons: 4000 places; 1000, 1000 and 100 samples of the layers.
    assert "heat map: keeps 0.9 MB of samples" in caplog.messages
    assert "null distribution: keeps 0.1 MB of samples" in caplog.messages
    found = sm.compare(cnn(0), cnn(1), loader(100), device="cpu", heat_map=0)
    assert not any("keeps" in note for note in found.notes)


def test_every_long_part_says_how_far_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subspace_match.progress.LINE_INTERVAL", 0)
    with caplog.at_level(logging.INFO, logger="subspace_match"):
        found = sm.compare(cnn(0), cnn(1), loader(100), device="cpu", permutations=19)
        found.heat_map()
    last = dict(message.split(": ") for message in caplog.messages if " left" in message)
    none_left = "about 0:00 left"
    assert last == {
        "inputs": f"100/100, {none_left}",
        "layers": f"3/3, {none_left}",
        "heat map": f"9/9, {none_left}",
        "certificates and measures": f"3/3, {none_left}",
    }
    # Each permutation is a part of the work on its layer.
    assert sum(message.startswith("layers: ") for message in caplog.messages) == 3 * 20


@pytest.mark.parametrize("sizes", [(1, 30, 2), (8,), (3, 5, 8, 17), (0, 4)])
def test_rows_are_gathered_in_order_and_in_few_arrays(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subspace_match.comparison.gathered.ROWS", 8)
    x, y = torch.arange(2 * sum(sizes)).reshape(-1, 2), torch.arange(sum(sizes))
    gathered, found = Gathered(), []
    for pieces in zip(x.split(sizes), y.split(sizes), strict=True):
        found += list(gathered.add(*pieces))
        for piece in pieces:
            piece[:] = -1  # it was copied
    found += list(gathered.rest())
    assert not list(gathered.rest())
    assert [len(rows) for rows, _ in found][:-1] == [8] * (len(found) - 1)
    expected = torch.arange(2 * sum(sizes)).reshape(-1, 2), torch.arange(sum(sizes))
    for side, whole in enumerate(expected):
        assert torch.equal(torch.cat([own[side] for own in found]), whole)


def test_memory_does_not_grow_with_the_number_of_inputs() -> None:
    """Nothing refers to the samples of a batch after it was added."""
    held: list[weakref.ref[Tensor]] = []

    def batches():
        for seed in range(30):
            batch = images(50, seed)
            held.append(weakref.ref(batch))
            yield batch
            del batch
            assert sum(ref() is not None for ref in held) <= 2

    sm.compare(cnn(0), cnn(1), batches(), device="cpu", heat_map=100)


# What fails, and how


def refused(*parts: str):
    return pytest.raises(ValueError, match=".*".join(parts))


def test_models_without_common_layers_are_refused_with_their_layers() -> None:
    with refused(
        r"found conv1 8 x 8, conv2 .* in model_a, and fc1 1 x 1 in model_b; say which",
        r"layers=\[\('conv2', 'fc1'\)\]",
    ):
        sm.compare(cnn(0)[:5], mlp(0), loader(50))
    with refused("found 'nonsense', which fits none of conv1, conv2, fc1$"):
        sm.compare(cnn(0), cnn(1), loader(50), layers=["nonsense"])
    with refused("layers: expected a layer of model_b, one of fc1, found 'conv9'"):
        sm.compare(cnn(0), mlp(0), loader(50), layers=[("conv1", "conv9")])


def test_an_empty_loader_is_refused() -> None:
    with refused("loader: expected at least one batch, found none; a generator can be read only"):
        sm.compare(cnn(0), cnn(1), iter(()))


@pytest.mark.parametrize("wrap", [list, iter])
def test_empty_batches_change_nothing(wrap: Callable[[list[Tensor]], Iterable[Tensor]]) -> None:
    whole, none = list(images(100).split(50)), images(0)
    found, expected = (
        sm.compare(cnn(0), cnn(1), wrap(batches), device="cpu", heat_map=0)
        for batches in ([none, whole[0], none, whole[1], none], whole)
    )
    assert found.inputs == expected.inputs == 100
    for name, layer in expected.items():
        assert found[name].path == layer.path
    with refused("loader: expected at least one input, found empty batches only"):
        sm.compare(cnn(0), cnn(1), wrap([none, none]), device="cpu")


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_compiled_model_is_refused() -> None:
    scripted = torch.jit.script(nn.Linear(4, 3))
    for model in (scripted, torch.jit.trace(mlp(0), images(2)), nn.Sequential(scripted, nn.ReLU())):
        with refused("model_b: expected a module of Python code, found one that torch.jit compile"):
            sm.compare(mlp(0), model, [images(20)])
        with refused(
            "network: expected a module of Python code, found one that torch.jit compiled"
        ):
            LayeredNetwork(model, images(2))


@pytest.mark.parametrize("wrong", [None, 5, torch.zeros(3, 2, 8, 8), {"x": 1}])
def test_what_is_no_loader_is_refused(wrong: object) -> None:
    with refused("loader: expected an iterable of batches"):
        sm.compare(cnn(0), cnn(1), wrong)


def test_what_is_nearly_a_loader_is_refused_with_what_to_write() -> None:
    x, y = images(20), torch.arange(20) % 5
    with refused(r"found TensorDataset; write DataLoader\(dataset, batch_size=100\)$"):
        sm.compare(cnn(0), cnn(1), TensorDataset(x, y))
    for pair in ((x, y), [x, y[:, None]]):
        with refused(r"found a pair of tensors of shapes \(20, 2, 8, 8\).*\[\(inputs, labels\)\]"):
            sm.compare(cnn(0), cnn(1), pair)
    with refused("batch 1 of the loader: .*found dict without one; make tensors of the items"):
        sm.compare(cnn(0), cnn(1), [{"input": [1.0, 2.0], "label": 0}])
    single_images = list(x)
    with refused(
        "model_a: network: expected one that accepts a tensor (2, 8, 8), found Sequential".replace(
            "(2, 8, 8)", r"\(2, 8, 8\)"
        ),
        "; give batches with inputs along axis 0; .* as inputs_a$",
    ):
        sm.compare(mlp(0), mlp(1), single_images)


def test_a_model_that_returns_a_loss_is_compared_by_the_same_values() -> None:
    """As models of transformers do when a batch has labels; the loss is a mean over the batch."""

    class WithLoss(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.net = cnn(seed)

        def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
            scores = self.net(x)
            if labels is None:
                return {"logits": scores}
            return {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}

    x, y = images(200), torch.arange(200) % 5
    batches = [{"x": a, "labels": b} for a, b in zip(x.split(50), y.split(50), strict=True)]
    found = sm.compare(WithLoss(0), WithLoss(1), batches, permutations=19, device="cpu")
    pairs = [(batch["x"], batch["labels"]) for batch in batches]
    expected = sm.compare(cnn(0), cnn(1), pairs, permutations=19, device="cpu")
    assert found.about_labels() == expected.about_labels()
    for name, layer in expected.items():
        assert found[name].path == layer.path


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_model_without_an_evaluation_mode_is_refused() -> None:
    exported = torch.export.export(mlp(0), (images(4),)).module()
    with refused("model_a: network: expected one that eval.. sets in evaluation mode, found"):
        sm.compare(exported, mlp(0), [images(20)])


def test_a_network_without_nonlinearities_is_answered_with_its_nodes() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = nn.GRU(8, 6, batch_first=True), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.rnn(x)[0])

    batches = [torch.randn(20, 4, 8)]
    with refused("found none; select others of its nodes in nodes .rnn, getitem, out; 'subspace-"):
        sm.compare(Recurrent(), Recurrent(), batches)
    assert list(sm.compare(Recurrent(), Recurrent(), batches, nodes=["rnn"])) == ["tokens1"]


def test_a_loader_that_ends_early_gives_the_result_of_its_inputs_and_a_warning() -> None:
    class Broken(torch.utils.data.DataLoader):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                if number == 3:
                    return
                yield batch

    data = torch.utils.data.TensorDataset(images(200))
    with pytest.warns(sm.ShortLoaderWarning, match="expected 200 inputs, its length, found 120"):
        found = sm.compare(cnn(0), cnn(1), Broken(data, 40), device="cpu", permutations=19)
    assert (found.inputs, found["fc1"].pair.samples) == (120, 120)
    assert found["conv2"].pair.samples == 120 * 16


def of_batches() -> Iterable[Any]:
    data = list(images(200).split(40))
    return torch.utils.data.DataLoader(data, batch_size=1, collate_fn=lambda items: items[0])


def of_dictionaries_with_a_number() -> Iterable[Any]:
    return [{"number": torch.tensor([3]), "input": part} for part in images(200).split(40)]


@pytest.mark.parametrize("make", [of_batches, of_dictionaries_with_a_number])
@pytest.mark.filterwarnings("error::UserWarning")
def test_a_loader_whose_length_is_not_that_of_its_inputs_is_read_as_a_generator(
    make: Callable[[], Iterable[Any]],
) -> None:
    def run(batches: Iterable[Any]) -> sm.Comparison:
        return sm.compare(mlp(0), mlp(1), batches, device="cpu", permutations=19)

    found, expected = run(make()), run(iter(images(200).split(40)))
    assert found["fc1"].pair.samples == found.inputs == 200
    assert found["fc1"].path == expected["fc1"].path
    assert (found["fc1"].null == expected["fc1"].null).all()
    assert any("not known before they are read" in note for note in found.notes)


def test_more_inputs_than_the_length_of_a_loader_are_refused() -> None:
    def twice_from_the_second(batch: Tensor) -> Tensor:
        return batch if batch[0].eq(batches[0][0]).all() else torch.cat([batch, batch])

    batches = images(200).split(40)
    both = {"inputs_a": twice_from_the_second, "inputs_b": twice_from_the_second}
    with refused(
        "loader: expected 200 inputs, its length, found more in batch 4; pass a generator"
    ):
        sm.compare(mlp(0), mlp(1), list(batches), device="cpu", **both)
    found = sm.compare(mlp(0), mlp(1), iter(batches), device="cpu", **both)
    assert found["fc1"].pair.samples == 360


def test_a_loader_that_shuffles_is_fine_because_one_pass_feeds_both() -> None:
    model = cnn(0)
    found = sm.compare(model, model, loader(200, shuffle=True), device="cpu")
    for layer in found.values():
        live = layer.path.critical_epsilon[layer.pair.live]
        assert (live < 1e-6).all()


def test_nan_is_refused_where_it_appears() -> None:
    broken = images(50)
    broken[3] = np.nan
    with refused(
        "batch 2 of the loader: model_a, conv1: expected finite activations, found [0-9]+ NaN",
        "the batch itself has NaN",
    ):
        sm.compare(cnn(0), cnn(1), [images(50), broken], positions=10**6)
    overflowing = cnn(1)
    with torch.no_grad():
        overflowing[3].weight *= 1e38
        overflowing[3].weight *= 1e30
    with refused("batch 1 .*model_b, conv2", "so the model overflows"):
        sm.compare(cnn(0), overflowing, [images(50)])


@pytest.mark.parametrize("count", [60, 700])  # few samples are kept, many added up
def test_float64_that_is_too_small_to_square_is_zero_and_too_large_refused(count: int) -> None:
    scaled = [mlp(1).double() for _ in range(3)]
    for model, scale in zip(scaled, (1e120, 1e-140, 1e160), strict=True):
        with torch.no_grad():
            model[1].weight *= scale
            model[1].bias *= scale
    batches = images(count).double().split(60)
    options = {"device": "cpu", "heat_map": 0}
    expected = sm.compare(mlp(0).double(), mlp(1).double(), batches, **options)["fc1"]
    large = sm.compare(mlp(0).double(), scaled[0], batches, **options)["fc1"]
    np.testing.assert_allclose(
        large.path.critical_epsilon, expected.path.critical_epsilon, atol=1e-8
    )
    small = sm.compare(mlp(0).double(), scaled[1], batches, **options)["fc1"]
    assert np.isnan(small.path.critical_epsilon_y).all()  # dead
    with refused(
        r"batch 1 .*model_b, fc1: .* NaN or infinite values, or above 1e\+150; the batch'"
    ):
        sm.compare(mlp(0).double(), scaled[2], batches, **options)


def test_images_of_another_size_are_refused() -> None:
    batches = [images(10), images(10)[..., :6]]
    with refused(
        r"batch 2 of the loader: expected inputs of shape \(2, 8, 8\), as in the first batch,",
        r"found \(2, 8, 6\); give all inputs one size",
    ):
        sm.compare(cnn(0)[:2], cnn(1)[:2], batches)


def test_different_numbers_of_inputs_are_refused() -> None:
    with refused("expected as many inputs for model_a as for model_b, found 10 and 5"):
        sm.compare(cnn(0), cnn(1), [images(10)], inputs_b=lambda batch: batch[:5])


def test_a_model_that_depends_on_chance_is_refused() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.relu(nn.functional.dropout(x.flatten(1)))

    with refused("model_b: network: expected the same values for an input in every run"):
        sm.compare(mlp(0), Noisy(), loader(50))


def test_a_model_without_values_is_refused() -> None:
    with refused("model_b: expected weights with values, found some on the device 'meta'"):
        sm.compare(mlp(0), mlp(1).to("meta"), loader(50))


def test_weights_that_the_first_run_would_draw_are_refused() -> None:
    def lazy() -> nn.Module:
        norm = nn.LazyBatchNorm1d(affine=False)
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(12), nn.ReLU(), norm, nn.Linear(12, 5))

    first, second = lazy(), lazy()
    drawn = torch.get_rng_state()
    with refused(r"model_a: .* its first run would draw at random \(1.weight, 1.bias, 3.running_"):
        sm.compare(first, second, images(100).split(50), device="cpu")
    assert torch.equal(torch.get_rng_state(), drawn)
    first.eval()(images(2)), second.eval()(images(2))
    assert list(sm.compare(first, second, images(100).split(50), device="cpu")) == ["fc1"]


class ChangesItsInput(nn.Module):
    """Changes its input in place first; ``graph`` decides whether torch.fx can trace it."""

    def __init__(self, change: Callable[[Tensor], Tensor], graph: bool) -> None:
        super().__init__()
        self.change, self.graph, self.inside = change, graph, mlp(0)

    def forward(self, x: Tensor) -> Tensor:
        assert self.graph or len(x) > 0
        return self.inside(self.change(x))


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("change", [nn.ReLU(inplace=True), lambda x: x.mul_(-2), torch.Tensor.abs_])
def test_a_model_that_changes_its_inputs_changes_only_a_copy(
    change: Callable[[Tensor], Tensor], graph: bool
) -> None:
    x = images(100)
    batches = [part.clone() for part in x.split(50)]
    changing, other = ChangesItsInput(change, graph), mlp(1)
    first = sm.compare(changing, other, batches, layers=[("inside.2", "2")], device="cpu")
    assert torch.equal(torch.cat(batches), x)
    second = sm.compare(other, changing, batches, layers=[("2", "inside.2")], device="cpu")
    with torch.no_grad():
        alone = changing.inside[:3](change(x.clone())), other[:3](x)
    path = sm.match_path(sm.reduce(*alone, device="cpu"), device="cpu")
    for result, expected in (
        (first, [path.critical_epsilon_x, path.critical_epsilon_y]),
        (second, [path.critical_epsilon_y, path.critical_epsilon_x]),
    ):
        (layer,) = result.values()
        np.testing.assert_allclose(layer.path.critical_epsilon, np.concatenate(expected), atol=1e-7)


def test_arguments_are_checked() -> None:
    counts = {"positions": 0, "permutations": -1, "heat_map": 1.5, "seed": -1}
    for name, value in [*counts.items(), *((name, True) for name in counts)]:
        with refused(f"{name}: expected a whole number of at least [01], found {value}"):
            sm.compare(cnn(0), cnn(1), loader(50), **{name: value})
    for wrong in ("Mean", "middle", "cls", None):
        with refused(f"tokens: expected one of all, first, last, mean, found {wrong!r}"):
            sm.compare(Text(0), Text(1), texts([5] * 40, 20), tokens=wrong)
    for wrong in (0, 4, "last"):
        with refused(f"neuron_axis: expected None or one of 1, 2, .*, found {wrong!r}"):
            sm.compare(cnn(0), cnn(1), loader(50), neuron_axis=wrong)
    for layers in ([], 5, [5], [("conv1", "conv1", "fc1")], [("conv1", 1)]):
        with refused("layers: expected None for all .*, found " + re.escape(repr(layers))):
            sm.compare(cnn(0), cnn(1), loader(50), layers=layers)
    with refused(
        r"layers: expected a list .*, found a dictionary {'conv1': 'conv2'}; for pairs wr"
    ):
        sm.compare(cnn(0), cnn(1), loader(50), layers={"conv1": "conv2"})
    with refused(
        r"loader: .* none; .* the layers of one model write compare\(model, loader=loader"
    ):
        sm.compare(cnn(0), loader(50))
    for nodes in ([], None, [3]):
        with refused("nodes: expected a kind of nodes", re.escape(repr(nodes))):
            sm.compare(cnn(0), cnn(1), loader(50), nodes=nodes)
    with refused("inputs_b: expected a function from a batch to the model's inputs, found 3"):
        sm.compare(cnn(0), cnn(1), loader(50), inputs_b=3)
    with refused("model_a: expected a torch.nn.Module, found str"):
        sm.compare("resnet18", cnn(1), loader(50))
    with refused("some of the arguments that the model takes .*input_ids", "pass a function"):
        sm.compare(Text(0), Text(1), [{"pixels": images(3)}])
    with refused("inputs as a tensor", "found str; pass a function from a batch .* inputs_a"):
        sm.compare(cnn(0), cnn(1), [("a", "b")])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_batches_that_are_not_dense_are_refused() -> None:
    batches = {
        "sparse": [images(50).flatten(1).to_sparse()],
        "nested": [torch.nested.nested_tensor([images(1), images(2)])],
    }
    for kind, own in batches.items():
        with refused(
            f"batch 1 .*model_a: expected dense tensors, .* found a {kind} one; pass a func"
        ):
            sm.compare(mlp(0), mlp(1), own)
    dense = {"inputs_a": Tensor.to_dense, "inputs_b": Tensor.to_dense}
    assert list(sm.compare(mlp(0), mlp(1), batches["sparse"], **dense)) == ["fc1"]


def test_few_samples_are_warned_of_once() -> None:
    with pytest.warns(sm.FewSamplesWarning) as caught:
        sm.compare(cnn(0), cnn(1), loader(40), device="cpu")
    (warning,) = caught
    assert str(warning.message).startswith(
        "2 of 3 layers have more than 0.2 neurons per input (fc1"
    )
    assert "or see what is left on new ones (cross_fitted) and ask for permutations=19" in str(
        warning.message
    )
    with pytest.warns(sm.FewSamplesWarning, match=r"and what chance gives \(null_threshold\)"):
        sm.compare(cnn(0), cnn(1), loader(40), device="cpu", permutations=19)


def test_layers_in_no_pair_have_a_reason() -> None:
    wide = [LayerInfo(name, name, "conv", 8, 4, 4) for name in ("conv1", "conv2", "conv3")]
    narrow = [LayerInfo("conv1", "a", "conv", 8, 2, 2), LayerInfo("fc1", "b", "fc", 8, 1, 1)]
    names = ["conv1", "conv2", "conv3", "fc1"]
    assert why_left_out(names, wide, narrow, ["conv[12]", "fc*"]) == (
        "conv1 (conv 4 x 4 in model_a, conv 2 x 2 in model_b); conv2 (only in model_a);"
        " conv3 (not in layers); fc1 (only in model_b)"
    )
    assert why_left_out(["conv2"], wide, None, [("conv1", "conv3")]) == "conv2 (not in layers)"


def test_halves_of_the_inputs_do_not_depend_on_batches() -> None:
    def split(inputs: int, batch: int, known: np.ndarray | None) -> list[bool]:
        halves = Halves(known, seed=3)
        parts = [
            halves.next(np.repeat(np.arange(start, min(start + batch, inputs)), 2))
            for start in range(0, inputs, batch)
        ]
        found = np.concatenate(parts).reshape(-1, 2)
        assert (found[:, 0] == found[:, 1]).all()  # both samples of an input
        assert halves.images == (found[:, 0].sum(), (~found[:, 0]).sum())
        return found[:, 0].tolist()

    pairs = np.reshape(split(40, 7, None), (20, 2))
    assert (pairs.sum(1) == 1).all()
    assert 0 < pairs[:, 0].sum() < 20
    assert split(40, 40, None) == split(40, 1, None) == pairs.ravel().tolist()
    assert split(39, 7, None) == pairs.ravel().tolist()[:39]
    known = np.arange(40)
    expected = halves_of_images(known, 40, seed=3)[0].tolist()
    assert split(40, 7, known) == split(40, 40, known) == expected


def test_too_few_inputs_are_noted_and_leave_the_path_as_it_is() -> None:
    for batches in (iter([images(1)]), [images(1)], [images(20)]):
        with pytest.warns(sm.FewSamplesWarning):
            found = sm.compare(cnn(0), cnn(1), batches, device="cpu")
        layer = found["fc1"]
        assert "fewer live neurons than images in a half" in layer.cross_fitted.note
        assert layer.held_out.note == layer.cross_fitted.note
        assert np.isnan(layer.cross_fitted.area)
        assert layer.path.area > 0
        row = found.to_frame("similarity", 0.3).set_index("layer").loc["fc1"]
        assert (row["note"], row["images"]) == (layer.cross_fitted.note, found.inputs)
        assert np.isnan(row["gap"])
        assert row["few_samples"]


def test_a_generator_and_layers_of_one_model_are_cross_fitted() -> None:
    inputs = images(400)
    generator = sm.compare(cnn(0), cnn(1), iter(inputs.split(90)), device="cpu")
    one = sm.compare(cnn(0), None, inputs.split(90), positions=800, device="cpu")
    for found, each in ((generator, 1), (one, 2)):
        for layer in found.values():
            halves = layer.halves
            assert halves.images == (200, 200)
            assert (halves.first.samples, halves.second.samples) == (200 * each, 200 * each)
            assert 0 < layer.cross_fitted.area < layer.path.area
            assert layer.held_out.area < layer.cross_fitted.area


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b = (nn.Linear(30, 40, bias=False) for _ in range(2))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(self.a(inputs[:, 0])) + torch.relu(self.b(inputs[:, 1]))


def test_layers_of_one_model_without_positions_have_one_sample_of_each_input() -> None:
    model, inputs = TwoLayers(), torch.randn(50, 2, 30, generator=torch.manual_seed(0))
    with pytest.warns(sm.FewSamplesWarning):
        (compared,) = sm.compare(model, loader=inputs.split(25)).values()
    x, y = (
        torch.relu(own(inputs[:, n])).detach().numpy() for n, own in enumerate((model.a, model.b))
    )
    assert compared.pair.samples == 50
    value = compared.measures["debiased_linear_cka"].value
    assert value == pytest.approx(sm.debiased_linear_cka(x, y), abs=1e-6)


def test_an_attention_mask_of_ones_adds_no_samples() -> None:
    with pytest.warns(sm.FewSamplesWarning):
        found = sm.compare(Text(0), Text(1), list(texts([6] * 20, 5)))
    assert [layer.pair.samples for layer in found.values()] == [120]


def test_texts_with_fewer_tokens_than_samples_are_named() -> None:
    lengths = [3, *[9] * 19]
    with pytest.warns(sm.FewSamplesWarning) as found:
        sm.compare(Text(0), Text(1), list(texts(lengths, 20)), positions=80)
    (message,) = [str(each.message) for each in found if "positions" in str(each.message)]
    assert "at most 60 for 20 texts of which the shortest has 3 real tokens, found 80" in message
    assert "each text gives 4 samples" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error", sm.FewSamplesWarning)
        warnings.filterwarnings("ignore", message=".*neurons per input")
        sm.compare(Text(0), Text(1), list(texts(lengths, 20)), positions=60)


def volumes(seed: int, side: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv3d(1, 4, 2), nn.ReLU(), nn.MaxPool3d(2)),
        *(nn.Conv3d(4, 6, side, padding=side // 2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)),
    )


def test_volumes_are_compared_as_their_activations_are() -> None:
    x = torch.randn(160, 1, 5, 7, 5, generator=torch.Generator().manual_seed(0))
    models = volumes(0), volumes(1, side=1)
    found = sm.compare(*models, x.split(50), positions=10**6, device="cpu")
    assert list(found.layers) == ["conv1", "conv2"]
    with torch.no_grad():
        for name, end in (("conv1", 2), ("conv2", 5)):
            rows = [model[:end](x).movedim(1, -1).flatten(0, -2).numpy() for model in models]
            path = sm.match_path(sm.reduce(*rows))
            np.testing.assert_allclose(
                found.layers[name].path.critical_epsilon, path.critical_epsilon, atol=1e-8
            )
            assert found.layers[name].path.pair.samples == 160 * (96 if name == "conv1" else 12)


def test_volumes_of_other_sizes_are_compared_at_the_same_points() -> None:
    """Layers that repeat the frames, rows and columns of another one match it everywhere."""
    x = torch.randn(150, 2, 2, 3, 2, generator=torch.Generator().manual_seed(0))
    plain = nn.Sequential(nn.Conv3d(2, 3, 1), nn.ReLU())
    finer = nn.Sequential(plain[0], nn.Upsample(scale_factor=(3, 2, 4)), nn.ReLU())
    options: dict[str, Any] = {"positions": 1500, "heat_map": 700, "device": "cpu"}
    found = sm.compare(plain, finer, [x], layers=[("conv1", "conv1")], **options)
    (layer,) = found.layers.values()
    assert layer.path.similarity(0.0001) == 1
    assert found.to_frame("heat_map", 0.0001)["similarity"].tolist() == [1]


@pytest.mark.parametrize(
    "sizes",
    [
        ((1, 8, 8), (1, 2, 3)),
        ((1, 1, 1), (1, 1, 1)),
        ((1, 1, 6), (1, 1, 1)),
        ((4, 3, 3), (2, 3, 2)),
    ],
)
def test_places_of_two_layers_are_distinct_and_are_permuted_with_their_inputs(
    sizes: tuple[tuple[int, int, int], tuple[int, int, int]],
) -> None:
    """Against a plain loop: each input's pairs of positions, each once, in their order."""
    inputs, most = 120, max(map(math.prod, sizes))
    draw = PlaceDraw(inputs, 4000, most, seed=3)
    layers = [LayerInfo("l", "l", "conv", 4, *size, frames=frames) for frames, *size in sizes]
    draw.start(0, inputs)
    numbered = [
        torch.arange(inputs * layer.positions).reshape(inputs, *layer.size, 1) for layer in layers
    ]
    x, y = (draw.rows(values, None).numpy()[:, 0] for values in numbered)
    own = draw.of_pair(*layers)
    assert np.array_equal(own.in_batch(), own.in_all())
    seen: set[tuple[int, int]] = set()
    expected = [not (pair in seen or seen.add(pair)) for pair in zip(x, y, strict=True)]
    selected = np.zeros(len(x), dtype=bool)
    selected[own.in_all()] = True
    np.testing.assert_array_equal(selected, expected)
    x, y = x[own.in_all()], y[own.in_all()]
    assert own.samples == len(x)
    moved = own.permuted(image_permutation(own.groups(inputs), np.random.default_rng(0)))
    for layer, rows in zip(layers, (x, y), strict=True):
        image, position = np.divmod(rows, layer.positions)
        np.testing.assert_array_equal(position[moved], position)  # the same place
        group = draw.group[image]
        np.testing.assert_array_equal(group[moved], group)
        assert (image[moved] != image).mean() > 0.9
        assert len(np.unique(moved)) == len(moved)


def test_errors_name_the_arguments_of_compare() -> None:
    for nodes in ("relus", ["no_such_node"]):
        with refused("model_a", "nodes: expected") as raised:
            sm.compare(cnn(0), cnn(1), [images(4)], nodes=nodes)
        assert "extraction" not in str(raised.value)


def test_errors_leave_the_names_of_modules_as_they_are() -> None:
    model = nn.Sequential()
    model.add_module("extraction", nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    model.add_module("feature_extraction", nn.Sequential(nn.Linear(3, 2), nn.ReLU()))
    with refused("model_a: nodes: expected", r" extraction\.[01]", r"feature_extraction\.[01]"):
        sm.compare(model, loader=[torch.rand(9, 4)], nodes=["extraction.x"])
