"""What labels alone explain of two models, and how often the models are right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from models import cnn, images, images_of, mlp
from test_compare import rows, store
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import subspace_match as sm
from subspace_match.comparison.exchange import exchangeable
from subspace_match.comparison.places import PlaceDraw
from subspace_match.comparison.result import FIRST_COLUMNS, short_table
from subspace_match.networks.layer_info import LayerInfo
from subspace_match.networks.sampling import (
    draw_samples,
    image_groups,
    image_permutation,
)
from subspace_match.report import read_run
from subspace_match.report.payload import payload
from subspace_match.results.layer_nulls import resampled_layer
from subspace_match.results.store_pair import StorePair
from subspace_match.storage.match_files import load_nulls

COUNT, BATCH, CLASSES = 300, 60, 4
POSITIONS = 120  # two groups of 50 of the 300 inputs have samples of maps
OPTIONS: dict[str, Any] = {"permutations": 19, "device": "cpu", "heat_map": 0}
LABELS = torch.randint(CLASSES, (COUNT,), generator=torch.Generator().manual_seed(3))
LEVELS = ("class_null_mean", "class_null_threshold", "class_p_value", "class_adjusted")


def batches(labels: Tensor = LABELS) -> list[tuple[Tensor, Tensor]]:
    return list(zip(images(len(labels)).split(BATCH), labels.split(BATCH), strict=True))


def compared(loader: Iterable[Any], **options: Any) -> sm.Comparison:
    return sm.compare(cnn(0), cnn(1), loader, **OPTIONS | {"positions": POSITIONS} | options)


@pytest.fixture(scope="module")
def found() -> sm.Comparison:
    return compared(batches())


@pytest.mark.parametrize("positions", [POSITIONS, 5000])
def test_the_level_is_that_of_a_plain_loop_over_groups_and_classes(positions: int) -> None:
    found, labels = compared(batches(), positions=positions), LABELS.numpy()
    for name, last in (("conv1", 1), ("conv2", 4), ("fc1", 8)):
        layer = found[name].layer_a
        (samples,) = draw_samples(layer, COUNT, positions, 1, 0)
        x, y = (rows(model, images(COUNT), last) for model in (cnn(0), cnn(1)))
        rng, critical = np.random.default_rng([0, 1]), []
        for _ in range(19):
            takes = {}  # the image whose activations each image gets
            for group in image_groups(COUNT, positions, 0):
                for label in range(CLASSES):
                    own = [image for image in group if labels[image] == label]
                    takes |= dict(zip(own, rng.permutation(own), strict=True))
            assert all(labels[image] == labels[other] for image, other in takes.items())
            places = [divmod(sample, layer.positions) for sample in samples]
            moved = [takes[image] * layer.positions + place for image, place in places]
            pair = sm.reduce(x[samples], y[moved], device="cpu")
            critical.append(sm.match_path(pair, device="cpu").critical_epsilon)
        np.testing.assert_allclose(found[name].class_null, critical, atol=1e-5)
        for epsilon in (0.3, 0.6):
            row = found.similarity(epsilon).set_index("layer").loc[name]
            level = [float(np.mean(own <= epsilon)) for own in found[name].class_null]
            assert row["class_null_mean"] == pytest.approx(np.mean(level))
            assert row["class_null_threshold"] == max(level)
            assert row["class_p_value"] == (1 + sum(v >= row["similarity"] for v in level)) / 20


def two_sources(shared: float, own: float) -> tuple[nn.Module, nn.Module, list[tuple[Any, Any]]]:
    """Two models that read the class, a signal that both have, and a noise that each has alone."""
    torch.manual_seed(0)
    count, classes, width = 600, 4, 6
    labels = torch.arange(count) % classes
    one_hot = nn.functional.one_hot(labels, classes).float() - 1 / classes
    inputs = torch.cat([one_hot, shared * torch.randn(count, 2), torch.randn(count, 12)], 1)
    models = []
    for side in range(2):
        noise = torch.zeros(width, 12)
        noise[:, width * side : width * (side + 1)] = own * torch.eye(width)
        model = nn.Sequential(nn.Linear(classes + 14, width, bias=False))
        with torch.no_grad():
            parts = 3 * torch.randn(width, classes), 2 * torch.randn(width, 2), noise
            model[0].weight[:] = torch.cat(parts, 1)
        models.append(model)
    return models[0], models[1], list(zip(inputs.split(100), labels.split(100), strict=True))


def test_what_only_the_labels_share_is_as_high_within_classes() -> None:
    found = sm.compare(*two_sources(shared=0, own=0.2), nodes=["0"], **OPTIONS)
    (row,) = found.similarity(0.4).to_dict("records")
    assert row["similarity"] == 1
    assert row["null_threshold"] == 0
    assert row["p_value"] == 0.05
    assert row["class_null_mean"] > 0.9
    assert row["class_p_value"] > 0.5
    (row,) = found.to_frame("summary", 0.4).to_dict("records")
    assert row["area_class_null_mean"] == pytest.approx(row["area"], abs=0.01)
    assert row["area_null_threshold"] < row["area"] / 4


def test_what_is_shared_beyond_labels_is_above_the_level_within_classes() -> None:
    found = sm.compare(*two_sources(shared=1, own=0.2), nodes=["0"], **OPTIONS)
    (row,) = found.similarity(0.4).to_dict("records")
    assert row["similarity"] == 1
    assert row["class_null_threshold"] < 0.5
    assert row["class_p_value"] == row["class_family_p_value"] == 0.05
    assert row["class_adjusted"] == 1


def items() -> DataLoader[Any]:
    """A data set of (tensor, Python int) items, as torchvision's."""
    each = list(zip(images(COUNT), LABELS.tolist(), strict=True))
    return DataLoader(each, batch_size=BATCH)  # type: ignore[arg-type]  # a list is enough


