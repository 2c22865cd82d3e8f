"""The networks of an experiment, and the pairs of networks that it compares.

A model is an architecture with its data and its training, or with pretrained weights. A network is
one model, trained from one seed, at one stage of its training.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .config import Config, sections_of

PRETRAINED_SEED = 0  # of the only network of a pretrained model


@dataclass(frozen=True)
class Model:
    """An architecture with its data and training.

    Attributes:
        name: key in the section ``models``, or "base" if that section is empty.
        data, network, training: sections of the configuration with this model's overrides.
        start: name of the model whose trained networks are trained further; None to start from
            random weights.
    """

    name: str
    data: dict[str, Any]
    network: dict[str, Any]
    training: dict[str, Any]
    start: str | None

    @property
    def pretrained(self) -> bool:
        """Whether the weights are pretrained, so nothing is trained."""
        return self.network["weights"] is not None


@dataclass(frozen=True, order=True)
class Network:
    """A model's name, a seed, and a stage: "initial", "best", "last" or the number of an epoch."""

    model: str
    seed: int
    stage: str


@dataclass(frozen=True)
class Pair:
    """Two networks to compare; pairs that differ only in their seeds have the same description."""

    a: Network
    b: Network
    comparison: str


def models_of(config: Config) -> dict[str, Model]:
    """Return the models of a complete configuration by name."""
    return {
        name: Model(name, start=own.get("start"), **sections_of(own, config))
        for name, own in (config["models"] or {"base": {}}).items()
    }


def pairs_of(config: Config, named: Callable[[Network], Network] = lambda n: n) -> list[Pair]:
    """Return every pair of networks that a complete configuration compares, without repetition.

    An entry of the section ``compare`` has the keys ``models`` (two names; empty compares each
    model with itself), ``seeds`` ("different", "same" or "all") and ``stages`` ("same"; "last" for
    each stage with the last one listed; or two stages).

    Args:
        config: the configuration.
        named: returns the name of a network that several models may have (``Keys.first_name``).

    Raises:
        ValueError: if an entry selects no pair.
    """
    models = models_of(config)
    pairs: dict[tuple[Network, Network], Pair] = {}
    for number, entry in enumerate(config["compare"]):
        found = list(_entry_pairs(entry, models, config, named))
        if not found:
            raise ValueError(
                f"compare.{number}: expected at least one pair of networks, found none for {entry}"
                f" with seeds {config['seeds']} and stages {config['stages']}; to compare different"
                " seeds, list two seeds; to compare a network with itself, list two stages; to"
                " compare pretrained networks, write 'seeds: all'; models with equal settings have"
                " the same networks, and the training does not decide untrained ones"
            )
        for pair in found:
            pairs.setdefault((pair.a, pair.b), pair)
    return list(pairs.values())


def complete_groups(pairs: Sequence[Pair]) -> dict[str, list[Network]]:
    """Return the networks of each comparison that compares all of at least three with each other.

    Only these have a consensus match. Comparisons of one network with itself at other stages, or of
    the networks of two models, leave out pairs; with two networks the consensus is their match.
    """
    compared: dict[str, set[frozenset[Network]]] = {}
    for pair in pairs:
        compared.setdefault(pair.comparison, set()).add(frozenset((pair.a, pair.b)))
    groups = {name: sorted(frozenset().union(*own)) for name, own in compared.items()}
    return {
        name: networks
        for name, networks in groups.items()
        if len(networks) >= 3 and len(compared[name]) == len(networks) * (len(networks) - 1) // 2
    }


def _entry_pairs(
    entry: dict[str, Any],
    models: dict[str, Model],
    config: Config,
    named: Callable[[Network], Network],
) -> Iterator[Pair]:
    chosen = [tuple(entry["models"])] if entry["models"] else [(name, name) for name in models]
    for name_a, name_b in chosen:
        a, b = models[name_a], models[name_b]
        for stage_a, stage_b in _stages(entry["stages"], a, b, config["stages"]):
            for seed_a, seed_b in itertools.product(_seeds(a, config), _seeds(b, config)):
                if entry["seeds"] != "all" and (entry["seeds"] == "same") != (seed_a == seed_b):
                    continue
                one = named(Network(name_a, seed_a, stage_a))
                other = named(Network(name_b, seed_b, stage_b))
                if (one.model, one.stage) == (other.model, other.stage) and seed_a >= seed_b:
                    continue  # the same network, or the same pair in reverse order
                yield Pair(one, other, _description(one, other, entry["seeds"], len(models)))


def _stages(wanted: Any, a: Model, b: Model, stages: list[str | int]) -> list[tuple[str, str]]:
    stages_a, stages_b = (["last"] if m.pretrained else [str(s) for s in stages] for m in (a, b))
    if wanted == "same":
        # A pretrained network has one stage, compared with each stage of the other network.
        if a.pretrained or b.pretrained:
            return list(itertools.product(stages_a, stages_b))
        return [(stage, stage) for stage in stages_a]
    if wanted == "last":
        last = stages_b[-1]
        return [(stage, last) for stage in stages_a if a is not b or stage != last]
    return [(str(wanted[0]), str(wanted[1]))]


def _seeds(model: Model, config: Config) -> list[int]:
    return [PRETRAINED_SEED] if model.pretrained else sorted(config["seeds"])


def _description(a: Network, b: Network, seeds: str, models: int) -> str:
    """Describe a comparison by what distinguishes it from others of the experiment."""
    stages = [f"epoch {one.stage}" if one.stage.isdigit() else one.stage for one in (a, b)]
    sides = [f"{one.model} {stage}" for one, stage in zip((a, b), stages, strict=True)]
    if models == 1:
        sides = stages
    description = sides[0] if sides[0] == sides[1] else " to ".join(sides)
    return f"{description}, same seed" if seeds == "same" else description
