"""Keys of results: short digests of everything that decides a result.

A digest covers the configuration, the code of the rule, the contents of the user's own files, and
the digests of the inputs. So a result of other code or data has another name, experiments share
the results that they have in common, and returning to an earlier configuration, commit or data set
costs nothing.

The key of a data set or a model is its name and a digest; the key of a network is the key of its
model, its seed and its stage. The key of a group of layers holds the first layer, the last, and a
digest of all.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..data.tokens import BYTES
from ..networks.source_names import short_name
from .comparisons import Model, Network, Pair, models_of, pairs_of
from .config import Config
from .user_files import data_source, network_sources

# Of a network or data set in a path. File systems allow 255 bytes, which also hold the other
# network of a pair, digests, seeds, stages, and the suffix of a temporary record.
NAME_BYTES = 60


@dataclass(frozen=True)
class Origins:
    """Digests of what decides results besides the configuration; see ``origins.origins_of``."""

    code: Mapping[str, str]  # of each script (``code_inputs``)
    contents: Mapping[str, str]  # of each of the user's own sources (``user_files``)


@dataclass(frozen=True)
class Keys:
    """Keys of all results of one complete configuration."""

    config: Config
    origins: Origins

    @cached_property
    def models(self) -> dict[str, Model]:
        """Models by name."""
        return models_of(self.config)

    @cached_property
    def pairs(self) -> list[Pair]:
        """Pairs of networks to compare."""
        return pairs_of(self.config, self.first_name)

    def first_name(self, network: Network) -> Network:
        """Return a network as one of the first model that has it.

        Models with equal settings have the same networks, and models that differ in their training
        have the same untrained ones. Results have one path then, and tables need one name.
        """
        names = self._first_names["initial" if network.stage == "initial" else "last"]
        return replace(network, model=names[network.model])

    @cached_property
    def _first_names(self) -> dict[str, dict[str, str]]:
        """The first model with the same networks, by model: untrained ones, and others."""
        found = {}
        for stage, key_of in (("initial", self.initial_key), ("last", self.model_key)):
            first: dict[str, str] = {}
            found[stage] = {
                name: first.setdefault(key_of(model), name) for name, model in self.models.items()
            }
        return found

    @cached_property
    def networks(self) -> dict[str, Network]:
        """Networks to compare, by key."""
        compared = dict.fromkeys(n for pair in self.pairs for n in (pair.a, pair.b))
        return {self.key(network): network for network in compared}

    @cached_property
    def data_sets(self) -> dict[str, dict[str, Any]]:
        """Settings of every data set by key: for the comparison, then for each training."""
        all_settings = [self.config["data"], *(model.data for model in self.models.values())]
        return {self.data_key(settings): dict(settings) for settings in all_settings}

    @cached_property
    def models_by_key(self) -> dict[str, Model]:
        """Models by the key of their final networks, and by that of their initial networks."""
        trained = {self.model_key(model): model for model in self.models.values()}
        return trained | {self.initial_key(model): model for model in self.models.values()}

    @property
    def kept_epochs(self) -> list[int]:
        """Epochs whose checkpoint is kept, besides the initial, the best and the last."""
        return sorted(int(s) for s in map(str, self.config["stages"]) if s.isdigit())

    # Data sets and networks

    def data_key(self, settings: Mapping[str, Any] | None = None) -> str:
        """Return the key of a data set; None for the one that networks are compared on."""
        settings = settings or self.config["data"]
        contents = self._contents(data_source(settings))
        code = self.origins.code["prepare_data"]
        return named_digest(settings["name"], without_location(settings), contents, code)

    def initial_key(self, model: Model) -> str:
        """Return the key of a model's initial weights, those of any training from them."""
        code = self.origins.code["initialise"]
        return self._network_key(model, "initial", self.data_key(model.data), code)

    def model_key(self, model: Model) -> str:
        """Return the key of a model's trained or pretrained weights, for all seeds."""
        data = self.data_key(model.data)
        if model.pretrained:
            code = self.origins.code["load_pretrained"]
            # Extraction measures how well the network does its task.
            return self._network_key(model, "pretrained", data, code, model.training["task"])
        start = None if model.start is None else self.model_key(self.models[model.start])
        training = model.training, self.kept_epochs, self.config["threads"]
        return self._network_key(model, start, data, *training, self.origins.code["train"])

    def _network_key(self, model: Model, *parts: Any) -> str:
        """Return a key in which files of weights and modules count by content, not by name."""
        settings, sources = dict(model.network), network_sources(model.network)
        if f"weights {settings['weights']}" in sources:
            del settings["weights"]
        settings["name"] = short_name(settings["name"])
        return named_digest(settings["name"], settings, self._contents(sources), *parts)

    def _contents(self, sources: Sequence[str]) -> list[str]:
        return [self.origins.contents[source] for source in sources]

    def key(self, network: Network) -> str:
        """Return the key of a network: its model's key, seed and stage, separated by dots."""
        model = self.models[network.model]
        model_key = self.initial_key if network.stage == "initial" else self.model_key
        stage = f"epoch_{network.stage}" if network.stage.isdigit() else network.stage
        return f"{model_key(model)}.seed_{network.seed}.{stage}"

    def group(self, layers: Sequence[str], of: Sequence[str] = ()) -> str:
        """Return the key of a job's layers, which may be a part ``of`` another job's layers."""
        part = f"-{len(layers)}of{len(of)}" if len(layers) < len(of) else ""
        return f"{layers[0]}-{layers[-1]}{part}-{digest(list(layers), list(of))}"

    def networks_key(self, networks: Sequence[str]) -> str:
        """Return the key of several networks, given by key: their number and a digest."""
        return f"{len(networks)}-{digest(list(networks))}"

    # What is computed from networks

    def _made_by(self, script: str, *parts: Any) -> str:
        return digest(*parts, self.origins.code[script])

    @cached_property
    def extraction_digest(self) -> str:
        """Digest of the activation stores, the same for all networks."""
        settings = self.config["extraction"], self.config["threads"]
        return self._made_by("extract", self.data_key(), *settings)

    @property
    def heat_map_extraction(self) -> dict[str, Any]:
        """What decides an extraction whose samples are those of the heat map."""
        keys = ("nodes", "neuron_axis", "tokens", "batch_size")
        return {key: self.config["extraction"][key] for key in keys}

    @property
    def heat_map_samples(self) -> dict[str, int]:
        """What decides the samples of a heat map."""
        return {key: self.config["heat_map"][key] for key in ("positions", "seed")}

    @cached_property
    def heat_map_activations_digest(self) -> str:
        """Digest of the activation stores for heat maps: all layers have the same samples."""
        settings = self.heat_map_extraction, self.heat_map_samples, self.config["threads"]
        return self._made_by("extract", self.data_key(), *settings)

    @property
    def samplings(self) -> list[dict[str, Any]]:
        """What decides each activation store of a network: that of matches, that of heat maps.

        One forward pass makes both, but neither is made again because of the other's settings.
        Without positions for heat maps there is only the first.
        """
        extraction = self.config["extraction"]
        each: list[dict[str, Any]] = [{"digest": self.extraction_digest, "extraction": extraction}]
        if self.config["heat_map"]["positions"]:
            digest = self.heat_map_activations_digest
            extraction, samples = self.heat_map_extraction, self.heat_map_samples
            each.append({"digest": digest, "extraction": extraction, "heat_map": samples})
        return each

    @cached_property
    def top_images_digest(self) -> str:
        """Digest of the images that activate neurons most."""
        return self._made_by("top_images", self.extraction_digest)

    @cached_property
    def heat_map_digest(self) -> str:
        """Digest of the match paths of every layer with every layer."""
        chunk = self.config["matching"]["chunk_samples"]
        return self._made_by("heat_map", self.heat_map_activations_digest, chunk)

    @cached_property
    def within_network_digest(self) -> str:
        """Digest of the comparisons of every two layers of a network."""
        chunk = self.config["matching"]["chunk_samples"]
        return self._made_by("within_network", self.heat_map_activations_digest, chunk)

    @cached_property
    def matching_digest(self) -> str:
        """Digest of moments and match paths; epsilons are left out, as a path covers all."""
        chunk = self.config["matching"]["chunk_samples"]
        return self._made_by("match", self.extraction_digest, chunk)

    @cached_property
    def minimal_digest(self) -> str:
        """Digest of the minimal matches, the same for all epsilons."""
        orders = self.config["minimal_matches"]["orders"]
        return self._made_by("minimal_match", self.matching_digest, orders)

    @cached_property
    def certificate_digest(self) -> str:
        """Digest of the certificates at all epsilons of the grid."""
        epsilons = sorted(self.config["matching"]["epsilons"])
        return self._made_by("certify", self.matching_digest, epsilons)

    @cached_property
    def measure_digest(self) -> str:
        """Digest of the other measures of similarity."""
        return self._made_by("measure", self.matching_digest)

    @cached_property
    def null_digest(self) -> str:
        """Digest of the match paths with permuted images."""
        return self._made_by("null", self.matching_digest, self.config["chance"])

    @cached_property
    def consensus_digest(self) -> str:
        """Digest of the consensus matches of many networks."""
        chunk = self.config["matching"]["chunk_samples"]
        return self._made_by("consensus", self.extraction_digest, chunk)

    @cached_property
    def experiment_digest(self) -> str:
        """Digest of the tables, the figures and the page."""
        matching, key = self.config["matching"], self.key
        return digest(
            [self.null_digest, self.minimal_digest, self.heat_map_digest, self.top_images_digest],
            [self.certificate_digest, self.measure_digest, self.consensus_digest],
            [self.config["heat_map"]["within_networks"], self.within_network_digest],
            [self.origins.code[script] for script in ("aggregate", "plot", "report")],
            # Tables have rows in the order of pairs, and name models as the configuration does.
            [(key(p.a), key(p.b), p.comparison, p.a.model, p.b.model) for p in self.pairs],
            matching["layers"],
            sorted(matching["epsilons"]),
            self.config["minimal_matches"],
            # One job draws all formats, and its record names them all.
            sorted(self.config["figures"]["formats"]),
        )


def digest(*parts: Any) -> str:
    """Return ten hexadecimal digits of a SHA-256 of JSON values; the order of keys is ignored."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def named_digest(name: str, *parts: Any) -> str:
    """Return a name that is safe in a path, and the digest of the parts."""
    return f"{slug(name)}-{digest(*parts)}"


def slug(name: str) -> str:
    """Return a name that is safe in a path: "torchvision:vgg16" becomes "torchvision_vgg16".

    Two dashes separate the keys of a pair, and both keys are in one file name, so a name has no two
    dashes, none at its end, and limited length.
    """
    safe = re.sub(r"-+", "-", re.sub(r"[^\w-]+", "_", name))
    return safe.encode()[:NAME_BYTES].decode(errors="ignore").strip("-")


def without_location(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section ``data`` without what decides no result: locations and reader processes."""
    kept = {key: value for key, value in data.items() if key not in ("root", "workers")}
    return kept if kept["tokenizer"] == BYTES else kept | {"tokenizer": "file"}