def dictionaries(key: str) -> Callable[[], Any]:
    return lambda: [{"input": x, key: own} for x, own in batches()]


FORMS: dict[str, Callable[[], Any]] = {
    "int32": lambda: batches(LABELS.int()),
    "uint8": lambda: batches(LABELS.to(torch.uint8)),
    "lists of int": lambda: [(x, own.tolist()) for x, own in batches()],
    "lists of tensors": lambda: [[x, list(own)] for x, own in batches()],
    "arrays": lambda: [(x, own.numpy()) for x, own in batches()],
    "label": dictionaries("label"),
    "labels": dictionaries("labels"),
    "data set of tensors": lambda: DataLoader(
        TensorDataset(images(COUNT), LABELS), batch_size=BATCH
    ),
    "data set of items": items,
    "label is None, labels are not": lambda: [
        {"input": x, "label": None, "labels": own} for x, own in batches()
    ],
    "a column": lambda: batches(LABELS[:, None]),
    "a dictionary and a label": lambda: [({"input": x}, own) for x, own in batches()],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_label_gives_the_same_result(form: str, found: sm.Comparison) -> None:
    other = compared(FORMS[form]())
    assert (other.classes, other.labels) == (CLASSES, "4 classes from the data")
    assert other.accuracies == found.accuracies
    for name, layer in found.items():
        np.testing.assert_array_equal(other[name].class_null, layer.class_null)
        np.testing.assert_array_equal(other[name].null, layer.null)


def test_labels_of_batches_of_one_input_are_numbers(found: sm.Comparison) -> None:
    for make in (int, torch.clone):
        singles = [(x[None], make(own)) for x, own in zip(images(COUNT), LABELS, strict=True)]
        other = compared(singles)
        assert other.classes == CLASSES
        for name, layer in found.items():
            np.testing.assert_allclose(other[name].class_null, layer.class_null, atol=1e-5)


def test_a_loader_of_batches_is_as_a_generator_of_them() -> None:
    """The number of inputs is unknown: places are shared by few inputs, but vectors have none."""
    few = torch.arange(COUNT) % 10  # each place has about six inputs
    loader = DataLoader(batches(few), collate_fn=lambda own: own[0])  # type: ignore[arg-type]
    one, other = compared(loader), compared(iter(batches(few)))
    for name, layer in one.items():
        np.testing.assert_array_equal(layer.null, other[name].null)
    assert one["conv1"].class_null is one["conv2"].class_null is None
    np.testing.assert_array_equal(one["fc1"].class_null, other["fc1"].class_null)
    x, y = (rows(model, images(COUNT), 8) for model in (cnn(0), cnn(1)))
    rng, order = np.random.default_rng([0, 1]), np.arange(COUNT)
    for label in range(10):
        own = np.flatnonzero(few.numpy() == label)
        order[own] = rng.permutation(own)
    path = sm.match_path(sm.reduce(x, y[order], device="cpu"), device="cpu")
    np.testing.assert_allclose(one["fc1"].class_null[0], path.critical_epsilon, atol=1e-5)
    assert "no level within classes in conv1, conv2, because too few inputs of a" in str(one)
    table = one.similarity(0.5).set_index("layer")
    assert table["class_null_mean"].isna().tolist() == [True, True, False]
    many = 1500  # about 30 inputs of each place
    labels = torch.arange(many) % 2
    large = compared(iter(zip(images(many).split(500), labels.split(500), strict=True)))
    assert all(layer.class_null is not None for layer in large.values())


@pytest.mark.parametrize("inputs", [400, None])
def test_layers_of_other_sizes_keep_places_labels_and_unsampled_inputs(inputs: int | None) -> None:
    """Of 400 known inputs with 150 samples three groups of 50 have one place each."""
    labels = np.random.default_rng(0).integers(0, 2, 400)
    draw, layers = PlaceDraw(inputs, 150, 64, seed=3), [conv(8), conv(4)]
    draw.start(0, 400)
    x = draw.rows(torch.arange(400 * 64).reshape(400, 8, 8, 1), None).numpy()[:, 0]
    own = draw.of_pair(*layers)
    sampled = own.sampled(400)
    assert sampled.sum() == (150 if inputs else 400)
    parts = exchangeable(own.groups(400), labels, sampled, own.alike)
    assert parts is not None
    assert exchangeable(own.groups(400), np.arange(400) % 50, sampled, own.alike) is None
    assert sum(len(part) for part in parts) == 400
    moved = own.permuted(image_permutation(parts, np.random.default_rng(0)))
    image, position = np.divmod(x[own.in_all()], 64)
    np.testing.assert_array_equal(position[moved], position)
    np.testing.assert_array_equal(labels[image[moved]], labels[image])
    assert sorted(moved) == list(range(len(moved)))
    assert (image[moved] != image).mean() > (0.9 if inputs else 0.6)


def conv(size: int) -> LayerInfo:
    return LayerInfo("l", "l", "conv", 4, size, size)


def test_the_layers_of_one_model_have_the_level_too(found: sm.Comparison) -> None:
    one = sm.compare(cnn(0), None, batches(), **OPTIONS, positions=POSITIONS)
    assert all(len(layer.class_null) == 19 for layer in one.values())
    assert one.similarity(0.5)["class_p_value"].notna().all()
    assert one.accuracies == (None,)  # five scores, four classes
    assert one.classes == found.classes


def test_labels_that_a_model_takes_by_name_are_labels() -> None:
    """As models of transformers, which then compute a loss."""

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = mlp(0), nn.Linear(5, CLASSES)

        def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
            logits = self.head(self.body(x))
            loss = nn.functional.cross_entropy(logits, labels, reduction="none")
            return {"loss": loss, "logits": logits}

    model = Classifier()
    made = [{"x": x, "labels": own} for x, own in batches()]
    other = sm.compare(model, model, made, **OPTIONS)
    with torch.no_grad():
        right = (model(images(COUNT), LABELS)["logits"].argmax(1) == LABELS).double().mean()
    assert other.accuracies == (float(right), float(right))
    assert other["fc1"].class_null is not None


def test_an_empty_batch_without_labels_changes_nothing() -> None:
    """Of more than ten classes, labels that are known beforehand decide the samples."""
    many = batches(torch.arange(COUNT) % 40)
    expected, other = compared(many), compared([*many[:2], images(COUNT)[:0], *many[2:]])
    assert (other.classes, other.labels) == (40, "40 classes from the data")
    for name, layer in expected.items():
        assert layer.class_null is not None
        np.testing.assert_array_equal(other[name].class_null, layer.class_null)


@pytest.mark.parametrize(
    ("scores", "first", "why"),
    [
        (CLASSES, 1, "it gives 4 numbers for each input, and labels are from 1 to 4"),
        (7, 0, "it gives 7 numbers for each input, and labels are from 0 to 3"),
        (None, 0, "its output is no tensor (inputs, scores), and labels are from 0 to 3"),
        (CLASSES, 0, None),
    ],
)
def test_a_model_without_an_accuracy_is_told_why(
    scores: int | None, first: int, why: str | None
) -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = mlp(0), nn.Linear(5, scores or 1)

        def forward(self, x: Tensor) -> Tensor | tuple[Tensor]:
            values = self.body(x)
            return (values,) if scores is None else self.head(values)

    found = sm.compare(Other(), mlp(1), batches(LABELS + first), device="cpu", heat_map=0)
    (accuracy, _) = found.accuracies
    notes = [note for note in found.notes if note.startswith("model_a: no accuracy: ")]
    assert notes == ([] if why is None else [f"model_a: no accuracy: {why}"])
    assert (accuracy is None) == (why is not None)
    without_labels = sm.compare(Other(), mlp(1), images(COUNT).split(BATCH), heat_map=0)
    assert not any("accuracy" in note for note in without_labels.notes)


def test_a_loader_may_shuffle_and_end_early(found: sm.Comparison) -> None:
    """Labels stay with their inputs."""
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    x, own = images(COUNT)[order], LABELS[order]
    shuffled = DataLoader(
        TensorDataset(images(COUNT), LABELS),
        batch_size=BATCH,
        sampler=order.tolist(),  # type: ignore[arg-type]
    )
    expected = compared(list(zip(x.split(BATCH), own.split(BATCH), strict=True)))
    other = compared(shuffled)
    for name, layer in expected.items():
        np.testing.assert_array_equal(other[name].class_null, layer.class_null)
    assert not np.array_equal(other["fc1"].class_null, found["fc1"].class_null)

    class Short(DataLoader[Any]):
        def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
            return islice(super().__iter__(), 3)

    with pytest.warns(sm.ShortLoaderWarning):
        short = compared(Short(TensorDataset(images(COUNT), LABELS), BATCH), positions=5000)
    assert short.inputs == 3 * BATCH
    assert all(layer.class_null is not None for layer in short.values())


def without(labels: Any) -> list[tuple[Tensor, Any]]:
    """Batches with other things in place of labels, one for each."""
    return list(zip(images(COUNT).split(BATCH), labels, strict=True))


UNUSABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "absent": (lambda: images(COUNT).split(BATCH), "none in the data"),
    "None": (lambda: without([None] * 5), "none in the data"),
    "no such key": (
        lambda: [{"input": x, "target": own} for x, own in batches()],
        "none: found input, target, neither label nor labels",
    ),
    "three parts": (
        lambda: [(x, own, torch.arange(len(x))) for x, own in batches()],
        "none: found 3 parts in a batch, not a (tensor, label) pair",
    ),
    "floats": (
        lambda: batches(LABELS.float()),
        "none: found float32 of shape (60,), not one integer for each of 60 inputs",
    ),
    "bool": (lambda: batches(LABELS > 1), "none: found bool of shape (60,), not one integer for"),
    "several of each": (
        lambda: batches(torch.stack([LABELS, LABELS], 1)),
        "none: found int64 of shape (60, 2), not one integer for each of 60 inputs",
    ),
    "of tokens": (
        lambda: [{"input": x, "labels": own[:, None].expand(-1, 7)} for x, own in batches()],
        "none: found int64 of shape (60, 7), not one integer",
    ),
    "one of a batch": (
        lambda: without([0, 1, 2, 3, 0]),
        "none: found an int, not one integer for each of 60 inputs",
    ),
    "too few": (
        lambda: without([own[:-1] for own in LABELS.split(BATCH)]),
        "none: found int64 of shape (59,), not one integer for each of 60 inputs",
    ),
    "names": (lambda: without([["a"] * BATCH] * 5), "none: found a list of str, not one integer"),
    "missing": (lambda: batches(LABELS - 1), "none: some are negative (-1)"),
    "some batches": (
        lambda: [*batches()[:3], *images(COUNT).split(BATCH)[3:]],
        "none: some batches have none",
    ),
    "some first batches": (
        lambda: [*images(COUNT).split(BATCH)[:3], *batches()[3:]],
        "none: some batches have none",
    ),
    "some batches without the key": (
        lambda: [
            {"input": x} | ({"label": own} if number else {})
            for number, (x, own) in enumerate(batches())
        ],
        "none: some batches have none",
    ),
    "one class": (lambda: batches(torch.full((COUNT,), 7)), "none: all are 7"),
    "a class each": (lambda: batches(torch.arange(COUNT)), "none: each input has one of its own"),
}


