"""Where every artefact lies: a path that says what made it.

A short digest of all that determines an artefact, its upstream's digest included, is part of its
path. So a stale file never has the name that is asked for, two experiments share what they have in
common, and going back to an earlier configuration costs nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import Config


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
        >>> layout = Layout({"results": "out", "data": {"name": "mnist_5k"}})
        >>> layout.data("images.safetensors").startswith("out/data/mnist_5k-")
        True
    """

    config: Config

    @property
    def data_settings(self) -> dict[str, Any]:
        """What decides the prepared data: not the folder in which its own files lie."""
        return {key: value for key, value in self.config["data"].items() if key != "root"}

    @property
    def data_digest(self) -> str:
        """Of the prepared data set."""
        return digest(self.data_settings)

    @property
    def network_digest(self) -> str:
        """Of the trained networks, but for their seed, which their paths name."""
        config = self.config
        return digest(self.data_digest, config["network"], config["training"], config["threads"])

    @property
    def activations_digest(self) -> str:
        """Of the activation stores, but for the seed."""
        return digest(self.network_digest, self.config["extraction"])

    @property
    def matching_digest(self) -> str:
        """Of the moments and match paths: no epsilon in it, a path holds them all."""
        return digest(self.activations_digest, self.config["matching"]["chunk_samples"])

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
            sorted(self.config["seeds"]),
            matching["layers"],
            sorted(matching["epsilons"]),
            self.config["minimal_matches"],
        )

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every pair of seeds, network A's first, which is the smaller."""
        return list(itertools.combinations(sorted(self.config["seeds"]), 2))

    def data(self, name: str) -> str:
        """A file of the prepared data set."""
        return self._path("data", f"{self.config['data']['name']}-{self.data_digest}", name)

    def layers(self) -> str:
        """The listing of the architecture's layers."""
        return self._path("networks", self._network, "layers.json")

    def network(self, seed: int | str, name: str) -> str:
        """A file of one trained network."""
        return self._path("networks", self._network, f"seed_{seed}", name)

    def activations(self, seed: int | str) -> str:
        """One network's activation store."""
        return self._path("activations", self.activations_digest, f"seed_{seed}.zarr")

    def match(self, seed_a: int | str, seed_b: int | str, layer: str, name: str) -> str:
        """A file of one layer's match."""
        pair = f"seed_{seed_a}-seed_{seed_b}"
        return self._path("matches", self.matching_digest, pair, f"{layer}.{name}")

    def minimal(self, seed_a: int | str, seed_b: int | str, layer: str, epsilon: Any) -> str:
        """One layer's minimal matches at an epsilon."""
        pair = f"seed_{seed_a}-seed_{seed_b}"
        name = f"{layer}.epsilon-{epsilon}.npz"
        return self._path("minimal_matches", self.matching_digest, pair, name)

    def null(self, seed_a: int | str, seed_b: int | str, layer: str) -> str:
        """One layer's match paths under permuted images."""
        return self._path("nulls", self.null_digest, f"seed_{seed_a}-seed_{seed_b}", f"{layer}.npz")

    def experiment(self, name: str) -> str:
        """A table, metrics file or figure of the whole experiment."""
        compared = f"{self.config['network']['name']}-{self.config['data']['name']}"
        return self._path("experiments", f"{compared}-{self.experiment_digest}", name)

    def log(self, artefact: str) -> str:
        """The log of the job that makes an artefact."""
        return self._beside("logs", artefact, ".log")

    def benchmark(self, artefact: str) -> str:
        """Time and memory of the job that made an artefact."""
        return self._beside("benchmarks", artefact, ".tsv")

    @property
    def _network(self) -> str:
        return f"{self.config['network']['name']}-{self.network_digest}"

    def _path(self, *parts: str) -> str:
        return str(Path(self.config["results"], *parts))

    def _beside(self, folder: str, artefact: str, suffix: str) -> str:
        relative = Path(artefact).relative_to(self.config["results"])
        return self._path(folder, f"{relative}{suffix}")
