"""Where every artefact lies: a path that says what made it.

A short digest of all that determines an artefact, its upstream's digest included, is part of its
path. So a stale file never has the name that is asked for, two experiments share what they have in
common, and going back to an earlier configuration costs nothing.

The keys in paths are a data set's (its name and digest), a model's (likewise) and a network's (its
model's key, its seed and its stage); a rule finds what a key stands for in ``Layout``. A job
matches a group of layers, whose key names the first, the last and, in a digest, all of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .comparisons import GIVEN_SEED, Model, Network, Pair, models_of, pairs_of
from .config import Config
from .whereabouts import deciding


def digest(*parts: Any) -> str:
    """Ten hexadecimal digits that stand for the parts, which are plain JSON values.

    Example:
        >>> digest({"b": 1, "a": 2.5}) == digest({"a": 2.5, "b": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Layout:
    """Paths of one configuration's artefacts, relative to the working directory.

    Example:
        >>> data = {"name": "mnist_5k", "root": None}
        >>> layout = Layout({"results": "out", "data": data})
        >>> layout.data("images.safetensors").startswith("out/data/mnist_5k-")
        True
    """

    config: Config

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
        """What decides each data set, by key: the one of the comparison, those of the training."""
        all_settings = [self.config["data"], *(model.data for model in self.models.values())]
        return {self.data_key(settings): deciding(settings) for settings in all_settings}

    def data_key(self, settings: Mapping[str, Any] | None = None) -> str:
        """Of a prepared data set, that on which networks are compared if none is named."""
        settings = settings or self.config["data"]
        return _key(settings["name"], deciding(settings))

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
        return _key(model.network["name"], "initial", model.network, self.data_key(model.data))

    def model_key(self, model: Model) -> str:
        """Of a model's trained or given networks, but for their seed, which their paths name."""
        if model.given:
            return _key(model.network["name"], "given", model.network, self.data_key(model.data))
        start = self.initial_key(model)
        if model.start is not None:
            start = self.model_key(self.models[model.start])
        data, threads = self.data_key(model.data), self.config["threads"]
        own = (model.network, model.training, self.kept_epochs, threads)
        return _key(model.network["name"], start, data, *own)

    def start(self, model_key: str, seed: int) -> str:
        """The network that a training begins with."""
        model = self.models_by_key[model_key]
        if model.start is None:
            return self.network(Network(model.name, seed, "initial"), ".safetensors")
        before = self.models[model.start]
        seed = GIVEN_SEED if before.given else seed
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
        own = [(each.network, self.data_key(each.data)) for each in chain]
        compared = self.data_key(), self.config["extraction"]["nodes"]
        return self._path("layers", f"{_key(chain[0].network['name'], own, compared)}.json")

    # What is computed of them

    @property
    def recording_digest(self) -> str:
        """Of the activation stores, but for the network."""
        return digest(self.data_key(), self.config["extraction"], self.config["threads"])

    @property
    def places_digest(self) -> str:
        """Of the activation stores whose samples are the same for all layers."""
        own = {key: self.config["extraction"][key] for key in ("nodes", "batch_size")}
        return digest(self.data_key(), own, self.config["heat_map"], self.config["threads"])

    @property
    def matching_digest(self) -> str:
        """Of the moments and match paths: no epsilon in it, a path holds them all."""
        return digest(self.recording_digest, self.config["matching"]["chunk_samples"])

    @property
    def certificate_digest(self) -> str:
        """Of the certificates of the match paths at the epsilons of the grid."""
        return digest(self.matching_digest, sorted(self.config["matching"]["epsilons"]))

    @property
    def heat_map_digest(self) -> str:
        """Of the match paths of all layers with all others."""
        return digest(self.places_digest, self.config["matching"]["chunk_samples"])

    @property
    def null_digest(self) -> str:
        """Of the match paths under permuted images."""
        return digest(self.matching_digest, self.config["chance"])

    @property
    def experiment_digest(self) -> str:
        """Of the tables and figures."""
        matching = self.config["matching"]
        return digest(
            self.null_digest,
            self.heat_map_digest,
            # In their order, which is that of the tables' rows; models by the names there.
            [
                (self.key(p.a), self.key(p.b), p.comparison, p.a.model, p.b.model)
                for p in self.pairs
            ],
            matching["layers"],
            sorted(matching["epsilons"]),
            self.config["minimal_matches"],
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
        return self._path("measures", self.matching_digest, _pair(a, b), f"{group}.npz")

    def minimal(self, a: str, b: str, group: str, epsilon: Any) -> str:
        """The minimal matches of a group of layers at an epsilon."""
        name = f"{group}.epsilon-{epsilon}.npz"
        return self._path("minimal_matches", self.matching_digest, _pair(a, b), name)

    def null(self, a: str, b: str, group: str) -> str:
        """The match paths of a group of layers under permuted images."""
        return self._path("nulls", self.null_digest, _pair(a, b), f"{group}.npz")

    def heat_map(self, a: str, b: str) -> str:
        """The match paths of every layer of one network with every layer of another."""
        return self._path("heat_maps", self.heat_map_digest, f"{_pair(a, b)}.npz")

    def top_images(self, network: str) -> str:
        """The images that activate each neuron of a network most."""
        return self._path("top_images", self.recording_digest, f"{network}.npz")

    def experiment(self, name: str) -> str:
        """A table, metrics file or figure of the whole experiment."""
        compared = f"{_slug(self.config['network']['name'])}-{self.config['data']['name']}"
        return self._path("experiments", f"{compared}-{self.experiment_digest}", name)

    def log(self, artefact: str) -> str:
        """The log of the job that makes an artefact."""
        return self._beside("logs", artefact, ".log")

    def benchmark(self, artefact: str) -> str:
        """Time and memory of the job that made an artefact."""
        return self._beside("benchmarks", artefact, ".tsv")

    def _path(self, *parts: str) -> str:
        return str(Path(self.config["results"], *parts))

    def _beside(self, folder: str, artefact: str, suffix: str) -> str:
        relative = Path(artefact).relative_to(self.config["results"])
        return self._path(folder, f"{relative}{suffix}")


def _pair(a: str, b: str) -> str:
    return f"{a}--{b}"


def _key(name: str, *parts: Any) -> str:
    return f"{_slug(name)}-{digest(*parts)}"


def _slug(name: str) -> str:
    """A name that can be part of a path's part: an import path has colons and dots."""
    return re.sub(r"[^\w-]+", "_", name)