@pytest.mark.parametrize("form", UNUSABLE)
def test_what_is_no_label_gives_no_level_and_says_why(form: str, found: sm.Comparison) -> None:
    make, why = UNUSABLE[form]
    other = compared(make())
    assert other.classes == 0
    assert other.labels.startswith(why)
    assert other.notes[-1] == f"labels: {other.labels}"
    assert f"\nLabels: {other.labels}\n" in str(other)
    assert other.accuracies == (None, None)
    assert other.to_frame("similarity", 0.3)[list(LEVELS)].isna().all(axis=None)
    assert not {"class_null_threshold", "class_p_value"} & set(str(other).split())
    for name, layer in found.items():
        assert other[name].class_null is None
        assert other[name].path == layer.path
        np.testing.assert_array_equal(other[name].null, layer.null)


def test_what_a_model_takes_is_no_label() -> None:
    """Numbers beside tokens may be lengths; only what no model takes can be a label."""

    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp(0)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            return self.body(x) * lengths[:, None]

    def both(batch: Any) -> Any:
        return batch[0], batch[1]

    other = sm.compare(Counted(), Counted(), batches(), inputs_a=both, inputs_b=both, **OPTIONS)
    assert other.labels == "none in the data"
    pick = {"inputs_a": lambda batch: batch[0], "inputs_b": lambda batch: batch[0]}
    assert sm.compare(mlp(0), mlp(1), batches(), **pick, **OPTIONS).classes == CLASSES


