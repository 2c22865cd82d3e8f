"""Path of every result. A path contains a digest of what decides the result (``keys``)."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..networks.source_names import EXTRA_SOURCES, short_name
from ..storage.job_records import SUFFIX
from .code_inputs import LISTING
from .comparisons import PRETRAINED_SEED, Network
from .keys import Keys, named_digest, slug


@dataclass(frozen=True)
class Paths(Keys):
    """Paths of all results of one configuration, relative to the working directory.

    A path may have Snakemake's wildcards in place of keys.
    """

    def data(self, name: str, key: str | None = None) -> str:
        """Return a file of a prepared data set; None for the one that networks are compared on."""
        return self._path("data", key or self.data_key(), name)

    def start(self, model_key: str, seed: int) -> str | None:
        """Return the weights from which a training starts; None if its seed draws them."""
        start = self.models_by_key[model_key].start
        if start is None:
            return None
        before = self.models[start]
        seed = PRETRAINED_SEED if before.pretrained else seed
        return self.network(Network(before.name, seed, "last"), ".safetensors")

    def network(self, network: Network, suffix: str) -> str:
        """Return the weights (.safetensors) or the record (.json) of a network."""
        folder, seed, stage = self.key(network).split(".")
        return self._path("networks", folder, seed, f"{stage}{suffix}")

    def training(self, model: str, seed: str, name: str) -> str:
        """Return a file of the training of a model, given by key, from a seed."""
        return self._path("networks", model, f"seed_{seed}", name)

    def layers(self, model: str) -> str:
        """Return the list of the layers of a model, given by name."""
        # A model inherits preprocessing, and so the size of its maps, from its start.
        chain = [self.models[model]]
        while (start := chain[-1].start) is not None:
            chain.append(self.models[start])
        networks = [self._network_key(each, self.data_key(each.data)) for each in chain]
        extraction = self.config["extraction"]
        reached = [extraction[key] for key in ("nodes", "neuron_axis", "tokens")]
        compared = self.data_key(), reached
        # Another torchvision can bring other published weights, which see images of other sizes.
        versions = [_version(package) for package in ("torch", "torchvision", *EXTRA_SOURCES)]
        code = self.origins.code[LISTING]
        name = short_name(chain[0].network["name"])
        key = named_digest(name, networks, compared, versions, code)
        return self._path("layers", f"{key}.json")

    def activations(self, network: str) -> str:
        """Return the activation store of a network."""
        return self._store(self.extraction_digest, network)

    def heat_map_activations(self, network: str) -> str:
        """Return the activation store of a network whose samples are the same for all layers."""
        return self._store(self.heat_map_activations_digest, network)

    def stores(self, network: str) -> list[str]:
        """Return all activation stores of a network, in the order of ``samplings``."""
        return [self._store(sampling["digest"], network) for sampling in self.samplings]

    def match(self, a: str, b: str, group: str, name: str) -> str:
        """Return a file of the matches of a group of layers."""
        return self._path("matches", self.matching_digest, f"{a}--{b}", f"{group}.{name}")

    def certificates(self, a: str, b: str, group: str) -> str:
        """Return the certificates of a group of layers."""
        return self._path("certificates", self.certificate_digest, f"{a}--{b}", f"{group}.npz")

    def measures(self, a: str, b: str, group: str) -> str:
        """Return the other measures of similarity of a group of layers."""
        return self._path("measures", self.measure_digest, f"{a}--{b}", f"{group}.npz")

    def minimal(self, a: str, b: str, group: str, epsilon: Any) -> str:
        """Return the minimal matches of a group of layers at an epsilon."""
        name = f"{group}.epsilon-{epsilon}.npz"
        return self._path("minimal_matches", self.minimal_digest, f"{a}--{b}", name)

    def null(self, a: str, b: str, group: str) -> str:
        """Return the match paths of a group of layers with permuted images."""
        return self._path("nulls", self.null_digest, f"{a}--{b}", f"{group}.npz")

    def consensus(self, networks: str, group: str) -> str:
        """Return the consensus matches of several networks, given by ``networks_key``."""
        return self._path("consensus", self.consensus_digest, networks, f"{group}.npz")

    def heat_map(self, a: str, b: str) -> str:
        """Return the match paths of every layer of one network with every layer of another."""
        return self._path("heat_maps", self.heat_map_digest, f"{a}--{b}.npz")

    def within_network(self, network: str) -> str:
        """Return the comparisons of every two layers of a network."""
        return self._path("within_networks", self.within_network_digest, f"{network}.npz")

    def top_images(self, network: str) -> str:
        """Return the images that activate each neuron of a network most."""
        return self._path("top_images", self.top_images_digest, f"{network}.npz")

    def experiment(self, name: str) -> str:
        """Return a table, figure or other file of the whole experiment."""
        network = slug(short_name(self.config["network"]["name"]))
        compared = f"{network}-{self.config['data']['name']}"
        return self._path("experiments", f"{compared}-{self.experiment_digest}", name)

    def log(self, result: str) -> str:
        """Return the log of the job that makes a result."""
        return self._in_tree("logs", result, ".log")

    def record(self, result: str) -> str:
        """Return the record of a job, written last: without it the result does not count."""
        return f"{result}{SUFFIX}"

    def benchmark(self, result: str) -> str:
        """Return the time and memory of the job that made a result."""
        return self._in_tree("benchmarks", result, ".tsv")

    def _store(self, digest: str, network: str) -> str:
        return self._path("activations", digest, f"{network}.zarr")

    def _path(self, *parts: str) -> str:
        return str(Path(self.config["results"], *parts))

    def _in_tree(self, folder: str, result: str, suffix: str) -> str:
        relative = Path(result).relative_to(self.config["results"])
        return self._path(folder, f"{relative}{suffix}")


def _version(package: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
