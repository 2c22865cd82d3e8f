"""A network that cannot learn to classify is refused before training."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from subspace_match.networks.architectures import build, outline
from subspace_match.networks.task_check import check_saved, check_task, output_for, varied_batch
from subspace_match.networks.tasks import CLASSIFY, LANGUAGE_MODEL


class Returning(nn.Module):
    """Return the scores in another form."""

    def __init__(self, way: Any, in_training_only: bool = False) -> None:
        super().__init__()
        self.scores = nn.Sequential(nn.Flatten(), nn.Linear(12, 10))
        self.way, self.in_training_only = way, in_training_only

    def forward(self, images: torch.Tensor) -> Any:
        scores = self.scores(images)
        return scores if self.in_training_only and not self.training else self.way(scores)


@pytest.mark.parametrize(
    ("way", "found"),
    [
        (lambda s: {"scores": s}, "an object of dict"),
        (lambda s: (s, s), "an object of tuple"),
        (lambda s: [s], "an object of list"),
        (lambda s: s[:, :9], r"shape \(2, 9\) for 2 images"),
        (lambda s: s[:, :, None, None], r"shape \(2, 10, 1, 1\) for 2 images"),
        (lambda s: s[:1], r"shape \(1, 10\) for 2 images"),
        (lambda s: s.argmax(1), r"shape \(2,\) for 2 images"),
        (lambda s: s.long(), r"values of torch\.int64"),
    ],
)
@pytest.mark.parametrize("in_training_only", [False, True])
def test_an_output_that_is_not_one_score_per_class_is_refused(
    way: Any, found: str, in_training_only: bool
) -> None:
    mode = "training" if in_training_only else "evaluation"
    expected = (
        rf"^network: expected scores \(images, at least 10 classes\), found in {mode} {found}"
    )
    with pytest.raises(ValueError, match=expected):
        check_task(Returning(way, in_training_only), (3, 2, 2), 10, CLASSIFY)


def test_as_many_outputs_as_classes_or_more_are_accepted() -> None:
    network = Returning(lambda scores: scores)
    for classes in (2, 10):
        check_task(network, (3, 2, 2), classes, CLASSIFY)
    assert not network.training


def test_the_scores_may_be_the_logits_of_a_dictionary() -> None:
    check_task(Returning(lambda scores: {"loss": None, "logits": scores}), (3, 2, 2), 10, CLASSIFY)


def test_a_network_without_trainable_weights_is_refused() -> None:
    frozen = Returning(lambda scores: scores).requires_grad_(False)
    for network in (nn.Flatten(), frozen):
        with pytest.raises(ValueError, match="expected trainable weights, found none"):
            check_task(network, (3, 2, 2), 12, CLASSIFY)


@pytest.mark.parametrize("embedding", [nn.Embedding, nn.EmbeddingBag])
def test_sparse_gradients_are_refused_by_name(embedding: Any) -> None:
    class Looked(nn.Module):
        def __init__(self, sparse: bool) -> None:
            super().__init__()
            self.table = embedding(5, 4, sparse=sparse)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.table(x.flatten(1).long())
            return found.flatten(1)

    check_task(Looked(False), (1, 2, 2), 4, CLASSIFY)
    with pytest.raises(ValueError, match=r"not sparse, .* found table with sparse=True; leave it"):
        check_task(Looked(True), (1, 2, 2), 4, CLASSIFY)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_error_for_weights_of_another_type_names_the_type(dtype: torch.dtype) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, dtype=dtype))
    expected = rf"^network: expected weights of float32, found {dtype} in Sequential, which fails"
    with pytest.raises(ValueError, match=expected):
        output_for(network, (3, 2, 2))


def about(name: str) -> dict[str, Any]:
    return {"name": f"torchvision:{name}", "width": 1, "hidden": [], "channels": 3, "classes": 10}


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_the_error_for_auxiliary_outputs_names_the_option_that_removes_them(
    name: str,
) -> None:
    with pytest.raises(ValueError, match=r"found in training .*; add \?aux_logits=false to the"):
        check_task(outline(**about(name)), (3, 299, 299), 10, CLASSIFY)
    check_task(outline(**about(f"{name}?aux_logits=false")), (3, 299, 299), 10, CLASSIFY)


@pytest.mark.parametrize("name", ["vit_b_16", "vit_b_32", "vit_h_14"])
def test_the_error_for_a_vision_transformer_of_another_size_names_the_option(
    name: str,
) -> None:
    size = 28 if name == "vit_h_14" else 32
    expected = (
        rf"accepts images of 3 x {size} x {size}, found VisionTransformer, .* Wrong image height!"
        rf" Expected 224 but got {size}!; add \?image_size={size} to the name .*data\.image_size"
    )
    with pytest.raises(ValueError, match=expected) as refused:
        output_for(outline(**about(name)), (3, size, size))
    assert "\n" not in str(refused.value)
    network = outline(**about(f"{name}?image_size={size}"))
    assert output_for(network, (3, size, size)).shape == (2, 10)


@pytest.mark.parametrize(("taken", "given"), [(3, 1), (1, 3), (1, 2)])
@pytest.mark.parametrize("flat", [False, True])
def test_the_error_for_images_of_other_channels_names_the_channels(
    taken: int, given: int, flat: bool
) -> None:
    """Not the size of the images, which is right."""
    first = nn.Linear(taken * 16, 10) if flat else nn.LazyConv2d(10, 4)
    network = nn.Sequential(nn.Flatten(), first) if flat else nn.Sequential(first, nn.Flatten())
    network(torch.zeros(1, taken, 4, 4))
    count = {1: "1 channel", 2: "2 channels", 3: "3 channels"}
    expected = (
        f"^network: expected one that accepts images of {given} x 4 x 4, found Sequential, which"
        f" takes images of {count[taken]}; use a network for {count[given]}, or data of"
        rf" {count[taken]} \(data\.name\)$"
    )
    with pytest.raises(ValueError, match=expected):
        output_for(network, (given, 4, 4))


def test_the_error_for_too_few_scores_names_their_number_and_the_last_layer() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    expected = (
        r"found in evaluation shape \(2, 3\) for 2 images, which are 3 scores for 4 classes; change"
        r" the network's last layer, or its arguments in network\.options$"
    )
    with pytest.raises(ValueError, match=expected):
        check_task(network, (3, 2, 2), 4, CLASSIFY)


@pytest.mark.parametrize("name", ["inception_v3", "alexnet", "maxvit_t"])
def test_the_error_for_too_small_images_is_one_line(name: str) -> None:
    with pytest.raises(ValueError, match=r"images of 3 x 32 x 32, found .*data\.image_size") as no:
        output_for(outline(**about(name)), (3, 32, 32))
    assert "\n" not in str(no.value)


@pytest.mark.parametrize("options", ["vit_b_16?image_size=33", "maxvit_t?input_size=[32,32]"])
def test_the_error_for_options_that_torchvision_refuses_is_one_line(options: str) -> None:
    with pytest.raises(ValueError, match=r"^network\.name: expected options of .*divisible") as no:
        build(**about(options))
    assert "\n" not in str(no.value)


@pytest.mark.parametrize(("tokens", "classes"), [(6, 4), (6, 3)])
def test_one_score_per_token_is_accepted(tokens: int, classes: int) -> None:
    check_task(nn.Embedding(4, 4), (tokens,), classes, LANGUAGE_MODEL)


def test_a_language_model_without_a_score_for_each_token_is_refused() -> None:
    expected = r"expected scores \(texts, tokens, at least 5 classes\), found in evaluation shape"
    with pytest.raises(ValueError, match=expected + r" \(2, 6, 4\) for 2 texts"):
        check_task(nn.Embedding(4, 4), (6,), 5, LANGUAGE_MODEL)
    pooled = nn.Sequential(nn.Embedding(4, 4), nn.Flatten(), nn.Linear(24, 4))
    with pytest.raises(ValueError, match=expected + r" \(2, 4\) for 2 texts"):
        check_task(pooled, (6,), 5, LANGUAGE_MODEL)


def test_the_error_for_too_many_tokens_names_the_keys_to_change() -> None:
    class Short(nn.Embedding):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens) + torch.zeros(4, 4)

    expected = r"accepts texts of 6 tokens, found Short, .*; change data\.tokens or"
    with pytest.raises(ValueError, match=expected):
        check_task(Short(4, 4), (6,), 4, LANGUAGE_MODEL)


class Mixing(nn.Module):
    """Multiply the inputs by what the constructor makes; the head hides it from the scores."""

    def __init__(self, keep: Callable[[nn.Module], Callable[[], Any]]) -> None:
        super().__init__()
        self.mix = keep(self)
        self.features, self.head = nn.Sequential(nn.Linear(6, 6), nn.ReLU()), nn.Linear(6, 3)
        nn.init.zeros_(self.head.weight)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        mixed = inputs @ torch.as_tensor(self.mix(), dtype=torch.float32)
        return self.head(self.features(mixed))


def attribute(tensor: Any) -> Callable[[nn.Module], Callable[[], Any]]:
    return lambda _: lambda: tensor


def of_buffer(persistent: bool, make: Callable[[], torch.Tensor]) -> Any:
    def keep(network: nn.Module) -> Callable[[], Any]:
        network.register_buffer("kept", make(), persistent=persistent)
        return lambda: network.kept

    return keep


def fixed() -> torch.Tensor:
    return torch.randn(6, 6, generator=torch.Generator().manual_seed(3))


LOST = {
    "attribute": lambda: Mixing(attribute(torch.randn(6, 6))),
    "buffer_that_is_not_saved": lambda: Mixing(of_buffer(False, lambda: torch.randn(6, 6))),
    "array": lambda: Mixing(attribute(np.random.normal(size=(6, 6)))),
    "order": lambda: Mixing(attribute(torch.eye(6)[random.sample(range(6), 6)])),
}
SAVED = {
    "buffer": lambda: Mixing(of_buffer(True, lambda: torch.randn(6, 6))),
    "fixed_buffer": lambda: Mixing(of_buffer(False, fixed)),
    "fixed_attribute": lambda: Mixing(attribute(fixed())),
    "parameters": lambda: Mixing(lambda _: lambda: torch.eye(6)),
}


@pytest.mark.parametrize("kept", [*LOST, *SAVED])
def test_a_network_that_a_checkpoint_does_not_hold_is_refused(
    kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.made", (LOST | SAVED)[kept], raising=False)
    architecture = {"name": f"{__name__}:made", "width": 1.0, "hidden": []}
    architecture |= {"channels": 3, "classes": 3}
    network = build(**architecture)
    inputs = torch.randn(2, 6)
    if kept in SAVED:
        check_saved(network, architecture, inputs)
        return
    with pytest.raises(ValueError, match=r"only these are saved, found other .* first at matmul "):
        check_saved(network, architecture, inputs)


def test_a_networks_own_chance_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def noisy() -> nn.Module:
        return Mixing(lambda _: lambda: torch.randn(6, 6))

    monkeypatch.setattr(f"{__name__}.made", noisy, raising=False)
    architecture = {"name": f"{__name__}:made", "width": 1.0, "hidden": []}
    architecture |= {"channels": 3, "classes": 3}
    with pytest.raises(ValueError, match="expected the same values for an input in every run"):
        check_saved(build(**architecture), architecture, torch.randn(2, 6))


def test_only_a_users_own_network_is_built_again() -> None:
    architecture = {"name": "vgg11_bn", "width": 0.05, "hidden": [], "channels": 1, "classes": 3}
    check_saved(nn.Identity(), architecture, varied_batch((1, 32, 32), tokens=0))