def test_classes_of_which_too_few_share_their_places_have_no_level() -> None:
    """Of 100 classes a group of 50 has half an image each; one value per input has no place."""
    labels = torch.arange(COUNT) % 100
    loader = DataLoader(TensorDataset(images(COUNT), labels), batch_size=BATCH)
    other = compared(loader, positions=2000)
    assert other.labels == "100 classes from the data"
    assert [own.class_null is None for own in other.values()] == [True, True, False]
    assert "no level within classes in conv1, conv2, because too few inputs of" in other.notes[-1]
    # All positions of 4 x 4, but not of 8 x 8, are sampled.
    wide = compared(loader, positions=16 * COUNT)
    assert [own.class_null is None for own in wide.values()] == [True, False, False]
    twos = TensorDataset(images(COUNT), torch.arange(COUNT) % 200)  # moves a third
    assert compared(DataLoader(twos, batch_size=BATCH))["fc1"].class_null is None


@pytest.mark.parametrize("classes", [4, 30])
def test_labels_of_a_list_give_the_pipelines_samples_and_both_nulls(
    classes: int, tmp_path: Path
) -> None:
    labels = np.random.default_rng(0).integers(0, classes, COUNT)
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 2, 8, 8), dtype=np.uint8)
    data = images_of(pixels)
    paths = [store(tmp_path / f"{n}.zarr", cnn(n), data, labels=labels) for n in (0, 1)]
    stores = StorePair(*paths, "d")
    loader = [
        (inputs, torch.from_numpy(own))
        for (inputs, _), own in zip(
            data.batches(BATCH), np.split(labels, range(BATCH, COUNT, BATCH)), strict=True
        )
    ]
    found = compared(loader, positions=2000)
    for name, layer in found.items():
        ((_, path, _),) = stores.match_paths([name], device="cpu", chunk_samples=None)
        null = resampled_layer(stores, name, path.pair, permutations=19, seed=0, device="cpu")
        assert layer.path.pair.samples == path.pair.samples
        np.testing.assert_allclose(layer.path.critical_epsilon, path.critical_epsilon, atol=1e-5)
        np.testing.assert_allclose(layer.null, null.any_image, atol=1e-5)
        np.testing.assert_allclose(layer.class_null, null.within_class, atol=1e-5)


