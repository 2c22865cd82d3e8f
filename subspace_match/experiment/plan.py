"""The plan of an experiment: networks, pairs, groups of layers, and the files that jobs make.

The workflow's rules read a ``Plan`` and decide nothing themselves. Making a plan computes no
result: it needs the configuration, digests of the code and of the user's files (``Origins``), and
the layers of each model (``planned_layers``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..data.catalogue import SOURCES, known_test_inputs, source_of
from ..networks.layer_info import LayerInfo
from ..networks.sampling import uses_all_samples
from ..networks.source_names import revision_of
from .comparisons import Model, Network, Pair, complete_groups, pairs_of
from .config import Config
from .keys import Origins, without_location
from .null_work import jobs_of_equal_work, null_work
from .paths import Paths
from .planned_layers import layers_of, left_out_of, shared_layers
from .user_files import data_source, network_sources

# Matching a layer of 64 neurons takes 0.1 s, starting a job 1 s.
LAYERS_PER_JOB = 12

PairKey = tuple[str, str]  # the keys of networks A and B
Wildcards = Any  # Snakemake's object: one attribute per wildcard of the rule


class Plan:
    """What an experiment computes.

    Args:
        config: complete configuration.
        origins: digests that are part of the paths.
        tables: file suffixes of every table, by the table's name.
        figure_names: returns the names of the figures, given the number of comparisons and the
            most other networks that a network is compared with.

    Attributes:
        paths: path of every result.
        pairs: one record per pair of networks, as the tables name it.
        layers: layers to match, by pair.
        groups: names of the layers that one job matches, by pair and group key.
        minimal_groups: layers whose minimal matches one job finds, by pair and key of the part.
        null_groups: layers that one job matches with images permuted, by pair and key of the part.
        matched_group: key of the group with which a part's layers were matched, by pair and key of
            the part.
        together: for each comparison of at least three networks, all with each other: its name and
            the keys of its networks, by the key of all of them.
        together_groups: names of the layers that one job matches in all of these, by that key and
            the key of the group.
        tables: path of every table, by ``<name>_<suffix>``.
        figures: path of every figure, in every format.
        warnings: what a user should know before the run.

    Raises:
        ValueError: if ``compare`` selects no pair, a network cannot be built or process its
            images, two networks share no layer, or no pattern fits a layer.
    """

    def __init__(
        self,
        config: Config,
        origins: Origins,
        tables: Mapping[str, Sequence[str]],
        figure_names: Callable[[int, int], Sequence[str]],
    ) -> None:
        self.config = config
        self.paths = Paths(config, origins)
        self.warnings: list[str] = []
        key_of = self.paths.key
        self._warn_of_shared_networks()
        pairs = {(key_of(pair.a), key_of(pair.b)): pair for pair in self.paths.pairs}
        self.layers_of_model = {
            name: layers_of(model, config, self.paths.layers(name))
            for name, model in self.paths.models.items()
        }
        for name in self.paths.models:
            if left_out := left_out_of(self.paths.layers(name)):
                self.warnings.append(
                    f"{name}: extraction.nodes auto selects the ReLUs and leaves out"
                    f" {len(left_out)} other nonlinearities, such as {left_out[0]}; set it to"
                    " activation for all"
                )
        shared_by_models = {
            (a, b): shared_layers(self.layers_of_model[a], self.layers_of_model[b])
            for a, b in dict.fromkeys((pair.a.model, pair.b.model) for pair in pairs.values())
        }
        shared = {key: shared_by_models[p.a.model, p.b.model] for key, p in pairs.items()}
        for (a, b), (_, left_out) in shared.items():
            if left_out:
                self.warnings.append(
                    f"{a} and {b}: not matched, as the other network has no layer of that name and"
                    f" map size: {', '.join(left_out)}"
                )
        self.pairs = [_pair_record(key, pair, shared[key][1]) for key, pair in pairs.items()]
        self.layers = {key: self._select(layers, "matching") for key, (layers, _) in shared.items()}
        self.groups = {key: self._groups(layers) for key, layers in self.layers.items()}
        self.matched_group: dict[tuple[PairKey, str], str] = {}
        self.minimal_groups = {key: self._minimal_groups(key) for key in self.layers}
        self.null_groups = {key: self._null_groups(key) for key in self.layers}
        self._warn_of_unused_patterns((layers for layers, _ in shared.values()), "matching")
        self._warn_of_unused_patterns(self.layers.values(), "minimal_matches")
        self.together: dict[str, tuple[str, list[str]]] = {}
        for comparison, networks in complete_groups(list(pairs.values())).items():
            keys = [key_of(network) for network in networks]
            self.together[self.paths.networks_key(keys)] = comparison, keys
        self.together_groups = {
            key: self._groups(self._layers_of_all(networks))
            for key, (_, networks) in self.together.items()
        }
        path = self.paths.experiment
        self.tables = {
            f"{name}_{suffix}": path(f"tables/{name}.{suffix}")
            for name, suffixes in tables.items()
            for suffix in suffixes
        }
        self.tables |= {name: path(f"{name}.json") for name in ("metrics", "config")}
        self.figures = [
            path(f"figures/{name}.{suffix}")
            for name in figure_names(
                len({pair.comparison for pair in pairs.values()}), _most_others(pairs)
            )
            for suffix in config["figures"]["formats"]
        ]

    def _warn_of_shared_networks(self) -> None:
        compared = (network for pair in pairs_of(self.config) for network in (pair.a, pair.b))
        shared = {
            (network.model, network.stage, first.model): None
            for network in dict.fromkeys(compared)
            if (first := self.paths.first_name(network)) != network
        }
        self.warnings += [
            f"{name}: its networks of the stage {stage} are those of {first}: compared once, as"
            f" {first}"
            for name, stage, first in shared
        ]

    def _select(self, layers: Sequence[LayerInfo], section: str) -> list[LayerInfo]:
        """Return the layers that fit a pattern of a section of the configuration."""
        patterns = self.config[section]["layers"]
        selected = [layer for layer in layers if layer.fits(*patterns)]
        if patterns and not selected:
            raise ValueError(
                f"config: {section}.layers: expected patterns that fit a layer, found {patterns};"
                f" the layers are {', '.join(layer.name for layer in layers)}"
            )
        return selected

    def _warn_of_unused_patterns(self, layers: Iterable[Sequence[LayerInfo]], section: str) -> None:
        """Warn of each pattern that fits no layer of any pair, such as a misspelt name."""
        all_layers = [layer for each in layers for layer in each]
        names = ", ".join(dict.fromkeys(layer.name for layer in all_layers))
        self.warnings += [
            f"config: {section}.layers: {pattern!r} fits no layer; the layers are {names}"
            for pattern in self.config[section]["layers"]
            if not any(layer.fits(pattern) for layer in all_layers)
        ]

    def _layers_of_all(self, networks: Sequence[str]) -> list[LayerInfo]:
        """Return the layers that are matched in every pair of these networks."""
        own = [layers for (a, b), layers in self.layers.items() if {a, b} <= set(networks)]
        names = set.intersection(*({layer.name for layer in layers} for layers in own))
        return [layer for layer in own[0] if layer.name in names]

    def _groups(self, layers: Sequence[LayerInfo]) -> dict[str, list[str]]:
        """Divide layers into jobs."""
        jobs = _divided([layer.name for layer in layers], LAYERS_PER_JOB)
        return {self.paths.group(names): names for names in jobs}

    def _minimal_groups(self, pair: PairKey) -> dict[str, list[str]]:
        chosen = {layer.name for layer in self._select(self.layers[pair], "minimal_matches")}
        return self._parts(
            pair, lambda names: [kept] if (kept := [n for n in names if n in chosen]) else []
        )

    def _null_groups(self, pair: PairKey) -> dict[str, list[str]]:
        if not self.config["chance"]["permutations"]:
            return {}
        permutations: int | str = self.config["chance"]["permutations"]
        layers_b = self.layers_of_model[self.paths.networks[pair[1]].model]
        neurons_b = {layer.name: layer.neurons for layer in layers_b}
        work = {
            layer.name: null_work(
                permutations, self._most_samples(layer), layer.neurons, neurons_b[layer.name]
            )
            for layer in self.layers[pair]
        }
        return self._parts(
            pair, lambda names: jobs_of_equal_work({name: work[name] for name in names})
        )

    def _most_samples(self, layer: LayerInfo) -> int:
        """Return how many samples a layer has at most; files of images and texts are not read."""
        positions: int = self.config["extraction"]["positions"]
        images = known_test_inputs(self.config["data"])
        if images is None:
            return positions
        everything = images * layer.positions
        return everything if uses_all_samples(layer, images, positions) else positions

    def _parts(
        self, pair: PairKey, divide: Callable[[list[str]], list[list[str]]]
    ) -> dict[str, list[str]]:
        """Divide the layers of each group, for jobs that take longer or need only some of them."""
        parts = {}
        for group, names in self.groups[pair].items():
            for part in divide(names):
                key = self.paths.group(part, of=names)
                parts[key], self.matched_group[pair, key] = part, group
        return parts

    def models(self, key: Callable[[Model], str], *, pretrained: bool = False) -> str:
        """Return a regular expression of the keys of all trained or all pretrained models."""
        models = self.paths.models.values()
        keys = sorted(key(model) for model in models if model.pretrained == pretrained)
        return "|".join(keys) or "(?!)"  # without keys: an expression that matches nothing

    # Targets

    @property
    def stages(self) -> list[str]:
        """Names of the checkpoints that a training keeps."""
        return [*(f"epoch_{epoch}" for epoch in self.paths.kept_epochs), "best", "last"]

    def table(self, name: str) -> str:
        """Return the path of a table, as Parquet if it is written so."""
        return self.tables.get(f"{name}_parquet") or self.tables[f"{name}_csv"]

    def of_groups(self, path: Callable[..., str], *name: str) -> list[str]:
        """Return the files of all groups of all pairs; ``path`` is a method of ``paths``."""
        return _files(self.groups, path, *name)

    @property
    def nulls(self) -> list[str]:
        """Null distributions of all pairs; empty without permutations."""
        return _files(self.null_groups, self.paths.null)

    @property
    def minimal_matches(self) -> list[str]:
        """Minimal matches of all pairs at every requested epsilon."""
        return [
            path
            for epsilon in self.config["minimal_matches"]["epsilons"]
            for path in _files(self.minimal_groups, self.paths.minimal, epsilon)
        ]

    @property
    def heat_maps(self) -> list[str]:
        """Heat maps of all pairs; empty without positions."""
        wanted = self.config["heat_map"]["positions"]
        return [self.paths.heat_map(*pair) for pair in self.layers] if wanted else []

    @property
    def within_networks(self) -> list[str]:
        """Comparisons of every two layers of each network; empty if not asked for."""
        wanted = self.config["heat_map"]["within_networks"]
        return [self.paths.within_network(key) for key in self.paths.networks] if wanted else []

    @property
    def consensus(self) -> list[str]:
        """Consensus matches of all comparisons that have one."""
        return [
            self.paths.consensus(key, group)
            for key, groups in self.together_groups.items()
            for group in groups
        ]

    @property
    def networks(self) -> dict[str, dict[str, Any]]:
        """Model, seed and stage of all networks, by key."""
        return {key: asdict(network) for key, network in self.paths.networks.items()}

    # Look-ups by the wildcards of a job

    def model(self, wildcards: Wildcards) -> Model:
        """Return the model that a job trains or loads."""
        return self.paths.models_by_key[wildcards.model]

    def network(self, wildcards: Wildcards) -> Network:
        """Return the network that a job reads."""
        return self.paths.networks[wildcards.network]

    def section(self, name: str) -> Callable[[Wildcards], dict[str, Any]]:
        """Return a look-up of the section data, network or training of a job's model."""
        return lambda wildcards: getattr(self.model(wildcards), name)

    def training_data_file(self, name: str) -> Callable[[Wildcards], str]:
        """Return a look-up of a file of the data set that a job's model is trained on."""
        paths = self.paths
        return lambda wildcards: paths.data(name, paths.data_key(self.model(wildcards).data))

    def data_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides the content of a data set that a job prepares."""
        return without_location(self.paths.data_sets[wildcards.data])

    def data_locations(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return where the files lie from which a job prepares a data set."""
        return {key: self.paths.data_sets[wildcards.data][key] for key in ("root", "tokenizer")}

    def start(self, wildcards: Wildcards) -> list[str]:
        """Return the network from which a training starts, if it has one."""
        start = self.paths.start(wildcards.model, int(wildcards.seed))
        return [] if start is None else [start]

    def revision(self, wildcards: Wildcards) -> str | None:
        """Return the commit of a pretrained model's published weights, if they have one."""
        network = self.model(wildcards).network
        return revision_of(network["name"], network["weights"])

    def image_shape(self, wildcards: Wildcards) -> dict[str, int]:
        """Return the number of channels and classes of the images of a job's model."""
        source = source_of(self.model(wildcards).data)
        return {"channels": source.channels, "classes": source.classes}

    def network_file(self, suffix: str) -> Callable[[Wildcards], str]:
        """Return a look-up of the weights (.safetensors) or record (.json) of a job's network."""
        return lambda wildcards: self.paths.network(self.network(wildcards), suffix)

    def task(self, wildcards: Wildcards) -> str:
        """Return what the model of a job's network is trained for."""
        return str(self.paths.models[self.network(wildcards).model].training["task"])

    def planned_layers(self, wildcards: Wildcards) -> list[dict[str, Any]]:
        """Return the layers that a job's network should have, as plain values."""
        return list(map(asdict, self.layers_of_model[self.network(wildcards).model]))

    def group(self, wildcards: Wildcards) -> list[str]:
        """Return the names of the layers of a job's group."""
        pair, key = (wildcards.a, wildcards.b), wildcards.group
        kinds = (self.groups, self.minimal_groups, self.null_groups)
        return next(groups[pair][key] for groups in kinds if key in groups[pair])

    def match_file(self, name: str) -> Callable[[Wildcards], str]:
        """Return a look-up of a file of the group with which a part's layers were matched."""
        matched, match = self.matched_group, self.paths.match
        return lambda w: match(w.a, w.b, matched[(w.a, w.b), w.group], name)

    def together_stores(self, wildcards: Wildcards) -> list[str]:
        """Return the activation stores of the networks that a job matches together."""
        return [self.paths.activations(key) for key in self.together[wildcards.networks][1]]

    def together_group(self, wildcards: Wildcards) -> list[str]:
        """Return the names of the layers that a job matches in several networks."""
        return self.together_groups[wildcards.networks][wildcards.group]

    # The user's own files that a job reads, as sources of ``user_files``

    def data_sources(self, wildcards: Wildcards) -> list[str]:
        """Return the sources of a data set that a job prepares."""
        return data_source(self.paths.data_sets[wildcards.data])

    def module_sources(self, wildcards: Wildcards) -> list[str]:
        """Return what defines a job's model: the user's own module, or a folder of transformers."""
        sources = network_sources(self.model(wildcards).network)
        return [source for source in sources if not source.startswith("weights ")]

    def training_sources(self, wildcards: Wildcards) -> list[str]:
        """Return what a training reads: the model's module and images that stay in their files."""
        return self.module_sources(wildcards) + _image_files(self.model(wildcards).data)

    def pretrained_sources(self, wildcards: Wildcards) -> list[str]:
        """Return the module and the weights of a pretrained model."""
        return network_sources(self.model(wildcards).network)

    def extraction_sources(self, wildcards: Wildcards) -> list[str]:
        """Return what an extraction reads: the model's module and the images."""
        model = self.paths.models[self.network(wildcards).model]
        return _modules(model) + self.image_sources

    @property
    def image_sources(self) -> list[str]:
        """Images that networks are compared on, if they stay in their files."""
        return _image_files(self.config["data"])


