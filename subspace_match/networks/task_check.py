"""Check that a network fits its task: it accepts its inputs, scores the classes, can be saved."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .architectures import built_again
from .inputs import Inputs
from .layered_network import LayeredNetwork
from .tasks import CLASSIFY, scores_of

Shape = tuple[int, ...]  # of an input: channels, height and width of an image, or tokens


def check_task(network: nn.Module, shape: Shape, classes: int, task: str) -> None:
    """Refuse a network that cannot be trained for a task.

    Args:
        network: an outline, on any device; its batch norms process inputs of zeros.
        shape: of an input.
        classes: number of classes, or of different tokens, in the data set.
        task: "classify" or "language_model".

    Raises:
        ValueError: if it has no trainable weights or sparse gradients, or if its output, in
            evaluation or training mode, is not one score per class, for each image or each token.
    """
    if not any(weights.requires_grad for weights in network.parameters()):
        raise ValueError(
            f"network: expected trainable weights, found none in {type(network).__name__}"
        )
    for name, module in network.named_modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.sparse:
            raise ValueError(
                "network: expected gradients that are not sparse, which torch's fused optimizers"
                f" need, found {name or type(module).__name__} with sparse=True; leave it out"
            )
    for mode in ("evaluation", "training"):
        network.train(mode == "training")
        output = scores_of(output_for(network, shape))
        if fault := _fault(output, (2,) if task == CLASSIFY else (2, *shape), classes):
            found, advice = fault
            if hasattr(network, "aux_logits") and not isinstance(output, torch.Tensor):
                advice = "add ?aux_logits=false to the name of torchvision's model"
            items = "images" if task == CLASSIFY else "texts, tokens"
            raise ValueError(
                f"network: expected scores ({items}, at least {classes} classes), found in {mode}"
                f" {found}; {advice}"
            )
    network.eval()


def check_saved(network: nn.Module, architecture: Mapping[str, Any], inputs: Inputs) -> None:
    """Refuse a user's own network of which a checkpoint would not hold all that decides its values.

    Args:
        network: made by ``build(**architecture)``.
        architecture: arguments of ``build``.
        inputs: a few inputs that are not all the same.

    Raises:
        ValueError: naming the first node whose values differ when the network is built again, or
            in every run.
    """
    again = built_again(network, architecture)
    if again is None:
        return
    one, other = (LayeredNetwork(each, inputs, nodes=[]) for each in (network, again))
    one.check_repeatable(inputs)  # else it differs for another reason
    one.check_saved(other, inputs)


def varied_batch(shape: Shape, tokens: int) -> torch.Tensor:
    """Return two random inputs: images, or, for a shape of one number, windows of tokens.

    Example:
        >>> varied_batch((8,), tokens=5).shape, varied_batch((3, 32, 32), tokens=0).dtype
        (torch.Size([2, 8]), torch.float32)
    """
    generator = torch.Generator().manual_seed(0)
    if len(shape) == 1:
        return torch.randint(tokens, (2, *shape), generator=generator)
    return torch.randn(2, *shape, generator=generator)


def example_batch(network: nn.Module, shape: Shape) -> torch.Tensor:
    """Return two inputs of zeros where a network's weights are: images, or windows of tokens.

    Example:
        >>> net = nn.Identity()
        >>> example_batch(net, (8,)).dtype, example_batch(net, (3, 32, 32)).dtype
        (torch.int64, torch.float32)
    """
    kind = torch.int64 if len(shape) == 1 else torch.float32
    device = next((weights.device for weights in network.parameters()), None)
    return torch.zeros(2, *shape, dtype=kind, device=device)


def output_for(network: nn.Module, shape: Shape) -> Any:
    """Return the network's output for two inputs of zeros.

    Raises:
        ValueError: if it does not accept such inputs; the message includes its own error.
    """
    try:
        return _called(network, shape)
    except Exception as error:  # a network's code may raise anything
        reason = str(error).strip().partition("\n")[0]
        fails = f"{type(network).__name__}, which fails with {type(error).__name__}: {reason}"
        if dtype := _other_dtype(network):
            raise ValueError(
                f"network: expected weights of float32, found {dtype} in {fails}; let inputs of"
                " float32 pass through it"
            ) from error
        wanted = f"images of {' x '.join(map(str, shape))}"
        advice = "change data.image_size, the height and width of its input"
        if len(shape) == 1:
            wanted = f"texts of {shape[0]} tokens"
            advice = "change data.tokens or data.tokenizer, or the network's sizes"
        elif channels := _channels_taken(network, shape):
            raise ValueError(
                f"network: expected one that accepts {wanted}, found {type(network).__name__},"
                f" which takes images of {_count(channels, 'channel')}; use a network for"
                f" {_count(shape[0], 'channel')}, or data of {_count(channels, 'channel')}"
                " (data.name)"
            ) from error
        elif hasattr(network, "image_size"):
            advice = f"add ?image_size={shape[1]} to the name of torchvision's model, or {advice}"
        raise ValueError(
            f"network: expected one that accepts {wanted}, found {fails}; {advice}"
        ) from error


def _called(network: nn.Module, shape: Shape) -> Any:
    with torch.no_grad():
        return network(example_batch(network, shape))


def _other_dtype(network: nn.Module) -> torch.dtype | None:
    """Return the type of the first floating weights that are not float32; None if all are."""
    dtypes = (weights.dtype for weights in network.parameters())
    return next((own for own in dtypes if own.is_floating_point and own != torch.float32), None)


def _channels_taken(network: nn.Module, shape: Shape) -> int | None:
    """Return with how many channels, other than its own, a network accepts images of this size."""
    for channels in {1, 3} - {shape[0]}:
        with contextlib.suppress(Exception):  # a network's code may raise anything
            _called(network, (channels, *shape[1:]))
            return channels
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _fault(output: Any, wanted: Shape, classes: int) -> tuple[str, str] | None:
    """Return what is wrong with scores, and what to do; None if nothing is."""
    if not isinstance(output, torch.Tensor):
        advice = 'let the network return the scores alone, or a dictionary with them as "logits"'
        return f"an object of {type(output).__name__}", advice
    shown = f"shape {tuple(output.shape)} for 2 {'texts' if len(wanted) > 1 else 'images'}"
    if output.shape[:-1] != wanted:
        axes = " and ".join(["image"] if len(wanted) == 1 else ["text", "token"])
        return shown, f"let the network return one score per {axes} and class"
    if (scores := output.shape[-1]) < classes:
        found = f"{shown}, which are {_count(scores, 'score')} for {classes} classes"
        return found, "change the network's last layer, or its arguments in network.options"
    if not output.is_floating_point():
        return f"values of {output.dtype}", "let the network return scores instead of classes"
    return None