class Answers(nn.Module):
    """A layer, and scores that are given with the inputs."""

    def __init__(self, wrap: Callable[[Tensor], Any] = lambda scores: scores) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self._wrap = nn.Linear(8, 6), wrap

    def forward(self, x: Tensor) -> Any:
        return self._wrap(x[:, :CLASSES] + 0 * self.layer(x).relu().sum(1, keepdim=True))


def scored(count: int = 200) -> list[tuple[Tensor, Tensor]]:
    inputs = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % CLASSES
    return list(zip(inputs.split(64), labels.split(64), strict=True))


def test_accuracies_are_shares_of_the_inputs_with_the_highest_score_at_their_label() -> None:
    inputs, labels = (torch.cat(own) for own in zip(*scored(), strict=True))
    right = sum(
        max(range(CLASSES), key=lambda score: x[score]) == label
        for x, label in zip(inputs.tolist(), labels.tolist(), strict=True)
    )
    with_logits = Answers(lambda scores: {"logits": scores.to(torch.bfloat16), "hidden": scores})
    options = {"device": "cpu", "heat_map": 0}
    found = sm.compare(Answers(), Answers(lambda scores: -scores), scored(), **options)
    assert found.accuracies[0] == right / 200
    assert found.accuracies[1] != found.accuracies[0]
    networks = found.to_frame("networks")
    assert networks["accuracy"].tolist() == list(found.accuracies)
    words = (
        f"4 classes from the data; accuracy {right / 200:.3f} (A), {found.accuracies[1]:.3f} (B)"
    )
    assert f"\nLabels: {words}\n" in str(found)
    assert found.notes[-1] == f"labels: {words}"
    one = sm.compare(with_logits, None, scored(), layers=None, nodes=["layer", "relu"], **options)
    assert one.about_labels() == f"4 classes from the data; accuracy {one.accuracies[0]:.3f}"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda scores: scores[:, :3],
        lambda scores: torch.cat([scores, scores], 1),  # perhaps features
        lambda scores: scores[..., None],
        lambda scores: (scores, scores),
        lambda scores: {"hidden": scores},
        lambda scores: (100 * scores).long(),
    ],
)
def test_an_output_without_one_score_for_each_class_has_no_accuracy(
    wrap: Callable[[Tensor], Any],
) -> None:
    found = sm.compare(Answers(wrap), Answers(), scored(), device="cpu", heat_map=0)
    assert found.accuracies[0] is None
    assert found.accuracies[1] is not None
    assert found.to_frame("networks")["accuracy"].isna().tolist() == [True, False]
    assert "accuracy 0." in str(found)
    assert "(A)," not in str(found)