def _pair_record(key: PairKey, pair: Pair, left_out: list[str]) -> dict[str, Any]:
    sides = {"a": asdict(pair.a), "b": asdict(pair.b)}
    return {
        "network_a": key[0],
        "network_b": key[1],
        "comparison": pair.comparison,
        "left_out": left_out,
        **{f"{name}_{side}": value for side, own in sides.items() for name, value in own.items()},
    }


def _divided(names: list[str], most: int) -> list[list[str]]:
    """Divide layers into jobs of at most some; each takes every k-th layer, for equal work."""
    jobs = -(-len(names) // most)
    return [names[n::jobs] for n in range(jobs)]


def _files(
    groups: Mapping[PairKey, Mapping[str, list[str]]], path: Callable[..., str], *name: Any
) -> list[str]:
    return [path(*pair, key, *name) for pair, own in groups.items() for key in own]


def _most_others(pairs: Iterable[PairKey]) -> int:
    """Return the most other networks that a network is compared with."""
    counts = Counter(network for pair in pairs for network in pair)
    return max(counts.values())


def _modules(model: Model) -> list[str]:
    return [each for each in network_sources(model.network) if each.startswith("module ")]


def _image_files(data: Mapping[str, Any]) -> list[str]:
    return data_source(data) if SOURCES[data["name"]].files else []
