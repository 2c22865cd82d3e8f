"""Where every artefact lies: a path that says what made it.

A short digest of all that determines an artefact is part of its path: the configuration, the code
of its rule, the contents of the user's own files, and its upstream's digest. So a stale file never
has the name that is asked for, two experiments share what they have in common, and going back to an
earlier configuration, commit or data set costs nothing.

The keys in paths are a data set's (its name and digest), a model's (likewise) and a network's (its
model's key, its seed and its stage); a rule finds what a key stands for in ``Paths``. A job
matches a group of layers, whose key names the first, the last and, in a digest, all of them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..storage.job_records import SUFFIX
from .code_inputs import LISTING
from .comparisons import PRETRAINED_SEED, Model, Network, Pair, models_of, pairs_of
from .config import Config
from .user_files import data_source, network_sources


def digest(*parts: Any) -> str:
    """Ten hexadecimal digits that stand for the parts, which are plain JSON values.

    Example:
        >>> digest({"b": 1, "a": 2.5}) == digest({"a": 2.5, "b": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Origins:
    """Digests of what decides results beside the configuration; ``plan`` finds them.

    Attributes:
        code: by script (``imports``).
        contents: of the user's own files, by the source that names them (``contents``).
    """

    code: Mapping[str, str]
    contents: Mapping[str, str]


@dataclass(frozen=True)
class Paths:
    """Paths of one configuration's artefacts, relative to the working directory.

    Example:
        >>> data = {"name": "mnist_5k", "root": None, "workers": 2}
        >>> paths = Paths({"results": "out", "data": data}, Origins({"prepare_data": "1f"}, {}))
        >>> paths.data("images.safetensors").startswith("out/data/mnist_5k-")
        True
    """

    config: Config
    origins: Origins

    @cached_property
    def models(self) -> dict[str, Model]:
        """The experiment's models by name."""
        return models_of(self.config)

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every pair of networks that is compared."""
        return pairs_of(self.config)

    @cached_property
    def networks(self) -> dict[str, Network]:
        """The networks that are compared, by key."""
        compared = dict.fromkeys(n for pair in self.pairs for n in (pair.a, pair.b))
        return {self.key(network): network for network in compared}

    # Data sets

    @cached_property
    def data_sets(self) -> dict[str, dict[str, Any]]:
        """The settings of each data set by key: that of the comparison, those of the training."""
        all_settings = [self.config["data"], *(model.data for model in self.models.values())]
        return {self.data_key(settings): dict(settings) for settings in all_settings}

    def data_key(self, settings: Mapping[str, Any] | None = None) -> str:
        """Of a prepared data set, that on which networks are compared if none is named."""
        settings = settings or self.config["data"]
        held = self._contents(data_source(settings))
        return _key(settings["name"], deciding(settings), held, self.origins.code["prepare_data"])

    def data(self, name: str, key: str | None = None) -> str:
        """A file of a prepared data set, that on which networks are compared if none is named."""
        return self._path("data", key or self.data_key(), name)

    # Networks

    @cached_property
    def models_by_key(self) -> dict[str, Model]:
        """Models by the keys of what is trained (or given), and of their initial networks."""
        trained = {self.model_key(model): model for model in self.models.values()}
        return trained | {self.initial_key(model): model for model in self.models.values()}

    @property
    def kept_epochs(self) -> list[int]:
        """Epochs after which networks are kept, beside the initial, the best and the last."""
        return sorted(int(s) for s in map(str, self.config["stages"]) if s.isdigit())

    def initial_key(self, model: Model) -> str:
        """Of a model's untrained networks: no training in it, so that all trainings share them."""
        made_by = self.origins.code["initialise"]
        return self._network_key(model, "initial", self.data_key(model.data), made_by)

    def model_key(self, model: Model) -> str:
        """Of a model's trained or given networks, but for their seed, which their paths name."""
        if model.pretrained:
            made_by = self.origins.code["load_pretrained"]
            return self._network_key(model, "given", self.data_key(model.data), made_by)
        start = self.initial_key(model)
        if model.start is not None:
            start = self.model_key(self.models[model.start])
        data, threads = self.data_key(model.data), self.config["threads"]
        own = (model.training, self.kept_epochs, threads, self.origins.code["train"])
        return self._network_key(model, start, data, *own)

    def _network_key(self, model: Model, *parts: Any) -> str:
        """The weights of a network count by what their file holds, its own code too."""
        settings = {key: value for key, value in model.network.items() if key != "weights"}
        sources = network_sources(model.network)
        if f"weights {model.network['weights']}" not in sources:
            settings["weights"] = model.network["weights"]
        return _key(model.network["name"], settings, self._contents(sources), *parts)

    def _contents(self, sources: Sequence[str]) -> list[str]:
        return [self.origins.contents[source] for source in sources]

    def start(self, model_key: str, seed: int) -> str:
        """The network that a training begins with."""
        model = self.models_by_key[model_key]
        if model.start is None:
            return self.network(Network(model.name, seed, "initial"), ".safetensors")
        before = self.models[model.start]
        seed = PRETRAINED_SEED if before.pretrained else seed
        return self.network(Network(before.name, seed, "last"), ".safetensors")

    def network(self, network: Network, suffix: str) -> str:
        """A file of a network: its weights (.safetensors) or its record (.json)."""
        folder, seed, stage = self.key(network).split(".")
        return self._path("networks", folder, seed, f"{stage}{suffix}")

    def training(self, model: str, seed: str, name: str) -> str:
        """A file of a training, of a model's key."""
        return self._path("networks", model, f"seed_{seed}", name)

    def key(self, network: Network) -> str:
        """A network's key: its model's, its seed and its stage, which dots set apart."""
        model = self.models[network.model]
        of_stage = self.initial_key if network.stage == "initial" else self.model_key
        stage = f"epoch_{network.stage}" if network.stage.isdigit() else network.stage
        return f"{of_stage(model)}.seed_{network.seed}.{stage}"

    def layers(self, model: str) -> str:
        """The listing of the layers of a model, by its name."""
        # What a network sees, it may have from the model that it starts from.
        chain = [self.models[model]]
        while (start := chain[-1].start) is not None:
            chain.append(self.models[start])
        own = [self._network_key(each, self.data_key(each.data)) for each in chain]
        compared = self.data_key(), self.config["extraction"]["nodes"]
        versions = [importlib.metadata.version(package) for package in ("torch", "torchvision")]
        key = _key(chain[0].network["name"], own, compared, versions, self.origins.code[LISTING])
        return self._path("layers", f"{key}.json")

    # What is computed of them

    def _made(self, script: str, *parts: Any) -> str:
        """The digest of what a script makes of some parts."""
        return digest(*parts, self.origins.code[script])

    @property
    def recording_digest(self) -> str:
        """Of the activation stores, but for the network."""
        extraction, threads = self.config["extraction"], self.config["threads"]
        return self._made("extract", self.data_key(), extraction, threads)

    @property
    def places_digest(self) -> str:
        """Of the activation stores whose samples are the same for all layers."""
        own = {key: self.config["extraction"][key] for key in ("nodes", "batch_size")}
        places, threads = self.config["heat_map"], self.config["threads"]
        return self._made("extract", self.data_key(), own, places, threads)

    @property
    def top_images_digest(self) -> str:
        """Of the images that activate neurons most."""
        return self._made("top_images", self.recording_digest)

    @property
    def heat_map_digest(self) -> str:
        """Of the match paths of every layer with every layer."""
        chunk = self.config["matching"]["chunk_samples"]
        return self._made("heat_map", self.places_digest, chunk)

    @property
    def matching_digest(self) -> str:
        """Of the moments and match paths: no epsilon in it, a path holds them all."""
        chunk = self.config["matching"]["chunk_samples"]
        return self._made("match", self.recording_digest, chunk)

    @property
    def minimal_digest(self) -> str:
        """Of the minimal matches, but for their epsilon."""
        return self._made("minimal_match", self.matching_digest)

    @property
    def certificate_digest(self) -> str:
        """Of the certificates of the match paths at the epsilons of the grid."""
        epsilons = sorted(self.config["matching"]["epsilons"])
        return self._made("certify", self.matching_digest, epsilons)

    @property
    def measure_digest(self) -> str:
        """Of the other measures of similarity."""
        return self._made("measure", self.matching_digest)

    @property
    def null_digest(self) -> str:
        """Of the match paths under permuted images."""
        return self._made("null", self.matching_digest, self.config["chance"])

    @property
    def experiment_digest(self) -> str:
        """Of the tables and figures, and of the code that makes them."""
        matching = self.config["matching"]
        return digest(
            [self.null_digest, self.minimal_digest, self.heat_map_digest, self.top_images_digest],
            [self.certificate_digest, self.measure_digest],
            [self.origins.code[script] for script in ("aggregate", "plot", "report")],
            # In their order, which is that of the tables' rows; models by the names there.
            [
                (self.key(p.a), self.key(p.b), p.comparison, p.a.model, p.b.model)
                for p in self.pairs
            ],
            matching["layers"],
            sorted(matching["epsilons"]),
            self.config["minimal_matches"],
            # One job draws all formats, and its record names them all.
            sorted(self.config["figures"]["formats"]),
        )

    def activations(self, network: str) -> str:
        """A network's activation store."""
        return self._path("activations", self.recording_digest, f"{network}.zarr")

    def places(self, network: str) -> str:
        """A network's activation store whose samples are the same for all layers."""
        return self._path("activations", self.places_digest, f"{network}.zarr")

    def group(self, layers: Sequence[str], of: Sequence[str] = ()) -> str:
        """The key of layers that one job does, of those that another has matched together."""
        return f"{layers[0]}-{layers[-1]}-{digest(list(layers), list(of))}"

    def match(self, a: str, b: str, group: str, name: str) -> str:
        """A file of the matches of a group of layers."""
        return self._path("matches", self.matching_digest, _pair(a, b), f"{group}.{name}")

    def certificates(self, a: str, b: str, group: str) -> str:
        """The certificates of a group of layers."""
        return self._path("certificates", self.certificate_digest, _pair(a, b), f"{group}.npz")

    def measures(self, a: str, b: str, group: str) -> str:
        """The other measures of similarity of a group of layers."""
        return self._path("measures", self.measure_digest, _pair(a, b), f"{group}.npz")

    def minimal(self, a: str, b: str, group: str, epsilon: Any) -> str:
        """The minimal matches of a group of layers at an epsilon."""
        name = f"{group}.epsilon-{epsilon}.npz"
        return self._path("minimal_matches", self.minimal_digest, _pair(a, b), name)

    def null(self, a: str, b: str, group: str) -> str:
        """The match paths of a group of layers under permuted images."""
        return self._path("nulls", self.null_digest, _pair(a, b), f"{group}.npz")

    def heat_map(self, a: str, b: str) -> str:
        """The match paths of every layer of one network with every layer of another."""
        return self._path("heat_maps", self.heat_map_digest, f"{_pair(a, b)}.npz")

    def top_images(self, network: str) -> str:
        """The images that activate each neuron of a network most."""
        return self._path("top_images", self.top_images_digest, f"{network}.npz")

    def experiment(self, name: str) -> str:
        """A table, metrics file or figure of the whole experiment."""
        compared = f"{_slug(self.config['network']['name'])}-{self.config['data']['name']}"
        return self._path("experiments", f"{compared}-{self.experiment_digest}", name)

    def log(self, artefact: str) -> str:
        """The log of the job that makes an artefact."""
        return self._beside("logs", artefact, ".log")

    def record(self, artefact: str) -> str:
        """The record of the job that makes an artefact, written last: without it nothing counts."""
        return f"{artefact}{SUFFIX}"

    def benchmark(self, artefact: str) -> str:
        """Time and memory of the job that made an artefact."""
        return self._beside("benchmarks", artefact, ".tsv")

    def _path(self, *parts: str) -> str:
        return str(Path(self.config["results"], *parts))

    def _beside(self, folder: str, artefact: str, suffix: str) -> str:
        relative = Path(artefact).relative_to(self.config["results"])
        return self._path(folder, f"{relative}{suffix}")


def deciding(data: Mapping[str, Any]) -> dict[str, Any]:
    """A section ``data`` without what decides no result: where its files lie and who reads them.

    Example:
        >>> deciding({"name": "cifar10", "root": "somewhere", "workers": 2})
        {'name': 'cifar10'}
    """
    return {key: value for key, value in data.items() if key not in ("root", "workers")}


def _pair(a: str, b: str) -> str:
    return f"{a}--{b}"


def _key(name: str, *parts: Any) -> str:
    return f"{_slug(name)}-{digest(*parts)}"


def _slug(name: str) -> str:
    """A name that can be part of a path's part: an import path has colons and dots."""
    return re.sub(r"[^\w-]+", "_", name)
