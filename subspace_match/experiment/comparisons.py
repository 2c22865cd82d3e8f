"""Which networks an experiment has, and which pairs of them it compares.

A model is what is trained (or given) once a seed: an architecture, its training and its data. A
network is one model, from one seed, at one stage of its training.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .config import Config, sections_of

Stage = str | int
PRETRAINED_SEED = 0  # of a network whose weights are given: there is one of it


@dataclass(frozen=True)
class Model:
    """What is trained from each seed.

    Attributes:
        name: of the configuration's section ``models``, or "base" if there is none.
        data, network, training: as the configuration's sections of these names.
        start: the model whose networks, trained, are trained on; None for initial weights.
    """

    name: str
    data: dict[str, Any]
    network: dict[str, Any]
    training: dict[str, Any]
    start: str | None

    @property
    def pretrained(self) -> bool:
        """Whether its weights are given, so that nothing is trained."""
        return self.network["weights"] is not None


@dataclass(frozen=True, order=True)
class Network:
    """One network: a model's name, a seed and a stage ("initial", "best", "last" or an epoch)."""

    model: str
    seed: int
    stage: str


@dataclass(frozen=True)
class Pair:
    """Two networks that are compared.

    Attributes:
        a, b: the networks.
        comparison: what is compared in words, the same for pairs that differ in seeds alone.
    """

    a: Network
    b: Network
    comparison: str


def models_of(config: Config) -> dict[str, Model]:
    """The models of a complete configuration by name.

    Example:
        >>> parts = {"data": {"name": "d"}, "network": {"name": "n"}, "training": {}}
        >>> list(models_of(parts | {"models": {}}))
        ['base']
        >>> models_of(parts | {"models": {"m": {"data": {"name": "e"}}}})["m"].data
        {'name': 'e'}
    """
    return {
        name: Model(name, start=own.get("start"), **sections_of(own, config))
        for name, own in (config["models"] or {"base": {}}).items()
    }


def pairs_of(config: Config) -> list[Pair]:
    """Every pair of networks that a complete configuration compares, each once.

    An entry of the section ``compare`` takes ``models`` (two of them; each with itself if it names
    none), ``seeds`` ("different", "same" or "all") and ``stages`` ("same", "last" for each stage
    against the last one listed, or two stages).

    Raises:
        ValueError: if an entry fits no pair.
    """
    models = models_of(config)
    pairs: dict[tuple[Network, Network], Pair] = {}
    for number, entry in enumerate(config["compare"]):
        found = list(_pairs_of_entry(entry, models, config))
        if not found:
            raise ValueError(
                f"compare.{number}: expected at least one pair of networks, found none for {entry}"
                f" with seeds {config['seeds']} and stages {config['stages']}; a comparison of"
                " different seeds needs two seeds, one of a network with itself two stages, and"
                " networks with given weights 'seeds: all'"
            )
        for pair in found:
            pairs.setdefault((pair.a, pair.b), pair)
    return list(pairs.values())


def _pairs_of_entry(
    entry: dict[str, Any], models: dict[str, Model], config: Config
) -> Iterator[Pair]:
    chosen = [tuple(entry["models"])] if entry["models"] else [(name, name) for name in models]
    for name_a, name_b in chosen:
        a, b = models[name_a], models[name_b]
        for stage_a, stage_b in _stages(entry["stages"], a, b, config["stages"]):
            for seed_a, seed_b in itertools.product(_seeds(a, config), _seeds(b, config)):
                one, other = Network(name_a, seed_a, stage_a), Network(name_b, seed_b, stage_b)
                alike = (name_a, stage_a) == (name_b, stage_b)
                if _fits(entry["seeds"], seed_a, seed_b) and not (alike and seed_a >= seed_b):
                    yield Pair(one, other, _words(one, other, entry["seeds"], len(models)))


def _stages(wanted: Any, a: Model, b: Model, stages: list[Stage]) -> list[tuple[str, str]]:
    of_a, of_b = (["last"] if model.pretrained else [str(s) for s in stages] for model in (a, b))
    if wanted == "same":
        # A network with given weights has one stage, which stands beside each of the other's.
        if a.pretrained or b.pretrained:
            return list(itertools.product(of_a, of_b))
        return [(stage, stage) for stage in of_a]
    if wanted == "last":
        return [(stage, of_b[-1]) for stage in of_a if (a is not b or stage != of_b[-1])]
    return [(str(wanted[0]), str(wanted[1]))]


def _seeds(model: Model, config: Config) -> list[int]:
    return [PRETRAINED_SEED] if model.pretrained else sorted(config["seeds"])


def _fits(wanted: str, seed_a: int, seed_b: int) -> bool:
    return wanted == "all" or (seed_a == seed_b) == (wanted == "same")


def _words(a: Network, b: Network, seeds: str, models: int) -> str:
    """What is compared: only what tells it from other comparisons of an experiment."""
    stages = [f"epoch {one.stage}" if one.stage.isdigit() else one.stage for one in (a, b)]
    sides = [f"{one.model} {stage}" for one, stage in zip((a, b), stages, strict=True)]
    if models == 1:
        sides = stages
    words = sides[0] if sides[0] == sides[1] else " to ".join(sides)
    return f"{words}, same seed" if seeds == "same" else words