def test_no_line_on_labels_if_there_is_nothing_to_say() -> None:
    found = compared(images(COUNT).split(BATCH), permutations=0)
    assert "Labels" not in str(found)
    assert not any("labels" in note for note in found.notes)
    assert compared(batches(), permutations=0).about_labels() == "4 classes from the data"


def test_everything_that_shows_a_comparison_shows_the_level(
    found: sm.Comparison, tmp_path: Path
) -> None:
    heads = str(found).splitlines()[1].split()
    assert heads == [name for name in FIRST_COLUMNS if name != "epsilon"]
    assert "class_p_value" in short_table(found.similarity(0.5))
    axes = found.plot(epsilon=0.9)
    summary = found.to_frame("summary", 0.9)
    drawn = {line.get_linestyle(): line.get_ydata() for line in axes.lines}
    for style, level in ((":", "null_threshold"), ("-.", "class_null_threshold")):
        np.testing.assert_array_equal(drawn[style], summary[level])
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend[-2:] == ["chance", "labels alone"]
    folder = tmp_path / "saved"
    found.save(folder)
    nulls = load_nulls(folder / "nulls.npz")
    for origin, null in nulls.items():
        np.testing.assert_array_equal(null.within_class, found[origin.layer].class_null)
        np.testing.assert_array_equal(null.any_image, found[origin.layer].null)
    for name in ("similarity", "summary", "neurons", "null"):
        stored = pd.read_parquet(folder / "tables" / f"{name}.parquet")
        pd.testing.assert_frame_equal(stored, found.to_frame(name))
        level = "class_p_value" if name == "neurons" else "class_null_threshold"
        assert stored[level].notna().any()
    captions = json.loads((folder / "figures" / "captions.json").read_text())
    assert "permuted within classes" in captions["similarity_by_depth"]
    run = read_run(folder)
    assert run.config["chance"] == {"permutations": 19, "labels": "4 classes from the data"}
    shown = payload(run)
    assert shown["labels"] == "4 classes from the data"
    assert all(match["labels"] for match in shown["matches"])
