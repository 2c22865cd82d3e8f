"""Compare two models, or the layers of one, on the inputs of a loader."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..extras import needs
from ..matching.backends import resolve_device
from ..matching.backends.base import DeviceLike
from ..matching.permutation_counts import check_permutations
from ..matching.validation import FEW_SAMPLES, FewSamplesWarning
from ..networks.freed_memory import FreedMemory
from ..progress import Progress
from .arguments import as_layers, as_nodes, check_counts, check_samples
from .layer_result import LayerComparison
from .result import Comparison

if TYPE_CHECKING:
    from torch import nn

    from ..networks.inputs import Inputs
    from ..networks.layered_network import LayeredNetwork

log = logging.getLogger(__name__)


class ShortLoaderWarning(UserWarning):
    """A loader yielded fewer inputs than its length says."""


class PaddedTokensWarning(UserWarning):
    """Padded tokens are among the samples, because a mask does not say which these are."""


def compare(
    model_a: nn.Module,
    model_b: nn.Module | None = None,
    loader: Iterable[Any] | None = None,
    *,
    nodes: str | Sequence[str] = "auto",
    layers: str | Sequence[str | tuple[str, str]] | None = None,
    positions: int = 10_000,
    permutations: int = 0,
    heat_map: int = 4_000,
    inputs_a: Callable[[Any], Any] | None = None,
    inputs_b: Callable[[Any], Any] | None = None,
    tokens: str = "all",
    neuron_axis: int | None = None,
    seed: int = 0,
    device: DeviceLike = "auto",
) -> Comparison:
    """Compare two models layer by layer, or the layers of one model with one another.

    Each model runs once on every batch, in evaluation mode and without gradients; afterwards it is
    as it was. Values of float64 stay so (those below 1e-130 in size count as 0), and all others
    become float32. Samples go straight into moments: memory holds about ten matrices of
    (n_a + n_b)^2 numbers for each pair of layers and the samples of a batch, for any number of
    inputs. More is kept for the null distribution and the heat map; the log (``logging``) says how
    much. Cross-fitted paths are computed when they, a table or a figure are first asked for.

    The samples are those that the pipeline takes from the same inputs in its first draw, and all
    numbers are those of ``reduce_halves`` on these samples, with the pipeline's halves of the
    inputs. More than ten classes count in this, as in the pipeline, if ``loader`` is a list of
    batches, whose labels are known beforehand. If the number of inputs cannot be known before they
    are read (a generator, or a loader whose items are batches), every input gives each map one
    sample, and of every two successive inputs a random one is in the first half.

    If each input has a label, an integer from 0 on, the inputs of B are also permuted among those
    of one label: what matches even so, labels alone explain. That takes as long again as the
    permutations of any inputs. A layer has no such level if most inputs would stay where they are,
    because few inputs of a class are sampled at the same positions. ``Comparison.labels`` and
    ``notes`` say what was found.

    Args:
        model_a: on any device.
        model_b: may have another device, architecture and input; None to compare every two layers
            of ``model_a``.
        loader: yields batches: tensors, (tensor, label) pairs, or dictionaries, of which each model
            gets the keys that it takes; "label" or "labels" are the labels. Both models see the
            same batches, so it may shuffle.
        nodes: what is a layer: "auto", "relu", "activation", "convolution", "block", or shell
            patterns over nodes; ``subspace-match layers`` lists them.
        layers: name or shell pattern of the layers to compare, or a list of such and of pairs (a
            layer of A, a layer of B). None for all layers of the same name, kind and map size.
            Layers of other map sizes are sampled at the same places of the input; a layer without
            positions has one value everywhere, and tokens lie in a row. So tokens of image patches
            do not correspond to places of a map: take one sample per input (``tokens="mean"``).
        positions: (input, position) samples of a map or of tokens, spread over the inputs.
        permutations: of the inputs of B, for a null distribution and p-values, and as many within
            classes. The samples of both sides are kept for it.
        heat_map: samples for ``Comparison.heat_map``, at the same places in all layers, which are
            kept; 0 for none.
        inputs_a: function from a batch to the inputs of A: a tensor, a tuple of arguments, or a
            dictionary of named arguments.
        inputs_b: the same for B.
        tokens: samples of a layer of tokens: "all" (padded ones never), or one per input: the
            "first", the "last" or their "mean".
        neuron_axis: axis of neurons where it is not certain.
        seed: of the samples' places, of the halves and of the permutations.
        device: "cpu", "cuda" or "auto", where to match. The models stay where they are.

    Returns:
        The comparison.

    Raises:
        ValueError: if an argument is not valid; if a model does not accept its inputs, or gives
            NaN or other values in a second run; if no layers can be compared; if the loader is
            empty, has more inputs than its length says, or its inputs change their size.
        MissingExtraError: without torch.

    Warns:
        ShortLoaderWarning: if the loader ends early; the result is that of the inputs it gave.
        PaddedTokensWarning: if padded tokens of a layer cannot be told from real ones.
        FewSamplesWarning: above 0.2 neurons per input, where part of a match is chance; or if
            padded texts have fewer real tokens than samples, so that some tokens count twice.

    Example:
        >>> import torch, subspace_match as sm
        >>> from torch import nn
        >>> def model():
        ...     return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU())
        >>> batches = [torch.randn(100, 8) for _ in range(5)]
        >>> result = sm.compare(model(), model(), batches)
        >>> result
        <Comparison of Sequential (A) and Sequential (B): 2 layers, 500 inputs>
        >>> list(result), result["fc1"].pair
        (['fc1', 'fc2'], <PairMoments of 6 + 6 neurons, 500 samples>)
    """
    check_counts(
        {
            **{"positions": (positions, 1), "permutations": (permutations, 0)},
            **{"heat_map": (heat_map, 0), "seed": (seed, 0)},
        }
    )
    check_permutations("permutations", permutations)
    with needs("torch", "compare"):
        from ..networks.inputs import count, real_tokens
        from .batches import ModelInputs, holds_more, naming, number_of_inputs, read
        from .collect import Collector, Sampling
        from .labels import Accuracy, LabelReader, known_labels
        from .layers import pairs_of_layers, why_left_out
    check_samples(tokens, neuron_axis)
    nodes, wanted = as_nodes(nodes), as_layers(layers)
    if loader is None:
        raise ValueError(
            "loader: expected an iterable of batches, such as a DataLoader or a list of tensors,"
            " found none; to compare the layers of one model write compare(model, loader=loader)"
        )
    models = {"model_a": model_a} | ({} if model_b is None else {"model_b": model_b})
    picks = [
        ModelInputs(name, model, pick)
        for (name, model), pick in zip(models.items(), (inputs_a, inputs_b), strict=False)
    ]
    options = {"nodes": nodes, "neuron_axis": neuron_axis, "tokens": tokens}
    total, seen = number_of_inputs(loader), 0
    matching_device = resolve_device(device)
    networks: list[LayeredNetwork] = []
    labels_read, accuracies = LabelReader(loader), [Accuracy() for _ in models]
    freed = FreedMemory()
    with Progress("inputs", total) as progress:
        for number, batch in read(loader):
            with naming(f"batch {number} of the loader"):
                inputs = [pick(batch) for pick in picks]
                size = _common_size([count(own) for own in inputs])
            if size == 0:
                continue
            if not networks:
                for (name, model), own, pick in zip(models.items(), inputs, picks, strict=True):
                    with naming(name):
                        networks.append(_layered(model, own, options, pick.about_inputs))
                found = [network.layers for network in networks]
                layers_b = found[1] if len(found) > 1 else None
                pairs, left_out = pairs_of_layers(found[0], layers_b, wanted)
                if total is not None and holds_more(loader, batch, size):
                    total = None
                known = None if total is None else known_labels(loader)
                sampling = Sampling(total, positions, heat_map, permutations, seed, known)
                padded = any(
                    real_tokens(own, decoder) is not None
                    for own in inputs
                    for decoder in (False, True)
                )
                weights = [own for model in models.values() for own in model.parameters()]
                number_bytes = max((own.element_size() for own in weights), default=4)
                collector = Collector(
                    found, pairs, sampling, padded, matching_device, max(4, number_bytes)
                )
                notes = [
                    f"{name}: {note}"
                    for name, network, pick in zip(models, networks, picks, strict=True)
                    for note in [*network.notes, *pick.notes]
                ]
                if left_out:
                    why = why_left_out(left_out, found[0], layers_b, wanted)
                    notes.append(f"in no pair: {why}")
                notes += collector.notes
                for note in notes:
                    log.info("%s", note)
            if total is not None and seen + size > total:
                raise ValueError(
                    f"loader: expected {total} inputs, its length, found more in batch {number};"
                    " pass a generator, (batch for batch in loader), whose length is not asked for"
                )
            with naming(f"batch {number} of the loader"):
                collector.start(seen, size)
                own_labels = labels_read.add(batch, inputs, size)
                for side, (network, own) in enumerate(zip(networks, inputs, strict=True)):
                    output = network.run(own, collector.sink(side, network, own))
                    accuracies[side].add(output, own_labels)
                    del output  # before the next model runs
                collector.add(inputs)
            freed.give_back()
            seen += size
            progress.update(size)
    if not networks:
        raise ValueError("loader: expected at least one input, found empty batches only")
    if total is not None and seen != total:
        warnings.warn(
            f"loader: expected {total} inputs, its length, found {seen}; the result is that of"
            " these inputs",
            ShortLoaderWarning,
            stacklevel=2,
        )
    if collector.padded:
        note = (
            "all tokens are sampled, padded ones too if there are any, because the mask is that of"
            f" other tokens, in {', '.join(collector.padded.values())}; if some are padded, use"
            " inputs of one length, or other layers"
        )
        notes.append(note)
        warnings.warn(note, PaddedTokensWarning, stacklevel=2)
    if (repeated := collector.repeated_tokens(seen)) is not None:
        warnings.warn(repeated, FewSamplesWarning, stacklevel=2)
    labels = labels_read.finish()
    for name, accuracy in zip(models, accuracies, strict=True):
        if why := accuracy.why_unknown(labels):
            notes.append(f"{name}: {why}")
            log.info("%s", notes[-1])
    results = {result.name: result for result in collector.results(seen, labels.values)}
    _warn_of_few_samples(list(results.values()), permutations)
    comparison = Comparison(
        tuple(type(model).__name__ for model in models.values()),
        results,
        seen,
        labels.classes,
        labels.words,
        tuple(accuracy.of(labels) for accuracy in accuracies),
        left_out,
        notes,
        {
            "nodes": nodes,
            **{"positions": positions, "permutations": permutations, "seed": seed},
            **{"heat_map": heat_map, "tokens": tokens},
            **{"layers": wanted, "neuron_axis": neuron_axis},
        },
        collector.kept(),
        matching_device,
    )
    if about := comparison.about_labels():
        notes.append(f"labels: {about}")
        log.info("%s", notes[-1])
    return comparison


def _layered(
    model: nn.Module, first: Inputs, options: dict[str, Any], about_inputs: str
) -> LayeredNetwork:
    """Find a model's layers, and check that its values depend on nothing but an input."""
    from ..networks.inputs import count, rows
    from ..networks.layered_network import INPUT_REFUSED, LayeredNetwork

    try:
        network = LayeredNetwork(model, first, **options)
    except ValueError as error:
        if not str(error).startswith(INPUT_REFUSED):
            raise
        raise ValueError(f"{error}{about_inputs}") from error
    few = min(4, count(first))
    network.check_repeatable(rows(first, [number % few for number in range(max(2, few))]))
    return network


def _common_size(sizes: Sequence[int]) -> int:
    if len(set(sizes)) > 1:
        raise ValueError(
            f"expected as many inputs for model_a as for model_b, found {sizes[0]} and {sizes[1]};"
            " both must see the same inputs"
        )
    return sizes[0]


def _warn_of_few_samples(results: Sequence[LayerComparison], permutations: int) -> None:
    few = [r for r in results if r.neurons_per_input > FEW_SAMPLES]
    if few:
        chance = "what chance gives (null_threshold)" if permutations else "ask for permutations=19"
        most = max(few, key=lambda result: result.neurons_per_input)
        warnings.warn(
            f"{len(few)} of {len(results)} layers have more than {FEW_SAMPLES:g} neurons per input"
            f" ({most.name} has {most.neurons_per_input:.2f}), where part of the match is chance:"
            f" use more inputs, or see what is left on new ones (cross_fitted) and {chance}",
            FewSamplesWarning,
            stacklevel=3,
        )
